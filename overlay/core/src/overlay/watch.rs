//! Watches: being told when what is under a key changes.

use super::Overlay;
use super::requests::Outcome;
use crate::api::{CommandId, Failure, LinkId, Reply};
use crate::key::{Key, PeerId};
use crate::name::Username;
use crate::wire::{Changed, Reason, Watch};

impl Overlay {
    /// The local user watches a name.
    pub(super) fn watch(&mut self, command: CommandId, _username: Username) {
        self.reply(command, Reply::Failed(Failure::Detached));
    }

    /// The local user watches it no more.
    pub(super) fn unwatch(&mut self, _watching: CommandId) {}

    /// A peer watches a key through us, or at us.
    pub(super) fn serve_watch(&mut self, link: LinkId, _peer: PeerId, id: u64, _watch: &Watch) {
        let refusal = self.refuse(Reason::Unsupported);
        self.send(link, id, refusal);
    }

    /// A watched key has changed, says who watches it for us.
    pub(super) fn changed_heard(&mut self, _peer: PeerId, _changed: &Changed) {}

    pub(super) fn watch_heard(&mut self, _key: Key, _peer: PeerId, _outcome: Outcome) {}
}
