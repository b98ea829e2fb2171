//! Commands: what the local user and the processes around the overlay ask for.
//!
//! Each is answered exactly once, here or when what it began has ended.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::Overlay;
use super::puts::Origin;
use super::rumours::statement_message;
use crate::api::{Address, Command, CommandId, Failure, Neighbour, Relation, Reply, Role, Status};
use crate::group::Caps;
use crate::key::PeerId;
use crate::limits::{SAMPLED_FOR, SAMPLED_FROM, TAKES_NONE};
use crate::map::Contact;
use crate::record::Record;
use crate::time::Instant;
use crate::wire::{Hint, Leave, Message};

impl Overlay {
    pub(super) fn command(&mut self, id: CommandId, command: Command) {
        match command {
            Command::Seeds(hints) => {
                for hint in &hints {
                    self.learn(hint);
                }
                self.attach_if_needed();
                if self.is_superpeer() && !hints.is_empty() {
                    self.refresh();
                }
                self.reply(id, Reply::Done);
            }
            Command::Act(Role::Child) if self.is_superpeer() => self.step_down(id),
            Command::Act(role) => {
                self.step_up_again();
                self.act(role);
                self.reply(id, Reply::Done);
            }
            Command::Volunteer(volunteers) => {
                self.volunteer(volunteers);
                self.reply(id, Reply::Done);
            }
            Command::Addresses { addresses, multiaddrs } => {
                self.move_to(addresses, multiaddrs);
                self.reply(id, Reply::Done);
            }
            Command::Register(held) => self.hold(id, *held),
            Command::Release(key) => {
                self.release(&key);
                self.reply(id, Reply::Done);
            }
            Command::Resolve { username, how } => self.resolve(id, username, how),
            Command::Watch(username) => self.watch(id, username),
            Command::Unwatch(watching) => {
                self.unwatch(watching);
                self.reply(id, Reply::Done);
            }
            Command::Presence { parent, peer } => self.presence(id, parent, peer),
            Command::Put(bytes) => self.put_signed(id, bytes),
            Command::Status => {
                let status = self.status();
                self.reply(id, Reply::Status(alloc::boxed::Box::new(status)));
            }
            Command::Peers => {
                let peers = self.peers();
                self.reply(id, Reply::Peers(peers));
            }
            Command::Sample { count, within } => {
                let sample = self.sample(count, within);
                self.reply(id, Reply::Seeds(sample));
            }
            Command::Leave => self.leave(id),
        }
    }

    fn move_to(&mut self, addresses: Vec<Address>, multiaddrs: Vec<bytes::Bytes>) {
        let moved = self.multiaddrs != multiaddrs || self.addresses != addresses;
        (self.addresses, self.multiaddrs) = (addresses, multiaddrs);
        if moved {
            if let Role::Superpeer(_) = &self.role {
                self.act(self.role.clone());
            }
            self.publish_all();
        }
    }

    fn put_signed(&mut self, id: CommandId, bytes: bytes::Bytes) {
        let checked = self.read_record(bytes).and_then(|record| {
            self.verify(&record)?;
            Ok(record)
        });
        match checked {
            Ok(_) if !self.is_superpeer() => self.reply(id, Reply::Failed(Failure::Detached)),
            Ok(record) => self.put(record, Origin::Command(id)),
            Err(invalid) => {
                let why = alloc::format!("{invalid}");
                self.reply(id, Reply::Failed(Failure::Invalid(why)));
            }
        }
    }

    fn status(&self) -> Status {
        let (node_id, node_certificate_until) = match &self.role {
            Role::Superpeer(certificate) => {
                (Some(certificate.node_id(&self.network.id)), Some(certificate.not_after))
            }
            Role::Child => (None, None),
        };
        let linked = |contact: &&crate::map::Contact| self.links.to(&contact.peer()).is_some();
        Status {
            peer: self.me,
            node_id,
            node_certificate_until,
            parent: self.parent_status(),
            standbys: self.standby_status(),
            syncing: self.is_syncing(),
            superpeers: self.map.len(),
            peers: self.peers_online(),
            superpeer_links: self.map.iter().filter(linked).count(),
            children: self.children.len(),
            records: self.store.len(),
            names: self.publishing.status(),
            skew_secs: self.links.skew(self.now),
        }
    }

    /// Superpeers, and the children that they have if those whose load we know are like the others.
    pub(super) fn peers_online(&self) -> usize {
        let superpeer = |peer: &PeerId| self.map.place(peer).is_some();
        let linked = self.links.peers().map(|(peer, _)| peer).filter(|peer| superpeer(peer));
        let loads = linked.filter_map(|peer| self.links.greeting(peer)).map(|greeting| greeting.load);
        let own = self.is_superpeer().then(|| self.load());
        let children = |load: u8| if load == TAKES_NONE { 0 } else { usize::from(load) };
        let (known, load) =
            loads.chain(own).fold((0, 0), |(known, sum), load| (known + 1, sum + children(load)));
        let superpeers = self.map.len();
        superpeers + superpeers * load * self.children_max / (255 * known.max(1))
    }

    fn peers(&self) -> Vec<Neighbour> {
        let known = self.map.iter().map(crate::map::Contact::peer);
        let others = self.links.peers().map(|(peer, _)| *peer);
        let others = others.filter(|peer| self.map.contact(peer).is_none());
        known.chain(others).filter(|peer| *peer != self.me).map(|peer| self.neighbour(peer)).collect()
    }

    fn neighbour(&self, peer: PeerId) -> Neighbour {
        let contact = self.map.contact(&peer);
        let relation = if self.attaching.is_parent(&peer) {
            Relation::Parent
        } else if self.children.is_child(&peer) {
            Relation::Child
        } else if contact.is_some() {
            Relation::Superpeer
        } else {
            Relation::Other
        };
        Neighbour {
            peer,
            relation,
            addresses: contact.map_or(Vec::new(), |contact| contact.hint().addresses.clone()),
            linked: self.links.to(&peer).is_some(),
            round_trip: self.links.round_trip(&peer).map(|known| known.smoothed),
            agent: self.links.greeting(&peer).map_or(String::new(), |greeting| greeting.agent.clone()),
        }
    }

    /// Superpeers heard lately, in random order, not too many of one address group; ourselves last.
    fn sample(&mut self, count: usize, within: Duration) -> Vec<Hint> {
        let own = self.own_hint();
        let others = count.saturating_sub(usize::from(own.is_some()));
        let (mut alive, since) = self.sample_pool(within);
        let (mut caps, mut found) = (Caps::new(self.network.scope), Vec::new());
        // No more of them are put into random order than are looked at.
        for index in (0..alive.len()).rev() {
            if found.len() >= others {
                break;
            }
            let drawn = self.pick(index + 1);
            alive.swap(index, drawn);
            let hint = self.map.contact(&alive[index]).map(Contact::hint);
            found.extend(hint.filter(|hint| caps.admit(&hint.addresses)).cloned());
        }
        self.sampled = (self.map.len() > SAMPLED_FROM).then_some((alive, since));
        found.extend(own);
        found
    }

    /// Superpeers heard lately that we vouch for. Where there are many the same as a second ago: who has become one in it
    /// waits, and who has left the map is passed over.
    fn sample_pool(&mut self, within: Duration) -> (Vec<PeerId>, Instant) {
        let now = self.now.instant;
        if let Some(pool) = self.sampled.take().filter(|(_, since)| now.since(*since) < SAMPLED_FOR) {
            return pool;
        }
        let heard = |peer: &PeerId| self.links.unheard(peer, now).is_some_and(|unheard| unheard <= within);
        let linked = self.links.peers().filter(|(peer, _)| heard(peer));
        let alive = linked.filter_map(|(peer, _)| self.map.contact(peer)).collect();
        let named = self.to_name(alive, |contact: &&Contact| contact);
        (named.into_iter().map(Contact::peer).collect(), now)
    }

    /// Tells peers that we leave, on their links.
    pub(super) fn say_goodbye(&mut self, peers: &[PeerId]) {
        let unix_time = self.now.unix.as_secs();
        let message = statement_message(&self.network.id, &self.me, unix_time, false);
        let signature = self.node.sign(&message);
        let linked: Vec<_> = peers.iter().filter_map(|peer| self.links.to(peer)).collect();
        for link in linked {
            self.send(link, 0, Message::Leave(Leave { unix_time, signature }));
        }
    }

    /// We leave: who waits for something of our own is told.
    pub(super) fn end_own_affairs(&mut self) {
        self.stop_publishing();
        self.stop_puts();
        self.stop_watching();
        self.stop_resolving();
    }
}

impl Record {
    /// Whether this is an epoch record that revokes the other one.
    pub(crate) fn revokes(&self, other: &Self) -> bool {
        self.epoch_payload().is_ok_and(|epoch| epoch.revokes_record(other))
    }
}
