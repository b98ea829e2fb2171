//! The ring of a one-hop network: places of peers, slices and units, and who is taken to be where.
//!
//! Ids don't change, so a place on the ring is a number among all peers that there are, and a view is a bit
//! for each. Slices and units have even shares of the places, as ids are even. *Not here*: messages (`super`).

use crate::random::mix;

/// Directories.md §3.5.
pub(super) const SLICES: u32 = 5;
pub(super) const UNITS: u32 = 5;

/// Who is at which place.
#[derive(Debug, Default)]
pub(super) struct Ring {
    peers: Vec<u32>,
    places: Vec<u32>,
}

impl Ring {
    pub(super) fn new(count: u32) -> Self {
        let mut peers: Vec<u32> = (0..count).collect();
        peers.sort_unstable_by_key(|peer| mix(u64::from(*peer) + (1 << 42)));
        let mut places = vec![0; peers.len()];
        (0..count).for_each(|place| places[peers[place as usize] as usize] = place);
        Self { peers, places }
    }

    fn count(&self) -> u32 {
        self.peers.len() as u32
    }

    pub(super) fn peer(&self, place: u32) -> u32 {
        self.peers[place as usize]
    }

    pub(super) fn place(&self, peer: u32) -> u32 {
        self.places[peer as usize]
    }

    /// The place of a name: its holder's, or for a name of nobody one past the ring's end, so that its
    /// successor, whoever comes first, is not taken for the holder.
    pub(super) fn place_of_name(&self, name: u32) -> u32 {
        self.places.get(name as usize).copied().unwrap_or(self.count() + name)
    }

    pub(super) fn slice(&self, place: u32) -> u32 {
        (u64::from(place) * u64::from(SLICES) / u64::from(self.count())) as u32
    }

    fn whole_unit(&self, place: u32) -> u32 {
        (u64::from(place) * u64::from(SLICES * UNITS) / u64::from(self.count())) as u32
    }

    pub(super) fn unit(&self, place: u32) -> u32 {
        self.whole_unit(place) % UNITS
    }

    /// The successor of a slice's middle; if that is in another slice, the last one before the middle.
    pub(super) fn slice_leader(&self, view: &View, slice: u32) -> Option<u32> {
        let middle = (u64::from(2 * slice + 1) * u64::from(self.count()) / u64::from(2 * SLICES)) as u32;
        let candidates = [view.next(middle), view.previous(middle)];
        candidates.into_iter().find(|place| view.has(*place) && self.slice(*place) == slice)
    }

    /// The same in a unit.
    pub(super) fn unit_leader(&self, view: &View, slice: u32, unit: u32) -> Option<u32> {
        let whole = slice * UNITS + unit;
        let middle =
            (u64::from(2 * whole + 1) * u64::from(self.count()) / u64::from(2 * SLICES * UNITS)) as u32;
        let candidates = [view.next(middle), view.previous(middle)];
        candidates.into_iter().find(|place| view.has(*place) && self.whole_unit(*place) == whole)
    }
}

/// Places that somebody is taken to be at.
#[derive(Debug, Clone, Default)]
pub(in crate::baseline) struct View {
    words: Vec<u64>,
    size: u32,
}

impl View {
    pub(super) fn empty(size: u32) -> Self {
        Self { words: vec![0; size.div_ceil(64) as usize], size }
    }

    pub(super) fn has(&self, place: u32) -> bool {
        self.words.get(place as usize / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    pub(super) fn set(&mut self, place: u32, alive: bool) {
        if let Some(word) = self.words.get_mut(place as usize / 64) {
            let bit = 1u64 << (place % 64);
            *word = if alive { *word | bit } else { *word & !bit };
        }
    }

    pub(super) fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// The first at this place or after it, round the ring; 0 if there is nobody.
    pub(super) fn next(&self, place: u32) -> u32 {
        let place = place % self.size.max(1);
        self.from(place).or_else(|| self.from(0)).unwrap_or(0)
    }

    fn from(&self, place: u32) -> Option<u32> {
        let first = place / 64;
        let mask = u64::MAX << (place % 64);
        let words = self.words.iter().enumerate().skip(first as usize);
        words
            .map(|(index, word)| (index as u32, if index as u32 == first { word & mask } else { *word }))
            .find(|(_, word)| *word != 0)
            .map(|(index, word)| index * 64 + word.trailing_zeros())
    }

    /// The last before this place, round the ring; 0 if there is nobody.
    pub(super) fn previous(&self, place: u32) -> u32 {
        self.before(place).or_else(|| self.before(self.size)).unwrap_or(0)
    }

    fn before(&self, place: u32) -> Option<u32> {
        let (last, low) = (place / 64, place % 64);
        let mask = (1u64 << low) - 1;
        (0..=last)
            .rev()
            .filter_map(|index| {
                let word = *self.words.get(index as usize)?;
                let word = if index == last { word & mask } else { word };
                (word != 0).then(|| index * 64 + 63 - word.leading_zeros())
            })
            .next()
    }
}

#[cfg(test)]
mod tests {
    use super::View;

    #[test]
    fn neighbours_are_found_round_the_ring() {
        // Goal: no slip at words' ends. Method: few places, every question, against a search one by one.
        let size = 200;
        let mut view = View::empty(size);
        let there = [0u32, 5, 63, 64, 128, 199];
        there.iter().for_each(|place| view.set(*place, true));
        for place in 0..size {
            let next = there.iter().copied().find(|other| *other >= place).unwrap_or(0);
            let previous = there.iter().copied().rev().find(|other| *other < place).unwrap_or(199);
            assert_eq!((view.next(place), view.previous(place)), (next, previous), "{place}");
        }
        view.set(64, false);
        assert_eq!((view.count(), view.next(64), view.has(64)), (5, 128, false));
    }
}
