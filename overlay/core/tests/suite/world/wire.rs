//! Links between the peers of a world: dials, latency, order, ends.
//!
//! A link is a stream: frames of one direction keep their order, and are lost only with the link. Its
//! end comes after the frames that were sent before it. *Not here*: who dies when (`faults`).

use std::time::Duration;

use callbook_overlay::api::{Address, DialEnd, Input, LinkId};
use callbook_overlay::key::PeerId;
use callbook_overlay::sign::Signer;
use callbook_overlay::wire::Frame;

use super::World;

/// What becomes of a frame from one peer to another: nothing, itself, or something else.
pub(crate) type Tamper = Box<dyn FnMut(usize, usize, Frame) -> Option<Frame>>;

/// How links and disks behave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions {
    /// Latency of a pair of peers, one way, in microseconds: from, to. `None`: a simple fixed one.
    pub(crate) latency: Option<(u64, u64)>,
    /// Share of a frame's latency that varies, in percent.
    jitter: u64,
    /// Dials that fail though the other side is there, in a thousand.
    pub(crate) dials_failed: u64,
    /// How long a dial waits for somebody who doesn't answer at all.
    pub(crate) dial_timeout: Duration,
    /// How long it takes until a dial is refused, as where QUIC is tried first.
    pub(crate) refused_after: Duration,
    /// How long a write that is not durable may wait for its commit.
    pub(crate) commit: Duration,
}

impl Conditions {
    /// 2–41 ms, fixed for each link; nothing fails of itself, and every write is safe at once.
    pub(crate) fn calm() -> Self {
        Self {
            latency: None,
            jitter: 0,
            dials_failed: 0,
            dial_timeout: Duration::from_millis(20),
            refused_after: Duration::ZERO,
            commit: Duration::ZERO,
        }
    }

    /// 0.2–80 ms fixed for each pair with a jitter of a quarter; writes wait up to 200 ms (DESIGN §3),
    /// dials of the dead time out as the host's do.
    pub(crate) fn rough() -> Self {
        Self {
            latency: Some((200, 80_000)),
            jitter: 25,
            dials_failed: 0,
            dial_timeout: Duration::from_secs(5),
            refused_after: Duration::ZERO,
            commit: Duration::from_millis(200),
        }
    }
}

/// Where a link leads from one of its ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) other: usize,
    pub(super) theirs: LinkId,
    /// Nothing sent on it arrives before this: what was sent before does.
    pub(super) arrived: u64,
}

impl World {
    /// Says something to `to` in the name of `from`, on a link that is open between them.
    pub(crate) fn say(&mut self, from: usize, to: usize, frame: &Frame) {
        let link = self.links_between(from, to).next().expect("a link is open");
        self.carry(from, link, frame.clone());
    }

    /// Whether a link is open between two peers.
    pub(crate) fn linked(&self, from: usize, to: usize) -> bool {
        self.links_between(from, to).next().is_some()
    }

    /// The open links from one peer to another.
    pub(crate) fn links_between(&self, from: usize, to: usize) -> impl Iterator<Item = LinkId> {
        let all = self.links.range((from, LinkId(0))..=(from, LinkId(u64::MAX)));
        all.filter(move |(_, end)| end.other == to).map(|((_, link), _)| *link)
    }

    /// One way between two peers, without jitter, in microseconds.
    fn distance(&self, from: usize, to: usize, link: LinkId) -> u64 {
        let Some((least, most)) = self.conditions.latency else {
            return 2_000 + (link.0 % 40) * 1_000;
        };
        // Drawn from the pair and the network, not from the run: it stays for the pair's life.
        let (low, high) = (from.min(to) as u64, from.max(to) as u64);
        let pair = blake3::hash(&(self.pairs ^ (low << 32 | high)).to_le_bytes());
        let drawn = u64::from_le_bytes(pair.as_bytes()[..8].try_into().expect("eight bytes"));
        // Log-uniform, as distances in a mixed network are: as many pairs near as far.
        let share = (drawn % 1_000_000) as f64 / 1e6;
        (least as f64 * (most as f64 / least as f64).powf(share)) as u64
    }

    pub(super) fn latency(&mut self, from: usize, to: usize, link: LinkId) -> u64 {
        let base = self.distance(from, to, link);
        if self.conditions.jitter == 0 {
            return base;
        }
        base + self.random() % (base * self.conditions.jitter / 100 + 1)
    }

    /// Whether nothing passes between two peers.
    fn parted(&self, one: usize, other: usize) -> bool {
        self.apart.as_ref().is_some_and(|side| side.contains(&one) != side.contains(&other))
    }

    /// A dial: it reaches the peer if that listens at one of the addresses, else a host where nobody does.
    pub(super) fn connect(&mut self, index: usize, peer: PeerId, addresses: &[Address]) {
        self.dials.push((index, peer));
        let mut latency = 1_000 + self.random() % 20_000;
        let there = self.by_id.get(&peer).copied();
        let elsewhere = there.is_some_and(|there| !addresses.contains(&self.peers[there].listens));
        let other = there.filter(|other| self.peers[*other].overlay.is_some() && !elsewhere);
        let fails = self.conditions.dials_failed > 0 && self.random() % 1_000 < self.conditions.dials_failed;
        let silent = there.is_some_and(|there| self.peers[there].vanished || self.parted(index, there))
            || other.is_some_and(|other| self.is_frozen(other));
        let silent = silent && !elsewhere;
        let Some(other) = other.filter(|_| !fails && !silent) else {
            // Who is not running, on a host that is there.
            let refused = there.is_some() && !silent && !fails;
            let wait = match (silent, refused) {
                (true, _) => self.conditions.dial_timeout.as_micros() as u64,
                (false, true) => latency + self.conditions.refused_after.as_micros() as u64,
                (false, false) => latency,
            };
            let end = if refused { DialEnd::Refused } else { DialEnd::Silent };
            return self.after(wait, index, Input::DialFailed { peer, end });
        };
        self.count += 2;
        let (ours, theirs) = (LinkId(self.count), LinkId(self.count + 1_000_000_000));
        if self.conditions.latency.is_some() {
            // Connection and handshake: three ways there and back, roughly.
            latency = 6 * self.latency(index, other, ours);
        }
        let arrived = self.now + latency;
        self.links.insert((index, ours), End { other, theirs, arrived });
        self.links.insert((other, theirs), End { other: index, theirs: ours, arrived });
        let me = self.peers[index].key.public().as_peer();
        self.at(arrived, index, Input::Connected { link: ours, peer, dialled: true });
        self.at(arrived, other, Input::Connected { link: theirs, peer: me, dialled: false });
    }

    /// What of an event still holds when it arrives.
    pub(super) fn delivered(&self, index: usize, input: Input) -> Option<Input> {
        match input {
            // The link ended before it was up.
            Input::Connected { link, peer, dialled } if !self.links.contains_key(&(index, link)) => {
                dialled.then_some(Input::DialFailed { peer, end: DialEnd::Silent })
            }
            Input::Received { link, frame } => {
                self.note(|world| {
                    format!("{:>5} ← {}  (link {})", world.called(index), said(&frame), link.0)
                });
                Some(Input::Received { link, frame })
            }
            other => Some(other),
        }
    }

    pub(super) fn carry(&mut self, index: usize, link: LinkId, mut frame: Frame) {
        let Some(End { other, theirs, arrived }) = self.links.get(&(index, link)).copied() else { return };
        if let Some(tamper) = &mut self.tamper {
            let Some(tampered) = tamper(index, other, frame) else { return };
            frame = tampered;
        }
        let mut bytes = Vec::new();
        frame.write(&mut bytes);
        self.trace.update(&bytes);
        self.note(|world| format!("{:>5} → {}  {}", world.called(index), world.called(other), said(&frame)));
        let frame = Frame::read(bytes.into()).expect("our own frames can be read");
        let name = LinkId(link.0.min(theirs.0));
        let at = arrived.max(self.now + self.latency(index, other, name));
        self.links.insert((index, link), End { other, theirs, arrived: at });
        self.at(at, other, Input::Received { link: theirs, frame });
    }

    /// One side ends a link: the other one hears of it after all that was sent before.
    pub(super) fn end_link(&mut self, link: (usize, LinkId)) {
        if let Some(End { other, theirs, arrived }) = self.links.remove(&link) {
            self.links.remove(&(other, theirs));
            self.at(arrived.max(self.now + 500), other, Input::Disconnected { link: theirs });
        }
    }

    /// A link is dead: what is on its way is lost, and both ends hear of it, each after its time.
    pub(super) fn break_link(&mut self, link: (usize, LinkId), ours: u64, theirs: u64) {
        let Some(end) = self.links.remove(&link) else { return };
        self.links.remove(&(end.other, end.theirs));
        let ends = [link, (end.other, end.theirs)];
        self.events.retain(|_, (index, input)| match input {
            Input::Received { link, .. } => !ends.contains(&(*index, *link)),
            _ => true,
        });
        self.after(ours, link.0, Input::Disconnected { link: link.1 });
        self.after(theirs, end.other, Input::Disconnected { link: end.theirs });
    }
}

/// The kind of a message.
pub(crate) fn said(frame: &Frame) -> String {
    let message = format!("{:?}", frame.message);
    let kind = message.split(['(', ' ']).next().unwrap_or_default();
    format!("{kind} #{}", frame.id)
}
