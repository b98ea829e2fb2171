//! Who ought to hold a record, and who does.

use bytes::Bytes;
use callbook_overlay::Username;
use callbook_overlay::key::Key;

use super::World;

impl World {
    pub(crate) fn key(&self, name: &str) -> Key {
        self.authority.network.name_key(&Username::parse(name).expect("a valid name"))
    }

    /// The running superpeers closest to a key, nearest first.
    pub(crate) fn closest(&self, key: &Key, count: usize) -> Vec<usize> {
        let mut all = self.running(true);
        all.sort_by_key(|index| self.place(*index).map(|place| place.distance(key)));
        all.truncate(count);
        all
    }

    /// Whether a peer has a record under the key.
    pub(crate) fn holds(&self, index: usize, key: &Key) -> bool {
        self.peers[index].disk.under(key).is_some()
    }

    /// A record that a peer has under the key.
    pub(crate) fn record(&self, index: usize, key: &Key) -> Bytes {
        self.peers[index].disk.under(key).expect("it holds one").clone()
    }
}
