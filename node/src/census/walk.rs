//! One walk: whom to visit, what to ask, and when all of the key space is seen.
//!
//! ```text
//!  known ──dial──▶ greeting ──Open──▶ asked around its own place, then in one bucket ──hints──▶ done
//!    ▲                 └─ no way there, silence, no superpeer ────────────────────────────────▶ done
//!    └──────────── whom the hints name, by a certificate that verifies ◀──────────────────┘
//! ```
//! It begins with whom we know. Each superpeer knows best who is around it, so each is asked about that, and
//! (in a network of more than one answer) about one part far from it, another one for each; whoever is named is
//! visited in turn, until nobody new appears. What is covered by no answer then (a part
//! in which nobody can be reached) is asked of the superpeer nearest to it. A superpeer is believed about
//! others only what a login key has signed; where it says that nobody is, another one's answer may say otherwise.
//!
//! A pure state machine, driven by `crawl`. *Not here*: streams and time (`crawl`), sessions (`sessions`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use callbook_net::{multiaddr, overlay_peer};
use callbook_overlay::api::Transport;
use callbook_overlay::key::{Key, PeerId};
use callbook_overlay::limits::{AGENT_BYTES_MAX, HINTS_PER_ANSWER_MAX};
use callbook_overlay::network::{Network, Scope};
use callbook_overlay::record::ChainCache;
use callbook_overlay::sign::Strict;
use callbook_overlay::time::Unix;
use callbook_overlay::wire::{Hint, Hints, Open};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use super::covered::Covered;
use super::limits::{ADDRESSES_MAX, GAP_QUESTIONS_MAX, QUESTIONS_PER_HOUR_MAX, SUPERPEERS_MAX};
use crate::config::CHILDREN_MOST;

/// Somebody to begin with, or to visit again.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Who.
    pub(super) peer: PeerId,
    /// Where, in the order in which to try them.
    pub(super) addresses: Vec<Multiaddr>,
    /// What is known of it.
    pub(super) hint: Option<Hint>,
    /// It was reached in an earlier walk: whether it still can be is of interest whatever its certificate says.
    pub(super) listed: bool,
}

impl Target {
    /// Whom a hint names.
    pub(super) fn of(hint: Hint) -> Self {
        let addresses = dialled(&hint);
        Self { peer: hint.peer(), addresses, hint: Some(hint), listed: false }
    }

    /// Whom a multiaddr with `/p2p/…` at its end names.
    pub(super) fn at(address: &Multiaddr) -> Option<Self> {
        let Some(Protocol::P2p(peer)) = address.iter().last() else { return None };
        Some(Self { peer: overlay_peer(&peer)?, addresses: vec![address.clone()], hint: None, listed: false })
    }
}

/// TCP first: who is not there says so at once.
fn dialled(hint: &Hint) -> Vec<Multiaddr> {
    let over = |transport| hint.addresses.iter().map(move |address| multiaddr(address, transport));
    over(Transport::Tcp).chain(over(Transport::Quic)).collect()
}

/// What a superpeer said of itself, and how long it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reached {
    /// Shortest time between something said and its answer.
    pub(super) round_trip: Duration,
    /// Its software.
    pub(super) agent: String,
    /// 0–255 of the children that it takes.
    pub(super) load: u8,
    /// How many children it has, if it tells.
    pub(super) children: Option<u32>,
    /// Its own hint.
    pub(super) hint: Hint,
}

/// Why a superpeer was not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Its host answers, and nobody listens there.
    Refused,
    /// Nothing came in time, or not what it should be.
    Silent,
    /// Somebody else is at its address.
    Replaced,
    /// No address of it is known that may be dialled.
    NoAddress,
    /// It is there, and no superpeer any more.
    Demoted,
}

impl Failure {
    /// As it is written down.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Replaced => "replaced",
            Self::NoAddress => "no_address",
            Self::Demoted => "demoted",
        }
    }
}

/// A visit that has ended.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    /// Whom.
    pub(super) peer: PeerId,
    /// When it ended.
    pub(super) at: Unix,
    /// How.
    pub(super) result: Result<Reached, Failure>,
}

/// An answer about a teller's own surroundings.
#[derive(Debug, Clone)]
pub(super) struct Around {
    /// The teller's place.
    pub(super) place: Key,
    /// Places of the others that it named, with certificates that verify.
    pub(super) named: Vec<Key>,
}

/// What a walk has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Every superpeer that was visited.
    pub(super) visits: Vec<Visit>,
    /// Each teller's surroundings.
    pub(super) around: Vec<Around>,
    /// All of the key space has been told of, and everybody who was named was visited.
    pub(super) complete: bool,
    /// Hints that did not verify.
    pub(super) bad_hints: u64,
    /// Superpeers beyond the bound, which were not looked at.
    pub(super) overlooked: u64,
}

/// How many questions each superpeer was asked in the hour.
#[derive(Debug, Default)]
pub(super) struct Questions(BTreeMap<PeerId, (u64, u32)>);

impl Questions {
    /// Whether one more may be asked; then it is counted.
    fn take(&mut self, peer: &PeerId, now: Unix) -> bool {
        let hour = now.as_secs() / 3_600;
        let (of, asked) = self.0.entry(*peer).or_insert((hour, 0));
        if *of != hour {
            (*of, *asked) = (hour, 0);
        }
        *asked += 1;
        *asked <= QUESTIONS_PER_HOUR_MAX
    }

    /// Forgets those of earlier hours.
    fn sweep(&mut self, now: Unix) {
        self.0.retain(|_, (hour, _)| *hour == now.as_secs() / 3_600);
    }
}

/// What to do next on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask who is closest to this key.
    Ask(Key),
    /// Say no more.
    Close,
}

#[derive(Debug)]
struct Met {
    /// Where to dial it yet, in order.
    untried: Vec<Multiaddr>,
    /// Where it was dialled.
    tried: Vec<Multiaddr>,
    /// Who told of these.
    tellers: Vec<PeerId>,
    /// Verified in this walk.
    hint: Option<Hint>,
    listed: bool,
    /// In the list of those to be visited, or being visited.
    due: bool,
    reached: Option<Reached>,
    failed: Option<(Unix, Failure)>,
    /// The part of the key space that it is to be asked about, if not its own.
    gap: Option<Key>,
    /// It did not answer about such a part.
    deaf: bool,
    at: Unix,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Walk {
    network: Network,
    chains: ChainCache,
    known: BTreeMap<PeerId, Met>,
    waiting: VecDeque<PeerId>,
    under_way: usize,
    covered: Covered,
    /// What those named who say that they know all.
    whole: Vec<BTreeSet<Key>>,
    gap_questions: usize,
    /// Whether more than a greeting is wanted.
    asks: bool,
    lab: bool,
    questions: Questions,
    found: Found,
}

impl Walk {
    /// A walk that begins with these.
    pub(super) fn new(
        network: &Network,
        start: impl IntoIterator<Item = Target>,
        questions: Questions,
        now: Unix,
    ) -> Self {
        let mut walk = Self {
            network: network.clone(),
            chains: ChainCache::default(),
            known: BTreeMap::new(),
            waiting: VecDeque::new(),
            under_way: 0,
            covered: Covered::default(),
            whole: Vec::new(),
            gap_questions: 0,
            asks: true,
            lab: network.limits == callbook_overlay::network::Limits::Lab,
            questions,
            found: Found::default(),
        };
        walk.questions.sweep(now);
        for mut target in start {
            target.hint = target.hint.filter(|hint| walk.verifies(hint, now));
            walk.meet(target, None, now);
        }
        walk
    }

    /// Visits to these alone: nobody is asked about others.
    pub(super) fn visits(
        network: &Network,
        targets: impl IntoIterator<Item = Target>,
        questions: Questions,
        now: Unix,
    ) -> Self {
        Self { asks: false, ..Self::new(network, targets, questions, now) }
    }

    /// Whom to dial now, with the addresses to try; `None` while that depends on others, or at the end.
    pub(super) fn next(&mut self, now: Unix) -> Option<(PeerId, Vec<Multiaddr>)> {
        loop {
            let peer = match self.waiting.pop_front() {
                Some(peer) => peer,
                None if self.under_way == 0 && self.asks => self.fill_gap(now)?,
                None => return None,
            };
            let Some(met) = self.known.get_mut(&peer) else { continue };
            let addresses = match met.reached {
                // One of them led to it.
                Some(_) => met.tried.clone(),
                None => std::mem::take(&mut met.untried),
            };
            if addresses.is_empty() {
                met.due = false;
                met.failed = Some((now, Failure::NoAddress));
                continue;
            }
            if met.reached.is_none() {
                met.tried.extend_from_slice(&addresses);
            }
            self.under_way += 1;
            return Some((peer, addresses));
        }
    }

    /// Whether nothing is left to do.
    pub(super) fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.under_way == 0
    }

    /// Whether somebody could be dialled now.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The other side has greeted.
    pub(super) fn greeted(&mut self, peer: &PeerId, open: &Open, took: Duration, now: Unix) -> Step {
        let own = open.hint.as_ref().filter(|hint| hint.peer() == *peer);
        let Some(hint) = own.filter(|hint| self.verifies(hint, now)).cloned() else {
            self.ended(peer, Some(Failure::Demoted), now);
            return Step::Close;
        };
        let place = hint.certificate.node_id(&self.network.id);
        let Some(met) = self.known.get_mut(peer) else { return Step::Close };
        let mut agent = open.agent.clone();
        let end = (0..=AGENT_BYTES_MAX.min(agent.len())).rev().find(|at| agent.is_char_boundary(*at));
        agent.truncate(end.unwrap_or(0));
        // More than any superpeer takes is a lie, and tells nothing.
        let children = open.counted().filter(|count| *count as usize <= CHILDREN_MOST);
        let load = open.load;
        met.reached = Some(Reached { round_trip: took, agent, load, children, hint: hint.clone() });
        (met.at, met.failed, met.hint) = (now, None, Some(hint));
        let key = met.gap.unwrap_or(place);
        if self.asks && (self.lab || self.questions.take(peer, now)) {
            return Step::Ask(key);
        }
        self.ended(peer, None, now);
        Step::Close
    }

    /// It has answered about `key`.
    pub(super) fn answered(
        &mut self,
        peer: &PeerId,
        key: &Key,
        hints: &Hints,
        (took, now): (Duration, Unix),
    ) -> Step {
        let mut gap = false;
        let place = self.known.get_mut(peer).and_then(|met| {
            gap = met.gap.take().is_some();
            let reached = met.reached.as_mut()?;
            reached.round_trip = reached.round_trip.min(took);
            Some(reached.hint.certificate.node_id(&self.network.id))
        });
        let mut named = BTreeSet::new();
        for hint in hints.hints.iter().take(HINTS_PER_ANSWER_MAX) {
            if !self.verifies(hint, now) {
                self.found.bad_hints += 1;
                continue;
            }
            // What one teller says of a peer counts once.
            if hint.peer() != *peer && named.insert(hint.certificate.node_id(&self.network.id)) {
                self.meet(Target::of(hint.clone()), Some(*peer), now);
            }
        }
        match hints.shared {
            Some(shared) => self.covered.add(key, (usize::from(shared) + 1).min(256)),
            None if self.are_few() => {
                self.whole.extend(place.map(|place| named.iter().copied().chain([place]).collect()));
            }
            None => {}
        }
        if gap
            && self.gap() == Some(*key)
            && let Some(met) = self.known.get_mut(peer)
        {
            met.deaf = true;
        }
        if let Some(place) = place.filter(|place| place == key) {
            self.found.around.push(Around { place, named: named.into_iter().collect() });
            if hints.shared.is_some() && (self.lab || self.questions.take(peer, now)) {
                return Step::Ask(self.far_from(&place));
            }
        }
        self.ended(peer, None, now);
        Step::Close
    }

    /// A key in one of the buckets of a place: another one for each teller, as deep as the network may be.
    fn far_from(&self, place: &Key) -> Key {
        let depth = self.known.len().ilog2() as usize + 1;
        let bit = self.found.around.len() % depth;
        let mut bytes = *place.as_bytes();
        bytes[bit / 8] ^= 0x80 >> (bit % 8);
        Key::from_bytes(bytes)
    }

    /// The visit has come to nothing, or its question to no answer.
    pub(super) fn failed(&mut self, peer: &PeerId, failure: Failure, now: Unix) {
        self.ended(peer, Some(failure), now);
    }

    /// What was found, and how often everybody was asked.
    pub(super) fn finish(mut self) -> (Found, Questions) {
        self.found.complete =
            self.is_over() && self.found.overlooked == 0 && (!self.asks || self.gap().is_none());
        for (peer, met) in self.known {
            // Only a certificate makes a superpeer.
            let result = match (met.reached, met.failed) {
                (Some(reached), _) => Ok(reached),
                (None, Some((at, failure))) if met.listed || met.hint.is_some() => {
                    self.found.visits.push(Visit { peer, at, result: Err(failure) });
                    continue;
                }
                (None, _) => continue,
            };
            self.found.visits.push(Visit { peer, at: met.at, result });
        }
        (self.found, self.questions)
    }

    fn verifies(&mut self, hint: &Hint, now: Unix) -> bool {
        let same = |met: &Met| {
            met.hint.as_ref().is_some_and(|known| known.certificate.bytes() == hint.certificate.bytes())
        };
        // What was verified in this walk need not be again.
        self.known.get(&hint.peer()).is_some_and(same)
            || hint.certificate.verify_cached(&self.network, now, &mut self.chains, &Strict).is_ok()
    }

    /// Somebody is named: to be visited, unless it was; and to be tried again at an address that is new. A teller is
    /// believed about a peer's addresses once, so that one liar leaves room for what others tell.
    fn meet(&mut self, target: Target, teller: Option<PeerId>, now: Unix) {
        let Target { peer, addresses, hint, listed } = target;
        if !self.known.contains_key(&peer) {
            if self.known.len() >= SUPERPEERS_MAX {
                self.found.overlooked += 1;
                return;
            }
            let met = Met {
                untried: Vec::new(),
                tried: Vec::new(),
                tellers: Vec::new(),
                hint: None,
                listed: false,
                due: true,
                reached: None,
                failed: None,
                gap: None,
                deaf: false,
                at: now,
            };
            self.known.insert(peer, met);
            self.waiting.push_back(peer);
        }
        let global = self.network.scope == Scope::Global;
        let Some(met) = self.known.get_mut(&peer) else { return };
        met.listed |= listed;
        let has_told = teller.is_some_and(|teller| met.tellers.contains(&teller));
        let fresh: Vec<Multiaddr> = addresses
            .into_iter()
            .filter(|_| !has_told)
            .map(without_peer)
            .filter(|address| !met.untried.contains(address) && !met.tried.contains(address))
            .filter(|address| !global || may_be_global(address))
            .take((2 * ADDRESSES_MAX).saturating_sub(met.untried.len() + met.tried.len()))
            .collect();
        let newer = |known: &Hint, hint: &Hint| known.certificate.not_after < hint.certificate.not_after;
        if let Some(hint) = hint
            && met.hint.as_ref().is_none_or(|known| newer(known, &hint))
        {
            met.hint = Some(hint);
        }
        if !fresh.is_empty() {
            met.tellers.extend(teller);
        }
        let again = !fresh.is_empty() && met.reached.is_none() && !met.due;
        met.untried.extend(fresh);
        if again {
            met.due = true;
            self.waiting.push_back(peer);
        }
    }

    fn ended(&mut self, peer: &PeerId, failure: Option<Failure>, now: Unix) {
        let Some(met) = self.known.get_mut(peer).filter(|met| met.due) else { return };
        met.due = false;
        met.deaf |= met.gap.take().is_some();
        self.under_way -= 1;
        if let Some(failure) = failure
            && met.reached.is_none()
        {
            met.failed = Some((now, failure));
        }
    }

    /// The first key of which nobody has told. Who says to know all there is, is believed if nobody else was
    /// reached: one that has just started knows few, and thinks that these are all.
    fn gap(&self) -> Option<Key> {
        let reached = || self.known.values().filter_map(|met| met.reached.as_ref());
        let place = |reached: &Reached| reached.hint.certificate.node_id(&self.network.id);
        let told = |whole: &BTreeSet<Key>| reached().all(|reached| whole.contains(&place(reached)));
        if self.whole.iter().any(told) { None } else { self.covered.gap() }
    }

    /// Whether one answer may name everybody.
    fn are_few(&self) -> bool {
        let reached = self.known.values().filter(|met| met.reached.is_some());
        reached.take(HINTS_PER_ANSWER_MAX + 2).count() <= HINTS_PER_ANSWER_MAX + 1
    }

    /// Has the superpeer that is nearest to a part that nobody told of visited once more.
    fn fill_gap(&mut self, now: Unix) -> Option<PeerId> {
        let gap = self.gap().filter(|_| self.gap_questions < GAP_QUESTIONS_MAX)?;
        let id = self.network.id;
        let heard = self.known.iter().filter(|(_, met)| !met.deaf);
        let reached = heard.filter_map(|(peer, met)| Some((peer, met.reached.as_ref()?)));
        let distance = |hint: &Hint| hint.certificate.node_id(&id).distance(&gap);
        let (nearest, _) = reached.min_by_key(|(_, reached)| distance(&reached.hint))?;
        let nearest = *nearest;
        self.gap_questions += 1;
        let met = self.known.get_mut(&nearest)?;
        (met.due, met.gap, met.at) = (true, Some(gap), now);
        Some(nearest)
    }
}

fn without_peer(address: Multiaddr) -> Multiaddr {
    address.into_iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect()
}

/// Whether an address may be dialled on a network of the whole internet.
fn may_be_global(address: &Multiaddr) -> bool {
    let Some((address, _)) = callbook_net::address_of(address) else {
        // A name, from the signed network file.
        return true;
    };
    callbook_overlay::is_global(address.ip)
}

#[cfg(test)]
mod tests;
