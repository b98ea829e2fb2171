//! The network between peers: how long a frame takes, what it costs, and whether it arrives.
//!
//! Peers have places in a plane; a round trip is in proportion to their distance (`plane`). A link is a
//! stream over TCP or QUIC, or, as p2psim has it, nothing but datagrams. On a stream a packet that is lost
//! is sent again when real transports do so (`flight`), and what was sent later waits for it; a late packet holds
//! up the others, a duplicate only costs. Datagrams are lost, late or doubled as they are. A sender with a cap
//! sends one packet after the other. Slow peers take their time with all they send and receive.
//!
//! *Not here*: which links exist (`links`), who runs, and what is said.

pub(crate) mod dials;
pub(crate) mod flight;
pub(crate) mod links;
mod plane;
pub mod trips;
pub(crate) mod unasked;

use std::sync::Arc;

use callbook_overlay::api::Transport;

use self::flight::{DOUBTFUL_TIMEOUT, FIRST_TIMEOUT, Flight, Way};
use self::plane::Place;
use self::trips::Trips;
use crate::random::Random;
use crate::time::{MILLISECOND, Micros, SECOND};

/// Payload of one packet. *Guess*: what QUIC sends on most paths.
const PACKET_BYTES: u32 = 1_200;

/// A packet is sent again so many times at most, then it is said to arrive: connections that break are
/// faults of their own.
const SENT_AGAIN_MAX: u32 = 8;

/// Who waits for somebody that does not answer waits this long. *Measured*: as `overlay/host` has it.
pub(crate) const DIAL_TIMEOUT: Micros = 5 * SECOND;

/// A dial that has not been answered tries its next transport after this. *Measured*: as `overlay/host` has it.
pub(crate) const STAGGER: Micros = SECOND;

/// A silent QUIC connection ends after this. *Specification* (DETAILS *Links*).
pub(crate) const IDLE_TIMEOUT: Micros = 30 * SECOND;

/// What a frame takes of its receiver's processor. *Measured* (baselines.md: 52 µs for a question and its answer on a stream,
/// both ends together, of which this is a half: signatures come on top and are not measured).
const FRAME_WORK: Micros = 26;

/// What a handshake takes of each end. *Measured* (baselines.md: 4.2 and 2.0 ms for both ends).
const fn handshake_work(transport: Transport) -> Micros {
    match transport {
        Transport::Quic => 2_100,
        Transport::Tcp => 1_000,
    }
}

/// What carries frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carriage {
    /// TCP and QUIC, with what their connections cost.
    Streams,
    /// Datagrams without connections, 20 bytes a packet: what p2psim charges.
    Datagrams,
}

/// How the network behaves.
#[derive(Debug, Clone)]
pub struct Conditions {
    /// What carries frames.
    pub carriage: Carriage,
    /// Mean round trip between two peers.
    pub round_trip: Micros,
    /// Round trips that were measured, instead of a plane.
    pub trips: Option<Arc<Trips>>,
    /// The share of a latency that varies.
    pub jitter: f64,
    /// Packets that are lost.
    pub loss: f64,
    /// Packets that are late by up to a round trip.
    pub late: f64,
    /// Packets that come twice.
    pub doubled: f64,
    /// Bytes a second that a peer can send; `None`: any number.
    pub uplink: Option<u64>,
    /// Whether frames and handshakes take time of their receiver's processor, one after the other.
    pub processors: bool,
    /// Share of peers that are slow.
    pub slow: f64,
    /// What a slow peer adds to each packet, either way.
    pub slow_by: Micros,
}

impl Default for Conditions {
    /// Mean round trip 180 ms as in p2psim's runs (directories.md §3.5), a jitter of 5 % (guess), no faults.
    fn default() -> Self {
        Self {
            carriage: Carriage::Streams,
            round_trip: 180 * MILLISECOND,
            trips: None,
            jitter: 0.05,
            loss: 0.0,
            late: 0.0,
            doubled: 0.0,
            uplink: None,
            processors: false,
            slow: 0.0,
            slow_by: 300 * MILLISECOND,
        }
    }
}

/// What a connection costs to set up, both ways together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SetUp {
    /// Round trips before the dialler may send.
    pub(crate) trips: u64,
    /// Bytes.
    pub(crate) bytes: u32,
}

impl Carriage {
    /// Source: issue 4, after baselines.md (*measured*: 18,611 and 1,895 bytes for a dial).
    pub(crate) fn set_up(self, transport: Transport) -> SetUp {
        match (self, transport) {
            (Self::Datagrams, _) => SetUp { trips: 0, bytes: 0 },
            (Self::Streams, Transport::Quic) => SetUp { trips: 1, bytes: 18_000 },
            (Self::Streams, Transport::Tcp) => SetUp { trips: 3, bytes: 2_000 },
        }
    }

    /// Bytes of a payload in packets of its own.
    pub(crate) fn packed(self, transport: Transport, payload: u32) -> u32 {
        payload + payload.div_ceil(PACKET_BYTES).max(1) * self.header(transport)
    }

    /// Bytes around the payload of a packet, of IP and all above.
    ///
    /// Source: baselines.md (*measured*: a ping-pong of 2 × 300 bytes takes 656 bytes over UDP, whose
    /// headers are 28, 772 over QUIC and 789 over TCP with Noise and Yamux); p2psim charges 20.
    fn header(self, transport: Transport) -> u32 {
        match (self, transport) {
            (Self::Datagrams, _) => 20,
            (Self::Streams, Transport::Quic) => 28 + (772 - 656) / 2,
            (Self::Streams, Transport::Tcp) => 28 + (789 - 656) / 2,
        }
    }
}

/// Where a peer is, and how well it is connected.
#[derive(Debug, Clone)]
struct Site {
    place: Place,
    /// Which of the machines that were measured, if any were.
    machine: u32,
    slow: bool,
    /// Its last packet has left by then.
    free: Micros,
    /// Its processor is done by then with all that has come.
    idle: Micros,
    /// Between different sides of a partition nothing passes.
    side: u8,
}

/// When copies of a frame arrive, and what sending it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passage {
    pub(crate) arrivals: [Option<Micros>; 2],
    pub(crate) bytes: u32,
    /// Of a stream that loses packets: the packet that arrives last. Its arrival may come sooner than it seems.
    pub(crate) flight: Option<Flight>,
}

/// The network.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) conditions: Conditions,
    sites: Vec<Site>,
    random: Random,
}

impl Network {
    pub(crate) fn new(conditions: Conditions, seed: u64) -> Self {
        Self { conditions, sites: Vec::new(), random: Random::of(seed, "network") }
    }

    /// A place for one more peer. Drawn for itself, so that one peer more does not shift others.
    pub(crate) fn settle(&mut self, random: &mut Random) {
        let place = Place::drawn(random);
        let slow = random.unit() < self.conditions.slow;
        let machines = self.conditions.trips.as_deref().map_or(0, Trips::count);
        let machine = if machines == 0 { 0 } else { random.below(u64::from(machines)) as u32 };
        self.sites.push(Site { place, machine, slow, free: 0, idle: 0, side: 0 });
    }

    /// Puts a peer on a side of a partition; all begin on side 0.
    pub(crate) fn put_aside(&mut self, peer: u32, side: u8) {
        self.sites[peer as usize].side = side;
    }

    pub(crate) fn parted(&self, one: u32, other: u32) -> bool {
        self.sites[one as usize].side != self.sites[other as usize].side
    }

    /// One way between two peers, without what varies.
    pub(crate) fn one_way(&self, from: u32, to: u32) -> Micros {
        let (from, to) = (&self.sites[from as usize], &self.sites[to as usize]);
        let slow = (u64::from(from.slow) + u64::from(to.slow)) * self.conditions.slow_by;
        let way = match &self.conditions.trips {
            Some(trips) => trips.one_way(from.machine, to.machine),
            None => from.place.one_way(&to.place, self.conditions.round_trip),
        };
        way + slow
    }

    /// How long it takes to set a connection up, lost packets included; `None` if it takes too long.
    pub(crate) fn set_up_time(&mut self, from: u32, to: u32, transport: Transport) -> Option<Micros> {
        let (base, mut took, mut first) = (self.one_way(from, to), 0, Some(FIRST_TIMEOUT));
        for _ in 0..self.conditions.carriage.set_up(transport).trips {
            let flights = [(); 2].map(|()| self.flight(0, Way { transport, base, first }).0);
            took += flights.iter().map(Flight::arrives).sum::<Micros>();
            let doubtful = first.is_some() && flights.iter().any(|flight| !flight.is_whole());
            first = doubtful.then_some(DOUBTFUL_TIMEOUT);
        }
        (took <= DIAL_TIMEOUT).then_some(took)
    }

    /// Sends a frame of so many bytes; `together` if it shares a packet with what was sent just before.
    pub(crate) fn pass(
        &mut self,
        now: Micros,
        ends: (u32, u32),
        transport: Transport,
        frame: (u32, bool),
    ) -> Passage {
        let (from, to) = ends;
        let (payload, together) = frame;
        let carriage = self.conditions.carriage;
        let packets = if together { payload / PACKET_BYTES } else { payload.div_ceil(PACKET_BYTES).max(1) };
        let mut bytes = payload + packets * carriage.header(transport);
        let leaves = self.leaves(now, from, bytes);
        if self.parted(from, to) {
            return Passage { arrivals: [None; 2], bytes, flight: None };
        }
        let base = self.one_way(from, to);
        if carriage == Carriage::Datagrams {
            let lost = self.random.chance(self.conditions.loss);
            let first = leaves + self.late(base);
            let again = self.random.chance(self.conditions.doubled).then(|| leaves + self.late(base));
            return Passage { arrivals: [(!lost).then_some(first), again], bytes, flight: None };
        }
        let way = Way { transport, base, first: None };
        let (mut slowest, mut sent_again, mut whole) = (None::<Flight>, 0, false);
        let window = flight::window(self.conditions.loss);
        // From the last one on: what is lost before something that arrives is noticed sooner.
        for packet in (0..packets.max(1) as usize).rev() {
            let leaves = leaves + (packet / window) as u64 * 2 * base;
            let (mut flight, again) = self.flight(leaves, way);
            sent_again += again + u32::from(self.random.chance(self.conditions.doubled));
            if whole {
                flight.overtaken(leaves);
            }
            whole |= flight.is_whole();
            slowest = slowest.into_iter().chain([flight]).max_by_key(Flight::arrives);
        }
        bytes += sent_again * (payload.min(PACKET_BYTES) + carriage.header(transport));
        let arrives = slowest.as_ref().map(Flight::arrives);
        let flight = slowest.filter(|_| self.conditions.loss > 0.0);
        Passage { arrivals: [arrives, None], bytes, flight }
    }

    /// Packets under way at once on a stream.
    pub(crate) fn window(&self) -> usize {
        flight::window(self.conditions.loss)
    }

    /// Whether one more packet gets through: an acknowledgement, say.
    pub(crate) fn passes(&mut self) -> bool {
        !self.random.chance(self.conditions.loss)
    }

    /// When a frame that arrives then has been worked on.
    pub(crate) fn worked_on(&mut self, to: u32, arrives: Micros) -> Micros {
        self.work(to, arrives, FRAME_WORK)
    }

    /// For how long a handshake that begins now has to wait for the processor of whom it reaches; `None` if that is too long.
    pub(crate) fn handshake(
        &mut self,
        now: Micros,
        ends: (u32, u32),
        transport: Transport,
    ) -> Option<Micros> {
        let begins = now + self.one_way(ends.0, ends.1);
        let wait = self.work(ends.1, begins, handshake_work(transport)) - begins;
        (wait <= DIAL_TIMEOUT).then_some(wait)
    }

    /// When work that comes then is done: after what came before. *Simplified*: in the order in which it was sent.
    fn work(&mut self, at: u32, comes: Micros, takes: Micros) -> Micros {
        if !self.conditions.processors {
            return comes;
        }
        let site = &mut self.sites[at as usize];
        site.idle = site.idle.max(comes) + takes;
        site.idle
    }

    /// When the last byte has left the sender.
    fn leaves(&mut self, now: Micros, from: u32, bytes: u32) -> Micros {
        let Some(rate) = self.conditions.uplink else { return now };
        let site = &mut self.sites[from as usize];
        site.free = site.free.max(now) + u64::from(bytes) * SECOND / rate.max(1);
        site.free
    }

    /// A packet that is sent until it arrives, and how many more were sent for that.
    fn flight(&mut self, sent: Micros, way: Way) -> (Flight, u32) {
        let (mut lost, mut again) = (0, 0);
        let mut copies = 1;
        while lost < SENT_AGAIN_MAX && (0..copies).filter(|_| self.passes()).count() == 0 {
            (lost, copies) = (lost + 1, way.probes());
            again += copies;
        }
        let (took, mut unheard) = (self.late(way.base), 0);
        // The word of it, then copies and the word of those.
        let mut heard = self.passes();
        while !heard && lost + unheard < SENT_AGAIN_MAX {
            unheard += 1;
            again += way.probes();
            heard = (0..way.probes()).filter(|_| self.passes() && self.passes()).count() > 0;
        }
        (Flight { way, sent, lost, unheard, timeouts: 0, took }, again)
    }

    fn late(&mut self, base: Micros) -> Micros {
        let varies = (base as f64 * self.conditions.jitter) as u64;
        let jitter = if varies == 0 { 0 } else { self.random.below(varies + 1) };
        let late = if self.random.chance(self.conditions.late) { self.random.below(2 * base + 1) } else { 0 };
        (base + jitter + late).max(1)
    }
}

#[cfg(test)]
mod tests {
    use callbook_overlay::api::Transport;

    use super::{Carriage, Conditions, Network};
    use crate::random::Random;
    use crate::time::{MILLISECOND, SECOND};

    fn network(conditions: Conditions) -> Network {
        let mut network = Network::new(conditions, 1);
        let mut random = Random::of(1, "places");
        (0..100).for_each(|_| network.settle(&mut random));
        network
    }

    /// Goal: what a stream loses is sent again and costs time and bytes; what a datagram loses is lost.
    /// Method: many frames at a loss of a fifth, each way of carrying them, beside none.
    #[test]
    fn a_loss_is_a_delay_on_a_stream_and_a_loss_among_datagrams() {
        let mean = |carriage, loss| {
            let mut network = network(Conditions { carriage, loss, ..Conditions::default() });
            let passages: Vec<_> =
                (0..5_000).map(|_| network.pass(0, (0, 1), Transport::Quic, (100, false))).collect();
            let arrived: Vec<u64> = passages.iter().filter_map(|passage| passage.arrivals[0]).collect();
            let bytes: u32 = passages.iter().map(|passage| passage.bytes).sum();
            (arrived.len(), arrived.iter().sum::<u64>() / arrived.len() as u64, bytes / 5_000)
        };
        let (all, calm, bytes) = mean(Carriage::Streams, 0.0);
        assert_eq!((all, bytes), (5_000, 186));
        let (all, rough, bytes) = mean(Carriage::Streams, 0.2);
        assert_eq!(all, 5_000);
        // A fifth is sent again, twice each time, and so is a fifth of which no word is heard.
        assert!(rough > calm + 40 * MILLISECOND && (335..365).contains(&bytes), "{rough} µs, {bytes} B");
        let (some, same, bytes) = mean(Carriage::Datagrams, 0.2);
        assert!(some.abs_diff(4_000) < 150 && same.abs_diff(calm) < MILLISECOND && bytes == 120);
    }

    /// Goal: a capped sender sends one after the other. Method: ten kilobytes at a thousand a second.
    #[test]
    fn a_cap_delays_what_comes_later() {
        let mut network = network(Conditions { uplink: Some(1_000), ..Conditions::default() });
        let passages = (0..10).map(|_| network.pass(0, (0, 1), Transport::Tcp, (906, false)));
        let last = passages.last().and_then(|passage| passage.arrivals[0]).expect("it arrives");
        assert!((10 * SECOND..11 * SECOND).contains(&last), "{last}");
    }

    /// Goal: a processor is no more than it is. Method: 2,000 handshakes over TCP at one moment take two seconds, a frame
    /// waits for them, and 10,000 are too many; without the switch nothing waits.
    #[test]
    fn handshakes_of_a_storm_wait_for_each_other() {
        let mut slow = network(Conditions { processors: true, ..Conditions::default() });
        let waits = (0..2_000).filter_map(|_| slow.handshake(0, (0, 1), Transport::Tcp)).collect::<Vec<_>>();
        assert_eq!((waits.len(), waits.last().map(|wait| wait / SECOND)), (2_000, Some(2)));
        let arrives = slow.one_way(0, 1);
        assert!(slow.worked_on(1, arrives) >= 2 * SECOND);
        let most = (0..10_000).filter_map(|_| slow.handshake(0, (0, 1), Transport::Tcp)).count();
        assert!(most < 3_100, "{most}");
        let mut quick = network(Conditions::default());
        assert_eq!((quick.handshake(0, (0, 1), Transport::Tcp), quick.worked_on(1, 7)), (Some(0), 7));
    }

    /// Goal: nothing passes between two sides. Method: part two peers, send, and put them together again.
    #[test]
    fn nothing_passes_between_the_sides_of_a_partition() {
        let mut network = network(Conditions::default());
        let mut passes = |side| {
            network.put_aside(1, side);
            network.pass(0, (0, 1), Transport::Quic, (10, false)).arrivals[0].is_some()
        };
        assert!(passes(0) && !passes(1) && passes(0));
    }
}
