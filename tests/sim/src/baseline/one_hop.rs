//! Full one-hop routing: everybody knows everybody, and hears of each change within tens of seconds.
//!
//! Ids form a ring, cut into 5 slices of 5 units. Each peer pings its successor and its predecessor every 4 s.
//! Who finds one gone, or comes, tells the leader of its slice (the successor of the slice's middle); once
//! five changes have come together that one tells the other slices' leaders and the leaders of its units,
//! these tell their neighbours, and from there news travels with the pings to the ends of the unit.
//! A look-up asks the name's holder itself, or whom the asker takes for it, which may name another: names are
//! ids, as in p2psim. Of a name that nobody has its successor says so.
//!
//! Source: Gupta, Liskov, Rodrigues: *One Hop Lookups for Peer-to-Peer Overlays* (HotOS 2003) §3; p2psim
//! `protocols/onehop.C` (sit/dht) for what the paper leaves open: order of pings, five changes, timeouts of
//! three round trips, who comes gets the table from its slice's leader. Parameters: directories.md §3.5.
//! *Not here*: who is on which place of the ring ([`ring`]).

mod ring;

use std::collections::BTreeMap;

use self::ring::{Ring, View};
use super::field::{Answer, Field, For};
use super::{Protocol, Wire};
use crate::time::{Micros, SECOND};

/// Directories.md §3.5.
const PING_EVERY: Micros = 4 * SECOND;
/// P2psim: a leader passes on once so many changes are there.
const CHANGES_MIN: usize = 5;
/// P2psim: who can't join tries again.
const RETRY: Micros = SECOND;
/// Of one call, with others each time. *Guess*.
const TRIES_MAX: u32 = 5;

/// Somebody's place on the ring has come to life, or died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    place: u32,
    alive: bool,
}

/// Whom a call goes to, by the caller's view at that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Successor,
    Predecessor,
    SliceLeader(u32),
    UnitLeader(u32, u32),
    Place(u32),
    /// Whoever comes at this place or next.
    Owner(u32),
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    Ping(Vec<Change>),
    /// To the leader of one's slice.
    Notify(Vec<Change>),
    /// From a slice's leader to another.
    Across(Vec<Change>),
    /// From a slice's leader to the leader of a unit.
    Down(Vec<Change>),
    /// From a unit's leader to its neighbours.
    Aside(Vec<Change>),
    Join,
    Find {
        query: u32,
        place: u32,
        hops: u32,
    },
}

#[derive(Debug, Clone)]
pub(super) enum Message {
    Call {
        serial: u64,
        body: Body,
    },
    Done {
        serial: u64,
    },
    /// To who joins: ask that one.
    Leader {
        serial: u64,
        place: u32,
    },
    Table {
        serial: u64,
        view: View,
    },
    Found {
        serial: u64,
        life: u32,
    },
    /// Not the holder: who is, if anybody.
    Other {
        serial: u64,
        place: Option<u32>,
    },
    /// A timer.
    Late {
        serial: u64,
    },
    /// A timer.
    Tick,
    /// A timer.
    Join,
}

#[derive(Debug, Clone)]
struct Call {
    to: To,
    place: u32,
    body: Body,
    tries: u32,
}

/// News that waits, the last about each place.
type News = BTreeMap<u32, bool>;

fn put(news: &mut News, changes: Vec<Change>) {
    news.extend(changes.into_iter().map(|change| (change.place, change.alive)));
}

fn take(news: &mut News) -> Vec<Change> {
    std::mem::take(news).into_iter().map(|(place, alive)| Change { place, alive }).collect()
}

#[derive(Debug, Clone, Default)]
struct Node {
    joined: bool,
    view: View,
    calls: BTreeMap<u64, Call>,
    /// News on its way to successors, and to predecessors.
    up: News,
    down: News,
    /// For the leader of the slice; a leader's own.
    notify: News,
    /// A slice leader's, from others; a unit leader's, for its unit.
    outer: News,
    inner: News,
}

/// All peers of it.
#[derive(Debug)]
pub(super) struct OneHop {
    name: &'static str,
    wire: Wire,
    ring: Ring,
    nodes: Vec<Node>,
    serial: u64,
}

impl OneHop {
    pub(super) fn new(name: &'static str, wire: Wire) -> Self {
        Self { name, wire, ring: Ring::default(), nodes: Vec::new(), serial: 0 }
    }

    fn resolve(&self, peer: u32, to: To) -> u32 {
        let (view, own) = (&self.nodes[peer as usize].view, self.ring.place(peer));
        match to {
            To::Successor => view.next(own + 1),
            To::Predecessor => view.previous(own),
            To::SliceLeader(slice) => self.ring.slice_leader(view, slice).unwrap_or(own),
            To::UnitLeader(slice, unit) => self.ring.unit_leader(view, slice, unit).unwrap_or(own),
            To::Place(place) => place,
            To::Owner(place) => view.next(place),
        }
    }

    fn bytes(&self, body: &Body) -> u32 {
        match body {
            Body::Ping(news)
            | Body::Notify(news)
            | Body::Across(news)
            | Body::Down(news)
            | Body::Aside(news) => news.len() as u32 * self.wire.contact,
            Body::Join => self.wire.contact,
            Body::Find { .. } => 2 * self.wire.id,
        }
    }

    /// Calls somebody, again with others when nobody answers; a call to itself is one that nobody needs.
    fn call(&mut self, peer: u32, call: (To, Body, u32), field: &mut Field<Message>) {
        let (to, body, tries) = call;
        let place = self.resolve(peer, to);
        let other = self.ring.peer(place);
        if other == peer {
            return self.alone(peer, body, field);
        }
        self.serial += 1;
        let serial = self.serial;
        field.send(
            (peer, other),
            why(&body),
            self.bytes(&body),
            Message::Call { serial, body: body.clone() },
        );
        field.after(peer, 3 * field.round_trip(peer, other), Message::Late { serial });
        self.nodes[peer as usize].calls.insert(serial, Call { to, place, body, tries });
    }

    /// The caller is itself whom it wants to call.
    fn alone(&mut self, peer: u32, body: Body, field: &mut Field<Message>) {
        match body {
            Body::Find { query, hops, .. } => field.settle(query, Answer::Absent, hops),
            Body::Down(news) => put(&mut self.nodes[peer as usize].inner, news),
            Body::Ping(_) => self.pinged(peer, To::Successor, field),
            Body::Notify(_) | Body::Across(_) | Body::Aside(_) | Body::Join => {}
        }
    }

    /// Every few seconds: what leaders do, then the successor, then the predecessor, then the slice's leader.
    fn tick(&mut self, peer: u32, field: &mut Field<Message>) {
        self.lead(peer, field);
        let news = take(&mut self.nodes[peer as usize].up);
        self.call(peer, (To::Successor, Body::Ping(news), 0), field);
    }

    /// A ping has come to its end.
    fn pinged(&mut self, peer: u32, to: To, field: &mut Field<Message>) {
        let own = self.ring.place(peer);
        let alone = self.resolve(peer, To::Predecessor) == own;
        if to == To::Successor && !alone {
            let news = take(&mut self.nodes[peer as usize].down);
            return self.call(peer, (To::Predecessor, Body::Ping(news), 0), field);
        }
        let slice = self.ring.slice(own);
        let leads = self.resolve(peer, To::SliceLeader(slice)) == own;
        let node = &mut self.nodes[peer as usize];
        if !(leads || node.notify.is_empty() && node.outer.is_empty()) {
            let mut news = take(&mut node.outer);
            news.extend(take(&mut node.notify));
            self.call(peer, (To::SliceLeader(slice), Body::Notify(news), 0), field);
        }
        field.after(peer, PING_EVERY, Message::Tick);
    }

    fn lead(&mut self, peer: u32, field: &mut Field<Message>) {
        let own = self.ring.place(peer);
        let (slice, unit) = (self.ring.slice(own), self.ring.unit(own));
        if self.resolve(peer, To::SliceLeader(slice)) == own {
            let node = &mut self.nodes[peer as usize];
            if node.notify.len() + node.outer.len() >= CHANGES_MIN {
                let ours = take(&mut node.notify);
                let mut all = take(&mut node.outer);
                all.extend(&ours);
                for unit in 0..ring::UNITS {
                    let news = all.clone();
                    if self.ring.unit_leader(&self.nodes[peer as usize].view, slice, unit).is_some() {
                        self.call(peer, (To::UnitLeader(slice, unit), Body::Down(news), 0), field);
                    }
                }
                for other in (0..ring::SLICES).filter(|other| *other != slice && !ours.is_empty()) {
                    let news = ours.clone();
                    self.call(peer, (To::SliceLeader(other), Body::Across(news), 0), field);
                }
            }
        }
        if self.resolve(peer, To::UnitLeader(slice, unit)) == own {
            let news = take(&mut self.nodes[peer as usize].inner);
            if !news.is_empty() {
                self.call(peer, (To::Successor, Body::Aside(news.clone()), 0), field);
                self.call(peer, (To::Predecessor, Body::Aside(news), 0), field);
            }
        }
    }

    /// Takes news in; of its own death a peer says the contrary.
    fn learn(&mut self, peer: u32, news: &mut Vec<Change>) {
        let own = self.ring.place(peer);
        let node = &mut self.nodes[peer as usize];
        news.retain(|change| {
            if change.place == own {
                if !change.alive {
                    node.notify.insert(own, true);
                }
                return change.alive;
            }
            node.view.set(change.place, change.alive);
            true
        });
    }

    /// Somebody doesn't answer.
    fn late(&mut self, peer: u32, serial: u64, field: &mut Field<Message>) {
        let own = self.ring.place(peer);
        let node = &mut self.nodes[peer as usize];
        let Some(Call { to, place, body, tries }) = node.calls.remove(&serial) else { return };
        let change = Change { place, alive: false };
        node.view.set(place, false);
        if node.joined && place != own && !matches!(body, Body::Find { .. }) {
            node.notify.insert(place, false);
        }
        match body {
            Body::Join => field.after(peer, RETRY, Message::Join),
            Body::Ping(mut news) if tries + 1 < TRIES_MAX => {
                news.push(change);
                self.call(peer, (to, Body::Ping(news), tries + 1), field);
            }
            Body::Ping(_) => self.pinged(peer, to, field),
            body if tries + 1 < TRIES_MAX => self.call(peer, (to, body, tries + 1), field),
            Body::Find { query, hops, .. } => field.settle(query, Answer::Unknown, hops),
            Body::Notify(_) | Body::Across(_) | Body::Down(_) | Body::Aside(_) => {}
        }
    }

    /// Somebody calls.
    fn called(&mut self, (from, to): (u32, u32), message: Message, field: &mut Field<Message>) {
        let Message::Call { serial, body } = message else { return };
        let (caller, own) = (self.ring.place(from), self.ring.place(to));
        let why = why(&body);
        let same_unit =
            (self.ring.slice(caller), self.ring.unit(caller)) == (self.ring.slice(own), self.ring.unit(own));
        let joined = self.nodes[to as usize].joined;
        if joined && !self.nodes[to as usize].view.has(caller) && !matches!(body, Body::Join) {
            let node = &mut self.nodes[to as usize];
            node.view.set(caller, true);
            node.notify.insert(caller, true);
        }
        match body {
            Body::Ping(mut news) | Body::Aside(mut news) => {
                if same_unit {
                    self.learn(to, &mut news);
                    let node = &mut self.nodes[to as usize];
                    // Away from where it came, as long as that is in the unit.
                    if caller < own { put(&mut node.up, news) } else { put(&mut node.down, news) }
                }
            }
            Body::Notify(mut news) => {
                self.learn(to, &mut news);
                put(&mut self.nodes[to as usize].notify, news);
            }
            Body::Across(mut news) => {
                self.learn(to, &mut news);
                put(&mut self.nodes[to as usize].outer, news);
            }
            Body::Down(mut news) => {
                self.learn(to, &mut news);
                put(&mut self.nodes[to as usize].inner, news);
            }
            Body::Join => return self.joins((from, to), serial, field),
            Body::Find { place, .. } => return self.asked((from, to), (serial, place, why), field),
        }
        field.send((to, from), why, 1, Message::Done { serial });
    }

    fn joins(&mut self, (from, to): (u32, u32), serial: u64, field: &mut Field<Message>) {
        let (caller, own) = (self.ring.place(from), self.ring.place(to));
        if !self.nodes[to as usize].joined {
            return;
        }
        let leader = self.resolve(to, To::SliceLeader(self.ring.slice(caller)));
        if leader != own && leader != caller {
            let message = Message::Leader { serial, place: leader };
            return field.send((to, from), For::Upkeep, self.wire.contact, message);
        }
        let node = &mut self.nodes[to as usize];
        node.view.set(caller, true);
        node.notify.insert(caller, true);
        let view = node.view.clone();
        let bytes = view.count() * self.wire.contact;
        field.send((to, from), For::Upkeep, bytes, Message::Table { serial, view });
    }

    fn asked(&mut self, ends: (u32, u32), (serial, place, why): (u64, u32, For), field: &mut Field<Message>) {
        let (from, to) = ends;
        let own = self.ring.place(to);
        let (bytes, message) = if place == own {
            (self.wire.record, Message::Found { serial, life: field.life(to) })
        } else {
            let next = self.nodes[to as usize].view.next(place);
            let other = (next == place).then_some(next);
            (1 + other.map_or(0, |_| self.wire.contact), Message::Other { serial, place: other })
        };
        field.send((to, from), why, bytes, message);
    }

    /// A call was answered.
    fn answered(&mut self, peer: u32, message: Message, field: &mut Field<Message>) {
        let (Message::Done { serial }
        | Message::Leader { serial, .. }
        | Message::Table { serial, .. }
        | Message::Found { serial, .. }
        | Message::Other { serial, .. }) = message
        else {
            return;
        };
        let Some(call) = self.nodes[peer as usize].calls.remove(&serial) else { return };
        match (message, call.body) {
            (Message::Leader { place, .. }, _) => self.call(peer, (To::Place(place), Body::Join, 0), field),
            (Message::Table { mut view, .. }, _) => {
                let own = self.ring.place(peer);
                view.set(own, true);
                let node = &mut self.nodes[peer as usize];
                (node.joined, node.view) = (true, view);
                node.notify.insert(own, true);
                self.tick(peer, field);
            }
            (Message::Found { life, .. }, Body::Find { query, hops, .. }) => {
                field.settle(query, Answer::Life(life), hops);
            }
            (Message::Other { place: Some(other), .. }, Body::Find { query, place, hops }) if hops < 4 => {
                self.nodes[peer as usize].view.set(other, true);
                let body = Body::Find { query, place, hops: hops + 1 };
                self.call(peer, (To::Place(other), body, 0), field);
            }
            (Message::Other { .. }, Body::Find { query, hops, .. }) => {
                field.settle(query, Answer::Absent, hops);
            }
            (_, Body::Ping(_)) => self.pinged(peer, call.to, field),
            _ => {}
        }
    }
}

fn why(body: &Body) -> For {
    if let Body::Find { query, .. } = body { For::Query(*query) } else { For::Upkeep }
}

impl Protocol for OneHop {
    type Message = Message;

    fn name(&self) -> &'static str {
        self.name
    }

    fn preset(&mut self, field: &mut Field<Message>) {
        self.ring = Ring::new(field.peers);
        self.nodes = vec![Node::default(); field.peers as usize];
        let mut view = View::empty(field.peers);
        let up = field.all_up();
        up.iter().for_each(|peer| view.set(self.ring.place(*peer), true));
        for peer in up {
            let node = &mut self.nodes[peer as usize];
            (node.joined, node.view) = (true, view.clone());
            let wait = field.random.below(PING_EVERY);
            field.after(peer, wait, Message::Tick);
        }
    }

    fn start(&mut self, peer: u32, field: &mut Field<Message>) {
        self.nodes[peer as usize] = Node { view: View::empty(field.peers), ..Node::default() };
        if let Some(known) = field.somebody(peer) {
            let place = self.ring.place(known);
            self.call(peer, (To::Place(place), Body::Join, 0), field);
        } else {
            field.after(peer, RETRY, Message::Join);
        }
    }

    fn stop(&mut self, peer: u32) {
        self.nodes[peer as usize] = Node::default();
    }

    fn look_up(&mut self, query: u32, asker: u32, name: u32, field: &mut Field<Message>) {
        if !self.nodes[asker as usize].joined {
            return field.settle(query, Answer::Unknown, 0);
        }
        let place = self.ring.place_of_name(name);
        self.call(asker, (To::Owner(place), Body::Find { query, place, hops: 1 }, 0), field);
    }

    fn receive(&mut self, (from, to): (u32, u32), message: Message, field: &mut Field<Message>) {
        if matches!(message, Message::Call { .. }) {
            self.called((from, to), message, field);
        } else {
            self.answered(to, message, field);
        }
    }

    fn timer(&mut self, peer: u32, message: Message, field: &mut Field<Message>) {
        match message {
            Message::Late { serial } => self.late(peer, serial, field),
            Message::Tick => self.tick(peer, field),
            Message::Join => self.start(peer, field),
            _ => {}
        }
    }
}
