//! Peers start, stop, come back and move.
//!
//! A start costs what it costs a daemon: what is on disk, the login server's seeds after a connection to it,
//! and again while too few superpeers are known (as `node` asks). *Not here*: attaching, which is the
//! overlay's; mass events (`faults`).

use callbook_overlay::Overlay;
use callbook_overlay::api::{Command, Config, Hellos, LinkId, Reply, Role, Transport};
use std::sync::Arc;
use std::time::Duration;

use super::asking::What;
use super::{Event, World};
use crate::churn::trace::Change;
use crate::measures::{Beside, of};
use crate::network::{Carriage, IDLE_TIMEOUT};
use crate::peers::disk::Disk;
use crate::peers::{Departure, Down, Kind, LOGIN, NOBODY, Past, address, multiaddr};
use crate::time::{Micros, SECOND};

/// Seeds at a time. *Measured*: `SEEDS_MAX` of the login server.
const SEEDS: usize = 20;

/// Seeds were heard within this time. *Specification* (DESIGN §7).
const SEEDS_FRESH: Duration = Duration::from_secs(300);

/// First and longest pause between two requests for seeds. As `node` has them.
const SEEDS_RETRY: Micros = SECOND;
const SEEDS_RETRY_MAX: Micros = 60 * SECOND;

/// With so many superpeers known no more seeds are asked for. As `node` has it.
const SUPERPEERS_ENOUGH: usize = 8;

/// Whom the last run knew has so long to show that they are there; by the second time all have asked. As `node` has them.
const HOST_CACHE_FIRST: Micros = SECOND;
const SEEDS_LATEST: Micros = 300 * SECOND;

/// What goes before a hint in a list: a byte string's length. *Specification* (RFC 8949 §3).
const HINT_HEAD: usize = 2;

/// A question to the login server. *Guess*: some numbers and, for certificates, keys and a proof.
const LOGIN_QUESTION: u32 = 150;

/// A chain for a name, or a node's certificate. *Guess*: two certificates of at most 178 bytes each.
const CHAIN_BYTES: u32 = 356;

/// What a request of its own substream takes beside one on a stream that is open, each side. *Measured*
/// (baselines.md: 1,060 bytes against 772 over QUIC).
const NEGOTIATED: u32 = (1_060 - 772) / 2;

/// Who has been away for so long has its certificate renewed as it comes. *Specification* (DESIGN §3: daily).
const RENEWED_AFTER: u32 = 86_400;

/// Round trips until the seeds are there: three for the connection, one for the question.
const SEEDS_TRIPS: u64 = 4;

impl World {
    /// Starts a peer with what its disk holds.
    pub fn start(&mut self, number: u32) {
        self.recall(number);
        self.starts_anew(number);
        let seed = self.chance.overlays.seed();
        let (node, verifier) = (self.authority.node_key(number), self.authority.keys.verifier());
        let moved = self.chance.workload.chance(self.settings.workload.new_address);
        let now = self.clock(number);
        let (network, parallelism) = (self.authority.network.clone(), self.settings.parallelism);
        let children_max = self.settings.children_max;
        let peer = &mut self.peers[number as usize];
        debug_assert!(!peer.runs(), "it is not running");
        peer.life += 1;
        peer.version += u32::from(moved && (peer.life > 1 || peer.past.is_some()));
        peer.attached = false;
        peer.parent = NOBODY;
        peer.started = self.now;
        peer.fresh = false;
        let config = Config {
            network,
            node,
            seed,
            role: peer
                .certificate
                .as_deref()
                .map_or(Role::Child, |certificate| Role::Superpeer(certificate.clone())),
            agent: String::from("sim"),
            addresses: vec![address(number)],
            multiaddrs: vec![multiaddr(number, peer.version)],
            reluctant: number == LOGIN,
            parallelism,
            hellos: Hellos::default(),
            children_max,
            tells_children: true,
            restored: peer.disk.as_deref().map_or_else(Default::default, Disk::restored),
        };
        let (mut overlay, effects) = Overlay::new(config, verifier, now);
        if let Some((near, warm)) = self.settings.streams {
            overlay.keep_streams(near, warm);
        }
        if !self.settings.codec {
            overlay.share_records(Box::new(self.pool.clone()));
        }
        peer.overlay = Some(Box::new(overlay));
        let (kind, life) = (peer.kind(), peer.life);
        let renews = life == 1 && peer.past.is_some_and(|past| past.ago >= RENEWED_AFTER);
        self.note(|world| {
            let peer = &world.peers[number as usize];
            format!("{} starts, {:.8}, address {}", world.called(number), peer.id.to_hex(), peer.version)
        });
        self.enlist(number, kind);
        self.measures.started += 1;
        self.perform(number, effects);
        self.set_deadline(number);
        if renews && self.login_up {
            self.charge_login(number, CHAIN_BYTES);
        }
        let held = self.authority.held(number, self.peers[number as usize].past);
        self.tell(number, Command::Register(Box::new(held)), What::Register);
        if self.settings.volunteers && self.peers[number as usize].volunteers {
            self.tell(number, Command::Volunteer(true), What::Other);
        }
        if number != LOGIN {
            let wait = 2 * SEEDS_TRIPS * self.network.one_way(number, LOGIN);
            let first = if self.knows_enough(number) { HOST_CACHE_FIRST } else { 0 };
            self.peers[number as usize].seeds_due = 0;
            self.seeds_later(number);
            self.queue.push(self.now + first + wait, Event::Seeds { peer: number, life, pause: SEEDS_RETRY });
        }
        self.begins_to_ask(number);
    }

    /// The login server tells whom it has heard lately; again, later, while too few are known.
    pub(super) fn seeds(&mut self, number: u32, life: u32, pause: Micros) {
        if !self.lives(number, life) {
            return;
        }
        if self.now < self.peers[number as usize].seeds_due && self.has_enough(number) {
            // Looks again now and then, as the daemon does.
            let again = Event::Seeds { peer: number, life, pause: SEEDS_RETRY_MAX };
            return self.queue.push(self.now + SEEDS_RETRY_MAX, again);
        }
        if self.login_up && self.peers[LOGIN as usize].runs() && !self.network.parted(number, LOGIN) {
            let sample = Command::Sample { count: SEEDS, within: SEEDS_FRESH };
            let reply = self.ask_at_once(LOGIN, sample);
            if let Some(Reply::Seeds(hints)) = reply {
                let told: usize = hints.iter().map(|hint| hint.to_bytes().len() + HINT_HEAD).sum();
                self.charge_login(number, told as u32);
                self.peers[number as usize].seeds_due = Micros::MAX;
                self.tell(number, Command::Seeds(hints), What::Other);
            }
        }
        self.seeds_later(number);
        let wait = pause / 2 + self.chance.login.below(pause);
        let pause = (2 * pause).min(SEEDS_RETRY_MAX);
        self.queue.push(self.now + wait, Event::Seeds { peer: number, life, pause });
    }

    /// A question to the login server, and so many bytes of an answer: over a connection of its own, unless there is
    /// one. `overlay/host` dials it by TCP.
    pub(super) fn charge_login(&mut self, number: u32, answer: u32) {
        let carriage = self.settings.conditions.carriage;
        let with_login = |link: &LinkId| self.links.find(*link).is_some_and(|found| found.other == LOGIN);
        let connected = self.peers[number as usize].links.iter().any(with_login);
        let dial = if connected { 0 } else { carriage.set_up(Transport::Tcp).bytes / 2 };
        let negotiated = if carriage == Carriage::Streams { NEGOTIATED } else { 0 };
        for (peer, payload) in [(number, LOGIN_QUESTION), (LOGIN, answer)] {
            let bytes = dial + negotiated + carriage.packed(Transport::Tcp, payload);
            self.charge_beside(peer, Beside::Login, bytes);
        }
    }

    /// Unless the login server has told it seeds.
    fn seeds_later(&mut self, number: u32) {
        let wait = SEEDS_LATEST / 2 + self.chance.login.below(SEEDS_LATEST / 2);
        let due = &mut self.peers[number as usize].seeds_due;
        if *due < Micros::MAX {
            *due = self.now + wait;
        }
    }

    fn has_enough(&self, number: u32) -> bool {
        let peer = &self.peers[number as usize];
        (peer.attached || peer.kind() == Kind::Superpeer && !peer.links.is_empty())
            && self.knows_enough(number)
    }

    fn knows_enough(&self, number: u32) -> bool {
        let overlay = self.peers[number as usize].overlay.as_ref();
        overlay.is_some_and(|overlay| overlay.superpeers() >= SUPERPEERS_ENOUGH)
    }

    /// A child that others can dial, and that becomes a superpeer if there are too few.
    pub fn can_be_reached(&mut self, number: u32) {
        self.peers[number as usize].volunteers = true;
    }

    /// A volunteer hears that one more superpeer is needed: it asks the login server for a certificate, if it has none.
    pub(super) fn is_needed(&mut self, number: u32) {
        let life = self.peers[number as usize].life;
        if self.login_up && self.runs(LOGIN) && !self.network.parted(number, LOGIN) {
            let wait = 2 * SEEDS_TRIPS * self.network.one_way(number, LOGIN);
            self.queue.push(self.now + wait, Event::Certified { peer: number, life });
        }
    }

    /// A superpeer has become a child.
    pub(super) fn stepped_down(&mut self, number: u32) {
        self.note(|world| format!("{} becomes a child", world.called(number)));
        let listed = self.peers[number as usize].position != u32::MAX;
        self.delist(number);
        self.peers[number as usize].certificate = None;
        if listed {
            self.enlist(number, Kind::Child);
        }
    }

    /// A child becomes a superpeer.
    pub(super) fn act_as_superpeer(&mut self, number: u32) {
        self.note(|world| format!("{} becomes a superpeer", world.called(number)));
        self.delist(number);
        let (id, now) = (self.peers[number as usize].id, self.clock(number));
        let certificate = self.authority.certify_node_now(id, now.unix);
        self.charge_login(number, CHAIN_BYTES);
        let peer = &mut self.peers[number as usize];
        peer.certificate = Some(Box::new(certificate.clone()));
        peer.parent = NOBODY;
        self.enlist(number, Kind::Superpeer);
        self.tell(number, Command::Act(Role::Superpeer(certificate)), What::Other);
    }

    fn enlist(&mut self, number: u32, kind: Kind) {
        let list = &mut self.running[of(kind)];
        self.peers[number as usize].position = list.len() as u32;
        list.push(number);
        let count = list.len();
        self.measures.there(kind, count, self.now);
    }

    fn delist(&mut self, number: u32) {
        let (kind, position) = (self.peers[number as usize].kind(), self.peers[number as usize].position);
        if position == u32::MAX {
            return;
        }
        let list = &mut self.running[of(kind)];
        list.swap_remove(position as usize);
        if let Some(moved) = list.get(position as usize) {
            self.peers[*moved as usize].position = position;
        }
        let count = self.running[of(kind)].len();
        self.peers[number as usize].position = u32::MAX;
        self.measures.there(kind, count, self.now);
    }

    /// Stops a peer that runs.
    pub fn stop(&mut self, number: u32, departure: Departure) {
        if !self.peers[number as usize].runs() {
            return;
        }
        let departure = match departure {
            Departure::Crash if self.chance.crashes.chance(self.settings.machines) => Departure::Vanish,
            Departure::Crash => Departure::End,
            known => known,
        };
        self.note(|world| format!("{} stops: {departure:?}", world.called(number)));
        if departure == Departure::Leave {
            // It goes once it has said goodbye.
            self.delist(number);
            return self.tell(number, Command::Leave, What::Leave);
        }
        self.lose_writes(number);
        self.end(number, departure);
    }

    /// A crash may lose what was written last.
    fn lose_writes(&mut self, number: u32) {
        let (habits, safe) = (self.habits(), self.now.saturating_sub(self.settings.commit));
        let peer = &mut self.peers[number as usize];
        let Some(disk) = peer.disk.as_deref_mut().filter(|_| !peer.full) else { return };
        disk.commit_until(safe, &habits);
        let open = disk.uncommitted() as u64;
        if open > 0 {
            let kept = self.chance.faults.between(0, open) as usize;
            disk.crash(kept, &habits);
        }
    }

    /// The process is no more.
    pub(super) fn end(&mut self, number: u32, departure: Departure) {
        self.delist(number);
        self.measures.stopped += 1;
        self.trace.add(u64::from(number));
        let habits = self.habits();
        let peer = &mut self.peers[number as usize];
        if peer.fresh {
            self.sampling.session(self.now - peer.started);
        }
        if let Some(disk) = peer.disk.as_deref_mut() {
            if peer.full { disk.crash(0, &habits) } else { disk.commit_until(Micros::MAX, &habits) }
        }
        self.parked.remove(&number);
        peer.overlay = None;
        peer.attached = false;
        peer.parent = NOBODY;
        peer.down = if departure == Departure::Vanish { Down::Silent } else { Down::Refuses };
        self.measures.vanished += u64::from(departure == Departure::Vanish);
        let (links, open) = (core::mem::take(&mut peer.links), core::mem::take(&mut peer.open));
        for slot in open {
            self.forget_asked(slot);
        }
        for link in links {
            self.end_link(number, link, departure);
        }
    }

    /// How the other end of a link hears that this one is gone.
    fn end_link(&mut self, number: u32, link: LinkId, departure: Departure) {
        let Some(found) = self.links.find(link) else { return };
        let said = self.links.end(link).arrives.max(self.now + self.network.one_way(number, found.other));
        self.finish_link(link);
        let stream = self.settings.conditions.carriage == Carriage::Streams;
        let heard = match (departure, found.transport) {
            (Departure::Leave, _) => Some(said),
            (Departure::End, Transport::Tcp) if stream => Some(said),
            // Nobody closes it: it is idle for as long as the last packet is ago, and a little less.
            (_, Transport::Quic) if stream => {
                Some(self.now + IDLE_TIMEOUT - self.chance.faults.below(IDLE_TIMEOUT / 3))
            }
            // Only the overlay's own patience ends it.
            (_, Transport::Tcp | Transport::Quic) => None,
        };
        if let Some(at) = heard.filter(|_| !found.broken && !self.network.parted(number, found.other)) {
            self.queue.push(at, Event::Disconnected { end: found.other_end });
        }
    }

    /// A session or an absence is over; the next one begins.
    pub(super) fn toggle(&mut self, number: u32, life: u32) {
        let peer = &self.peers[number as usize];
        if peer.life != life {
            return;
        }
        let Some(churn) = &self.settings.churn else { return };
        let stay = if peer.runs() {
            churn.absence(self.now, &mut self.chance.churn)
        } else {
            churn.session(f64::from(peer.temper), &mut self.chance.churn)
        };
        let was_running = peer.runs();
        if was_running {
            self.stop(number, self.settings.departure);
        } else {
            self.start(number);
            self.peers[number as usize].fresh = true;
        }
        let life = self.peers[number as usize].life;
        self.queue.push(self.now + stay, Event::Toggle { peer: number, life });
    }

    /// From now on peers come and go as a file says: its peer 0 is the first after the login server.
    pub fn follow(&mut self, changes: Arc<[Change]>) {
        if let Some(first) = changes.first() {
            self.queue.push(self.now + first.at.max(1), Event::Change { index: 0 });
        }
        self.followed_from = self.now;
        self.settings.changes = Some(changes);
    }

    /// A line of the file: who is there already, or gone, is left as it is.
    pub(super) fn change(&mut self, index: usize) {
        let Some(changes) = self.settings.changes.clone() else { return };
        let Some(change) = changes.get(index) else { return };
        let peer = change.peer + 1;
        match (change.joins, self.runs(peer)) {
            (true, false) => {
                self.start(peer);
                self.peers[peer as usize].fresh = true;
            }
            (false, true) => self.stop(peer, self.settings.departure),
            (true, true) | (false, false) => {}
        }
        if let Some(next) = changes.get(index + 1) {
            let at = (self.followed_from + next.at).max(self.now);
            self.queue.push(at, Event::Change { index: index + 1 });
        }
    }

    /// Starts a peer as churn has it at the beginning of a run, or leaves it for later; who begins now does
    /// so within `spread`.
    pub fn begin(&mut self, number: u32, spread: Micros) {
        let beginning = match &self.settings.churn {
            Some(churn) if number != LOGIN => Some(churn.begin(&mut self.chance.churn)),
            Some(_) | None => None,
        };
        let life = self.peers[number as usize].life;
        let wait = if spread == 0 { 1 } else { 1 + self.chance.churn.below(spread) };
        match beginning {
            Some(beginning) => {
                if let Some(ago) = beginning.away {
                    self.peers[number as usize].past = Some(self.past(number, ago));
                }
                if beginning.up {
                    self.queue.push(self.now + wait, Event::Start { peer: number, life });
                }
                if let Some(left) = beginning.left {
                    // A start makes it another life.
                    let life = life + u32::from(beginning.up);
                    self.queue.push(self.now + wait + left, Event::Toggle { peer: number, life });
                }
            }
            None => self.queue.push(self.now + wait, Event::Start { peer: number, life }),
        }
    }

    /// The session of a peer that has been away for so long.
    fn past(&mut self, number: u32, ago: Micros) -> Past {
        let (temper, random) = (f64::from(self.peers[number as usize].temper), &mut self.chance.past);
        let stayed = self.settings.churn.as_ref().map_or(0, |churn| churn.session(temper, random));
        let [ago, stayed] = [ago, stayed].map(|time| u32::try_from(time / SECOND).unwrap_or(u32::MAX));
        Past { ago, stayed }
    }

    /// A peer's address changes while it runs.
    pub(super) fn move_peer(&mut self, number: u32) {
        let peer = &mut self.peers[number as usize];
        peer.version += 1;
        let command = Command::Addresses {
            addresses: vec![address(number)],
            multiaddrs: vec![multiaddr(number, peer.version)],
        };
        self.tell(number, command, What::Other);
    }
}
