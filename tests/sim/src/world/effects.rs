//! What overlays do to the world: frames, dials, ends of links, writes.
//!
//! A durable write is complete before later effects of its turn run: here it takes no time. *Not here*:
//! replies and notices (`asking`).

use std::collections::VecDeque;

use callbook_overlay::api::{Address, DialEnd, Effect, Effects, Input, LinkId, Transport, Write};
use callbook_overlay::key::PeerId;
use callbook_overlay::wire::Frame;

use super::{Event, World};
use crate::measures::Beside;
use crate::network::dials::failed;
use crate::network::flight::Flight;
use crate::network::links::Found;
use crate::network::unasked::acknowledged_at_once;
use crate::network::{Carriage, DIAL_TIMEOUT, Network, STAGGER};
use crate::peers::disk::Habits;
use crate::peers::{Down, Kind, address};
use crate::time::Micros;

/// Length of a frame on its stream. *Specification* (DETAILS *Links*).
const LENGTH_BYTES: u32 = 4;

/// What fits into a packet beside the frame that began it.
const PACKET_ROOM: u32 = 1_200;

/// A packet of a stream that loses some, until its sender knows that it has arrived.
#[derive(Debug)]
pub(super) struct UnderWay {
    /// Until it is handed over.
    frame: Option<Frame>,
    flight: Flight,
    bytes: u32,
}

impl UnderWay {
    fn is_over(&self, now: Micros) -> bool {
        self.frame.is_none() && self.flight.acknowledged() <= now
    }
}

impl World {
    pub(super) fn perform(&mut self, peer: u32, effects: Effects) {
        let mut effects = effects.0.into_iter();
        while let Some(effect) = effects.next() {
            if !self.runs(peer) {
                // The answer to its leaving was the end.
                return;
            }
            match effect {
                Effect::Send { link, frame } => self.send(peer, link, frame),
                Effect::Dial { peer: whom, addresses, transports } => {
                    self.dial(peer, whom, &addresses, transports)
                }
                Effect::Close { link } => self.close(peer, link),
                Effect::Persist { writes, durable } => {
                    if !self.persist(peer, writes, durable) {
                        // As the driver does: what comes after waits until this is on disk.
                        self.parked.entry(peer).or_default().extend(effects);
                        return;
                    }
                }
                Effect::Reply { command, reply } => self.replied(peer, command, &reply),
                Effect::Changed { command, outcome } => {
                    self.trace.add(u64::from(outcome.is_ok()));
                    self.told_by_watch(peer, command, outcome);
                }
                // What the host makes of it is not simulated.
                Effect::Seen { .. } => {}
                Effect::Notice(notice) => self.noticed(peer, &notice),
            }
        }
    }

    /// Whether what comes after may go on.
    fn persist(&mut self, peer: u32, writes: Vec<Write>, durable: bool) -> bool {
        self.trace.add(writes.len() as u64);
        let (now, habits) = (self.now, self.habits());
        let peer = &mut self.peers[peer as usize];
        let disk = peer.disk.get_or_insert_default();
        if peer.full {
            disk.wait(now, writes);
        } else {
            disk.write(now, writes, durable, &habits);
        }
        !(peer.full && durable)
    }

    /// There is room on a disk again: what waited is written, and what waited for that happens.
    pub fn free_disk(&mut self, number: u32) {
        let habits = self.habits();
        let peer = &mut self.peers[number as usize];
        if !core::mem::take(&mut peer.full) {
            return;
        }
        if let Some(disk) = peer.disk.as_deref_mut() {
            disk.commit_until(Micros::MAX, &habits);
        }
        // Commands could not be answered until now.
        for slot in self.peers[number as usize].open.clone() {
            self.ask_anew(slot);
        }
        let parked = self.parked.remove(&number).unwrap_or_default();
        self.perform(number, Effects(parked));
    }

    pub(super) fn habits(&self) -> Habits {
        Habits { pool: self.pool.clone(), commit: self.settings.commit, contacts: self.settings.host_cache }
    }

    fn send(&mut self, peer: u32, link: LinkId, frame: Frame) {
        let Some(found) = self.links.find(link) else { return };
        self.scratch.clear();
        frame.write(&mut self.scratch);
        let payload = self.scratch.len() as u32 + LENGTH_BYTES;
        self.trace.add(link.0 ^ u64::from(payload) << 48);
        self.trace.add_bytes(&self.scratch);
        let (now, end) = (self.now, self.links.end(link));
        let together = end.sent.0 == now && end.sent.1 >= payload;
        end.sent =
            if together { (now, end.sent.1 - payload) } else { (now, PACKET_ROOM.saturating_sub(payload)) };
        let passage = self.network.pass(now, (peer, found.other), found.transport, (payload, together));
        self.charge(peer, &frame, passage.bytes);
        if !together {
            self.count_unasked(link, found, payload);
        }
        self.note(|world| format!("{} → {} {}", world.called(peer), world.called(found.other), said(&frame)));
        if found.broken || self.links.find(found.other_end).is_none() {
            return;
        }
        let mut frame = if self.settings.codec {
            let bytes = self.scratch.as_slice().to_vec().into();
            Some(Frame::read(bytes).expect("our own frames can be read"))
        } else {
            Some(frame)
        };
        if let (Some(flight), Some(frame)) = (passage.flight, frame.take_if(|_| passage.flight.is_some())) {
            return self.send_off((link, found.other_end), frame, (flight, payload, together));
        }
        let worked_on = |network: &mut Network, at| network.worked_on(found.other, at);
        let [first, again] = passage.arrivals.map(|at| at.map(|at| worked_on(&mut self.network, at)));
        for at in [again, first].into_iter().flatten() {
            let at = self.in_order(link, at);
            // The second copy is made only where datagrams double.
            let frame = if again.is_some() { frame.clone() } else { frame.take() };
            if let Some(frame) = frame {
                let frame = Box::new(frame);
                self.queue.push(at, Event::Received { end: found.other_end, frame });
            }
        }
    }

    /// A frame goes off on a stream that loses packets.
    fn send_off(&mut self, ends: (LinkId, LinkId), frame: Frame, packet: (Flight, u32, bool)) {
        let ((ours, theirs), (mut flight, bytes, together)) = (ends, packet);
        let (told, window) = (flight.is_whole() && self.network.passes(), self.network.window());
        let under_way = self.under_way.entry(theirs).or_default();
        while under_way.front().is_some_and(|first| first.is_over(self.now)) {
            under_way.pop_front();
        }
        if let Some(last) = under_way.back().filter(|_| together) {
            // It shares the packet, and so its fate.
            flight = last.flight;
        } else {
            flight.wait_until(room(under_way, (bytes, flight.leaves()), window));
            for before in under_way.iter_mut().filter(|_| told) {
                if before.flight.overtaken(flight.leaves()) {
                    self.queue.push(before.flight.arrives(), Event::Arrived { end: theirs });
                }
            }
        }
        under_way.push_back(UnderWay { frame: Some(frame), flight, bytes });
        let last = under_way.iter().map(|packet| packet.flight.arrives()).max().unwrap_or(self.now);
        self.links.end(ours).arrives = last;
        self.queue.push(flight.arrives(), Event::Arrived { end: theirs });
    }

    /// A packet has arrived: what it is, unless it has to wait for one that was sent before, and what waited for it.
    pub(super) fn arrived(&mut self, end: LinkId) {
        while let Some(found) = self.links.find(end) {
            let Some(under_way) = self.under_way.get_mut(&end) else { return };
            let first = under_way.iter_mut().find(|packet| packet.frame.is_some());
            let first = first.filter(|packet| packet.flight.arrives() <= self.now);
            let Some(frame) = first.and_then(|packet| packet.frame.take()) else { return };
            self.owe(end, found);
            self.serve_counted(found.peer, &frame);
            self.input(found.peer, Input::Received { link: end, frame });
        }
        self.under_way.remove(&end);
    }

    /// On a stream nothing overtakes what was sent before.
    fn in_order(&mut self, link: LinkId, at: Micros) -> Micros {
        if self.network.conditions.carriage == Carriage::Datagrams {
            return at;
        }
        let end = self.links.end(link);
        end.arrives = end.arrives.max(at);
        end.arrives
    }

    fn charge(&mut self, peer: u32, frame: &Frame, bytes: u32) {
        let peer = &mut self.peers[peer as usize];
        if self.measures.since.is_some() {
            peer.sent += u64::from(bytes);
            self.measures.sent(peer.kind(), &frame.message, bytes);
        }
    }

    /// What transports have sent by themselves until now, as something is sent, or the link ends (without payload).
    fn count_unasked(&mut self, link: LinkId, found: Found, payload: u32) {
        if self.settings.conditions.carriage == Carriage::Datagrams {
            return;
        }
        let (now, counts) = (self.now, self.measures.since.unwrap_or(self.now));
        let alive = self.links.alive(link).used(now, counts, found.transport);
        let alone = self.links.end(link).owed.rides(now, found.transport);
        self.charge_beside(found.peer, Beside::Acknowledgements, alone);
        for end in [found.peer, found.other] {
            self.charge_beside(end, Beside::KeepAlives, alive);
        }
        if !found.broken {
            let at_once = acknowledged_at_once(found.transport, payload);
            self.charge_beside(found.other, Beside::Acknowledgements, at_once);
        }
    }

    /// A packet has come: it will be acknowledged.
    pub(super) fn owe(&mut self, end: LinkId, found: Found) {
        if self.settings.conditions.carriage == Carriage::Streams {
            let alone = self.links.end(end).owed.received(self.now, found.transport);
            self.charge_beside(found.peer, Beside::Acknowledgements, alone);
        }
    }

    /// Somebody sends something beside messages and connections, if it is anything.
    pub(super) fn charge_beside(&mut self, peer: u32, what: Beside, bytes: u32) {
        if bytes > 0 && self.measures.since.is_some() {
            let peer = &mut self.peers[peer as usize];
            peer.sent += u64::from(bytes);
            self.measures.sent_beside(peer.kind(), what, u64::from(bytes));
        }
    }

    /// A request that somebody serves, hellos aside.
    pub(super) fn serve_counted(&mut self, peer: u32, frame: &Frame) {
        let kind = frame.message.kind();
        if (3..128).contains(&kind) {
            self.peers[peer as usize].served += 1;
        }
    }

    fn dial(&mut self, peer: u32, whom: PeerId, addresses: &[Address], transports: &[Transport]) {
        let life = self.peers[peer as usize].life;
        let other = self.by_id.get(&whom).copied();
        self.trace.add(u64::from(other.unwrap_or(u32::MAX)));
        if self.measures.since.is_some() {
            self.measures.dials += 1;
        }
        let reachable = other.filter(|other| {
            let there = &self.peers[*other as usize];
            there.kind() == Kind::Superpeer
                && addresses.contains(&address(*other))
                && !self.network.parted(peer, *other)
        });
        let Some(other) = reachable else {
            return self.fail_dial((peer, life), whom, transports, None);
        };
        self.note(|world| format!("{} dials {}", world.called(peer), world.called(other)));
        if !self.peers[other as usize].runs() {
            let refuses = self.peers[other as usize].down == Down::Refuses;
            let trip = refuses.then(|| 2 * self.network.one_way(peer, other));
            return self.fail_dial((peer, life), whom, transports, trip);
        }
        let Some((took, transport)) = self.set_up(peer, other, transports) else {
            let (wait, end) = (DIAL_TIMEOUT + STAGGER, DialEnd::Silent);
            return self.queue.push(self.now + wait, Event::DialFailed { peer, life, whom, end });
        };
        let up = self.now + took;
        let [ours, theirs] = self.links.open(peer, other, transport, up);
        self.peers[peer as usize].links.push(ours);
        self.peers[other as usize].links.push(theirs);
        // The listener has its stream with the dialler's first packet.
        let heard = up + self.network.one_way(peer, other);
        self.queue.push(up, Event::Connected { end: ours, dialled: true });
        self.queue.push(heard, Event::Connected { end: theirs, dialled: false });
    }

    /// A dial fails, refused after a round trip or in silence.
    fn fail_dial(
        &mut self,
        (peer, life): (u32, u32),
        whom: PeerId,
        transports: &[Transport],
        refuses: Option<Micros>,
    ) {
        let failed = failed(self.settings.conditions.carriage, transports, refuses);
        self.charge_beside(peer, Beside::FailedDials, failed.bytes);
        let at = self.now + failed.wait;
        self.queue.push(at, Event::DialFailed { peer, life, whom, end: failed.end });
    }

    /// Tries transports as `overlay/host` does: one after the other, and the first that answers is the link. How long
    /// that takes; both sides send half of the bytes.
    fn set_up(&mut self, peer: u32, other: u32, transports: &[Transport]) -> Option<(Micros, Transport)> {
        let (mut begins, mut best) = (0, None::<(Micros, Transport)>);
        for transport in transports {
            if best.is_some_and(|(took, _)| took <= begins) {
                break;
            }
            let took = self
                .network
                .set_up_time(peer, other, *transport)
                .and_then(|took| Some(took + self.network.handshake(self.now, (peer, other), *transport)?));
            let up = took.map(|took| (begins + took, *transport));
            best = best.into_iter().chain(up).min_by_key(|(took, _)| *took);
            begins += STAGGER;
            let bytes = u64::from(self.settings.conditions.carriage.set_up(*transport).bytes / 2);
            for side in [peer, other] {
                if self.measures.since.is_some() {
                    let kind = self.peers[side as usize].kind();
                    self.peers[side as usize].sent += bytes;
                    self.measures.sent_to_connect(kind, bytes);
                }
            }
        }
        best
    }

    pub(super) fn connected(&mut self, end: LinkId, dialled: bool) {
        let Some(found) = self.links.find(end) else { return };
        if dialled && self.links.find(found.other_end).is_none() {
            // It has stopped meanwhile.
            return self.disconnected(end);
        }
        self.links.end(end).up = true;
        let peer = self.peers[found.other as usize].id;
        self.input(found.peer, Input::Connected { link: end, peer, dialled });
    }

    /// One side ends a link: the other one hears of it after all that was sent before.
    fn close(&mut self, peer: u32, link: LinkId) {
        self.trace.add(link.0);
        let Some(found) = self.links.find(link) else { return };
        let at = self.links.end(link).arrives.max(self.now + self.network.one_way(peer, found.other));
        self.forget_link(peer, link);
        if !found.broken && !self.network.parted(peer, found.other) {
            self.queue.push(at, Event::Disconnected { end: found.other_end });
        }
    }

    /// An end hears that its link is over.
    pub(super) fn disconnected(&mut self, end: LinkId) {
        let Some(found) = self.links.find(end) else { return };
        let up = self.links.end(end).up;
        self.forget_link(found.peer, end);
        if up {
            self.input(found.peer, Input::Disconnected { link: end });
        } else if end.0.is_multiple_of(2) {
            // The dialler's end was never up.
            let whom = self.peers[found.other as usize].id;
            self.input(found.peer, Input::DialFailed { peer: whom, end: DialEnd::Silent });
        }
    }

    /// This end is over: what its transport has sent by itself until then.
    pub(super) fn finish_link(&mut self, link: LinkId) {
        if let Some(found) = self.links.find(link).filter(|found| !found.broken) {
            self.count_unasked(link, found, 0);
        }
        self.links.finish(link);
        self.under_way.remove(&link);
    }

    /// A peer has this end no more.
    pub(super) fn forget_link(&mut self, peer: u32, link: LinkId) {
        self.finish_link(link);
        let links = &mut self.peers[peer as usize].links;
        if let Some(at) = links.iter().position(|known| *known == link) {
            links.swap_remove(at);
        }
    }

    /// What a peer is called in the log.
    pub(super) fn called(&self, peer: u32) -> String {
        match self.peers[peer as usize].kind() {
            Kind::Superpeer => format!("s{peer}"),
            Kind::Child => format!("c{peer}"),
        }
    }
}

/// When a packet of so many bytes that could leave at a time fits into the window.
fn room(under_way: &VecDeque<UnderWay>, packet: (u32, Micros), window: usize) -> Micros {
    let (bytes, mut leaves) = packet;
    let Some(transport) = under_way.front().map(|first| first.flight.transport()) else { return leaves };
    let most = match transport {
        Transport::Tcp => window as u32,
        Transport::Quic => window as u32 * PACKET_ROOM,
    };
    let weight = |bytes: u32| match transport {
        Transport::Tcp => bytes.div_ceil(PACKET_ROOM),
        Transport::Quic => bytes,
    };
    loop {
        let unheard = under_way.iter().filter(|packet| packet.flight.acknowledged() > leaves);
        let taken: u32 = unheard.clone().map(|packet| weight(packet.bytes)).sum();
        let blocked = unheard.clone().any(|packet| packet.flight.blocks(leaves));
        // What is larger than a window has the whole of it.
        if taken == 0 || !blocked && taken + weight(bytes) <= most {
            return leaves;
        }
        leaves = unheard.map(|packet| packet.flight.acknowledged()).min().unwrap_or(leaves);
    }
}

fn said(frame: &Frame) -> String {
    format!("{} #{}", crate::measures::kind_word(usize::from(frame.message.kind())), frame.id)
}
