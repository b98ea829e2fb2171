//! Room that is given back: a tree that has been emptied keeps the space for eleven entries, and a peer with little to
//! do has many trees in which now and then there is one.

use alloc::collections::{BTreeMap, BTreeSet};

/// A collection that may keep room after it has become empty.
pub(super) trait Room {
    /// Gives it back if nothing is there.
    fn give_back(&mut self);
}

impl<K, V> Room for BTreeMap<K, V> {
    fn give_back(&mut self) {
        if self.is_empty() {
            *self = Self::new();
        }
    }
}

impl<K> Room for BTreeSet<K> {
    fn give_back(&mut self) {
        if self.is_empty() {
            *self = Self::new();
        }
    }
}
