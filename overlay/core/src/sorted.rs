//! Maps and sets of few entries: one sorted vector each.
//!
//! A tree's leaf has room for eleven entries, and is there for one. A child has many maps with one or two entries, and a
//! process that simulates a million children has a million of each; a superpeer walks over all its links again and again,
//! and in a vector they stand together. Room is made in small steps, and given back when an entry goes.
//!
//! What as a rule holds many thousands of entries stays a tree: an insertion moves all that come after. What has a few at a
//! child and thousands at a superpeer begins as one and becomes the other ([`GrowingMap`]). *Not here*: bounds, which are
//! those of whoever keeps something here.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A map of few entries, in the order of its keys.
#[derive(Debug, Clone)]
pub(crate) struct SortedMap<K, V>(Vec<(K, V)>);

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> SortedMap<K, V> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    pub(crate) fn retain(&mut self, mut keeps: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain_mut(|(key, value)| keeps(key, value));
        self.give_back();
    }

    /// Half as much room again as there are entries is made at a time.
    fn make_room(&mut self) {
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(1 + self.0.len() / 2);
        }
    }

    fn give_back(&mut self) {
        if self.0.len() < self.0.capacity() / 4 || self.0.is_empty() {
            self.0.shrink_to(self.0.len() + self.0.len() / 2);
        }
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    fn find(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(key))
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let index = self.find(key).ok()?;
        self.0.get(index).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let index = self.find(key).ok()?;
        self.0.get_mut(index).map(|(_, value)| value)
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.find(key).is_ok()
    }

    /// Puts a value in; returns the one that it takes the place of.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(index) => Some(core::mem::replace(&mut self.0[index].1, value)),
            Err(index) => {
                self.make_room();
                self.0.insert(index, (key, value));
                None
            }
        }
    }

    /// The value of a key, made if there is none.
    pub(crate) fn or_insert_with(&mut self, key: K, value: impl FnOnce() -> V) -> &mut V {
        let index = match self.find(&key) {
            Ok(index) => index,
            Err(index) => {
                self.make_room();
                self.0.insert(index, (key, value()));
                index
            }
        };
        &mut self.0[index].1
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let index = self.find(key).ok()?;
        let (_, value) = self.0.remove(index);
        self.give_back();
        Some(value)
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for SortedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

/// With more entries a [`GrowingMap`] is a tree. *Guess*: three of its leaves.
const FEW: usize = 32;

/// A map of few entries in some places and of thousands in others: a vector, then a tree, until it is empty.
#[derive(Debug, Clone)]
pub(crate) struct GrowingMap<K, V>(Size<K, V>);

#[derive(Debug, Clone)]
enum Size<K, V> {
    Few(SortedMap<K, V>),
    Many(BTreeMap<K, V>),
}

impl<K, V> Default for GrowingMap<K, V> {
    fn default() -> Self {
        Self(Size::Few(SortedMap::new()))
    }
}

impl<K: Ord, V> GrowingMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            Size::Few(map) => map.len(),
            Size::Many(tree) => tree.len(),
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        match &self.0 {
            Size::Few(map) => map.get(key),
            Size::Many(tree) => tree.get(key),
        }
    }

    /// Puts a value in; returns the one that it takes the place of.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let former = match &mut self.0 {
            Size::Few(map) => map.insert(key, value),
            Size::Many(tree) => tree.insert(key, value),
        };
        if let Size::Few(map) = &mut self.0
            && map.len() > FEW
        {
            let entries = core::mem::take(map);
            self.0 = Size::Many(entries.0.into_iter().collect());
        }
        former
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let tree = match &mut self.0 {
            Size::Few(map) => return map.remove(key),
            Size::Many(tree) => tree,
        };
        let removed = tree.remove(key);
        if tree.is_empty() {
            *self = Self::default();
        }
        removed
    }
}

/// A set of few members, in their order.
#[derive(Debug, Clone)]
pub(crate) struct SortedSet<K>(SortedMap<K, ()>);

impl<K> Default for SortedSet<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> SortedSet<K> {
    pub(crate) const fn new() -> Self {
        Self(SortedMap::new())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.0.keys()
    }
}

impl<K: Ord> SortedSet<K> {
    pub(crate) fn contains(&self, member: &K) -> bool {
        self.0.contains_key(member)
    }

    /// Puts a member in; whether it was none before.
    pub(crate) fn insert(&mut self, member: K) -> bool {
        self.0.insert(member, ()).is_none()
    }

    /// Takes a member out; whether it was one.
    pub(crate) fn remove(&mut self, member: &K) -> bool {
        self.0.remove(member).is_some()
    }

    /// All members, those after one first, and without it.
    pub(crate) fn after(&self, member: &K) -> impl Iterator<Item = &K> {
        let at = self.0.find(member).unwrap_or_else(|index| index);
        let (before, after) = self.0.0.split_at(at);
        let after = after.iter().skip_while(move |(known, ())| known == member);
        after.chain(before).map(|(known, ())| known)
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::vec;
    use alloc::vec::Vec;

    use rand_chacha::ChaCha8Rng;
    use rand_core::{Rng, SeedableRng};

    use super::{FEW, GrowingMap, Size, SortedMap, SortedSet};

    #[test]
    fn it_is_a_map_as_a_tree_is() {
        // Many random steps on both; all that can be asked is the same after each, and room is given back.
        let mut rng = ChaCha8Rng::from_seed([5; 32]);
        let (mut map, mut tree) = (SortedMap::new(), BTreeMap::new());
        for step in 0..20_000u32 {
            let key = rng.next_u32() % 40;
            match rng.next_u32() % 5 {
                0 | 1 => assert_eq!(map.insert(key, step), tree.insert(key, step)),
                2 => assert_eq!(map.remove(&key), tree.remove(&key)),
                3 => assert_eq!(map.or_insert_with(key, || step), tree.entry(key).or_insert(step)),
                _ => {
                    let keeps = |known: &u32| !known.is_multiple_of(7) || key > 3;
                    map.retain(|known, _| keeps(known));
                    tree.retain(|known, _| keeps(known));
                }
            }
            assert!(map.iter().eq(tree.iter()) && map.len() == tree.len());
            assert_eq!((map.get(&key), map.contains_key(&key)), (tree.get(&key), tree.contains_key(&key)));
            assert!(map.0.capacity() <= 4 * map.len() + 4);
        }
        map.retain(|_, _| false);
        assert_eq!((map.len(), map.0.capacity()), (0, 0));
    }

    #[test]
    fn a_growing_map_is_a_map_at_every_size() {
        // It grows and shrinks beside a tree, several times: what can be asked is the same after each step, and it is
        // a vector again once it has been empty.
        let mut rng = ChaCha8Rng::from_seed([6; 32]);
        let (mut map, mut tree, mut large) = (GrowingMap::default(), BTreeMap::new(), 0);
        for step in 0..20_000u32 {
            let key = rng.next_u32() % 200;
            let grows = (step / 1_000).is_multiple_of(2);
            if grows != rng.next_u32().is_multiple_of(10) {
                assert_eq!(map.insert(key, step), tree.insert(key, step));
            } else {
                assert_eq!(map.remove(&key), tree.remove(&key));
            }
            assert_eq!((map.get(&key), map.len()), (tree.get(&key), tree.len()));
            large += u32::from(matches!(map.0, Size::Many(_)));
            assert!(matches!(map.0, Size::Many(_)) || map.len() <= FEW);
        }
        assert!((0..200).all(|key| map.get(&key) == tree.get(&key)) && large > 0);
        (0..200).for_each(|key| assert_eq!(map.remove(&key), tree.remove(&key)));
        assert!(map.len() == 0 && matches!(map.0, Size::Few(_)));
    }

    #[test]
    fn all_others_come_after_a_member_in_a_ring() {
        // A set of some, and what comes after each, and after one that is no member.
        let mut set = SortedSet::new();
        [30, 10, 20].into_iter().for_each(|member| assert!(set.insert(member)));
        assert!(!set.insert(10) && set.contains(&10) && !set.contains(&11) && set.len() == 3);
        let after = |member: u32| set.after(&member).copied().collect::<Vec<u32>>();
        assert_eq!((after(10), after(20), after(30)), (vec![20, 30], vec![30, 10], vec![10, 20]));
        assert_eq!((after(15), after(40)), (vec![20, 30, 10], vec![10, 20, 30]));
    }
}
