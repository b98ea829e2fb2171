//! Anchors: the few superpeers that worked last, on disk so that the next start dials them first.
//!
//! A start is when a peer is easiest to lead astray, so it begins with those that it chose itself when
//! it knew the network: a child its parent and standbys, a superpeer those of its near ones that it has
//! had a link to for longest. Former ones fill up what is missing, unless they are gone.
//!
//! Source: security.md §1.2 (Heilman et al., *Eclipse Attacks*, via Bitcoin Core). *Not here*: the host
//! cache, which remembers many.

use alloc::vec::Vec;

use super::Overlay;
use crate::api::Write;
use crate::key::PeerId;
use crate::limits::{ANCHORS, ANCHORS_INTERVAL, NEAR};

impl Overlay {
    /// Writes the anchors down if they are others than before: in a turn that takes place anyway, no peer wakes up
    /// for it.
    pub(super) fn renew_anchors(&mut self) {
        self.anchors_at = self.now.instant + ANCHORS_INTERVAL;
        let mut anchors = self.working();
        let former = self.anchors.iter().copied().filter(|former| !self.map.is_gone(former));
        for former in former.collect::<Vec<_>>() {
            if !anchors.contains(&former) {
                anchors.push(former);
            }
        }
        anchors.truncate(ANCHORS);
        let same =
            anchors.len() == self.anchors.len() && anchors.iter().all(|peer| self.anchors.contains(peer));
        if anchors.is_empty() || same {
            return;
        }
        self.anchors.clone_from(&anchors);
        // The host cache knows where they listen.
        for peer in &anchors {
            if !self.contacts_kept.contains(peer) {
                self.keep_contact(peer);
            }
        }
        self.persist(alloc::vec![Write::Anchors(anchors)], false);
    }

    /// Those that work now, the best first.
    fn working(&self) -> Vec<PeerId> {
        let Some(own) = self.map.contact(&self.me).map(|contact| contact.id()) else {
            let standbys = self.standby_status().into_iter().map(|standby| standby.peer);
            return self.attaching.parent().into_iter().chain(standbys).collect();
        };
        let near = self.map.closest(&own, NEAR + 1).into_iter().map(crate::map::Contact::peer);
        let mut linked: Vec<_> = near.filter_map(|peer| Some((self.links.up_since(&peer)?, peer))).collect();
        linked.sort_unstable();
        linked.into_iter().map(|(_, peer)| peer).collect()
    }

    /// At the start of a superpeer: its anchors come before all others.
    pub(super) fn dial_anchors(&mut self) {
        if core::mem::take(&mut self.anchors_wait) {
            for peer in self.anchors.clone() {
                if self.links.to(&peer).is_none() {
                    self.dial(peer);
                }
            }
        }
    }
}
