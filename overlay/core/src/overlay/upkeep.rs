//! A superpeer's upkeep: knowing the others, and streams to those it should have.
//!
//! Streams are kept to the [`NEAR`] closest and to [`WARM`] others; once a minute a look-up of our own
//! place finds new neighbours. *Not here*: gossip, hand-over.

use alloc::vec::Vec;

use bytes::Bytes;

use super::walks::Owner;
use super::{Overlay, Timer};
use crate::api::{Notice, Role, Write};
use crate::certificate::NodeCertificate;
use crate::group::is_global;
use crate::key::{Key, PeerId};
use crate::limits::{
    HOST_CACHE_MAX, NEAR, REDIAL_INTERVAL, REFRESH_INTERVAL, SWEEP_INTERVAL, UPKEEP_DIALS, UPKEEP_INTERVAL,
    WARM,
};
use crate::lookup::Goal;
use crate::map::Learned;
use crate::network::Scope;
use crate::wire::Hint;

impl Overlay {
    /// Takes the role on; the same one again renews the certificate.
    pub(super) fn act(&mut self, role: Role) {
        if let Role::Superpeer(certificate) = &role {
            if certificate.node != self.me || !self.is_certified(certificate) {
                self.notice(Notice::CertificateExpired);
                // At the start: a child then.
                return self.attach_if_needed();
            }
            let id = certificate.node_id(&self.network.id);
            let was = self.is_superpeer();
            self.map.remove(&self.me);
            self.map.forgive(&self.me);
            let hint = Hint { certificate: certificate.clone(), addresses: self.addresses.clone() };
            self.map.learn(id, &hint, self.now.instant);
            self.act_as(role);
            if !was {
                self.detach();
                self.notice(Notice::Joined(id));
                self.refresh();
                self.upkeep_again();
                self.publish_all();
                self.resolve_waiting();
            }
        } else {
            let was = self.is_superpeer();
            self.map.remove(&self.me);
            self.act_as(role);
            self.disown_children();
            if was || self.attaching.parent().is_none() {
                self.attach_if_needed();
            }
        }
    }

    /// What the last run left on disk.
    pub(super) fn restore(&mut self, records: Vec<Bytes>, contacts: &[Bytes]) {
        for bytes in records {
            // They were verified before they were written; their times are looked at again.
            if let Ok(record) = self.read_record(bytes) {
                drop(self.store.keep(record));
            }
        }
        for bytes in contacts {
            if let Ok(hint) = Hint::from_bytes(bytes)
                && self.learn(&hint).is_some()
            {
                self.contacts_kept.insert(hint.peer());
            }
        }
    }

    /// Takes a hint into the map if a login key certified it. Returns its place if it is there.
    pub(super) fn learn(&mut self, hint: &Hint) -> Option<Key> {
        let peer = hint.peer();
        if peer == self.me || !self.may_dial(hint) {
            return None;
        }
        let known = self.map.contact(&peer);
        if !known.is_some_and(|known| known.hint.certificate == hint.certificate)
            && !self.is_certified(&hint.certificate)
        {
            return None;
        }
        let id = hint.certificate.node_id(&self.network.id);
        match self.map.learn(id, hint, self.now.instant) {
            Learned::New => {
                // What others say fills half of the host cache; the rest is for those that answered.
                if self.contacts_kept.len() < HOST_CACHE_MAX / 2 {
                    self.keep_contact(&peer);
                }
                if self.is_superpeer() {
                    self.gossip.tell(peer);
                    self.upkeep_again();
                }
                Some(id)
            }
            Learned::Known => Some(id),
            Learned::Refused => None,
        }
    }

    /// A superpeer has failed us, or left: out of the map, and what it held may have to move.
    pub(super) fn superpeer_gone(&mut self, peer: &PeerId, left: bool) {
        let place = self.map.contact(peer).map(|contact| contact.id);
        if left {
            self.map.let_go(peer, self.now.instant);
        } else {
            self.map.bury(peer, self.now.instant);
        }
        if let Some(place) = place {
            self.place_vacated(&place);
        }
    }

    /// As [`Self::learn`], from the superpeer that the hint is about: it knows best where it listens.
    pub(super) fn learn_from_itself(&mut self, hint: &Hint) -> Option<Key> {
        let id = self.learn(hint)?;
        if !hint.addresses.is_empty() {
            self.map.moved(&hint.peer(), &hint.addresses);
        }
        Some(id)
    }

    /// On a global network nobody is made to dial private addresses.
    fn may_dial(&self, hint: &Hint) -> bool {
        let addresses = &hint.addresses;
        self.network.scope == Scope::Local || addresses.iter().all(|address| is_global(address.ip))
    }

    pub(super) fn is_certified(&mut self, certificate: &NodeCertificate) -> bool {
        self.counters.verifications += 1;
        let now = self.now.unix;
        certificate.verify_cached(&self.network, now, &mut self.chains, &*self.verifier).is_ok()
    }

    /// A dial has ended: when half of them have, upkeep goes on with those that had to wait.
    pub(super) fn dial_more(&mut self) {
        if self.more_to_dial && self.requests.dials() <= UPKEEP_DIALS / 2 {
            self.more_to_dial = false;
            self.upkeep_again();
        }
    }

    /// Upkeep runs at the end of this turn, once.
    fn upkeep_again(&mut self) {
        self.timers.insert((self.now.instant, Timer::Upkeep));
    }

    /// Dials those of the closest and the warm ones that have no stream.
    pub(super) fn upkeep(&mut self) {
        if !self.is_superpeer() {
            return;
        }
        let Some(own) = self.map.contact(&self.me).map(|contact| contact.id) else { return };
        self.more_to_dial = false;
        for peer in self.wanted(&own) {
            if self.requests.dials() >= UPKEEP_DIALS {
                self.more_to_dial = true;
                break;
            }
            self.dial(peer);
        }
        self.redial_gone();
        self.timers.retain(|(_, timer)| *timer != Timer::Upkeep);
        self.set_timer(UPKEEP_INTERVAL, Timer::Upkeep);
    }

    /// Every now and then one of those that are gone, so that two halves of a partition meet again.
    fn redial_gone(&mut self) {
        if self.now.instant.since(self.redialled) < REDIAL_INTERVAL {
            return;
        }
        self.redialled = self.now.instant;
        let gone: Vec<PeerId> = self.map.buried(self.now.instant).collect();
        if !gone.is_empty() {
            let index = self.pick(gone.len());
            self.dial(gone[index]);
        }
    }

    /// Whom we want a stream to and have none: the closest, then of each bucket, far to near, its share
    /// of the warm ones but at least k, so that they spread over the key space.
    fn wanted(&self, own: &Key) -> Vec<PeerId> {
        let (k, all) = (self.network.parameters.k, self.map.len());
        let near = self.map.closest(own, NEAR + 1).into_iter();
        let warm = self.map.buckets(own).into_iter().flat_map(|(_, contacts)| {
            let share = contacts.len() * WARM / all.max(1);
            contacts.iter().take(share.max(k))
        });
        let peers = near.chain(warm.take(NEAR + WARM)).map(crate::map::Contact::peer);
        peers.filter(|peer| *peer != self.me && self.links.to(peer).is_none()).collect()
    }

    /// Looks ourselves up: the closest to us are our neighbours.
    pub(super) fn refresh(&mut self) {
        if let Some(own) = self.map.contact(&self.me).map(|contact| contact.id) {
            let wait = self.jittered(REFRESH_INTERVAL);
            self.timers.retain(|(_, timer)| *timer != Timer::Refresh);
            self.set_timer(wait, Timer::Refresh);
            self.start_walk(own, Goal::Nodes, Owner::Refresh);
        }
    }

    /// Drops what has expired: records, bundles, certificates.
    pub(super) fn sweep(&mut self) {
        self.set_timer(SWEEP_INTERVAL, Timer::Sweep);
        self.cache.sweep(self.now.instant);
        self.judge_skew();
        if self.skewed {
            // By our clock everything may have expired, or nothing: wait until it is right.
            return;
        }
        let expired = self.store.sweep(self.now.unix);
        self.counters.records_expired += expired.len() as u64;
        self.persist(expired.into_iter().map(Write::Forget).collect(), false);
        let now = self.now.unix;
        let over = |certificate: &NodeCertificate| certificate.not_after < now;
        let ended: Vec<PeerId> = self
            .map
            .iter()
            .filter(|contact| over(&contact.hint.certificate) && contact.peer() != self.me)
            .map(crate::map::Contact::peer)
            .collect();
        for peer in ended {
            self.superpeer_gone(&peer, true);
        }
        if let Role::Superpeer(certificate) = &self.role
            && over(certificate)
        {
            self.notice(Notice::CertificateExpired);
            self.act(Role::Child);
        }
    }
}
