//! A child's way to its parent.
//!
//! ```text
//!  detached ──ask one of the known superpeers──▶ asking ──signed by both──▶ attached
//!      ▲            ▲ Busy: its candidates next        │                       │ renew at half
//!      └── wait, jittered ◀── refused, silent ─────────┘      link lost ───────┘
//! ```
//! Whom: a superpeer that is linked already goes first, then any, in random order; who refused is
//! passed over until everyone has. *Not here*: probing for load, standbys.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use super::requests::{Outcome, Purpose};
use super::{Overlay, Timer};
use crate::api::{Notice, Parent};
use crate::cbor::Blob;
use crate::key::PeerId;
use crate::limits::{
    ATTACH_RETRY, ATTACH_RETRY_MAX, ATTACHMENT_LIFE, ATTACHMENT_RENEW, HINTS_PER_ANSWER_MAX, REQUEST_TIMEOUT,
};
use crate::sign::{Tag, to_sign};
use crate::time::Instant;
use crate::wire::{Attach, AttachmentBody, Message, Refused};

#[derive(Debug, Default)]
pub(super) struct Attaching {
    parent: Option<PeerId>,
    asking: Option<(PeerId, Vec<u8>)>,
    passed_over: BTreeSet<PeerId>,
    failures: u32,
    wake: Option<Instant>,
    leaving: bool,
}

impl Attaching {
    pub(super) fn parent(&self) -> Option<PeerId> {
        self.parent
    }

    pub(super) fn is_parent(&self, peer: &PeerId) -> bool {
        self.parent == Some(*peer)
    }

    /// We are shutting down.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// No more parents: we are shutting down.
    pub(super) fn stop(&mut self) {
        self.leaving = true;
    }
}

impl Overlay {
    /// A child without a parent looks for one now.
    pub(super) fn attach_if_needed(&mut self) {
        let idle = self.attaching.parent.is_none() && self.attaching.asking.is_none();
        if self.is_superpeer() || !idle || self.attaching.leaving {
            return;
        }
        match self.next_candidate() {
            Some(peer) => self.ask_to_attach(peer),
            None => {
                self.attaching.passed_over.clear();
                self.attach_later();
            }
        }
    }

    /// A superpeer from the map, linked ones first; when there is none, one that failed us before.
    fn next_candidate(&mut self) -> Option<PeerId> {
        let peers = self.map.iter().map(crate::map::Contact::peer);
        let open: Vec<PeerId> = peers.filter(|peer| !self.attaching.passed_over.contains(peer)).collect();
        let linked: Vec<PeerId> = open.iter().filter(|peer| self.links.to(peer).is_some()).copied().collect();
        let mut choice = if linked.is_empty() { open } else { linked };
        if choice.is_empty() {
            let gone = self.map.buried(self.now.instant);
            choice = gone.filter(|peer| !self.attaching.passed_over.contains(peer)).collect();
        }
        let index = if choice.is_empty() { return None } else { self.pick(choice.len()) };
        choice.get(index).copied()
    }

    fn ask_to_attach(&mut self, peer: PeerId) {
        let secs = u32::try_from(ATTACHMENT_LIFE.as_secs()).unwrap_or(u32::MAX);
        let body = AttachmentBody { parent: peer, child: self.me, from: self.now.unix.as_secs(), secs };
        let body = body.to_bytes();
        let message = to_sign(Tag::Attachment, &self.network.id, &body);
        let signature = self.node.sign(&message);
        self.attaching.asking = Some((peer, message));
        let attach = Message::Attach(Attach { body: Blob(body), signature });
        self.ask(peer, attach, Purpose::Attach, REQUEST_TIMEOUT);
    }

    fn attach_later(&mut self) {
        let doubled = ATTACH_RETRY * 2u32.saturating_pow(self.attaching.failures.min(10));
        let wait = self.jittered(doubled.min(ATTACH_RETRY_MAX));
        self.attaching.failures = self.attaching.failures.saturating_add(1);
        self.set_attach_timer(wait);
    }

    fn set_attach_timer(&mut self, wait: Duration) {
        if let Some(at) = self.attaching.wake.take() {
            self.cancel(at, Timer::Attach);
        }
        let at = self.set_timer(wait, Timer::Attach);
        self.attaching.wake = Some(at);
    }

    pub(super) fn attach_due(&mut self) {
        self.attaching.wake = None;
        match self.attaching.parent {
            Some(parent) if self.attaching.asking.is_none() => self.ask_to_attach(parent),
            Some(_) => {}
            None => self.attach_if_needed(),
        }
    }

    pub(super) fn attach_heard(&mut self, peer: PeerId, outcome: Outcome) {
        let asking = self.attaching.asking.take_if(|(asked, _)| *asked == peer);
        let Some((asked, message)) = asking else { return };
        if self.is_superpeer() {
            return;
        }
        match outcome {
            Outcome::Answer(Message::Attached(attached)) => {
                self.counters.verifications += 1;
                if self.verifier.verify(&asked.as_public_key(), &message, &attached.signature) {
                    return self.attached(peer);
                }
            }
            Outcome::Refused(refused) => {
                self.learn_candidates(&peer, &refused);
            }
            Outcome::Answer(_) | Outcome::Silent | Outcome::Unreachable => {}
        }
        if self.attaching.is_parent(&peer) {
            // The renewal failed: it is no parent any more.
            self.lose_parent(peer);
        }
        self.attaching.passed_over.insert(peer);
        self.attach_if_needed();
    }

    fn attached(&mut self, peer: PeerId) {
        let renewed = self.attaching.is_parent(&peer);
        self.attaching.parent = Some(peer);
        self.attaching.failures = 0;
        self.attaching.passed_over.clear();
        self.set_attach_timer(ATTACHMENT_RENEW);
        if renewed {
            return;
        }
        if let Some(link) = self.links.to(&peer) {
            self.say_hello(link, peer);
        }
        self.counters.attachments += 1;
        self.notice(Notice::Attached(peer));
        // Before what waits for the disk.
        self.resolve_waiting();
        self.publish_all();
    }

    /// The last link to a peer is gone: if it was the parent, look for another at once.
    pub(super) fn parent_lost(&mut self, peer: &PeerId) {
        if self.attaching.is_parent(peer) {
            self.lose_parent(*peer);
            self.attaching.passed_over.insert(*peer);
            self.attach_if_needed();
        }
    }

    /// The parent says that it is none: it may know another.
    pub(super) fn disowned(&mut self, peer: &PeerId, refused: &Refused) {
        self.learn_candidates(peer, refused);
        self.parent_lost(peer);
    }

    fn learn_candidates(&mut self, teller: &PeerId, refused: &Refused) {
        for hint in refused.candidates.iter().take(HINTS_PER_ANSWER_MAX) {
            self.learn_told(*teller, hint);
        }
    }

    fn lose_parent(&mut self, peer: PeerId) {
        self.attaching.parent = None;
        self.counters.parents_lost += 1;
        self.notice(Notice::Detached(peer));
    }

    /// We are a superpeer now: the parent is not needed any more.
    pub(super) fn detach(&mut self) {
        self.attaching = Attaching { leaving: self.attaching.leaving, ..Attaching::default() };
    }

    pub(super) fn parent_status(&self) -> Option<Parent> {
        let peer = self.attaching.parent?;
        let contact = self.map.contact(&peer);
        let round_trip = self.links.round_trip(&peer).map_or(Duration::ZERO, |known| known.smoothed);
        Some(Parent {
            peer,
            address: contact.and_then(|known| known.hint.addresses.first().copied()),
            round_trip,
        })
    }
}
