//! How much of the network we can reach: what we may say on its behalf.
//!
//! Who is cut off from the others, or has started before them, is the closest to every key that it knows
//! of. It would call every name absent, take what it stores alone for stored, and bury the living.
//!
//! ```text
//!  of those that we knew lately, without us   absent    acknowledged alone   tell that others are dead
//!  most are there                             yes       yes                  yes
//!  as many are missing as there                no        no                  yes
//!  more are missing                            no        no                   no
//! ```
//! *Missing* is who has failed us within [`CUT_OFF_FOR`], at most [`CUT_OFF_WITHIN`] from the others, and may still be there: not who said goodbye, and
//! not who refuses after we had met, which is dead. Who refuses before we ever met may be about to start, as
//! all do after a power cut, from their disks: it is *awaited*, but not for long if somebody has named it to us, for
//! then it was there. An awaited one counts among the storers of a key as well, and what it may hold nobody else can
//! deny; but not if one who has been there all the while has vouched for the network.
//!
//! Who has never heard of anybody is no network either, unless it is the login server's own superpeer, with which
//! a network begins (`walks`, `publish`).
//!
//! Source: DESIGN §4, *Absent*; docs/decisions.md, 2026-11-22. *Not here*: whether we have finished taking our
//! range over (`moving::handover`), whether enough storers denied (`lookup`).

use alloc::vec::Vec;
use core::time::Duration;

use super::{Gone, Map};
use crate::key::{Key, PeerId};
use crate::limits::{CUT_OFF_FOR, CUT_OFF_WITHIN, STARTS_WITHIN, TRIALS_PER_SEC};
use crate::time::Instant;

/// How many of the superpeers that we knew lately are there, ourselves among them: fewer than half of them, half,
/// or most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    Few,
    Half,
    Most,
}

impl Map {
    /// How much of the network is left to us.
    pub(crate) fn reach(&self, now: Instant) -> Reach {
        self.reach_without(0, now)
    }

    /// The same, if so many of those that are there were missing, too.
    fn reach_without(&self, doubted: usize, now: Instant) -> Reach {
        if self.gone.len() + 2 * doubted < self.sorted.len() {
            // Also if all of them were missing; which takes a look at each.
            return Reach::Most;
        }
        let missing = self.missing(now) + doubted;
        // One of two is rather dead, unless we have never met: then neither can tell who was to start first.
        let awaited = || self.gone.values().any(|gone| self.is_awaited(gone, now));
        match missing.cmp(&self.sorted.len().saturating_sub(doubted)) {
            core::cmp::Ordering::Greater => Reach::Few,
            core::cmp::Ordering::Equal if missing > 1 || awaited() => Reach::Half,
            core::cmp::Ordering::Equal | core::cmp::Ordering::Less => Reach::Most,
        }
    }

    /// How many are missing that failed us within a while of each other: a cut takes them together, churn one by one.
    fn missing(&self, now: Instant) -> usize {
        let mut since: Vec<Instant> =
            self.gone.values().filter(|gone| self.is_missing(gone, now)).map(|gone| gone.since).collect();
        since.sort_unstable();
        // Those that we have no stream to are tried one by one.
        let trials = Duration::from_secs(self.sorted.len() as u64 / TRIALS_PER_SEC);
        let within = CUT_OFF_WITHIN.max(trials);
        let mut first = since.iter().enumerate().peekable();
        let together = since.iter().enumerate().map(|(last, at)| {
            while first.next_if(|(_, begin)| at.since(**begin) > within).is_some() {}
            first.peek().map_or(0, |(first, _)| last + 1 - first)
        });
        together.max().unwrap_or(0)
    }

    /// Who would be among the `r` closest to a key if it had not fallen silent lately, and may be there again soon.
    pub(crate) fn silent_around(&self, key: &Key, r: usize, now: Instant) -> Vec<PeerId> {
        let closest = self.closest(key, r);
        let farthest = closest.last().filter(|_| closest.len() == r).map(|contact| contact.distance(key));
        let near = |gone: &Gone| farthest.as_ref().is_none_or(|far| gone.placed.id.distance(key) < *far);
        let silent = self.gone.values().filter(|gone| gone.is_lost(now) && !gone.refused && near(gone));
        let mut silent: Vec<_> =
            silent.map(|gone| (gone.placed.id.distance(key), gone.placed.hint.peer())).collect();
        silent.sort_unstable();
        silent.into_iter().take(r).map(|(_, peer)| peer).collect()
    }

    /// Whether we are the only one that we have ever heard of.
    pub(crate) fn knows_nobody(&self) -> bool {
        self.sorted.len() <= 1 && self.gone.is_empty() && self.remembered.is_empty()
    }

    /// Whether a name is absent that `denials` of the `r` closest to its key deny, and none of them holds; so many of
    /// them need not deny, and so many of all that we know have left us without an answer.
    pub(crate) fn may_deny(
        &self,
        key: &Key,
        (denials, spared, r): (usize, usize, usize),
        doubted: usize,
        now: Instant,
    ) -> bool {
        let (storers, awaited) = self.storers_awaited(key, r, now);
        let denials = denials.min(storers - awaited);
        // Both allowances together would be one too many.
        let storers = if awaited > 0 { storers } else { storers.saturating_sub(spared) };
        self.reach_without(doubted, now) == Reach::Most
            && denials * 3 > storers * 2
            && !self.has_lost_closest(key, r, now)
    }

    /// We have taken our range over from one who had been there before: whom we remember and who is refused is
    /// dead, and not merely to start after us.
    pub(crate) fn vouch(&mut self) {
        self.vouched = true;
    }

    pub(crate) fn is_vouched(&self) -> bool {
        self.vouched
    }

    /// It failed us lately and may still be there, where we can't reach it.
    fn is_missing(&self, gone: &Gone, now: Instant) -> bool {
        let dead = gone.dead || gone.refused && self.vouched;
        gone.is_lost(now) && !dead
    }

    /// It may be about to start, or be there for others: we never met it, and nothing says that anybody did.
    fn is_awaited(&self, gone: &Gone, now: Instant) -> bool {
        let starts = gone.past || !gone.refused || now.since(gone.since) < STARTS_WITHIN;
        gone.is_lost(now) && !gone.met && starts && !self.vouched
    }

    /// How many the `r` closest to a key are, with those that are awaited; and how many of them are awaited.
    fn storers_awaited(&self, key: &Key, r: usize, now: Instant) -> (usize, usize) {
        let there = self.closest(key, r).into_iter().map(|contact| (contact.distance(key), 0));
        let awaited = self.gone.values().filter(|gone| self.is_awaited(gone, now));
        let mut storers: Vec<_> =
            there.chain(awaited.map(|gone| (gone.placed.id.distance(key), 1))).collect();
        storers.extend(self.remembered_awaited(now).map(|id| (id.distance(key), 1)));
        storers.sort_unstable();
        storers.truncate(r);
        (storers.len(), storers.iter().map(|(_, awaited)| awaited).sum())
    }

    /// Whether the `r` that were closest to `key` have all failed us lately and are not awaited: what they held nobody
    /// else may know.
    fn has_lost_closest(&self, key: &Key, r: usize, now: Instant) -> bool {
        let nearest = self.closest(key, 1).first().map(|contact| contact.distance(key));
        let lost = |gone: &&Gone| gone.is_lost(now) && !self.is_awaited(gone, now);
        let nearer =
            |gone: &&Gone| nearest.as_ref().is_none_or(|nearest| gone.placed.id.distance(key) < *nearest);
        self.gone.values().filter(lost).filter(nearer).count() >= r
    }
}

impl Gone {
    /// It failed us lately, and did not say goodbye.
    fn is_lost(&self, now: Instant) -> bool {
        !self.left && now.since(self.since) < CUT_OFF_FOR
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::tests::{NETWORK, filled, hint};
    use super::super::{Cause, Learned, Map};
    use super::Reach;
    use crate::key::{Key, PeerId};
    use crate::limits::{CUT_OFF_FOR, STARTS_WITHIN};
    use crate::time::Instant;
    use crate::wire::Hint;

    #[test]
    fn only_those_that_refuse_after_we_have_met_are_no_sign_of_a_cut() {
        // Ten known, six of them fail in one way or another: who is left is cut off or is not. The last case:
        // silent first, refused when tried again.
        let now = Instant::default();
        for (met, causes, cut_off) in [
            (true, &[Cause::Silent][..], true),
            (true, &[Cause::Refused], false),
            (false, &[Cause::Refused], true),
            (false, &[Cause::Left], false),
            (true, &[Cause::Silent, Cause::Refused], false),
            (true, &[Cause::Refused, Cause::Silent], false),
        ] {
            let mut map = filled(10);
            for cause in causes {
                for number in 0..6 {
                    let peer = hint(number).1.peer();
                    if met {
                        map.meet(&peer);
                    }
                    map.bury(&peer, now, *cause);
                }
            }
            assert_eq!(map.reach(now), if cut_off { Reach::Few } else { Reach::Most }, "{met} {causes:?}");
            assert_eq!(map.reach(now + CUT_OFF_FOR), Reach::Most, "it is soon forgotten");
        }
    }

    #[test]
    fn who_need_not_deny_is_not_counted_twice_and_who_is_silent_counts_as_missing() {
        // Of thirty twenty are closest: fourteen denials, or thirteen and a spared one; then one that is awaited; then
        // sixteen that have left us without an answer.
        let (now, key) = (Instant::default(), Key::from_bytes([7; 32]));
        let mut map = filled(30);
        let may =
            |map: &Map, denials, spared, doubted| map.may_deny(&key, (denials, spared, 20), doubted, now);
        assert!(may(&map, 14, 0, 0) && !may(&map, 13, 0, 0) && may(&map, 13, 1, 0));
        assert!(may(&map, 14, 0, 14) && !may(&map, 14, 0, 16));
        let nearest = map.closest(&key, 1).first().map(|contact| contact.peer()).unwrap();
        map.bury(&nearest, now, Cause::Silent);
        assert!(may(&map, 14, 4, 0) && !may(&map, 13, 4, 0));
    }

    #[test]
    fn those_that_fail_one_by_one_are_no_sign_of_a_cut() {
        // Six of ten fall silent: at intervals; the sum is the same.
        for (pause, reach) in [(0, Reach::Few), (23, Reach::Few), (41, Reach::Most)] {
            let mut map = filled(10);
            let mut now = Instant::default();
            for number in 0..6 {
                let peer = hint(number).1.peer();
                map.meet(&peer);
                map.bury(&peer, now, Cause::Silent);
                now = now + core::time::Duration::from_secs(pause);
            }
            assert_eq!(map.reach(now), reach, "{pause}");
        }
    }

    #[test]
    fn who_has_lost_all_of_the_closest_to_a_key_knows_it() {
        // Of ten the three closest to a key fail one by one; then one of them comes back.
        let (now, key) = (Instant::default(), Key::from_bytes([7; 32]));
        let mut map = filled(10);
        let closest: Vec<Hint> = map.closest(&key, 3).iter().map(|contact| contact.hint().clone()).collect();
        for hint in &closest {
            assert!(!map.has_lost_closest(&key, 3, now));
            map.meet(&hint.peer());
            map.bury(&hint.peer(), now, Cause::Refused);
        }
        assert!(map.has_lost_closest(&key, 3, now) && !map.has_lost_closest(&key, 4, now));
        assert!(!map.has_lost_closest(&key, 3, now + CUT_OFF_FOR), "it is soon forgotten");
        assert_eq!(map.revive(&closest[1].peer(), &NETWORK, now), Learned::New);
        assert!(!map.has_lost_closest(&key, 3, now));
    }

    #[test]
    fn of_two_superpeers_one_speaks_for_both_if_they_have_met() {
        // One of two fails: silent or refused, met, only heard of, or known from our disk alone.
        let now = Instant::default();
        let known: [fn(&mut Map, &PeerId); 3] = [Map::meet, |_, _| {}, Map::restored];
        let [met, heard_of, past] = known;
        for (case, known, cause, at_once, later) in [
            (0, met, Cause::Silent, Reach::Most, Reach::Most),
            (1, met, Cause::Refused, Reach::Most, Reach::Most),
            (2, heard_of, Cause::Silent, Reach::Half, Reach::Half),
            (3, heard_of, Cause::Refused, Reach::Half, Reach::Most),
            (4, past, Cause::Silent, Reach::Half, Reach::Half),
            (5, past, Cause::Refused, Reach::Half, Reach::Half),
            (6, past, Cause::Left, Reach::Most, Reach::Most),
        ] {
            let (mut map, peer) = (filled(2), hint(1).1.peer());
            known(&mut map, &peer);
            map.bury(&peer, now, cause);
            assert_eq!((map.reach(now), map.reach(now + STARTS_WITHIN)), (at_once, later), "{case}");
            map.vouch();
            assert_eq!(map.reach(now), Reach::Most, "vouched for");
        }
    }

    #[test]
    fn who_is_awaited_counts_as_a_storer_until_somebody_vouches() {
        // Of ten the closest to a key is refused. Known from our disk alone three denials by the others are too few with
        // three storers, and nine enough with ten; with a voucher or after a time three are enough, and so they are if
        // we had met it, or if somebody has named it and it has not come for a while.
        let (now, key) = (Instant::default(), Key::from_bytes([7; 32]));
        let refused = |known: fn(&mut Map, &PeerId)| {
            let mut map = filled(10);
            let nearest = map.closest(&key, 1).first().map(|near| (near.id(), near.hint().clone())).unwrap();
            known(&mut map, &nearest.1.peer());
            map.bury(&nearest.1.peer(), now, Cause::Refused);
            (map, nearest)
        };
        let (mut map, (place, nearest)) = refused(Map::restored);
        map.stand_at(Some(Key::from_bytes([0; 32])));
        assert!(!map.may_deny(&key, (3, 0, 3), 0, now) && map.may_deny(&key, (9, 0, 10), 0, now));
        assert!(map.may_deny(&key, (3, 0, 3), 0, now + CUT_OFF_FOR), "it is soon forgotten");
        assert!(!map.may_deny(&key, (3, 0, 3), 0, now + STARTS_WITHIN));
        assert_eq!(map.learn(place, &nearest, now), Learned::Gone);
        assert!(map.may_deny(&key, (3, 0, 3), 0, now + STARTS_WITHIN), "another has met it");
        assert!(refused(Map::meet).0.may_deny(&key, (3, 0, 3), 0, now));
        let (map, _) = refused(|_, _| {});
        assert!(!map.may_deny(&key, (3, 0, 3), 0, now));
        assert!(map.may_deny(&key, (3, 0, 3), 0, now + STARTS_WITHIN));
        let (mut map, _) = refused(Map::restored);
        map.vouch();
        assert!(map.may_deny(&key, (3, 0, 3), 0, now) && !map.may_deny(&key, (2, 0, 3), 0, now));
    }
}
