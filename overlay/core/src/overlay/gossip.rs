//! Gossip: what superpeers tell each other of third ones, on hellos and within a byte budget.
//!
//! Three things travel, in this order: *statements* that superpeers signed about themselves (leaving,
//! alive), *suspects* that failed somebody, and *news*, superpeers that have entered the map and have
//! been heard of from themselves or as somebody's news. Each goes to a few neighbours, to each once, and to none of those
//! who told it; who learns something by it passes it on. Suspects and news are only named: who does not know a
//! superpeer that is news asks for it, and if it had been lost for its word that it lives. What does not fit into the budget waits; when too much waits, of
//! statements and suspects the oldest makes room, of news the one that is farthest from us.
//!
//! Source: Gupta et al., *One Hop Lookups* (paper), without its hierarchy; SWIM §4 (paper) for suspects;
//! times and budget DESIGN §4. *Not here*: what is believed (`rumours`).

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use super::Overlay;
use super::budget::Budget;
use super::requests::{Outcome, Purpose};
use super::returns::Returns;
use crate::key::{Distance, PeerId};
use crate::limits::{
    BRIEF_BYTES, GOSSIP_BURST_BYTES, GOSSIP_BYTES_PER_SEC, GOSSIP_PAUSE, GOSSIP_STREAMS, GOSSIP_STRETCH,
    NEWS_MAX, NEWS_PER_HELLO_MAX, NEWS_TIMES, REQUEST_TIMEOUT, RUMOURS_MAX, STATEMENT_BYTES,
    STATEMENT_LIFE_SECS, STATEMENTS_PER_HELLO_MAX, SUSPECTS_PER_HELLO_MAX, TOLD_MAX,
};
use crate::time::Instant;
use crate::wire::{Brief, Briefs, Message, Named, Statement, Who};

/// What one hello carries.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) statements: Vec<Statement>,
    pub(super) suspects: Vec<Brief>,
    pub(super) news: Vec<Brief>,
}

#[derive(Debug)]
pub(super) struct Gossip {
    statements: Queue<Statement>,
    suspects: Queue<PeerId>,
    news: Queue<News>,
    /// Linked superpeers that somebody else suspects: they are told so, since they can deny it.
    accused: BTreeSet<PeerId>,
    /// The words of superpeers that have started lately, for those who ask.
    alive: BTreeMap<PeerId, Statement>,
    /// What was asked for, of whom, and when.
    asked: BTreeMap<Brief, (PeerId, Instant)>,
    /// Who of those that are gone is back, by the word of one.
    pub(super) returns: Returns,
    budget: Budget,
    /// When something was told last.
    told: Option<Instant>,
}

/// A superpeer that is new, and how far it is from us.
#[derive(Debug, Clone, Copy)]
struct News {
    peer: PeerId,
    distance: Distance,
}

/// Things to tell.
#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<Waiting<T>>,
    max: usize,
}

/// One thing to tell.
#[derive(Debug)]
struct Waiting<T> {
    thing: T,
    /// Who knows it, as far as we know: those we have told it, and at most [`TOLD_MAX`] that told us.
    known_to: Vec<PeerId>,
    /// How many of them count: after [`NEWS_TIMES`] it is over.
    times: u8,
}

impl<T> Waiting<T> {
    const fn new(thing: T) -> Self {
        Self { thing, known_to: Vec::new(), times: 0 }
    }

    /// One more knows it; whether that is new.
    fn mark_known(&mut self, peer: PeerId) -> bool {
        let new = !self.known_to.contains(&peer);
        if new {
            self.known_to.push(peer);
        }
        new
    }
}

impl<T: Clone> Queue<T> {
    const fn new(max: usize) -> Self {
        Self { waiting: VecDeque::new(), max }
    }

    fn add(&mut self, thing: T) {
        self.waiting.push_back(Waiting::new(thing));
        if self.waiting.len() > self.max {
            self.waiting.pop_front();
        }
    }

    /// The first that `to` does not know and that `fits`.
    fn next(&self, to: &PeerId, fits: impl Fn(&T) -> bool) -> Option<(usize, T)> {
        let mut open = self.waiting.iter().enumerate();
        let found = open.find(|(_, waiting)| !waiting.known_to.contains(to) && fits(&waiting.thing));
        found.map(|(index, waiting)| (index, waiting.thing.clone()))
    }

    /// The one at `index` is known to one more; after enough of them it is over.
    fn told(&mut self, index: usize, to: PeerId) {
        if let Some(mut told) = self.waiting.remove(index) {
            told.times += u8::from(told.mark_known(to));
            if told.times < NEWS_TIMES {
                self.waiting.push_back(told);
            }
        }
    }
}

impl Gossip {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            statements: Queue::new(RUMOURS_MAX),
            suspects: Queue::new(RUMOURS_MAX),
            news: Queue::new(NEWS_MAX),
            accused: BTreeSet::new(),
            alive: BTreeMap::new(),
            asked: BTreeMap::new(),
            returns: Returns::default(),
            budget: Budget::full(GOSSIP_BYTES_PER_SEC, GOSSIP_BURST_BYTES, now),
            told: None,
        }
    }

    /// A superpeer has entered the map. Whether the farthest had to make room.
    fn tell(&mut self, peer: PeerId, distance: Distance) -> bool {
        let waiting = &mut self.news.waiting;
        waiting.retain(|waiting| waiting.thing.peer != peer);
        waiting.push_back(Waiting::new(News { peer, distance }));
        if waiting.len() <= NEWS_MAX {
            return false;
        }
        let farthest = waiting.iter().enumerate().max_by_key(|(_, waiting)| waiting.thing.distance);
        farthest.map(|(index, _)| index).and_then(|index| waiting.remove(index)).is_some()
    }

    /// A superpeer has stated something about itself; older statements of it are over.
    pub(super) fn state(&mut self, statement: Statement) {
        self.statements.waiting.retain(|waiting| waiting.thing.peer != statement.peer);
        self.statements.add(statement);
    }

    /// `teller` knows a statement itself. It is told to no fewer for that: a goodbye begins with all who had a link to the
    /// leaver, who hear it of one another before those that had none.
    pub(super) fn states_too(&mut self, teller: &PeerId, statement: &Statement) {
        let mut waiting = self.statements.waiting.iter_mut();
        let same = waiting.find(|waiting| waiting.thing == *statement);
        if let Some(same) = same.filter(|same| same.known_to.len() < TOLD_MAX) {
            same.mark_known(*teller);
        }
    }

    /// A superpeer is back by its own word: that it left is over.
    pub(super) fn stays(&mut self, peer: &PeerId) {
        self.statements.waiting.retain(|waiting| waiting.thing.peer != *peer || waiting.thing.alive);
    }

    /// A superpeer has failed us.
    pub(super) fn suspect(&mut self, peer: PeerId) {
        self.suspects.waiting.retain(|waiting| waiting.thing != peer);
        self.suspects.add(peer);
    }

    /// A superpeer that has started lately says that it lives.
    pub(super) fn lives(&mut self, statement: Statement) {
        self.alive.insert(statement.peer, statement);
        if self.alive.len() > RUMOURS_MAX
            && let Some(oldest) = self.alive.values().min_by_key(|statement| statement.unix_time)
        {
            let oldest = oldest.peer;
            self.alive.remove(&oldest);
        }
    }

    /// `teller` knows the news of a superpeer itself.
    pub(super) fn knows(&mut self, teller: &PeerId, peer: &PeerId) {
        if let Some(index) = self.news.waiting.iter().position(|waiting| waiting.thing.peer == *peer) {
            self.news.told(index, *teller);
        }
    }

    /// And that it is suspected.
    pub(super) fn suspects_too(&mut self, teller: &PeerId, peer: &PeerId) {
        if let Some(index) = self.suspects.waiting.iter().position(|waiting| waiting.thing == *peer) {
            self.suspects.told(index, *teller);
        }
    }

    /// Whether a name is to be asked for: not if it has been just now.
    fn asks(&mut self, brief: Brief, (teller, now): (PeerId, Instant)) -> bool {
        self.asked.retain(|_, (_, at)| now.since(*at) < REQUEST_TIMEOUT);
        let of_it = self.asked.values().filter(|(asked, _)| *asked == teller).count();
        let room = self.asked.len() < RUMOURS_MAX && of_it < NEWS_PER_HELLO_MAX;
        let asks = room && !self.asked.contains_key(&brief);
        if asks {
            self.asked.insert(brief, (teller, now));
        }
        asks
    }

    /// A superpeer lives after all.
    pub(super) fn acquit(&mut self, peer: &PeerId) {
        self.suspects.waiting.retain(|waiting| waiting.thing != *peer);
    }

    /// A superpeer that was to hear that it is suspected has no link any more.
    pub(super) fn accused_no_more(&mut self, peer: &PeerId) {
        self.accused.remove(peer);
    }

    /// Somebody suspects a superpeer that we have a link to.
    pub(super) fn accuse(&mut self, peer: PeerId) {
        if self.accused.len() < RUMOURS_MAX {
            self.accused.insert(peer);
        }
    }

    /// Whether there is anything to tell anybody.
    pub(super) fn has_any(&self) -> bool {
        let told = self.statements.waiting.is_empty() && self.suspects.waiting.is_empty();
        !(told && self.news.waiting.is_empty() && self.accused.is_empty())
    }

    /// Those that are to hear that they are suspected.
    pub(super) fn accused(&self) -> Vec<PeerId> {
        self.accused.iter().copied().collect()
    }

    /// For how long no hello goes out only for gossip: something was told within `pause`, and there will be others.
    pub(super) fn pause(&self, pause: Duration, now: Instant) -> Duration {
        self.told.map_or(Duration::ZERO, |told| pause.saturating_sub(now.since(told)))
    }

    /// Whether there is something to tell `to`.
    pub(super) fn has_for(&self, to: &PeerId) -> bool {
        self.accused.contains(to)
            || self.statements.next(to, |statement| is_for(statement, to)).is_some()
            || self.suspects.next(to, |_| true).is_some()
            || self.news.next(to, |news| news.peer != *to).is_some()
    }
}

/// Nobody is told that it lives itself; that it left, it may want to deny.
fn is_for(statement: &Statement, to: &PeerId) -> bool {
    statement.peer != *to || !statement.alive
}

impl Overlay {
    /// How long nothing goes out only for news after something has: the longer we have been there, and the more streams
    /// we keep, the more can wait for hellos that go anyway.
    pub(super) fn gossip_pause(&self) -> Duration {
        let age = self.now.instant.since(self.surveys.joined);
        let streams = u32::try_from(self.streams.chosen.len() / GOSSIP_STREAMS).unwrap_or(u32::MAX);
        (age / GOSSIP_STRETCH).clamp(GOSSIP_PAUSE, GOSSIP_PAUSE * streams.max(1))
    }

    /// What a superpeer is told now: as much as a hello and the budget hold.
    pub(super) fn gossip_for(&mut self, to: &PeerId) -> Told {
        let mut told = Told::default();
        if self.gossip.accused.remove(to) {
            told.suspects.push(Brief::of(to));
        }
        self.tell_statements(to, &mut told);
        self.tell_suspects(to, &mut told);
        self.tell_news(to, &mut told);
        if !(told.statements.is_empty() && told.suspects.is_empty() && told.news.is_empty()) {
            self.gossip.told = Some(self.now.instant);
        }
        told
    }

    /// Superpeers are named as news: those that we don't know, or have lost, are asked for.
    pub(super) fn news_heard(&mut self, teller: PeerId, news: &Briefs) {
        let (now, mut of, mut back) = (self.now.instant, Vec::new(), Vec::new());
        for brief in news.0.iter().take(NEWS_PER_HELLO_MAX) {
            if let Some(peer) = self.map.named(brief) {
                self.map.named_by_another(&peer);
                self.gossip.knows(&teller, &peer);
            } else if let Some(peer) = self.map.named_gone(brief) {
                let asks = self.map.may_try(&peer, now) && !self.return_told(teller, peer);
                // What our disk said of it may not hold any more.
                if self.map.is_gone(&peer) { &mut back } else { &mut of }.extend(asks.then_some(*brief));
            } else if *brief != Brief::of(&self.me) {
                of.push(*brief);
            }
        }
        self.ask_who(teller, Who { of: Briefs(of), back: Briefs(back) });
    }

    /// Asks somebody for superpeers, but for those that were asked for just now.
    pub(super) fn ask_who(&mut self, teller: PeerId, mut who: Who) {
        let now = self.now.instant;
        for briefs in [&mut who.of, &mut who.back] {
            briefs.0.retain(|brief| self.gossip.asks(*brief, (teller, now)));
        }
        if !(who.of.is_empty() && who.back.is_empty()) && self.links.to(&teller).is_some() {
            self.ask(teller, Message::Who(who), Purpose::Who, REQUEST_TIMEOUT);
        }
    }

    /// Those of them that are in our map; of one that the asker remembers what it has said itself will do.
    pub(super) fn serve_who(&self, who: &Who) -> Message {
        let oldest = self.now.unix.as_secs().saturating_sub(STATEMENT_LIFE_SECS);
        let asked = who.of.0.iter().map(|brief| (brief, false));
        let asked: BTreeMap<&Brief, bool> =
            asked.chain(who.back.0.iter().map(|brief| (brief, true))).take(NEWS_PER_HELLO_MAX).collect();
        let mut named = Named { hints: Vec::new(), statements: Vec::new() };
        for (brief, remembered) in asked {
            let contact = self.map.named(brief).and_then(|peer| self.map.contact(&peer));
            let Some(contact) = contact else { continue };
            // Who has never heard of it needs no word of its own.
            let alive = self.gossip.alive.get(&contact.peer()).filter(|_| remembered);
            let alive = alive.filter(|statement| statement.unix_time >= oldest).cloned();
            // Where we listen ourselves nobody knows better; and who leaves is none any more.
            let hint = if contact.peer() == self.me { self.own_hint() } else { Some(contact.hint().clone()) };
            named.hints.extend(hint.filter(|_| alive.is_none()));
            named.statements.extend(alive);
        }
        Message::Named(named)
    }

    pub(super) fn who_heard(&mut self, teller: PeerId, outcome: Outcome) {
        let (Outcome::Answer(Message::Named(named)), true) = (outcome, self.is_superpeer()) else { return };
        // Who was lost is back by its own word.
        let statements = named.statements.iter().take(NEWS_PER_HELLO_MAX);
        for statement in statements.filter(|statement| statement.alive) {
            self.alive_heard(teller, statement);
        }
        let hints = &named.hints[..named.hints.len().min(NEWS_PER_HELLO_MAX)];
        if let Some(link) = self.links.to(&teller) {
            self.hints_heard(link, teller, hints);
        }
        hints.iter().for_each(|hint| self.gossip.knows(&teller, &hint.peer()));
    }

    /// A superpeer has entered the map: others have to know.
    pub(super) fn tell_of(&mut self, peer: PeerId) {
        let places = self.map.contact(&self.me).zip(self.map.contact(&peer));
        if let Some(distance) = places.map(|(own, other)| own.id().distance(&other.id())) {
            self.counters.news_dropped += u64::from(self.gossip.tell(peer, distance));
        }
    }

    fn tell_statements(&mut self, to: &PeerId, told: &mut Told) {
        let oldest = self.now.unix.as_secs().saturating_sub(STATEMENT_LIFE_SECS);
        let gossip = &mut self.gossip;
        gossip.statements.waiting.retain(|waiting| waiting.thing.unix_time >= oldest);
        while told.statements.len() < STATEMENTS_PER_HELLO_MAX
            && let Some((index, statement)) = gossip.statements.next(to, |statement| is_for(statement, to))
            && gossip.budget.spend(STATEMENT_BYTES, self.now.instant)
        {
            gossip.statements.told(index, *to);
            told.statements.push(statement);
        }
    }

    fn tell_suspects(&mut self, to: &PeerId, told: &mut Told) {
        let gossip = &mut self.gossip;
        while told.suspects.len() < SUSPECTS_PER_HELLO_MAX
            && let Some((index, peer)) = gossip.suspects.next(to, |_| true)
            && gossip.budget.spend(BRIEF_BYTES, self.now.instant)
        {
            gossip.suspects.told(index, *to);
            told.suspects.push(Brief::of(&peer));
        }
    }

    fn tell_news(&mut self, to: &PeerId, told: &mut Told) {
        while told.news.len() < NEWS_PER_HELLO_MAX
            && let Some((index, news)) = self.gossip.news.next(to, |news| news.peer != *to)
        {
            if self.map.contact(&news.peer).is_none() {
                // It has failed us since.
                self.gossip.news.waiting.remove(index);
                continue;
            }
            if !self.gossip.budget.spend(BRIEF_BYTES, self.now.instant) {
                break;
            }
            self.gossip.news.told(index, *to);
            told.news.push(Brief::of(&news.peer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Distance, Gossip, Instant, PeerId, STATEMENT_BYTES, Statement};
    use crate::key::Key;
    use crate::limits::{NEWS_MAX, NEWS_TIMES, TOLD_MAX};

    fn peer(number: usize) -> PeerId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        PeerId::from_bytes(bytes)
    }

    fn far(number: usize) -> Distance {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Key::from_bytes(bytes).distance(&Key::from_bytes([0; 32]))
    }

    #[test]
    fn news_are_told_to_so_many_and_to_each_once_and_never_to_whom_they_are_about() {
        // Tell of one peer, then take its news for many until there are none.
        let mut gossip = Gossip::new(Instant::default());
        gossip.tell(peer(1), far(1));
        assert!(!gossip.has_for(&peer(1)));
        for number in 2..2 + usize::from(NEWS_TIMES) {
            let to = peer(number);
            let (index, about) = gossip.news.next(&to, |news| news.peer != to).expect("still news");
            assert_eq!(about.peer, peer(1));
            gossip.news.told(index, to);
            assert!(!gossip.has_for(&to));
        }
        assert!(gossip.news.waiting.is_empty());
    }

    #[test]
    fn news_are_bounded_and_each_peer_is_among_them_once_and_the_farthest_goes_first() {
        // Tell of more peers than fit, of each twice, far ones and near ones by turns.
        let mut gossip = Gossip::new(Instant::default());
        let mut dropped = 0;
        for number in 0..2 * NEWS_MAX {
            let distance = if number % 2 == 0 { number } else { 10 * NEWS_MAX + number };
            dropped += usize::from(gossip.tell(peer(number), far(distance)));
            dropped += usize::from(gossip.tell(peer(number), far(distance)));
        }
        assert_eq!(gossip.news.waiting.len(), NEWS_MAX);
        let near =
            |number: usize| gossip.news.waiting.iter().any(|waiting| waiting.thing.peer == peer(number));
        assert!((0..NEWS_MAX).all(|number| near(2 * number)), "the far ones have gone");
        assert!(dropped >= NEWS_MAX);
    }

    #[test]
    fn who_tells_a_statement_is_not_told_it_and_as_many_others_are_told_all_the_same() {
        // More tell it than are noted, the first of them another one too; then others are told until it is over. At last it
        // is taken back by who said it.
        let mut gossip = Gossip::new(Instant::default());
        let statement = |number: usize, alive: bool| {
            let (peer, signature) = (peer(number), [0; 64]);
            Statement { peer, unix_time: 1_800_000_000, alive, signature }
        };
        let goodbye = statement(1, false);
        gossip.state(goodbye.clone());
        gossip.states_too(&peer(10), &statement(2, false));
        assert!(gossip.has_for(&peer(10)));
        (10..11 + TOLD_MAX).for_each(|number| gossip.states_too(&peer(number), &goodbye));
        assert_eq!(gossip.statements.waiting[0].known_to.len(), TOLD_MAX);
        assert!(!gossip.has_for(&peer(10)) && gossip.has_for(&peer(10 + TOLD_MAX)));
        let told = (0..).take_while(|number| {
            let to = peer(1_000 + number);
            let found = gossip.statements.next(&to, |_| true);
            found.is_some_and(|(index, _)| {
                gossip.statements.told(index, to);
                assert!(!gossip.has_for(&to), "to each once");
                true
            })
        });
        assert_eq!(told.count(), usize::from(NEWS_TIMES));
        for alive in [false, true] {
            gossip.state(statement(1, alive));
            gossip.stays(&peer(1));
            assert_eq!(gossip.has_any(), alive);
        }
    }

    #[test]
    fn of_two_statements_of_a_peer_the_newer_is_told_and_its_size_is_right() {
        // State twice; encode what is left.
        let mut gossip = Gossip::new(Instant::default());
        for unix_time in [1_800_000_000, 1_800_000_001] {
            gossip.state(Statement { peer: peer(1), unix_time, alive: true, signature: [255; 64] });
        }
        let (_, statement) = gossip.statements.next(&peer(2), |_| true).expect("something to tell");
        assert_eq!((statement.unix_time, gossip.statements.waiting.len()), (1_800_000_001, 1));
        assert_eq!(minicbor::to_vec(&statement).expect("it encodes").len() as u64, STATEMENT_BYTES);
    }
}
