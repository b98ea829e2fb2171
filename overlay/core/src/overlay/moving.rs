//! Records move to where they belong: hand-over, push by leavers, repair after a death.

use super::Overlay;
use super::requests::Outcome;
use crate::key::{Key, PeerId};
use crate::wire::{Items, Message, Range, Reason};

impl Overlay {
    /// Whether we have not finished taking over our range.
    pub(super) fn is_syncing(&self) -> bool {
        false
    }

    /// A superpeer at this place is not there any more.
    pub(super) fn place_vacated(&mut self, _place: &Key) {}

    /// What we hold in a range.
    pub(super) fn serve_digest(&mut self, _range: &Range) -> Message {
        self.refuse(Reason::Unsupported)
    }

    /// Records by name.
    pub(super) fn serve_pull(&mut self, _items: &Items) -> Message {
        self.refuse(Reason::Unsupported)
    }

    /// Records that we may want.
    pub(super) fn serve_offer(&mut self, _items: &Items) -> Message {
        self.refuse(Reason::Unsupported)
    }

    pub(super) fn moving_heard(&mut self, _id: u64, _peer: PeerId, _outcome: Outcome) {}
}
