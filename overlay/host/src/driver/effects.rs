//! Performs what the overlay asks for.

use std::sync::atomic::Ordering;
use std::vec;

use callbook_net::transport_peer;
use callbook_overlay::api::{Command, CommandId, Effect, Failure, Input, Notice, Resolution};

use super::Driver;

impl Driver {
    /// Performs effects in their order, up to a durable change that is not on disk yet.
    pub(super) fn perform(&mut self, mut effects: vec::IntoIter<Effect>) {
        while let Some(effect) = effects.next() {
            match effect {
                Effect::Send { link, frame } => self.send(link, &frame),
                Effect::Reply { command, reply } => {
                    // The reply to a watch is its end.
                    drop(self.watches.remove(&command));
                    if let Some(asker) = self.replies.remove(&command) {
                        // Who asked may have given up.
                        asker.send(reply).ok();
                    }
                }
                Effect::Changed { command, outcome } => self.changed(command, outcome),
                Effect::Persist { writes, durable } => {
                    if let Some(token) = self.parts.store.persist(writes, durable) {
                        // What was seen needs no disk, and what is seen next is written down before the rest.
                        let (seen, rest): (Vec<_>, Vec<_>) =
                            effects.partition(|effect| matches!(effect, Effect::Seen { .. }));
                        self.parked.insert(token, rest.into_iter());
                        return self.perform(seen.into_iter());
                    }
                }
                Effect::Dial { peer, addresses, transports } => self.dial(peer, &addresses, transports),
                Effect::Close { link } => self.close_link(link),
                Effect::Seen { peer, seen } => {
                    let now = self.parts.clock.now().instant;
                    self.parts.sessions.seen(peer, seen, now);
                }
                Effect::Notice(notice) => self.notice(notice),
            }
        }
    }

    /// Tells who watches, or ends the watch if nobody does any more.
    fn changed(&mut self, command: CommandId, outcome: Result<Resolution, Failure>) {
        let told = self.watches.get(&command).is_some_and(|watcher| watcher.send(Some(outcome)).is_ok());
        if !told {
            self.unwatch(command);
        }
    }

    pub(super) fn unwatch(&mut self, watching: CommandId) {
        if self.watches.remove(&watching).is_some() {
            self.next_command += 1;
            let id = CommandId(self.next_command);
            self.inputs.push_back(Input::Command(id, Command::Unwatch(watching)));
        }
    }

    fn notice(&self, notice: Notice) {
        if let Notice::Joined(_) = notice {
            self.parts.facts.joined.store(true, Ordering::Relaxed);
        } else if let Notice::CertificateExpired | Notice::SteppedDown = notice {
            self.parts.facts.joined.store(false, Ordering::Relaxed);
        }
        log(&notice);
        // Nobody may be listening.
        self.parts.notices.send(notice).ok();
    }
}

/// Usernames stay at DEBUG.
fn log(notice: &Notice) {
    match notice {
        Notice::Attached(parent) => tracing::info!(parent = %transport_peer(parent), "attached to a parent"),
        Notice::Detached(parent) => {
            tracing::info!(parent = %transport_peer(parent), "lost the parent; looking for another");
        }
        Notice::Joined(place) => tracing::info!(%place, "joined the overlay as a superpeer"),
        Notice::Registered { username, stored } => {
            tracing::info!(stored = stored.stored, of = stored.of, "a name is registered");
            tracing::debug!(%username, "registered");
        }
        Notice::Rejected { username, reason } => {
            tracing::warn!(reason, "a name can't be registered any more");
            tracing::debug!(%username, "rejected");
        }
        Notice::Skewed { seconds } => {
            tracing::warn!(
                seconds,
                "the clock differs from the neighbours': read-only until it is set right"
            );
        }
        Notice::Equivocation(slot) => {
            tracing::warn!(key = %slot.key, "two records with one version and two bodies");
        }
        Notice::CertificateExpired => {
            tracing::warn!("the node certificate no longer counts; acting as a child");
        }
        Notice::SuperpeerNeeded => tracing::info!("one more superpeer is needed, and we volunteer"),
        Notice::SteppedDown => tracing::info!("there are superpeers enough; acting as a child"),
        other => tracing::info!(?other, "notice"),
    }
}
