//! Standbys: two superpeers that keep a place for us, should the parent go.

use alloc::vec::Vec;

use super::Overlay;
use super::requests::Outcome;
use crate::api::Parent;
use crate::key::{Key, PeerId};
use crate::wire::{Attach, Message, Reason};

impl Overlay {
    /// A peer wants a place to fall back to.
    pub(super) fn serve_reserve(&mut self, _peer: PeerId, _reserve: &Attach) -> Message {
        self.refuse(Reason::Unsupported)
    }

    pub(super) fn reserve_heard(&mut self, _peer: PeerId, _outcome: Outcome) {}

    pub(super) fn fail_over_heard(&mut self, _peer: PeerId, _outcome: Outcome) {}

    pub(super) fn confirm_heard(&mut self, _id: u64, _peer: PeerId, _outcome: Outcome) {}

    pub(super) fn self_check_heard(&mut self, _key: Key, _peer: PeerId, _outcome: Outcome) {}

    pub(super) fn standby_status(&self) -> Vec<Parent> {
        Vec::new()
    }
}
