//! Surveys: learning the map of another superpeer, all of it or a part.
//!
//! ```text
//!  Survey a range, with a hash over whom we know there
//!    ├─ they know the same      ─▶ nothing
//!    ├─ they know few           ─▶ their marks ─▶ whom we don't know ─▶ Survey for these ─▶ hints
//!    └─ they know many          ─▶ a hash for each sixteenth ─▶ Survey those that differ …
//! ```
//! A newcomer surveys its nearest two: first it knows nobody and is told all, then hardly anything. Of whom it remembers
//! from its last run the mark will do. One that comes back after we had lost most of the others is asked for all, so those
//! cut off learn whom the rest consists of, and greet them; if we had lost few, around our own place, and
//! further and further from it as long as that finds somebody new. And once a minute, and later more seldom, two are asked
//! around a random key each, in the same way.
//!
//! Source: DESIGN §4, *Newcomers sync the map by range digests*. *Not here*: who is told of by others (`rumours`, `gossip`).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use rand_core::Rng;

use super::Overlay;
use super::requests::{Outcome, Purpose};
use crate::api::LinkId;
use crate::key::{Digest, Key, PeerId};
use crate::limits::{
    MARKS_MAX, NEAR, OFFERED_ITEM_WORK, REQUEST_TIMEOUT, SURVEY_REQUESTS_MAX, SURVEY_TELLERS,
    SURVEYED_AROUND, SURVEYED_HINTS, SURVEYS_MAX,
};
use crate::map::{Contact, Reach};
use crate::time::Instant;
use crate::wire::{Hint, Mark, Marks, Message, Parts, Range, Reason, Surveyed, beginning};

/// The whole key space.
const EVERYWHERE: Range = Range { prefix: Key::from_bytes([0; 32]), bits: 0 };

#[derive(Debug)]
struct Survey {
    /// The range in question, and those that come after it, the next one last.
    range: Range,
    ranges: Vec<Range>,
    /// Whom we don't know of those in the range, and for whom of them we have asked.
    wanted: Vec<Mark>,
    asked: BTreeSet<Mark>,
    left: usize,
    /// Where it has begun, and how many other ranges as large have come after that: one for each answer that told of somebody.
    first: Range,
    steps: u64,
}

impl Survey {
    fn of(range: Range) -> Self {
        let (ranges, wanted, asked) = (Vec::new(), Vec::new(), BTreeSet::new());
        Self { range, ranges, wanted, asked, left: SURVEY_REQUESTS_MAX, first: range, steps: 0 }
    }

    /// It has found somebody: the next range as large as the first one is asked for, until there is none. They are numbered
    /// by their distance from that.
    fn step(&mut self) {
        let Range { prefix, bits } = self.first;
        if (self.steps + 1).checked_ilog2().is_some_and(|log| log < u32::from(bits)) {
            self.steps += 1;
            self.ranges.push(Range::beginning(prefix.first() ^ self.steps << (64 - bits), bits));
        }
    }

    /// Those parts of the range of which the hashes differ come next: no more than will be asked for.
    fn descend(&mut self, theirs: &Parts, ours: &[Digest]) {
        let same = theirs.same(ours);
        let differ = self.range.parts().zip(0..).filter(|(_, part)| same >> part & 1 == 0);
        self.ranges.extend(differ.map(|(part, _)| part).filter(Range::is_valid));
        self.ranges.truncate(self.left);
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
        if self.survey(teller, EVERYWHERE) {
            self.surveys.tellers -= 1;
            self.surveys.told.push(teller);
        }
    }

    /// One that was gone is back: perhaps it knows others that we lost. `reach`: what was left to us without it.
    pub(super) fn survey_again(&mut self, teller: PeerId, reach: Reach) {
        if reach < Reach::Most {
            self.survey(teller, EVERYWHERE);
        } else if let Some(own) = self.place() {
            self.survey_around(teller, &own);
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
            self.survey_around(teller, &Key::from_bytes(bytes));
        }
    }

    fn survey_around(&mut self, teller: PeerId, key: &Key) {
        let bits =
            (self.map.len() / SURVEYED_AROUND).checked_ilog2().and_then(|bits| u8::try_from(bits).ok());
        self.survey(teller, Range::around(key, bits.unwrap_or(0)));
    }

    /// Whether it begins: not if one of the same teller, or too many others, are under way.
    fn survey(&mut self, teller: PeerId, range: Range) -> bool {
        let begins = self.surveys.of.len() < SURVEYS_MAX && !self.surveys.of.contains_key(&teller);
        if begins {
            let mut survey = Survey::of(range);
            survey.ranges.push(range);
            self.survey_on(teller, survey);
        }
        begins
    }

    /// Asks for whom we don't know of the range, or goes on with the next one, if there is one.
    fn survey_on(&mut self, teller: PeerId, mut survey: Survey) {
        let Some(left) = survey.left.checked_sub(1) else { return };
        survey.left = left;
        let wanted = survey.wanted.split_off(survey.wanted.len().saturating_sub(SURVEYED_HINTS));
        let mut hash = None;
        if wanted.is_empty() {
            let Some(range) = survey.ranges.pop() else { return };
            survey.range = range;
            hash = Some(beginning(&self.marks_in(&range).hash()));
        }
        survey.asked = wanted.iter().copied().collect();
        let (Range { prefix, bits }, wanted) = (survey.range, Marks(wanted));
        self.surveys.of.insert(teller, survey);
        let question = Message::Survey(crate::wire::Survey { first: prefix.first(), bits, hash, wanted });
        self.ask(teller, question, Purpose::Survey, REQUEST_TIMEOUT);
    }

    pub(super) fn survey_heard(&mut self, teller: PeerId, outcome: Outcome) {
        let Some(mut survey) = self.surveys.of.remove(&teller) else { return };
        let Outcome::Answer(Message::Surveyed(answer)) = outcome else {
            // A newcomer asks another one instead.
            self.surveys.tellers +=
                usize::from(survey.first == EVERYWHERE && self.surveys.told.contains(&teller));
            return;
        };
        let told_all = !survey.asked.is_empty();
        let asked = core::mem::take(&mut survey.asked);
        let mut found = self.surveyed(teller, asked, &answer.hints);
        if !told_all && !answer.marks.is_empty() {
            let mut told: BTreeSet<Mark> = answer.marks.0.into_iter().take(MARKS_MAX).collect();
            found |= self.told_of(&survey.range, &mut told);
            survey.wanted = told.into_iter().collect();
        }
        if let Some(parts) = answer.parts.filter(|_| !told_all) {
            let ours: Vec<Digest> = survey.range.parts().map(|part| self.marks_in(&part).hash()).collect();
            survey.descend(&parts, &ours);
        }
        if found {
            survey.step();
        }
        self.survey_on(teller, survey);
    }

    /// Takes in those that were asked for, each once; whether any is new.
    fn surveyed(&mut self, teller: PeerId, mut asked: BTreeSet<Mark>, hints: &[Hint]) -> bool {
        let mut found = false;
        for hint in hints.iter().take(SURVEYED_HINTS) {
            let place = hint.certificate.node_id(&self.network.id);
            if !asked.remove(&Mark::of(&place, &hint.certificate)) {
                continue;
            }
            let known = self.map.contact(&hint.peer()).is_some() || hint.peer() == self.me;
            let gone = self.map.is_gone(&hint.peer());
            found |= !known && (self.learn_told(teller, hint).is_some() || gone);
        }
        found
    }

    /// Somebody knows superpeers with these marks in a range: takes out those that we know, or know to be gone. Whether we
    /// had only remembered one.
    fn told_of(&mut self, range: &Range, told: &mut BTreeSet<Mark>) -> bool {
        let known = self.map.within(range).iter().filter(|contact| told.remove(&mark(contact)));
        let past = known.filter(|contact| contact.is_of_the_past()).map(Contact::peer);
        for peer in past.collect::<Vec<PeerId>>() {
            self.map.named_by_another(&peer);
        }
        for (place, certificate) in self.map.gone_lately(self.now.instant) {
            told.remove(&Mark::of(place, certificate));
        }
        let remembered = self.map.remembered_in(range);
        let there = remembered.filter(|placed| told.remove(&Mark::of(&placed.id, &placed.hint.certificate)));
        let there: Vec<PeerId> = there.map(|placed| placed.hint.peer()).collect();
        there.iter().filter(|peer| self.recall_told(peer)).count() > 0
    }

    /// Those that we know in a range.
    fn marks_in(&self, range: &Range) -> Marks {
        Marks(self.known_in(range).map(mark).collect())
    }

    /// Who may be long gone, since we know it by our disk alone, is told to nobody.
    fn known_in(&self, range: &Range) -> impl Iterator<Item = &Contact> {
        self.map.within(range).iter().filter(|contact| !contact.is_of_the_past())
    }

    /// Whom we know in a range, for another superpeer: as much of it as the work that we do for it allows.
    pub(super) fn serve_survey(
        &mut self,
        link: LinkId,
        peer: &PeerId,
        survey: &crate::wire::Survey,
    ) -> Message {
        let range = survey.range();
        if let Err(reason) = self.may_move(peer, survey.wanted.0.len()) {
            return self.refuse(reason);
        }
        if !range.is_valid() {
            return self.refuse(Reason::Invalid);
        }
        if let Some(refused) = self.worked_enough_for(link) {
            return refused;
        }
        self.worked_for(link, self.map.count_in(&range));
        let mut answer = Surveyed::default();
        if !survey.wanted.is_empty() {
            let wanted: BTreeSet<Mark> = survey.wanted.0.iter().take(SURVEYED_HINTS).copied().collect();
            let named = self.known_in(&range).filter(|contact| wanted.contains(&mark(contact)));
            answer.hints = named.take(SURVEYED_HINTS).map(|contact| contact.hint().clone()).collect();
            self.worked_for(link, answer.hints.len() * OFFERED_ITEM_WORK);
            return Message::Surveyed(answer);
        }
        let marks = self.marks_in(&range);
        if survey.hash == Some(beginning(&marks.hash())) {
            return Message::Surveyed(answer);
        }
        if marks.0.len() <= MARKS_MAX {
            answer.marks = marks;
        } else {
            let hashes: Vec<Digest> = range.parts().map(|part| self.marks_in(&part).hash()).collect();
            answer.parts = Parts::of(&hashes);
        }
        Message::Surveyed(answer)
    }
}

fn mark(contact: &Contact) -> Mark {
    Mark::of(&contact.id(), &contact.hint().certificate)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    use super::{
        Digest, EVERYWHERE, Key, MARKS_MAX, Parts, Range, SURVEY_REQUESTS_MAX, SURVEYED_HINTS, Survey,
    };
    use crate::limits::MAP_MAX;

    #[test]
    fn a_map_of_any_size_takes_no_more_requests_than_there_may_be() {
        // Places by chance; the ranges that are descended into, and whom they hold.
        for count in [100, 1_000, 3_000, 5_000, MAP_MAX] {
            let place = |number: usize| Key::from_bytes(*blake3::hash(&number.to_be_bytes()).as_bytes());
            let places: Vec<Key> = (0..count).map(place).collect();
            let (mut ranges, mut requests, mut told) = (Vec::from([EVERYWHERE]), 0, 0);
            while let Some(range) = ranges.pop() {
                let here = places.iter().filter(|place| range.contains(place)).count();
                requests += 1;
                if here > MARKS_MAX {
                    ranges.extend(range.parts());
                } else {
                    requests += here.div_ceil(SURVEYED_HINTS);
                    told += here;
                }
            }
            assert_eq!(told, count);
            assert!(requests * 3 / 2 <= SURVEY_REQUESTS_MAX, "{requests} requests for {count}");
        }
    }

    #[test]
    fn a_survey_goes_from_where_it_begins_to_all_other_ranges_as_large_and_to_each_once() {
        // From everywhere; from ranges of one and of five bits, with more steps than there are ranges.
        for (bits, count) in [(0, 0), (1, 1), (5, 31)] {
            let first = Range::around(&Key::from_bytes([0xa5; 32]), bits);
            let mut survey = Survey::of(first);
            (0..99).for_each(|_| survey.step());
            let all: BTreeSet<Key> = survey.ranges.iter().map(|range| range.prefix).collect();
            assert_eq!((all.len(), survey.ranges.len()), (count, count), "{bits} bits");
            assert!(
                survey.ranges.iter().all(|range| *range != first && range.bits == bits && range.is_valid())
            );
            // The other half of what it begins with comes next.
            let sibling = survey.ranges.first().map(|range| range.prefix.distance(&first.prefix).bucket());
            assert!(sibling.is_none_or(|bucket| bucket == Some(u8::MAX - (bits - 1))), "{bits} bits");
        }
    }

    #[test]
    fn a_teller_of_endless_parts_fills_no_memory() {
        // Every answer says that all parts differ: down to the smallest, and no more of them than will be asked for.
        let (ours, theirs) = ([Digest::from_bytes([1; 32]); 16], [Digest::from_bytes([2; 32]); 16]);
        let theirs = Parts::of(&theirs).expect("sixteen");
        let mut survey = Survey::of(EVERYWHERE);
        for left in (0..SURVEY_REQUESTS_MAX).rev() {
            survey.left = left;
            survey.descend(&theirs, &ours);
            assert!(survey.ranges.len() <= left, "{} parts for {left} questions", survey.ranges.len());
            assert!(survey.ranges.iter().all(Range::is_valid));
            let Some(range) = survey.ranges.pop() else { break };
            survey.range = range;
        }
        let same = Parts::of(&ours).expect("sixteen");
        (survey.range, survey.left) = (EVERYWHERE, 99);
        let before = survey.ranges.len();
        survey.descend(&same, &ours);
        assert_eq!(survey.ranges.len(), before);
    }
}
