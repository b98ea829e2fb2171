//! Watched keys, on the side of who is asked to watch.
//!
//! ```text
//!  child ──Watch──▶ parent ──Watch──▶ up to α of the r closest
//!        ◀─Changed─        ◀─Changed─  (whatever changes in their stores)
//!                    └─ a look-up each minute, should they be silent
//! ```
//! A parent knows one view of each watched key: all that verified, the newest of each slot. What changes
//! the view is told to the watchers at the end of the turn, once. We ourselves watch at ourselves while
//! we are a superpeer. A watch ends with its time or with the last link of its watcher. *Not here*: the
//! watcher's side (`watch`).

use alloc::collections::BTreeSet;
use alloc::collections::btree_map::{BTreeMap, Entry};
use alloc::vec::Vec;
use core::time::Duration;

use super::look::Asker;
use super::mend::changed;
use super::requests::{Outcome, Purpose};
use super::{Overlay, Timer};
use crate::api::{LinkId, Source};
use crate::cbor::Blob;
use crate::key::{Digest, Key, PeerId};
use crate::limits::{
    DEVICES_PER_NAME_MAX, GONE_FOR, REQUEST_TIMEOUT, STORER_WATCHES_MAX, WATCH_LIFE, WATCH_POLL, WATCH_RENEW,
    WATCHES_MAX, WATCHES_PER_CHILD_MAX, WATCHES_PER_SUPERPEER_MAX,
};
use crate::record::{Bundle, Record};
use crate::time::Instant;
use crate::wire::{Changed, FLAG_FRESH, Message, Reason, Watch};

/// Who watches which keys.
#[derive(Debug, Default)]
struct Watches {
    keys: BTreeMap<Key, Watched>,
    by_peer: BTreeMap<PeerId, BTreeSet<Key>>,
    count: usize,
}

#[derive(Debug, Default)]
struct Watched {
    until: BTreeMap<PeerId, Instant>,
    /// The bundle that was told last.
    told: Option<Digest>,
}

impl Watches {
    /// False at a bound.
    fn add(&mut self, key: Key, peer: PeerId, until: Instant, bounds: (usize, usize)) -> bool {
        let (per_peer, all) = bounds;
        let has = self.by_peer.get(&peer).is_some_and(|keys| keys.contains(&key));
        if !has && (self.count >= all || self.by_peer.get(&peer).map_or(0, BTreeSet::len) >= per_peer) {
            return false;
        }
        self.count += usize::from(!has);
        self.by_peer.entry(peer).or_default().insert(key);
        self.keys.entry(key).or_default().until.insert(peer, until);
        true
    }

    fn remove(&mut self, key: &Key, peer: &PeerId) {
        let Some(keys) = self.by_peer.get_mut(peer) else { return };
        self.count -= usize::from(keys.remove(key));
        if keys.is_empty() {
            self.by_peer.remove(peer);
        }
        if let Some(watched) = self.keys.get_mut(key) {
            watched.until.remove(peer);
            if watched.until.is_empty() {
                self.keys.remove(key);
            }
        }
    }

    /// The keys that the peer watched.
    fn remove_all(&mut self, peer: &PeerId) -> BTreeSet<Key> {
        let keys = self.by_peer.get(peer).cloned().unwrap_or_default();
        for key in &keys {
            self.remove(key, peer);
        }
        keys
    }

    fn ended(&self, now: Instant) -> Vec<(Key, PeerId)> {
        let all = self.keys.iter().flat_map(|(key, watched)| {
            watched.until.iter().filter(|(_, until)| **until <= now).map(|(peer, _)| (*key, *peer))
        });
        all.collect()
    }

    /// Who is to be told, if the bundle is another one than was told last.
    fn tell(&mut self, key: &Key, digest: Digest) -> Vec<PeerId> {
        match self.keys.get_mut(key) {
            Some(watched) if watched.told != Some(digest) => {
                watched.told = Some(digest);
                watched.until.keys().copied().collect()
            }
            Some(_) | None => Vec::new(),
        }
    }
}

/// What we know of a key that children watch.
#[derive(Debug, Default)]
struct View {
    bundle: Bundle,
    /// Whether it has been looked up.
    known: bool,
    /// The storers where we watch it, and since when.
    at: BTreeMap<PeerId, Instant>,
    poll: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Watchers {
    /// Children, and ourselves.
    children: Watches,
    /// Other superpeers, that watch what we store.
    superpeers: Watches,
    views: BTreeMap<Key, View>,
    /// Watched keys under which something may have changed in this turn.
    dirty: BTreeSet<Key>,
}

impl Watchers {
    pub(super) fn len(&self) -> usize {
        self.children.count
    }

    /// Whether the peer watches here, or we watch there: such a link is needed.
    pub(super) fn involves(&self, peer: &PeerId) -> bool {
        self.children.by_peer.contains_key(peer)
            || self.superpeers.by_peer.contains_key(peer)
            || self.views.values().any(|view| view.at.contains_key(peer))
    }
}

impl Overlay {
    /// A peer watches a key through us, its parent, or at us, a storer.
    pub(super) fn serve_watch(&mut self, link: LinkId, peer: PeerId, id: u64, watch: &Watch) {
        let answer = self.watched_here(link, peer, watch);
        self.send(link, id, answer);
    }

    fn watched_here(&mut self, link: LinkId, peer: PeerId, watch: &Watch) -> Message {
        let (child, superpeer) = (self.children.is_child(&peer), self.map.contact(&peer).is_some());
        if !self.is_superpeer() || !(child || superpeer) {
            let candidates = self.candidates_for(&peer);
            return self.refuse_with(Reason::Unsupported, candidates);
        }
        let key = watch.key;
        if watch.secs == 0 {
            self.watchers.superpeers.remove(&key, &peer);
            self.watchers.children.remove(&key, &peer);
            self.drop_view(&key);
            return Message::Changed(Changed { key, status: 2, records: Vec::new() });
        }
        let life = Duration::from_secs(u64::from(watch.secs)).min(WATCH_LIFE);
        if child {
            let watches = self.watchers.children.by_peer.get(&peer).is_some_and(|keys| keys.contains(&key));
            let now = self.now.instant;
            let budget = self.links.allowed(link).map(|allowed| &mut allowed.watches);
            if !watches && !budget.is_some_and(|budget| budget.spend(1, now)) {
                return self.refuse(Reason::Busy);
            }
            return match self.watch_for(key, peer, life) {
                true => Message::Changed(self.view_of(&key)),
                false => self.refuse(Reason::Limit),
            };
        }
        let bounds = (WATCHES_PER_SUPERPEER_MAX, STORER_WATCHES_MAX);
        if !self.watchers.superpeers.add(key, peer, self.now.instant + life, bounds) {
            return self.refuse(Reason::Limit);
        }
        let bundle = self.store.bundle(&key, self.now.unix);
        if let Some(watched) = self.watchers.superpeers.keys.get_mut(&key) {
            watched.told.get_or_insert(bundle.digest());
        }
        Message::Changed(changed(key, &bundle))
    }

    /// Watches a key for a child or for ourselves; false at a bound.
    pub(super) fn watch_for(&mut self, key: Key, peer: PeerId, life: Duration) -> bool {
        let bounds = (WATCHES_PER_CHILD_MAX, WATCHES_MAX);
        if !self.watchers.children.add(key, peer, self.now.instant + life, bounds) {
            return false;
        }
        if let Entry::Vacant(place) = self.watchers.views.entry(key) {
            place.insert(View::default());
            self.poll_later(key);
            self.look(key, 0, Asker::Watch(key));
            self.watch_storers(key, None);
        }
        true
    }

    /// We watch a key at ourselves no more.
    pub(super) fn unwatch_here(&mut self, key: &Key) {
        self.watchers.children.remove(key, &self.me);
        self.drop_view(key);
    }

    /// What a watched key is known to hold: unknown until it has been looked up.
    fn view_of(&self, key: &Key) -> Changed {
        match self.watchers.views.get(key).filter(|view| view.known) {
            Some(view) => changed(*key, &view.bundle),
            None => Changed { key: *key, status: 2, records: Vec::new() },
        }
    }

    /// Nobody watches the key any more: nor do we.
    fn drop_view(&mut self, key: &Key) {
        if self.watchers.children.keys.contains_key(key) {
            return;
        }
        let Some(view) = self.watchers.views.remove(key) else { return };
        if let Some(at) = view.poll {
            self.cancel(at, Timer::Poll(*key));
        }
        for peer in view.at.into_keys().filter(|peer| self.links.to(peer).is_some()).collect::<Vec<_>>() {
            let watch = Message::Watch(Watch { key: *key, secs: 0 });
            self.ask(peer, watch, Purpose::Watch(*key), REQUEST_TIMEOUT);
        }
    }

    fn poll_later(&mut self, key: Key) {
        let wait = self.jittered(WATCH_POLL);
        let at = self.set_timer(wait, Timer::Poll(key));
        if let Some(view) = self.watchers.views.get_mut(&key)
            && let Some(before) = view.poll.replace(at)
        {
            self.cancel(before, Timer::Poll(key));
        }
    }

    pub(super) fn poll_due(&mut self, key: &Key) {
        if let Some(view) = self.watchers.views.get_mut(key) {
            view.poll = None;
            self.poll_later(*key);
            self.watch_storers(*key, None);
            self.look(*key, FLAG_FRESH, Asker::Watch(*key));
        }
    }

    /// Watches at up to α of the closest, those with a link first, but for one that has just gone.
    fn watch_storers(&mut self, key: Key, but: Option<PeerId>) {
        let closest = self.map.closest(&key, self.replicas()).into_iter().map(crate::map::Contact::peer);
        let mut storers: Vec<PeerId> =
            closest.filter(|peer| *peer != self.me && Some(*peer) != but).collect();
        // A stable sort: those that are alike stay in the order of their distance.
        storers.sort_by_key(|peer| (self.cache.is_blamed(peer), self.links.to(peer).is_none()));
        storers.truncate(self.network.parameters.alpha);
        let now = self.now.instant;
        let Some(view) = self.watchers.views.get_mut(&key) else { return };
        view.at.retain(|peer, _| storers.contains(peer));
        storers.retain(|peer| view.at.get(peer).is_none_or(|since| now.since(*since) >= WATCH_RENEW));
        view.at.extend(storers.iter().map(|peer| (*peer, now)));
        let secs = u32::try_from(WATCH_LIFE.as_secs()).unwrap_or(u32::MAX);
        for peer in storers {
            self.ask(peer, Message::Watch(Watch { key, secs }), Purpose::Watch(key), REQUEST_TIMEOUT);
        }
    }

    /// A storer answered a watch for our children, or not. False if it is not of that kind.
    pub(super) fn storer_heard(&mut self, key: Key, peer: PeerId, outcome: &Outcome) -> bool {
        let Some(view) = self.watchers.views.get_mut(&key).filter(|view| view.at.contains_key(&peer)) else {
            return false;
        };
        if let Outcome::Answer(Message::Changed(changed)) = outcome {
            self.storer_told(peer, changed);
        } else {
            // The next look-up finds another.
            view.at.remove(&peer);
        }
        true
    }

    /// A storer tells what it holds. Returns whether we watch the key there.
    pub(super) fn changed_at_storer(&mut self, peer: PeerId, changed: &Changed) -> bool {
        let watched = self.watchers.views.get(&changed.key).is_some_and(|view| view.at.contains_key(&peer));
        if watched {
            self.storer_told(peer, changed);
        }
        watched
    }

    fn storer_told(&mut self, peer: PeerId, changed: &Changed) {
        let records = self.read_changed(changed);
        if !records.is_empty() && !self.take_view(changed.key, records) {
            self.cache.blame(peer, self.now.instant + GONE_FOR);
            if let Some(view) = self.watchers.views.get_mut(&changed.key) {
                view.at.remove(&peer);
            }
        }
    }

    /// The records of a change: of its key, unverified.
    pub(super) fn read_changed(&self, changed: &Changed) -> Vec<Record> {
        let blobs = changed.records.iter().take(DEVICES_PER_NAME_MAX + 1);
        let records = blobs.filter_map(|Blob(bytes)| self.read_record(bytes.clone()).ok());
        records.filter(|record| record.header().key == changed.key).collect()
    }

    /// A look-up for watchers found something.
    pub(super) fn polled(&mut self, key: Key, found: &Bundle) {
        self.take_view(key, found.records.clone());
    }

    /// A look-up for watchers found that there is nothing.
    pub(super) fn polled_absent(&mut self, key: Key, epochs: &[Record]) {
        if let Some(view) = self.watchers.views.get_mut(&key) {
            view.bundle = Bundle::new(view.bundle.records.drain(..).filter(|r| r.certificate().is_none()));
            self.take_view(key, epochs.to_vec());
        }
    }

    /// What verifies goes into the view, what has expired goes; watchers hear of it if that changed it.
    /// False if something did not verify.
    fn take_view(&mut self, key: Key, records: Vec<Record>) -> bool {
        let Some(view) = self.watchers.views.get(&key) else { return true };
        let (mut whole, mut good) = (view.bundle.clone(), true);
        for record in records {
            if self.verify(&record).is_ok() {
                whole.insert(record);
            } else {
                good = false;
            }
        }
        whole.records.retain(|record| record.check_header(self.now.unix).is_ok());
        whole.apply_epoch();
        if let Some(view) = self.watchers.views.get_mut(&key) {
            (view.bundle, view.known) = (whole.clone(), true);
        }
        for peer in self.watchers.children.tell(&key, whole.digest()) {
            self.tell_change(peer, key, &whole);
        }
        self.cache_view(key, whole);
        good
    }

    /// The cache is not to know less than the watchers.
    fn cache_view(&mut self, key: Key, whole: Bundle) {
        let found = whole.devices().next().is_some();
        match self.cache.fresh(&key, self.now.instant) {
            Some(cached) if cached.bundle.digest() == whole.digest() => {}
            Some(cached) if found => {
                let known = (cached.bundle.clone(), cached.from);
                let merged = self.merge(&[known, (whole, None)]);
                self.cache.verified(&key, merged);
            }
            None if !found => {}
            Some(_) | None => drop(self.cache.evict(&key)),
        }
    }

    fn tell_change(&mut self, peer: PeerId, key: Key, bundle: &Bundle) {
        if peer == self.me {
            return self.changed_here(changed(key, bundle));
        }
        if let Some(link) = self.links.to(&peer) {
            self.counters.changes_pushed += 1;
            self.send(link, 0, Message::Changed(changed(key, bundle)));
        }
    }

    /// Something under the key may have changed in store, index or cache: looked at when the turn ends.
    pub(super) fn key_changed(&mut self, key: &Key) {
        let watchers = &mut self.watchers;
        let watched = |watches: &Watches| !watches.keys.is_empty() && watches.keys.contains_key(key);
        if watched(&watchers.children) || watched(&watchers.superpeers) {
            watchers.dirty.insert(*key);
        }
    }

    /// Tells watchers of what has changed in this turn; whether there was anything.
    pub(super) fn tell_changes(&mut self) -> bool {
        let Some(key) = self.watchers.dirty.pop_first() else { return false };
        let stored = self.store.bundle(&key, self.now.unix);
        if self.watchers.superpeers.keys.contains_key(&key) {
            for peer in self.watchers.superpeers.tell(&key, stored.digest()) {
                self.tell_change(peer, key, &stored);
            }
        }
        if self.watchers.views.contains_key(&key) {
            let cached = self.cache.fresh(&key, self.now.instant);
            let cached = cached.map_or_else(Bundle::default, |cached| cached.bundle.clone());
            let found = self.with_index(&key, cached, Source::Cache);
            self.take_view(key, found.bundle.records.into_iter().chain(stored.records).collect());
        }
        true
    }

    /// The last link to a peer is gone: so are its watches, and ours there.
    pub(super) fn watchers_gone(&mut self, peer: &PeerId) {
        self.watchers.superpeers.remove_all(peer);
        for key in self.watchers.children.remove_all(peer) {
            self.drop_view(&key);
        }
        let there = |view: &View| view.at.contains_key(peer);
        let views = self.watchers.views.iter_mut().filter(|(_, view)| there(view));
        let mut keys = Vec::new();
        for (key, view) in views {
            view.at.remove(peer);
            keys.push(*key);
        }
        for key in keys {
            self.watch_storers(key, Some(*peer));
        }
    }

    /// Watches that were not renewed.
    pub(super) fn sweep_watchers(&mut self) {
        let now = self.now.instant;
        for (key, peer) in self.watchers.superpeers.ended(now) {
            self.watchers.superpeers.remove(&key, &peer);
        }
        for (key, peer) in self.watchers.children.ended(now) {
            self.watchers.children.remove(&key, &peer);
            self.drop_view(&key);
        }
    }

    /// We are no superpeer any more.
    pub(super) fn stop_watching_for_others(&mut self) {
        self.watchers.superpeers = Watches::default();
        self.watchers.children = Watches::default();
        for key in self.watchers.views.keys().copied().collect::<Vec<_>>() {
            self.drop_view(&key);
        }
    }
}
