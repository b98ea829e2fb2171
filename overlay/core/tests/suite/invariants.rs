//! What must hold in every run, whatever goes wrong.
//!
//! At every turn, by the [`Ledger`], which follows commands, replies and notices:
//! - each command is answered exactly once, unless its peer dies first;
//! - a look-up tells only of devices that their holder published: device key, peer, parent, display name
//!   and a number that was signed;
//! - a name is never *absent* after a majority has acknowledged it, unless it was revoked, or a majority
//!   of its storers was lost within [`REPAIR`]; an absence may be remembered for [`DENIAL_TTL`];
//! - a revoked device is in no answer to a look-up that began a ttl after the acknowledgement;
//! - a superpeer has never more children than places, and nobody ticks without end.
//!
//! After a quiet time, by [`settled`]: all commands are answered; every superpeer's map is the set of
//! those that run; every child has one parent, which agrees; acknowledged records are where they belong
//! and are found from anywhere. *Not here*: what goes wrong (`scenarios`).

use std::collections::{BTreeMap, BTreeSet};

use callbook_overlay::api::{Command, CommandId, Device, Notice, Relation, Reply, Slot, Source};
use callbook_overlay::certificate::DeviceCertificate;
use callbook_overlay::key::{Key, PeerId, PublicKey};
use callbook_overlay::limits::{DENIAL_TTL, TTL_DEFAULT};
use callbook_overlay::network::Network;
use callbook_overlay::record::{Kind, Record};
use callbook_overlay::{Overlay, Username};

use crate::world::World;

/// Losses that are further apart than this are mended in between, in microseconds: silence is noticed
/// after 40 s at the latest, and the repair begins within 10 s of that. *Specification* (DETAILS).
const REPAIR: u64 = 60_000_000;

/// Whether losses are mended at all; until then every loss counts for ever.
const REPAIRS: bool = crate::scenarios::REPAIRS;

/// Whether who comes back learns what it has missed; until then it may tell what has been revoked.
const CATCHES_UP: bool = crate::scenarios::HANDS_OVER;

/// Ticks of one peer in one second: far above what any timers here ask for. *Guess*.
const TICKS_PER_SECOND_MAX: u64 = 5_000;

/// How much later than the ttl a cache may forget, in microseconds: the bundle may have been on its way.
const TTL_SLACK: u64 = 5_000_000;

/// A command that waits for its answer.
#[derive(Debug)]
struct Asked {
    peer: usize,
    at: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    /// Whether it passes over caches.
    Resolve(Key, String, bool),
    Revoke(Key, Vec<u64>),
    Watch,
    Other,
}

/// A device that was registered under a name.
#[derive(Debug)]
struct Facts {
    holder: usize,
    serial: u64,
    display: String,
    acknowledged: Option<u64>,
    /// Its revocation was asked for.
    revoking: bool,
    /// Its revocation was acknowledged.
    revoked: Option<u64>,
    /// Who stored it and was lost, and when.
    lost: BTreeMap<usize, u64>,
    /// Whether any storer was ever lost.
    hurt: bool,
    /// So many were lost at a time that nothing can be promised until the next acknowledgement.
    excused: bool,
}

/// What the peers of a world have promised.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Whether a broken promise ends the run. Tests with liars look for themselves.
    pub(crate) enforced: bool,
    open: BTreeMap<CommandId, Asked>,
    names: BTreeMap<Key, BTreeMap<PublicKey, Facts>>,
    /// The newest number signed with a device key.
    signed: BTreeMap<PublicKey, u64>,
    /// Whom a peer has been attached to.
    parents: BTreeMap<usize, BTreeSet<PeerId>>,
    ticks: BTreeMap<usize, (u64, u64)>,
    /// When somebody started last.
    started: u64,
    /// Nothing has gone wrong for a while.
    quiet: bool,
    /// Parts of the network are apart.
    parted: bool,
    /// How many promises have been looked at, by kind.
    pub(crate) seen: Seen,
}

/// How much a run has shown: a run that shows nothing proves nothing.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) found: u64,
    pub(crate) absent: u64,
    pub(crate) unknown: u64,
    pub(crate) acknowledged: u64,
}

impl Ledger {
    /// A command is given.
    pub(crate) fn asked(
        &mut self,
        id: CommandId,
        (peer, at): (usize, u64),
        command: &Command,
        network: &Network,
    ) {
        let what = match command {
            Command::Register(held) => {
                let key = network.name_key(&held.username);
                let serial = held.chain.get(1).and_then(|bytes| DeviceCertificate::parse(bytes).ok());
                let facts = Facts {
                    holder: peer,
                    serial: serial.map_or(0, |certificate| certificate.serial),
                    display: held.display.clone(),
                    acknowledged: None,
                    revoking: false,
                    revoked: None,
                    lost: BTreeMap::new(),
                    hurt: false,
                    excused: false,
                };
                let devices = self.names.entry(key).or_default();
                devices.entry(held.device.public()).or_insert(facts);
                What::Other
            }
            Command::Resolve { username, how } => {
                What::Resolve(network.name_key(username), username.as_str().to_owned(), how.fresh)
            }
            Command::Put(bytes) => self.put_asked(bytes),
            Command::Watch(_) => What::Watch,
            Command::Unwatch(watch) => {
                assert!(
                    !self.enforced || self.open.contains_key(watch),
                    "a watch has ended before it was ended"
                );
                What::Other
            }
            _ => What::Other,
        };
        self.open.insert(id, Asked { peer, at, what });
    }

    fn put_asked(&mut self, bytes: &[u8]) -> What {
        let Ok(record) = Record::parse(bytes) else { return What::Other };
        let Ok(payload) = record.epoch_payload() else { return What::Other };
        let key = record.header().key;
        for facts in self.names.entry(key).or_default().values_mut() {
            facts.revoking |= payload.revoked.contains(&facts.serial);
        }
        What::Revoke(key, payload.revoked)
    }

    /// A command is answered.
    pub(crate) fn answered(
        &mut self,
        (id, now): (CommandId, u64),
        index: usize,
        reply: &Reply,
        by_id: &BTreeMap<PeerId, usize>,
    ) {
        let asked = self.open.remove(&id);
        let Some(asked) = asked.filter(|asked| asked.peer == index) else {
            panic!("{index} answers {id:?}, which waits for no answer: {reply:?}");
        };
        match (asked.what, reply) {
            (What::Resolve(key, name, fresh), Reply::Resolved(found)) if found.devices.is_empty() => {
                self.seen.absent += 1;
                // An absence is remembered for a minute (DESIGN §4, *Absent*; §5, *Index*), and deleted by
                // a put only where that went through: it counts as of when it was found out, at the
                // earliest. Who asks past the caches is told no old one.
                let remembered = found.source == Source::Cache;
                assert!(!(remembered && fresh), "{name} is asked for past the caches, and told from one");
                let age = if remembered { DENIAL_TTL.as_micros() as u64 } else { 0 };
                self.check_absent(&key, &name, asked.at.saturating_sub(age));
            }
            (What::Resolve(key, name, _), Reply::Resolved(found)) => {
                self.seen.found += 1;
                // Whom nobody answers, knows of no revocation: its own record is all that it has (DESIGN
                // §3: *storers and parents* drop at once what is revoked). After the quiet time everybody
                // is answered.
                let alone = found.source == Source::Own && !self.quiet;
                let at = if alone { 0 } else { asked.at };
                for device in &found.devices {
                    self.check_device(&key, &name, (device, at), by_id);
                }
            }
            (What::Resolve(..), Reply::Failed(_)) => self.seen.unknown += 1,
            (What::Revoke(key, serials), Reply::Stored(_)) => {
                for facts in self.names.entry(key).or_default().values_mut() {
                    if serials.contains(&facts.serial) {
                        facts.revoked = Some(now);
                    }
                }
            }
            _ => {}
        }
    }

    fn check_absent(&self, key: &Key, name: &str, asked: u64) {
        let promised = self.names.get(key).into_iter().flat_map(BTreeMap::values).find(|facts| {
            !facts.revoking && !facts.excused && facts.acknowledged.is_some_and(|since| since < asked)
        });
        // Who has come back, and is not known again everywhere, lacks what was stored without it.
        let unsettled = !CATCHES_UP && self.started + REPAIR > asked && self.started > 20_000_000;
        if let (Some(facts), true) = (promised, self.enforced && !unsettled) {
            panic!("{name} is called absent; promised: {facts:?}");
        }
    }

    fn check_device(
        &self,
        key: &Key,
        name: &str,
        (device, asked): (&Device, u64),
        by_id: &BTreeMap<PeerId, usize>,
    ) {
        if !self.enforced {
            return;
        }
        let facts = self.names.get(key).and_then(|devices| devices.get(&device.key));
        let Some(facts) = facts else {
            panic!("{name} is given a device that nobody registered: {device:?}")
        };
        let payload = &device.payload;
        let holder = by_id.get(&payload.peer);
        assert_eq!(holder, Some(&facts.holder), "{name}: the device is at its holder");
        assert_eq!(payload.display, facts.display, "{name}: the display name is the holder's");
        let signed = self.signed.get(&device.key).copied().unwrap_or(0);
        assert!(device.seq <= signed, "{name}: number {} has not been signed yet", device.seq);
        let parents = self.parents.get(&facts.holder);
        let parent = payload.parent.is_none_or(|parent| {
            parent == payload.peer || parents.is_some_and(|parents| parents.contains(&parent))
        });
        assert!(parent, "{name}: the holder was never attached to the parent that is told");
        let ttl = TTL_DEFAULT.as_micros() as u64 + TTL_SLACK;
        let late = facts.revoked.is_some_and(|revoked| revoked + ttl < asked);
        let excused = facts.excused || (facts.hurt && !CATCHES_UP);
        assert!(!late || excused, "{name}: a device revoked long ago is told: {facts:?}");
    }

    /// Something is worth telling.
    pub(crate) fn noticed(&mut self, index: usize, now: u64, notice: &Notice, network: &Network) {
        match notice {
            Notice::Attached(parent) => {
                self.parents.entry(index).or_default().insert(*parent);
            }
            Notice::Registered { username, .. } => {
                self.seen.acknowledged += 1;
                let devices = self.names.entry(network.name_key(username)).or_default();
                for facts in devices.values_mut().filter(|facts| facts.holder == index) {
                    facts.acknowledged = Some(if self.parted { u64::MAX } else { now });
                    facts.excused = false;
                    facts.lost.clear();
                }
            }
            _ => {}
        }
    }

    /// A number is about to be used.
    pub(crate) fn signed(&mut self, device: &PublicKey, seq: u64) {
        let newest = self.signed.entry(*device).or_default();
        *newest = seq.max(*newest);
    }

    /// The newest numbers signed for the names of a peer, added up.
    pub(crate) fn all_signed(&self, index: usize) -> u64 {
        let held = self.names.values().flatten().filter(|(_, facts)| facts.holder == index);
        held.filter_map(|(device, _)| self.signed.get(device)).sum()
    }

    /// The process is gone: nobody waits for its answers.
    pub(crate) fn ended(&mut self, index: usize) {
        self.open.retain(|_, asked| asked.peer != index);
    }

    /// A storer can't be asked any more, or not now.
    pub(crate) fn lost(&mut self, world: &World, index: usize) {
        let superpeers = world.running(true).len();
        let majority = world.authority.network.parameters.r.min(superpeers) / 2 + 1;
        for (key, devices) in &mut self.names {
            for (device, facts) in devices {
                if world.stores(index, &slot(key, device)).is_none() {
                    continue;
                }
                if REPAIRS {
                    facts.lost.retain(|_, at| *at + REPAIR > world.now());
                }
                facts.lost.insert(index, world.now());
                facts.hurt = true;
                facts.excused |= facts.lost.len() >= majority;
            }
        }
    }

    /// A storer is back with what its disk holds.
    pub(crate) fn regained(&mut self, world: &World, index: usize) {
        self.started = world.now();
        for (key, devices) in &mut self.names {
            for (device, facts) in devices {
                if world.stores(index, &slot(key, device)).is_some() {
                    facts.lost.remove(&index);
                }
            }
        }
    }

    /// Parts of the network can't reach each other any more. What is acknowledged on one side is promised
    /// there, which nobody here can tell from the other side; to all it is once they have met again.
    pub(crate) fn parted(&mut self) {
        self.parted = true;
    }

    /// They can again. Those who are gone are redialled every 15 s (DESIGN §4, *Merging*), then compared.
    pub(crate) fn healed(&mut self, now: u64) {
        self.parted = false;
        for facts in self.names.values_mut().flat_map(BTreeMap::values_mut) {
            if facts.acknowledged == Some(u64::MAX) {
                facts.acknowledged = Some(now + REPAIR);
            }
        }
    }

    /// A peer's own deadline has come.
    pub(crate) fn ticked(&mut self, index: usize, now: u64) {
        let (second, count) = self.ticks.entry(index).or_default();
        if *second == now / 1_000_000 {
            *count += 1;
            assert!(*count < TICKS_PER_SECOND_MAX, "peer {index} ticks without end");
        } else {
            (*second, *count) = (now / 1_000_000, 0);
        }
    }

    /// What can be seen of a peer from outside.
    pub(crate) fn look_at(&self, index: usize, overlay: &Overlay, places: usize) {
        let children = overlay.counters().children;
        assert!(children <= places as u64, "{children} children at {index}, which has {places} places");
    }

    /// The names that somebody who still has the device registered with success.
    pub(crate) fn promised(&self) -> Vec<(Key, PublicKey, usize)> {
        let all = self.names.iter().flat_map(|(key, devices)| {
            let kept = devices
                .iter()
                .filter(|(_, facts)| facts.acknowledged.is_some() && !facts.revoking && !facts.excused);
            kept.map(|(device, facts)| (*key, *device, facts.holder))
        });
        all.collect()
    }

    fn overdue(&self) -> Vec<String> {
        let waits = self.open.iter().filter(|(_, asked)| !matches!(asked.what, What::Watch));
        waits.map(|(id, asked)| format!("{id:?} is not answered: {asked:?}")).collect()
    }
}

fn slot(key: &Key, device: &PublicKey) -> Slot {
    Slot { key: *key, kind: Kind::Device.code(), writer: *device }
}

/// What has to be true once nothing has gone wrong for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// All commands are answered.
    Answered,
    /// Every superpeer's map is the set of those that run.
    Maps,
    /// Every child has one parent, which agrees.
    Parents,
    /// Between any two superpeers there is one link.
    OneLink,
    /// Every acknowledged record is at ⌈0.7 r⌉ of its r closest, or more.
    Copies,
    /// Every acknowledged name is found, with its device, and names of nobody are absent.
    Found,
}

/// Asserts what has to be true after a quiet time.
pub(crate) fn settled(world: &mut World, names: &[String], rests: &[Rest]) {
    let mut wrong = Vec::new();
    world.ledger.quiet = true;
    for rest in rests {
        let found = match rest {
            Rest::Answered => world.ledger.overdue(),
            Rest::Maps => maps(world),
            Rest::Parents => parents(world),
            Rest::OneLink => one_link(world),
            Rest::Copies => copies(world),
            Rest::Found => all_found(world, names),
        };
        wrong.extend(found.into_iter().map(|what| format!("{rest:?}: {what}")));
    }
    assert!(wrong.is_empty(), "after the quiet time:\n{}", wrong.join("\n"));
}

fn neighbours(world: &mut World, index: usize, wanted: Relation) -> BTreeSet<usize> {
    let Reply::Peers(peers) = world.ask(index, Command::Peers) else { panic!("no peers") };
    let of = peers.iter().filter(|neighbour| neighbour.relation == wanted);
    of.map(|neighbour| world.index_of(&neighbour.peer)).collect()
}

fn maps(world: &mut World) -> Vec<String> {
    let running: BTreeSet<usize> = world.running(true).into_iter().collect();
    let mut wrong = Vec::new();
    for index in running.iter().copied() {
        let mut known = neighbours(world, index, Relation::Superpeer);
        known.insert(index);
        if known != running {
            let missing: Vec<_> = running.difference(&known).collect();
            let extra: Vec<_> = known.difference(&running).collect();
            wrong.push(format!("{index} lacks {missing:?} and has {extra:?}, which don't run"));
        }
    }
    wrong
}

fn parents(world: &mut World) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut told: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for superpeer in world.running(true) {
        for child in neighbours(world, superpeer, Relation::Child) {
            told.entry(child).or_default().push(superpeer);
        }
    }
    for child in world.running(false) {
        let parent = world.parent(child);
        let agree = told.remove(&child).unwrap_or_default();
        if parent.is_none() || agree != Vec::from_iter(parent) {
            wrong
                .push(format!("{child} is attached to {parent:?}, and {agree:?} say that it is their child"));
        }
    }
    wrong.extend(told.iter().map(|(child, parents)| format!("{parents:?} keep {child}, which is gone")));
    wrong
}

fn one_link(world: &mut World) -> Vec<String> {
    let (running, mut wrong) = (world.running(true), Vec::new());
    for one in &running {
        for other in running.iter().filter(|other| *other > one) {
            let count = world.links_between(*one, *other).count();
            if count != 1 {
                wrong.push(format!("{count} links between {one} and {other}"));
            }
        }
    }
    wrong
}

fn copies(world: &mut World) -> Vec<String> {
    let running = world.running(true);
    let r = world.authority.network.parameters.r.min(running.len());
    let mut wrong = Vec::new();
    for (key, device, _) in world.ledger.promised() {
        let mut closest = running.clone();
        closest.sort_by_key(|index| world.place(*index).map(|place| place.distance(&key)));
        closest.truncate(r);
        let slot = slot(&key, &device);
        let count = closest.iter().filter(|index| world.stores(**index, &slot).is_some()).count();
        if count < (r * 7).div_ceil(10) {
            wrong.push(format!("{count} of the {r} closest ({closest:?}) store {}", &key.to_hex()[..8]));
        }
    }
    wrong
}

fn all_found(world: &mut World, names: &[String]) -> Vec<String> {
    let (promised, mut wrong) = (world.ledger.promised(), Vec::new());
    let askers: Vec<usize> = [world.running(true), world.running(false)].concat();
    if askers.is_empty() {
        return wrong;
    }
    for name in names {
        let username = Username::parse(name).expect("a name");
        let key = world.authority.network.name_key(&username);
        let devices = promised.iter().filter(|(of, ..)| *of == key).map(|(_, device, _)| *device);
        let devices: Vec<PublicKey> = devices.collect();
        let registered = world.ledger.names.get(&key).is_some_and(|devices| !devices.is_empty());
        for fresh in [false, true] {
            let asker = askers[world.random() as usize % askers.len()];
            match world.try_resolve(asker, name, fresh) {
                Reply::Resolved(found) => {
                    let lacks = devices.iter().any(|key| found.devices.iter().all(|got| got.key != *key));
                    if lacks {
                        wrong.push(format!("{name} from {asker}: {} devices", found.devices.len()));
                    }
                }
                other if registered && devices.is_empty() => drop(other),
                other => wrong.push(format!("{name} from {asker}: {other:?}")),
            }
        }
    }
    wrong
}

impl Seen {
    /// Takes another run's numbers in.
    pub(crate) fn add(&mut self, other: &Self) {
        self.found += other.found;
        self.absent += other.absent;
        self.unknown += other.unknown;
        self.acknowledged += other.acknowledged;
    }
}
