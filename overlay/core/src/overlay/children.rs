//! A parent's children and the index of their records.
//!
//! An attachment is signed by both sides and holds for ten minutes from its receipt; the child renews
//! it at half. Without a link or a valid attachment a child is gone and its records leave the index
//! (they stay with their storers). *Not here*: standbys, presence.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::{Overlay, Timer};
use crate::api::Slot;
use crate::group::Caps;
use crate::key::{Digest, Key, PeerId};
use crate::limits::{ATTACHMENT_LIFE, GUESTS_SHARE, RECORDS_PER_CHILD_MAX, RELUCTANT_FROM};
use crate::record::Record;
use crate::sign::{Tag, to_sign};
use crate::time::Instant;
use crate::wire::{Attach, Attached, AttachmentBody, Hint, Message, Reason};

#[derive(Debug)]
struct Child {
    until: Instant,
    records: BTreeMap<Slot, Record>,
}

#[derive(Debug, Default)]
pub(super) struct Children {
    children: BTreeMap<PeerId, Child>,
    /// Which children registered records under a key.
    by_key: BTreeMap<Key, BTreeSet<PeerId>>,
    guests: usize,
}

impl Children {
    pub(super) fn len(&self) -> usize {
        self.children.len()
    }

    pub(super) fn is_child(&self, peer: &PeerId) -> bool {
        self.children.contains_key(peer)
    }

    /// Takes a child in or renews its attachment; returns when the former one would have ended.
    fn attach(&mut self, peer: PeerId, until: Instant) -> Option<Instant> {
        if let Some(child) = self.children.get_mut(&peer) {
            return Some(core::mem::replace(&mut child.until, until));
        }
        self.children.insert(peer, Child { until, records: BTreeMap::new() });
        self.guests += 1;
        None
    }

    fn remove(&mut self, peer: &PeerId) {
        let Some(child) = self.children.remove(peer) else { return };
        self.guests -= usize::from(child.records.is_empty());
        for slot in child.records.keys() {
            self.unlist(&slot.key, peer);
        }
    }

    /// Whether the child may register a record in this slot.
    pub(super) fn has_room(&self, peer: &PeerId, slot: &Slot, lab: bool) -> bool {
        self.children.get(peer).is_some_and(|child| {
            lab || child.records.len() < RECORDS_PER_CHILD_MAX || child.records.contains_key(slot)
        })
    }

    pub(super) fn index(&mut self, peer: PeerId, record: Record) {
        if let Some(child) = self.children.get_mut(&peer) {
            let slot = record.slot();
            self.guests -= usize::from(child.records.is_empty());
            child.records.insert(slot, record);
            self.by_key.entry(slot.key).or_default().insert(peer);
        }
    }

    /// The child withdraws a record of its own.
    pub(super) fn withdraw(&mut self, peer: &PeerId, key: &Key, digest: &Digest) -> bool {
        let Some(child) = self.children.get_mut(peer) else { return false };
        let count = child.records.len();
        child.records.retain(|slot, record| slot.key != *key || record.digest() != *digest);
        if child.records.len() == count {
            return false;
        }
        self.guests += usize::from(child.records.is_empty());
        if !child.records.keys().any(|slot| slot.key == *key) {
            self.unlist(key, peer);
        }
        true
    }

    /// Drops what an epoch record revokes.
    pub(super) fn revoke(&mut self, epoch: &Record) {
        let Ok(payload) = epoch.epoch_payload() else { return };
        let key = epoch.header().key;
        for peer in self.by_key.get(&key).cloned().unwrap_or_default() {
            let revoked: Vec<Digest> =
                self.of(&key).filter(|record| payload.revokes_record(record)).map(Record::digest).collect();
            for digest in revoked {
                self.withdraw(&peer, &key, &digest);
            }
        }
    }

    /// The records that children registered under a key.
    pub(super) fn of(&self, key: &Key) -> impl Iterator<Item = &Record> {
        let peers = self.by_key.get(key).into_iter().flatten();
        peers
            .filter_map(|peer| self.children.get(peer))
            .flat_map(move |child| child.records.values().filter(move |record| record.header().key == *key))
    }

    fn unlist(&mut self, key: &Key, peer: &PeerId) {
        if let Some(peers) = self.by_key.get_mut(key) {
            peers.remove(peer);
            if peers.is_empty() {
                self.by_key.remove(key);
            }
        }
    }
}

impl Overlay {
    /// A peer wants us for its parent.
    pub(super) fn serve_attach(&mut self, peer: PeerId, attach: &Attach) -> Message {
        if !self.is_superpeer() {
            // Perhaps we were one, and know others.
            let candidates = self.candidates_for(&peer);
            return self.refuse_with(Reason::Unsupported, candidates);
        }
        let Ok(body) = AttachmentBody::from_bytes(&attach.body.0) else {
            return self.refuse(Reason::Invalid);
        };
        let ours = body.parent == self.me && body.child == peer;
        if !ours || u64::from(body.secs) > ATTACHMENT_LIFE.as_secs() {
            return self.refuse(Reason::Invalid);
        }
        let message = to_sign(Tag::Attachment, &self.network.id, &attach.body.0);
        self.counters.verifications += 1;
        if !self.verifier.verify(&peer.as_public_key(), &message, &attach.signature) {
            return self.refuse(Reason::Invalid);
        }
        let place = !self.shuns_children() && (self.children.is_child(&peer) || self.has_place());
        if !place {
            let candidates = self.candidates_for(&peer);
            return self.refuse_with(Reason::Busy, candidates);
        }
        let life = core::time::Duration::from_secs(u64::from(body.secs));
        if let Some(former) = self.children.attach(peer, self.now.instant + life) {
            self.cancel(former, Timer::Child(peer));
        }
        self.set_timer(life, Timer::Child(peer));
        Message::Attached(Attached { signature: self.node.sign(&message) })
    }

    /// A login server leaves children to others as soon as there are enough.
    fn shuns_children(&self) -> bool {
        self.is_leaving() || self.reluctant && self.map.len() > RELUCTANT_FROM
    }

    fn has_place(&self) -> bool {
        self.children.len() < self.children_max
            && (self.is_lab() || self.children.guests < self.children_max / GUESTS_SHARE)
    }

    /// Other superpeers that we have a stream to, not too many of one address group.
    pub(super) fn candidates_for(&self, peer: &PeerId) -> Vec<Hint> {
        let linked = self.map.iter().filter(|contact| {
            let other = contact.peer();
            other != *peer && other != self.me && self.links.to(&other).is_some()
        });
        let mut caps = Caps::new(self.network.scope);
        let linked = linked.filter(|contact| caps.admit(&contact.hint.addresses));
        linked.take(8).map(|contact| contact.hint.clone()).collect()
    }

    /// The last link to a peer is gone.
    pub(super) fn child_gone(&mut self, peer: &PeerId) {
        if let Some(child) = self.children.children.get(peer) {
            self.cancel(child.until, Timer::Child(*peer));
            self.children.remove(peer);
        }
    }

    /// We are a child ourselves now: the children are told when they next ask.
    pub(super) fn disown_children(&mut self) {
        for peer in self.children.children.keys().copied().collect::<Vec<_>>() {
            self.child_gone(&peer);
        }
    }

    /// An attachment ends now unless it was renewed.
    pub(super) fn child_due(&mut self, peer: &PeerId) {
        let now = self.now.instant;
        if self.children.children.get(peer).is_some_and(|child| child.until <= now) {
            self.children.remove(peer);
        }
    }
}
