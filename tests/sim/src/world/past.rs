//! What was there before a run began: records of those who are away, whom they knew, and that superpeers know each other.
//!
//! A network that has stood for long holds the record of everybody who was there within its life, signed in the
//! holder's last session and acknowledged then. So the superpeers that are closest when the network has come
//! together are told them all, over a link of their own, as by a put; the holder's disk knows which number it used. A
//! record that has ended by then, or whose certificate has, is nowhere. Who comes back without the login server's help
//! comes by its host cache, in which are superpeers of then: as likely away by now as any. And superpeers that are there
//! have had the time to learn of each other: they are told when all of them have started, as by a login server that knows all.
//!
//! *Simplified*: superpeers that are away hold nothing, and whose last session was too short to register is taken for
//! registered. *Not here*: how long they are away (`churn`).

use std::time::Duration;

use callbook_overlay::api::{Command, Input, LinkId, Write};
use callbook_overlay::cbor::Blob;
use callbook_overlay::key::Key;
use callbook_overlay::limits::{DEVICE_LIFE_MAX, RESIGN_INTERVAL};
use callbook_overlay::record::{DeviceDraft, DevicePayload, Record, sign_device};
use callbook_overlay::wire::{Frame, Hint, Message, Open, PROTOCOL, Put};

use super::World;
use super::asking::What;
use crate::peers::{Kind, Past, address, multiaddr};
use crate::time::{Micros, SECOND, START_UNIX};

/// The link that tells of the past; no other has its number.
const PAST: LinkId = LinkId(u64::MAX);

/// The number of a record that was signed before the run.
const FIRST: u64 = 1;

/// Superpeers in the host cache of who is away. *Guess*: as few as the largest runs leave anybody
/// ([`Settings::host_cache`](super::Settings::host_cache)).
const ACQUAINTANCES: usize = 16;

impl World {
    /// Superpeers that run are told the records of those who are away.
    pub fn remember_the_absent(&mut self) {
        let storers = self.places();
        let everybody: Vec<u32> = storers.iter().map(|(_, peer)| *peer).collect();
        everybody.iter().for_each(|peer| self.open_past(*peer));
        let is_superpeer = |peer: &u32| self.peers[*peer as usize].certificate.is_some();
        let superpeers: Vec<u32> = (0..self.len()).filter(is_superpeer).collect();
        for number in 0..self.len() {
            // Who has come meanwhile has registered again, or is about to.
            let peer = &self.peers[number as usize];
            let Some(past) = peer.past.filter(|_| peer.life == 0) else { continue };
            self.peers[number as usize].knew = self.acquaintances(number, &superpeers);
            if let Some(record) = self.record_of(number, past) {
                self.remember(number, &record, &storers);
                self.remembered += 1;
            }
        }
        for peer in everybody {
            self.input(peer, Input::Disconnected { link: PAST });
        }
    }

    /// Names with a record of before the run that were told, and those that have to be found now.
    #[must_use]
    pub fn names(&self) -> (u32, usize) {
        (self.remembered, (0..self.len()).filter(|name| self.is_registered(*name)).count())
    }

    /// The superpeers that run, by their places.
    fn places(&self) -> Vec<(Key, u32)> {
        let place = |peer: &u32| {
            let certificate = self.peers[*peer as usize].certificate.as_deref()?;
            Some((certificate.node_id(&self.authority.network.id), *peer))
        };
        let mut all: Vec<_> = self.running(Kind::Superpeer).iter().filter_map(place).collect();
        all.sort_unstable();
        all
    }

    fn open_past(&mut self, peer: u32) {
        let unix_time = self.clock(peer).unix.as_secs();
        let teller = self.authority.keys.key("past", 0).public().as_peer();
        self.input(peer, Input::Connected { link: PAST, peer: teller, dialled: false });
        let open = Open {
            protocol_min: PROTOCOL,
            protocol_max: PROTOCOL,
            features: 0,
            agent: String::from("past"),
            role: 0,
            load: 0,
            unix_time,
            network_version: 1,
            hint: None,
            children: None,
            network_age: None,
            alive: None,
            mark: None,
        };
        self.input(
            peer,
            Input::Received { link: PAST, frame: Frame { id: 0, message: Message::Open(open) } },
        );
    }

    /// The record that a peer signed last before it went, if it has not ended.
    fn record_of(&self, number: u32, past: Past) -> Option<Record> {
        let held = self.authority.held_before(number, past);
        let signed = past.went() - Duration::from_secs(u64::from(past.stayed) % RESIGN_INTERVAL.as_secs());
        let payload = DevicePayload {
            peer: self.peers[number as usize].id,
            parent: None,
            addresses: vec![multiaddr(number, self.peers[number as usize].version)],
            entries: Vec::new(),
            display: held.display,
        };
        let draft = DeviceDraft {
            username: &held.username,
            payload: &payload,
            epoch: 1,
            seq: FIRST,
            now: signed,
            life: DEVICE_LIFE_MAX,
            ttl: held.ttl,
            chain: &held.chain,
        };
        let record = sign_device(draft, &self.authority.network, &*held.device).ok()?;
        let now = START_UNIX + self.now / SECOND;
        (record.header().not_after.as_secs() > now).then_some(record)
    }

    /// Some superpeers, which are there or away.
    fn acquaintances(&mut self, number: u32, superpeers: &[u32]) -> Box<[u32]> {
        (0..ACQUAINTANCES.min(superpeers.len()))
            .map(|_| superpeers[self.chance.past.index(superpeers.len())])
            .filter(|peer| *peer != number)
            .collect()
    }

    /// Who comes for the first time has on its disk whom it knew: those who never come need none.
    pub(super) fn recall(&mut self, number: u32) {
        let knew = core::mem::take(&mut self.peers[number as usize].knew);
        if knew.is_empty() {
            return;
        }
        let hints: Vec<Hint> = knew.iter().filter_map(|peer| self.hint_of(*peer)).collect();
        let contact = |hint: &Hint| Write::Contact { peer: hint.peer(), bytes: hint.to_bytes() };
        let writes = hints.iter().map(contact).collect();
        let (now, habits) = (self.now, self.habits());
        self.peers[number as usize].disk.get_or_insert_default().write(now, writes, true, &habits);
    }

    fn hint_of(&self, superpeer: u32) -> Option<Hint> {
        let certificate = (**self.peers[superpeer as usize].certificate.as_ref()?).clone();
        Some(Hint { certificate, addresses: vec![address(superpeer)] })
    }

    /// Superpeers that run know each other, as far as their maps go.
    pub fn introduce_superpeers(&mut self) {
        let all = self.places();
        let hints: Vec<Hint> = all.iter().filter_map(|(_, peer)| self.hint_of(*peer)).collect();
        for (_, peer) in all {
            self.tell(peer, Command::Seeds(hints.clone()), What::Other);
        }
    }

    /// Its storers have a record, and its holder has used its number.
    fn remember(&mut self, number: u32, record: &Record, storers: &[(Key, u32)]) {
        let header = record.header();
        for peer in closest(storers, &header.key, self.settings.parameters.r) {
            let put = Put { records: vec![Blob(record.bytes().clone())] };
            let frame = Frame { id: u64::from(number) + 1, message: Message::Put(put) };
            self.input(peer, Input::Received { link: PAST, frame });
        }
        let sequence = Write::Sequence { key: header.key, device: record.slot().writer, seq: FIRST };
        let (now, habits) = (self.now, self.habits());
        let peer = &mut self.peers[number as usize];
        peer.disk.get_or_insert_default().write(now, vec![sequence], true, &habits);
        let ends: Micros = header.not_after.as_secs().saturating_sub(START_UNIX) * SECOND;
        let version = peer.version;
        self.oracle.acknowledged(number, version, 0, ends);
    }
}

/// The `count` of all, sorted by place, that are closest to a key.
fn closest(all: &[(Key, u32)], key: &Key, count: usize) -> Vec<u32> {
    // Who shares more first bits with the key is closer: the narrowest prefix that has enough has all of them.
    let mut among = all;
    for bit in 0..256 {
        let one = |place: &Key| place.as_bytes()[bit / 8] >> (7 - bit % 8) & 1;
        let middle = among.partition_point(|(place, _)| one(place) == 0);
        let wanted = key.as_bytes()[bit / 8] >> (7 - bit % 8) & 1;
        let half = if wanted == 0 { &among[..middle] } else { &among[middle..] };
        if half.len() < count {
            break;
        }
        among = half;
    }
    let mut sorted: Vec<_> = among.to_vec();
    sorted.sort_by_key(|(place, _)| place.distance(key));
    sorted.into_iter().take(count).map(|(_, peer)| peer).collect()
}

#[cfg(test)]
mod tests {
    use callbook_overlay::key::Key;

    use super::closest;
    use crate::random::Random;

    /// Goal: those who are told are the storers. Method: random places and keys, beside a sort of all.
    #[test]
    fn the_closest_by_prefix_are_the_closest_of_all() {
        let mut random = Random::of(3, "places");
        let mut all: Vec<(Key, u32)> =
            (0..300).map(|number| (Key::from_bytes(random.seed()), number)).collect();
        all.sort_unstable();
        for _ in 0..200 {
            let key = Key::from_bytes(random.seed());
            let mut sorted = all.clone();
            sorted.sort_by_key(|(place, _)| place.distance(&key));
            for count in [1, 3, 20, 400] {
                let expected: Vec<u32> = sorted.iter().take(count).map(|(_, peer)| *peer).collect();
                assert_eq!(closest(&all, &key, count), expected);
            }
        }
    }
}
