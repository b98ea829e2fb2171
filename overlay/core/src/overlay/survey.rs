//! Surveys: learning the map of another superpeer, all of it.
//!
//! An answer to `Closest` names the superpeers nearest to a key. If the farthest of them shares `n` bits
//! with the key, nobody is missing among those that share more; what has to be asked for are the other
//! halves on the way down to there. So each answer finishes a part of the key space, about as many
//! requests are needed as answers it takes to name everybody, and two superpeers with one map are done
//! after the same few.
//!
//! A newcomer surveys its nearest two. One that comes back after we had lost it is surveyed as long as
//! it names somebody new: so two halves of a network tell each other whom they consist of. And once a
//! minute, and later more seldom, two are asked around a random key each, again as long as that finds anybody.
//!
//! Who has been here before has certificates from its last run: each question names some of them by three bytes each, and
//! the answer those of them that are there.
//!
//! *Not here*: range digests, which large networks need.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use rand_core::Rng;

use super::Overlay;
use super::requests::{Outcome, Purpose};
use crate::key::{Key, PeerId};
use crate::limits::{
    HINTS_PER_ANSWER_MAX, NEAR, REMEMBERED_ASKED, REQUEST_TIMEOUT, SURVEY_REQUESTS_MAX, SURVEY_TELLERS,
    SURVEYS_MAX,
};
use crate::map::Contact;
use crate::time::Instant;
use crate::wire::{Closest, Message};

/// A part of the key space: the keys that share the first `bits` bits with `key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    key: Key,
    bits: usize,
}

impl Part {
    /// What is left to ask for when the nearest to `key` are known down to `shared` bits: the other
    /// halves, the nearest last.
    fn rest(self, shared: usize) -> impl Iterator<Item = Self> {
        let halves = self.bits..(shared + 1).min(256);
        halves.map(move |bit| {
            let mut bytes = *self.key.as_bytes();
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            Self { key: Key::from_bytes(bytes), bits: bit + 1 }
        })
    }
}

#[derive(Debug)]
struct Survey {
    asked: Part,
    waiting: VecDeque<Part>,
    left: usize,
    /// Goes on only while it finds somebody.
    curious: bool,
}

impl Survey {
    /// What is left to ask for after an answer that reaches so far: no more than will be asked for.
    fn goes_on(&mut self, shared: Option<u8>) {
        let rest = shared.into_iter().flat_map(|shared| self.asked.rest(usize::from(shared)));
        self.waiting.extend(rest);
        self.waiting.truncate(self.left);
    }
}

#[derive(Debug, Default)]
pub(super) struct Surveys {
    of: BTreeMap<PeerId, Survey>,
    /// We have become a superpeer, and are to learn the map from so many more.
    tellers: usize,
    /// Who has been asked for it.
    told: Vec<PeerId>,
    /// When we became one, and when we looked for neighbours last; none if that is due.
    pub(super) joined: Instant,
    pub(super) sought: Option<Instant>,
}

impl Overlay {
    /// We have become a superpeer: the map is to be learnt.
    pub(super) fn survey_soon(&mut self) {
        (self.surveys.tellers, self.surveys.told) = (SURVEY_TELLERS, Vec::new());
    }

    /// A newcomer asks its nearest two, once it has links: one after the other, so that the second tells what the first
    /// did not.
    pub(super) fn survey_if_new(&mut self, own: &Key) {
        if self.surveys.tellers == 0
            || self.surveys.told.iter().any(|teller| self.surveys.of.contains_key(teller))
        {
            return;
        }
        let closest = self.map.closest(own, NEAR + 1);
        let peers = closest.iter().map(|contact| contact.peer()).filter(|peer| *peer != self.me);
        let mut linked =
            peers.filter(|peer| self.links.to(peer).is_some() && !self.surveys.told.contains(peer));
        let Some(teller) = linked.next() else { return };
        self.surveys.tellers -= 1;
        self.surveys.told.push(teller);
        self.survey(teller, *own, SURVEY_REQUESTS_MAX / SURVEY_TELLERS, false);
    }

    /// One that was gone is back: perhaps it knows others that we lost.
    pub(super) fn survey_again(&mut self, teller: PeerId) {
        if let Some(own) = self.map.contact(&self.me).map(|contact| contact.id()) {
            self.survey(teller, own, SURVEY_REQUESTS_MAX, true);
        }
    }

    /// Every now and then two that we have a link to, anywhere in the key space: what gossip lost.
    pub(super) fn survey_some(&mut self) {
        let linked = |contact: &&Contact| self.links.to(&contact.peer()).is_some();
        let mut tellers: Vec<PeerId> = self.map.iter().filter(linked).map(Contact::peer).collect();
        for _ in 0..SURVEY_TELLERS.min(tellers.len()) {
            let teller = tellers.swap_remove(self.pick(tellers.len()));
            let mut bytes = [0; 32];
            self.rng.fill_bytes(&mut bytes);
            self.survey(teller, Key::from_bytes(bytes), SURVEY_REQUESTS_MAX, true);
        }
    }

    fn survey(&mut self, teller: PeerId, own: Key, left: usize, curious: bool) {
        if self.surveys.of.len() < SURVEYS_MAX && !self.surveys.of.contains_key(&teller) {
            let waiting = VecDeque::from([Part { key: own, bits: 0 }]);
            self.ask_on(teller, Survey { asked: Part { key: own, bits: 0 }, waiting, left, curious });
        }
    }

    /// The next part, if there is one.
    fn ask_on(&mut self, teller: PeerId, mut survey: Survey) {
        let (Some(part), Some(left)) = (survey.waiting.pop_front(), survey.left.checked_sub(1)) else {
            return;
        };
        (survey.asked, survey.left) = (part, left);
        self.surveys.of.insert(teller, survey);
        let count = u8::try_from(HINTS_PER_ANSWER_MAX).unwrap_or(u8::MAX);
        let around = self.around(&part.key, HINTS_PER_ANSWER_MAX);
        let known = self.known_of(&part.key, &around);
        let remembered = self.remembered_around(&part.key, &around, REMEMBERED_ASKED);
        let closest = Message::Closest(Closest { key: part.key, count, known, remembered });
        self.ask(teller, closest, Purpose::Survey, REQUEST_TIMEOUT);
    }

    pub(super) fn survey_heard(&mut self, teller: PeerId, outcome: Outcome) {
        let Some(mut survey) = self.surveys.of.remove(&teller) else { return };
        let Outcome::Answer(Message::Hints(answer)) = outcome else { return };
        let hints: Vec<_> = answer.hints.into_iter().take(HINTS_PER_ANSWER_MAX).collect();
        let mut found = false;
        for hint in &hints {
            let known = self.map.contact(&hint.peer()).is_some() || hint.peer() == self.me;
            let gone = self.map.is_gone(&hint.peer());
            found |= !known && (self.learn_told(teller, hint).is_some() || gone);
        }
        let asked = (HINTS_PER_ANSWER_MAX, REMEMBERED_ASKED);
        found |= self.told_there(&survey.asked.key, asked, &answer.there);
        if survey.curious && !found {
            return;
        }
        survey.goes_on(answer.shared);
        self.ask_on(teller, survey);
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    use super::{HINTS_PER_ANSWER_MAX, Key, Part, SURVEY_REQUESTS_MAX, Survey, VecDeque};

    #[test]
    fn a_teller_of_endless_parts_fills_no_memory() {
        // Every answer says that it names nobody but who is at the key itself: 256 parts are left to ask for.
        let asked = Part { key: Key::from_bytes([7; 32]), bits: 0 };
        let mut survey =
            Survey { asked, waiting: VecDeque::new(), left: SURVEY_REQUESTS_MAX, curious: false };
        for left in (0..SURVEY_REQUESTS_MAX).rev() {
            survey.left = left;
            survey.goes_on(Some(u8::MAX));
            assert!(survey.waiting.len() <= left, "{} parts for {left} questions", survey.waiting.len());
            survey.waiting.pop_front();
        }
    }

    #[test]
    fn a_survey_names_everybody_and_asks_little() {
        // Run it over random sets of keys against a teller that sorts by distance.
        for count in [1, 19, 20, 21, 60, 300, 1_000_u32] {
            let place = |number: u32| Key::from_bytes(*blake3::hash(&number.to_be_bytes()).as_bytes());
            let all: Vec<Key> = (0..count).map(place).collect();
            let (mut named, mut requests) = (BTreeSet::new(), 0);
            let mut waiting = VecDeque::from([Part { key: place(0), bits: 0 }]);
            while let Some(part) = waiting.pop_front() {
                requests += 1;
                let mut answer = all.clone();
                answer.sort_by_key(|id| id.distance(&part.key));
                answer.truncate(HINTS_PER_ANSWER_MAX);
                named.extend(answer.iter().copied());
                let shared = |id: &Key| {
                    id.distance(&part.key).bucket().map_or(256, |bucket| 255 - usize::from(bucket))
                };
                if answer.len() == HINTS_PER_ANSWER_MAX
                    && let Some(fewest) = answer.iter().map(shared).min()
                {
                    waiting.extend(part.rest(fewest));
                }
            }
            assert_eq!(named.len(), all.len(), "of {count}");
            assert!(requests <= 4 + all.len() / 6, "{requests} requests for {count}");
        }
    }
}
