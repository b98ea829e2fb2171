//! A parent's children and the index of their records.
//!
//! An attachment is signed by both sides and holds for ten minutes from its receipt; the child renews
//! it at half. Without a link or a valid attachment a child is gone and its records leave the index
//! (they stay with their storers). Peers without an account share a quarter of the places: who registers
//! nothing is a guest, unless it has shown a certificate when no guest had a place (it lost its parent with
//! many others, say). *Not here*: standbys, presence.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::serve::register_body;
use super::{Overlay, Timer};
use crate::api::{Kin, Seen, Slot};
use crate::cbor::Blob;
use crate::certificate::{DeviceCertificate, valid_at};
use crate::group::Caps;
use crate::invalid::Subject;
use crate::key::{Digest, Key, PeerId};
use crate::limits::{
    ATTACHMENT_LIFE, GOODBYE_LIFE, GOODBYES_MAX, GUESTS_SHARE, RECORDS_PER_CHILD_MAX, RELUCTANT_FROM,
    RESERVATION_LIFE_MAX, RESERVATIONS_PER_CHILD, SAMPLED_FOR,
};
use crate::record::Record;
use crate::sign::{Tag, to_sign};
use crate::time::Instant;
use crate::wire::{Attach, Attached, AttachmentBody, Hint, Leave, Message, Reason, Voucher};

/// Other superpeers that are named to a child. *Guess*.
const CANDIDATES_NAMED: usize = 8;

/// So many are put in order to find those. *Guess*: address groups may pass some over.
const CANDIDATES_SORTED: usize = 4 * CANDIDATES_NAMED;

/// Where there are more to choose from, the same ones are for a second. *Guess*: small networks change by the second.
const CANDIDATES_KEPT_FROM: usize = 64;

/// A place that is kept.
#[derive(Debug, Clone, Copy)]
struct Reservation {
    until: Instant,
}

#[derive(Debug)]
struct Child {
    /// Since when it has been our child.
    since: Instant,
    until: Instant,
    /// Its signed half of the attachment: proof that it is our child.
    word: Attach,
    /// It has shown that it has an account.
    vouched: bool,
    /// By their slots: one, as a rule.
    records: Vec<Record>,
}

impl Child {
    fn find(&self, slot: &Slot) -> Result<usize, usize> {
        self.records.binary_search_by(|record| record.slot().cmp(slot))
    }

    fn is_guest(&self) -> bool {
        self.records.is_empty() && !self.vouched
    }
}

#[derive(Debug, Default)]
pub(super) struct Children {
    children: BTreeMap<PeerId, Child>,
    /// Which children registered records under a key.
    by_key: BTreeMap<Key, Vec<PeerId>>,
    guests: usize,
    /// Who has a place to fall back to, and until when.
    reservations: BTreeMap<PeerId, Reservation>,
    /// What children that left said, and when.
    goodbyes: BTreeMap<PeerId, (Instant, Leave)>,
    /// Whom we name to others, with the load of each, and when that was worked out.
    candidates: (Vec<(u8, PeerId)>, Instant),
}

/// A child's half of an attachment or reservation that is in order.
struct Agreement {
    life: Duration,
    /// What we sign too.
    message: Vec<u8>,
}

impl Children {
    pub(super) fn reservations(&self) -> usize {
        self.reservations.len()
    }

    /// A child's own half of its attachment.
    pub(super) fn word(&self, peer: &PeerId) -> Option<&Attach> {
        self.children.get(peer).map(|child| &child.word)
    }

    /// What a child said when it left, if that is not too long ago.
    pub(super) fn goodbye(&self, peer: &PeerId, now: Instant) -> Option<&Leave> {
        let (heard, leave) = self.goodbyes.get(peer)?;
        (now.since(*heard) < GOODBYE_LIFE).then_some(leave)
    }

    /// At the bound the oldest goodbye goes.
    fn keep_goodbye(&mut self, peer: PeerId, leave: Leave, now: Instant) {
        self.goodbyes.insert(peer, (now, leave));
        if self.goodbyes.len() > GOODBYES_MAX {
            let oldest = self.goodbyes.iter().min_by_key(|(_, (heard, _))| *heard).map(|(peer, _)| *peer);
            if let Some(oldest) = oldest {
                self.goodbyes.remove(&oldest);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.children.len()
    }

    /// All of them.
    pub(super) fn peers(&self) -> Vec<PeerId> {
        self.children.keys().copied().collect()
    }

    /// Of those that would be superpeers the one that has been our child longest, those that have been asked
    /// after the others, and only if that is long ago.
    pub(super) fn best_volunteer(
        &self,
        asked: impl Fn(&PeerId) -> Option<Instant>,
        is_long_ago: impl Fn(Instant) -> bool,
    ) -> Option<PeerId> {
        let volunteers = self.children.iter().filter(|(_, child)| child.word.volunteers);
        let ranked = volunteers.map(|(peer, child)| (asked(peer), child.since, *peer));
        let open = ranked.filter(|(asked, ..)| asked.is_none_or(&is_long_ago));
        open.min().map(|(.., peer)| peer)
    }

    pub(super) fn is_child(&self, peer: &PeerId) -> bool {
        self.children.contains_key(peer)
    }

    /// Takes a child in or renews its attachment; returns when the former one would have ended.
    fn attach(
        &mut self,
        peer: PeerId,
        (since, until): (Instant, Instant),
        (word, vouched): (Attach, bool),
    ) -> Option<Instant> {
        self.goodbyes.remove(&peer);
        if let Some(child) = self.children.get_mut(&peer) {
            child.word = word;
            return Some(core::mem::replace(&mut child.until, until));
        }
        self.children.insert(peer, Child { since, until, word, vouched, records: Vec::new() });
        self.guests += usize::from(!vouched);
        None
    }

    fn remove(&mut self, peer: &PeerId) {
        let Some(child) = self.children.remove(peer) else { return };
        self.guests -= usize::from(child.is_guest());
        for record in &child.records {
            self.unlist(&record.header().key, peer);
        }
    }

    /// Whether the child may register a record in this slot.
    pub(super) fn has_room(&self, peer: &PeerId, slot: &Slot, lab: bool) -> bool {
        self.children.get(peer).is_some_and(|child| {
            lab || child.records.len() < RECORDS_PER_CHILD_MAX || child.find(slot).is_ok()
        })
    }

    pub(super) fn index(&mut self, peer: PeerId, record: Record) {
        if let Some(child) = self.children.get_mut(&peer) {
            let slot = record.slot();
            self.guests -= usize::from(child.is_guest());
            match child.find(&slot) {
                Ok(index) => child.records[index] = record,
                Err(index) => {
                    child.records.reserve_exact(1);
                    child.records.insert(index, record);
                }
            }
            let peers = self.by_key.entry(slot.key).or_default();
            if let Err(index) = peers.binary_search(&peer) {
                peers.reserve_exact(1);
                peers.insert(index, peer);
            }
        }
    }

    /// Another child that registered this slot.
    pub(super) fn other_in(&self, slot: &Slot, peer: &PeerId) -> Option<PeerId> {
        let holds = |other: &&PeerId| {
            other != &peer && self.children.get(other).is_some_and(|child| child.find(slot).is_ok())
        };
        self.by_key.get(&slot.key)?.iter().find(holds).copied()
    }

    /// The child withdraws a record of its own.
    pub(super) fn withdraw(&mut self, peer: &PeerId, key: &Key, digest: &Digest) -> bool {
        let Some(child) = self.children.get_mut(peer) else { return false };
        let count = child.records.len();
        child.records.retain(|record| record.header().key != *key || record.digest() != *digest);
        if child.records.len() == count {
            return false;
        }
        self.guests += usize::from(child.is_guest());
        if !child.records.iter().any(|record| record.header().key == *key) {
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
            .flat_map(move |child| child.records.iter().filter(move |record| record.header().key == *key))
    }

    fn unlist(&mut self, key: &Key, peer: &PeerId) {
        if let Some(peers) = self.by_key.get_mut(key) {
            peers.retain(|other| other != peer);
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
        let Some(agreed) = self.agree(&peer, attach, Tag::Attachment, ATTACHMENT_LIFE) else {
            return self.refuse(Reason::Invalid);
        };
        let known = self.children.is_child(&peer);
        if self.shuns_children() || !known && !self.has_place(&peer) {
            return self.full(&peer);
        }
        // Dear, so only where it matters.
        let vouched = !known && self.guests_are_many();
        if vouched && !self.has_account(&peer, attach.voucher.as_ref()) {
            return self.full(&peer);
        }
        let until = self.now.instant + agreed.life;
        // What is kept must not hold the whole frame in memory.
        let body = Blob(Bytes::copy_from_slice(&attach.body.0));
        let (signature, volunteers) = (attach.signature, attach.volunteers);
        let word = Attach { body, signature, voucher: None, volunteers };
        if let Some(former) = self.children.attach(peer, (self.now.instant, until), (word, vouched)) {
            self.cancel(former, Timer::Child(peer));
        }
        self.seen(peer, Seen::There(Kin::Child));
        self.end_reservation(&peer);
        self.set_timer(agreed.life, Timer::Child(peer));
        if volunteers {
            self.volunteer_came();
        }
        Message::Attached(Attached { signature: self.node.sign(&agreed.message) })
    }

    /// A peer wants a place to fall back to. A child that asks for it is none any more: it has two
    /// parents, and prefers the other one.
    pub(super) fn serve_reserve(&mut self, peer: PeerId, reserve: &Attach) -> Message {
        if !self.is_superpeer() {
            let candidates = self.candidates_for(&peer);
            return self.refuse_with(Reason::Unsupported, candidates);
        }
        // For longer only to who has kept one, or was ours just now: else anybody could take all places for long.
        let held = self.children.reservations.contains_key(&peer);
        let longest =
            if held || self.children.is_child(&peer) { RESERVATION_LIFE_MAX } else { ATTACHMENT_LIFE };
        let Some(agreed) = self.agree(&peer, reserve, Tag::Reservation, longest) else {
            return self.refuse(Reason::Invalid);
        };
        self.seen(peer, Seen::Moved);
        self.child_gone(&peer, self.now.instant);
        let bound = self.children_max * RESERVATIONS_PER_CHILD;
        if self.shuns_children() || !held && self.children.reservations() >= bound {
            return self.full(&peer);
        }
        self.end_reservation(&peer);
        let until = self.set_timer(agreed.life, Timer::Reservation(peer));
        self.children.reservations.insert(peer, Reservation { until });
        Message::Reserved(Attached { signature: self.node.sign(&agreed.message) })
    }

    /// Checks the child's half: it is for us, by the sender, for no longer than usual, and signed.
    fn agree(&mut self, peer: &PeerId, attach: &Attach, tag: Tag, longest: Duration) -> Option<Agreement> {
        let body = AttachmentBody::from_bytes(&attach.body.0).ok()?;
        let ours = body.parent == self.me && body.child == *peer;
        if !ours || u64::from(body.secs) > longest.as_secs() {
            return None;
        }
        let message = to_sign(tag, &self.network.id, &attach.body.0);
        let signed = self.is_signed_by(peer, &message, &attach.signature);
        signed.then_some(Agreement { life: Duration::from_secs(u64::from(body.secs)), message })
    }

    fn full(&mut self, peer: &PeerId) -> Message {
        let candidates = self.candidates_for(peer);
        self.refuse_with(Reason::Busy, candidates)
    }

    fn end_reservation(&mut self, peer: &PeerId) {
        if let Some(reservation) = self.children.reservations.remove(peer) {
            self.cancel(reservation.until, Timer::Reservation(*peer));
        }
    }

    /// A reservation has run out.
    pub(super) fn reservation_due(&mut self, peer: &PeerId) {
        self.children.reservations.remove(peer);
    }

    /// Whether a peer is our child, or may become it: for others we don't work.
    pub(super) fn is_served(&self, peer: &PeerId) -> bool {
        self.children.is_child(peer) || self.children.reservations.contains_key(peer)
    }

    /// A peer said goodbye: its attachment ends, and who asks for it hears of the goodbye.
    pub(super) fn child_left(&mut self, peer: &PeerId, leave: &Leave) {
        if self.children.is_child(peer) {
            self.children.keep_goodbye(*peer, leave.clone(), self.now.instant);
            self.seen(*peer, Seen::Left);
            self.child_gone(peer, self.now.instant);
        }
        self.end_reservation(peer);
    }

    /// A login server leaves children to others as soon as there are enough.
    pub(super) fn shuns_children(&self) -> bool {
        self.is_leaving() || self.reluctant && self.map.len() > RELUCTANT_FROM
    }

    /// Who has a reservation finds the last quarter open too.
    fn has_place(&self, peer: &PeerId) -> bool {
        let (all, reserved) = (self.children_max, self.children.reservations.contains_key(peer));
        self.children.len() < if reserved { all } else { (all * 3).div_ceil(4) }
    }

    /// Whether those without an account have all places that they may have.
    fn guests_are_many(&self) -> bool {
        !self.is_lab() && self.children.guests >= (self.children_max / GUESTS_SHARE).max(1)
    }

    /// Whether a peer has shown that it has an account. To look costs three signatures: who shows what is
    /// wrong again and again is left.
    fn has_account(&mut self, peer: &PeerId, voucher: Option<&Voucher>) -> bool {
        let Some(voucher) = voucher else { return false };
        let right = self.is_vouched(peer, voucher);
        if let (false, Some(link)) = (right, self.links.to(peer)) {
            self.bad_hint(link);
        }
        right
    }

    /// Whether a device of an account has signed that the peer is to be our child.
    fn is_vouched(&mut self, peer: &PeerId, voucher: &Voucher) -> bool {
        let [login, device] = &voucher.chain[..] else { return false };
        let (network, now) = (&self.network, self.now.unix);
        self.counters.verifications += 2;
        let Ok(login) = self.chains.login(&login.0, network, &*self.verifier) else { return false };
        let device = DeviceCertificate::verify(&device.0, &login.key, &network.id, &*self.verifier);
        let Ok(device) = device else { return false };
        let lives = [
            (login.not_before..login.not_after, Subject::LoginCertificate),
            (device.not_before..device.not_after, Subject::DeviceCertificate),
        ];
        if lives.iter().any(|(life, subject)| valid_at(life, now, *subject).is_err()) {
            return false;
        }
        let message = to_sign(Tag::Register, &network.id, &register_body(&self.me, peer));
        self.verifier.verify(&device.device, &message, &voucher.signature)
    }

    /// Other superpeers that we have a stream to, the least loaded first, each asker's in another order,
    /// not too many of one address group.
    pub(super) fn candidates_for(&mut self, peer: &PeerId) -> Vec<Hint> {
        let order =
            |other: &PeerId| Key::from_bytes(*other.as_bytes()).distance(&Key::from_bytes(*peer.as_bytes()));
        self.draw_candidates();
        let others = self.children.candidates.0.iter().filter(|(_, other)| other != peer);
        let mut linked: Vec<_> = others.map(|(load, other)| ((*load, order(other)), *other)).collect();
        let mut caps = Caps::new(self.network.scope);
        let mut named = Vec::new();
        // As a rule those that come first are enough: the others need not be put in order.
        let first = CANDIDATES_SORTED.min(linked.len());
        if first < linked.len() {
            linked.select_nth_unstable_by_key(first, |(rank, _)| *rank);
        }
        let (some, rest) = linked.split_at_mut(first);
        for part in [some, rest] {
            if named.len() < CANDIDATES_NAMED {
                part.sort_unstable_by_key(|(rank, _)| *rank);
                let wanted = CANDIDATES_NAMED - named.len();
                let there = part.iter().filter(|(_, other)| self.links.to(other).is_some());
                let known = there.filter_map(|(_, other)| self.map.contact(other));
                let admitted = known.filter(|contact| caps.admit(&contact.hint().addresses));
                named.extend(admitted.take(wanted).map(|contact| contact.hint().clone()));
            }
        }
        named
    }

    /// Works out whom we name to others, and how many children each has: where they are many not again within a second.
    fn draw_candidates(&mut self) {
        let now = self.now.instant;
        let (drawn, at) = &self.children.candidates;
        if drawn.len() > CANDIDATES_KEPT_FROM && now.since(*at) < SAMPLED_FOR {
            return;
        }
        let others = self.links.peers().filter(|(other, _)| **other != self.me);
        let linked = others.filter_map(|(other, link)| {
            let contact = self.map.contact(other)?;
            let greeting = self.links.get(*link).and_then(|link| link.greeting.as_ref());
            Some((greeting.map_or(u8::MAX, |greeting| greeting.load), contact))
        });
        let linked = self.to_name(linked.collect(), |(_, contact)| contact);
        let drawn = linked.into_iter().map(|(load, contact)| (load, contact.peer())).collect();
        self.children.candidates = (drawn, now);
    }

    /// The last link to a peer is gone, from which something came last then.
    pub(super) fn child_gone(&mut self, peer: &PeerId, heard: Instant) {
        if let Some(child) = self.children.children.get(peer) {
            self.cancel(child.until, Timer::Child(*peer));
            self.children.remove(peer);
            self.not_needed(peer);
            self.seen(*peer, Seen::Lost { kin: Kin::Child, heard });
        }
    }

    /// We are a child ourselves now: the children are told when they next ask.
    pub(super) fn disown_children(&mut self) {
        for peer in self.children.children.keys().copied().collect::<Vec<_>>() {
            self.child_gone(&peer, self.now.instant);
        }
        for peer in self.children.reservations.keys().copied().collect::<Vec<_>>() {
            self.end_reservation(&peer);
        }
    }

    /// An attachment ends now unless it was renewed.
    pub(super) fn child_due(&mut self, peer: &PeerId) {
        let now = self.now.instant;
        if self.children.children.get(peer).is_some_and(|child| child.until <= now) {
            self.children.remove(peer);
            self.not_needed(peer);
            let heard = self.links.heard(peer).unwrap_or(now);
            self.seen(*peer, Seen::Lost { kin: Kin::Child, heard });
        }
    }
}
