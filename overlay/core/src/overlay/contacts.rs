//! Contacts: whom we name to others, as seeds and as candidates for a parent.
//!
//! Those that have answered at an address that we dialled, as long as there are a few: whoever connects to
//! us may say that it listens anywhere. A superpeer that all others have dialled, as a login server, would
//! have none to name. So it dials back, each once in a while, those that came to it; one after the other,
//! and only until it knows enough, for a crowd may have come at once:
//!
//! ```text
//!  link from a superpeer ─▶ wait ─▶ enough? ─no─▶ dial where it says that it listens ─▶ wait
//!                                                   ├─ it answers: a contact; the second link ends
//!                                                   └─ it does not: its own link stays
//! ```
//! Of those in the host cache it is known since when they have worked for us, also over our restarts: who has
//! been there for long is likely to stay (Saroiu et al., paper), and of its age a peer can tell what it likes.
//! Who fails us, or leaves, begins anew.
//!
//! Source: DESIGN §4 *Contacts*; Heilman et al., *Eclipse Attacks* (paper), where addresses that nobody
//! has tried are the way in. *Not here*: dials to those that we have no link to (`upkeep`), how many of one
//! address group (`group`).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Overlay, Timer};
use crate::api::{Address, Effect, LinkId, Write};
use crate::key::PeerId;
use crate::limits::{
    CONTACTS_ENOUGH, CONTACTS_FEW, DIAL_BACK_WAIT, DIALLED_BACK_MAX, HOST_CACHE_LOOKED_AT, HOST_CACHE_MAX,
    PROBE_INTERVAL,
};
use crate::map::Contact;
use crate::sorted::{SortedMap, SortedSet};
use crate::time::{Instant, Unix};

#[derive(Debug, Default)]
pub(super) struct Contacts {
    /// When somebody may be dialled back next; none if nobody has come since there were enough.
    wake: Option<Instant>,
    /// They are being dialled back, beside the link that they opened.
    dialling: SortedSet<PeerId>,
    /// When they were dialled back, and did not answer.
    tried: BTreeMap<PeerId, Instant>,
    /// How many the map had forgotten when the host cache was looked through last.
    pub(super) looked: Option<u64>,
    /// Since when those of the host cache have worked for us.
    met: SortedMap<PeerId, Unix>,
}

impl Contacts {
    /// A dial has ended; whether it was to somebody who has a link already.
    pub(super) fn dial_ended(&mut self, peer: &PeerId) -> bool {
        self.dialling.remove(peer)
    }

    /// Whether the host cache has been looked through since the map forgot somebody.
    pub(super) fn looked_at(&self, forgotten: u64) -> bool {
        self.looked == Some(forgotten)
    }

    /// It goes out of the host cache.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.met.remove(peer);
    }
}

impl Overlay {
    /// Of these those that we vouch for. While they are few, as in the first seconds of a network, also those that
    /// came to us and wait to be dialled back: else all newcomers would go to the same two or three. All of them, if
    /// there are neither.
    pub(super) fn to_name<T>(&self, mut contacts: Vec<T>, of: impl Fn(&T) -> &Contact) -> Vec<T> {
        let few = contacts.iter().filter(|contact| of(contact).verified()).take(CONTACTS_FEW).count()
            < CONTACTS_FEW;
        let named = |contact: &T| of(contact).verified() || few && self.is_untried(&of(contact).peer());
        if contacts.iter().any(named) {
            contacts.retain(named);
        }
        contacts
    }

    fn is_untried(&self, peer: &PeerId) -> bool {
        self.links.to(peer).is_some() && !self.contacts.tried.contains_key(peer)
    }

    /// What the last run left on disk; the host cache is there.
    pub(super) fn restore_met(&mut self, met: Vec<(PeerId, Unix)>) {
        let kept = met.into_iter().filter(|(peer, _)| self.contacts_kept.contains(peer));
        self.contacts.met = kept.collect();
    }

    /// A superpeer has a link with us: from now on, if not from before, it works.
    pub(super) fn works(&mut self, peer: PeerId) {
        if !self.skewed && self.contacts_kept.contains(&peer) && !self.contacts.met.contains_key(&peer) {
            let since = self.now.unix;
            self.contacts.met.insert(peer, since);
            self.persist(alloc::vec![Write::Met { peer, since: Some(since) }], false);
        }
    }

    /// It works no more.
    pub(super) fn works_no_more(&mut self, peer: PeerId) {
        self.contacts.tried.remove(&peer);
        if self.contacts.met.remove(&peer).is_some() {
            self.persist(alloc::vec![Write::Met { peer, since: None }], false);
        }
    }

    /// How long a superpeer has worked for us, by what we have seen ourselves.
    pub(super) fn age_of(&self, peer: &PeerId) -> Duration {
        self.contacts.met.get(peer).map_or(Duration::ZERO, |since| self.now.unix.since(*since))
    }

    /// A superpeer goes into the host cache; at the bound one makes room: of some the first that is gone, or that has
    /// not answered where we dialled it.
    pub(super) fn keep_contact(&mut self, peer: &PeerId) {
        let Some(contact) = self.map.contact(peer) else { return };
        let write = Write::Contact { peer: *peer, bytes: contact.hint().to_bytes() };
        let mut writes = alloc::vec![write];
        self.contacts_kept.insert(*peer);
        if self.contacts_kept.len() > HOST_CACHE_MAX {
            // Who comes after a newcomer by its key is as good as drawn.
            let others = || self.contacts_kept.after(peer).filter(|kept| !self.anchors.contains(kept));
            let drawn = || others().take(HOST_CACHE_LOOKED_AT);
            let dead = drawn().find(|kept| self.map.place(kept).is_none());
            let told = || drawn().find(|kept| self.map.contact(kept).is_some_and(|known| !known.verified()));
            let dead = dead.or_else(told).or_else(|| others().next());
            if let Some(dead) = dead.copied() {
                self.contacts_kept.remove(&dead);
                self.contacts.forget(&dead);
                writes.push(Write::ForgetContact(dead));
            }
        }
        self.persist(writes, false);
    }

    /// A superpeer has come to us.
    pub(super) fn dial_back_soon(&mut self) {
        if self.is_superpeer() && self.contacts.wake.is_none() {
            let wait = self.jittered(DIAL_BACK_WAIT);
            self.contacts.wake = Some(self.set_timer(wait, Timer::DialBack));
        }
    }

    /// Dials one of those back that came to us, and goes on with it while there are too few contacts.
    pub(super) fn dial_back(&mut self) {
        let now = self.now.instant;
        self.contacts.wake = None;
        self.contacts.tried.retain(|_, at| now.since(*at) < PROBE_INTERVAL);
        if !self.is_superpeer() || self.attaching.is_leaving() || self.has_contacts_enough() {
            return;
        }
        let open = self.links.peers().map(|(peer, _)| *peer).filter(|peer| self.is_to_dial_back(peer));
        let open: Vec<PeerId> = open.collect();
        if open.is_empty() || self.contacts.tried.len() >= DIALLED_BACK_MAX {
            return;
        }
        if self.may_dial_strangers() {
            let peer = open[self.pick(open.len())];
            self.contacts.tried.insert(peer, now);
            if !self.links.is_greeting(&peer) && self.dial(peer) {
                self.contacts.dialling.insert(peer);
            }
        }
        self.dial_back_soon();
    }

    fn has_contacts_enough(&self) -> bool {
        let linked = self.links.peers().filter_map(|(peer, _)| self.map.contact(peer));
        linked.filter(|contact| contact.verified()).take(CONTACTS_ENOUGH).count() == CONTACTS_ENOUGH
    }

    fn is_to_dial_back(&self, peer: &PeerId) -> bool {
        let unverified = self.map.contact(peer).is_some_and(|contact| !contact.verified());
        unverified && !self.contacts.tried.contains_key(peer) && !self.requests.is_dialling(peer)
    }

    /// A link that we dialled is there. If it was only to see whether its peer listens there, it has served
    /// its purpose, and ends.
    pub(super) fn dialled_back(&mut self, link: LinkId, peer: &PeerId, at: &[Address]) -> bool {
        let works = self.links.to(peer).is_some() && !self.links.is_knocked_in_vain(peer);
        if !self.contacts.dial_ended(peer) || !works {
            return false;
        }
        if self.map.confirm(peer, at, self.now.instant) {
            self.contacts.tried.remove(peer);
            self.keep_contact(peer);
        }
        self.out.push(Effect::Close { link });
        true
    }
}
