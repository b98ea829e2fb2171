//! Presence: whether a device is there, as its parent says.

use super::Overlay;
use super::requests::Outcome;
use crate::api::{CommandId, LinkId, Presence, Reply};
use crate::key::PeerId;
use crate::wire::{PresenceAsk, Reason};

impl Overlay {
    /// The local user asks.
    pub(super) fn presence(&mut self, command: CommandId, _parent: PeerId, _peer: PeerId) {
        self.reply(command, Reply::Presence(Presence::Unknown));
    }

    /// A peer asks; the answer may have to come from another parent.
    pub(super) fn serve_presence(&mut self, link: LinkId, _peer: PeerId, id: u64, _ask: &PresenceAsk) {
        let refusal = self.refuse(Reason::Unsupported);
        self.send(link, id, refusal);
    }

    pub(super) fn presence_heard(&mut self, _id: u64, _peer: PeerId, _outcome: Outcome) {}
}
