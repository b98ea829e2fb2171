//! Presence: whether a device is there, as its parent says.
//!
//! ```text
//!  asker ─▶ its parent ─▶ the device's parent:  attached and heard   ─▶ online
//!     (a superpeer asks without detour)         said goodbye         ─▶ offline since
//!                                               anything else        ─▶ nothing, so unknown
//! ```
//! Nothing is stored. The parent signs what it says, and shows the child's own signature: over the
//! attachment that still holds, or over the goodbye. So nobody but the parent can answer, and the
//! parent only about those that were its children. *Not here*: attachments and goodbyes (`children`).
//!
//! Source: DESIGN §5, *Presence is not stored*.

use alloc::collections::BTreeMap;
use core::time::Duration;

use bytes::Bytes;

use super::Overlay;
use super::requests::{Outcome, Purpose};
use super::rumours::statement_message;
use crate::api::{CommandId, LinkId, Presence, Reply};
use crate::cbor::Blob;
use crate::key::PeerId;
use crate::limits::{
    CLOCK_TOLERANCE, GOODBYE_LIFE, PRESENCE_PASSED_TIMEOUT, PRESENCE_PER_LINK_MAX, PRESENCE_TIMEOUT,
};
use crate::sign::{Tag, to_sign};
use crate::time::Unix;
use crate::wire::{AttachmentBody, Message, PresenceAsk, PresenceBody, PresenceTold, Reason};

/// A question that another peer has to answer.
#[derive(Debug)]
enum Question {
    Local { command: CommandId, parent: PeerId, child: PeerId },
    Passed { link: LinkId, id: u64 },
}

#[derive(Debug, Default)]
pub(super) struct Presences {
    questions: BTreeMap<u64, Question>,
    /// How many of them were passed on for each link.
    passed: BTreeMap<LinkId, usize>,
}

impl Presences {
    fn take(&mut self, id: u64) -> Option<Question> {
        let question = self.questions.remove(&id)?;
        if let Question::Passed { link, .. } = &question
            && let Some(count) = self.passed.get_mut(link)
        {
            *count -= 1;
            if *count == 0 {
                self.passed.remove(link);
            }
        }
        Some(question)
    }
}

impl Overlay {
    /// The local user asks.
    pub(super) fn presence(&mut self, command: CommandId, parent: PeerId, peer: PeerId) {
        if peer == self.me {
            return self.tell_presence(command, Presence::Online { heard: Duration::ZERO });
        }
        if parent == self.me {
            let told = self.presence_here(&peer);
            return self.tell_presence(command, told);
        }
        let whom = if self.is_superpeer() { Some(parent) } else { self.attaching.parent() };
        let Some(whom) = whom else { return self.tell_presence(command, Presence::Unknown) };
        let id = self.number();
        self.presences.questions.insert(id, Question::Local { command, parent, child: peer });
        let ask = Message::Presence(PresenceAsk { parent, child: peer });
        self.ask(whom, ask, Purpose::Presence(id), PRESENCE_TIMEOUT);
    }

    fn tell_presence(&mut self, command: CommandId, presence: Presence) {
        let counters = &mut self.counters.presence;
        match presence {
            Presence::Online { .. } => counters.online += 1,
            Presence::Offline { .. } => counters.offline += 1,
            Presence::Unknown => counters.unknown += 1,
        }
        self.reply(command, Reply::Presence(presence));
    }

    /// What we know of a child of our own.
    fn presence_here(&self, child: &PeerId) -> Presence {
        let now = self.now.instant;
        if self.children.is_child(child) {
            let heard = self.links.alive(child, now);
            return heard.map_or(Presence::Unknown, |heard| Presence::Online { heard });
        }
        let goodbye = self.children.goodbye(child, now);
        goodbye
            .map_or(Presence::Unknown, |leave| Presence::Offline { since: Unix::from_secs(leave.unix_time) })
    }

    /// A peer asks; the answer may have to come from another parent.
    pub(super) fn serve_presence(
        &mut self,
        link: LinkId,
        peer: PeerId,
        id: u64,
        ask: &PresenceAsk,
    ) -> Option<Message> {
        if ask.parent == self.me {
            return Some(self.sign_presence(&ask.child));
        }
        if !self.is_served(&peer) {
            // Superpeers ask each other without detour.
            return Some(self.refuse(Reason::Unsupported));
        }
        let passed = self.presences.passed.entry(link).or_default();
        if *passed >= PRESENCE_PER_LINK_MAX {
            return Some(self.refuse(Reason::Busy));
        }
        *passed += 1;
        let question = self.number();
        self.presences.questions.insert(question, Question::Passed { link, id });
        let message = Message::Presence(ask.clone());
        self.ask(ask.parent, message, Purpose::Presence(question), PRESENCE_PASSED_TIMEOUT);
        None
    }

    /// Our word on a child, with the child's own behind it.
    fn sign_presence(&self, child: &PeerId) -> Message {
        let (online, secs, attachment, child_signature) = match self.presence_here(child) {
            Presence::Online { heard } => {
                let Some(word) = self.children.word(child) else { return nothing_told() };
                (true, heard.as_secs(), word.body.clone(), word.signature)
            }
            Presence::Offline { since } => {
                let Some(leave) = self.children.goodbye(child, self.now.instant) else {
                    return nothing_told();
                };
                (false, since.as_secs(), Blob(Bytes::new()), leave.signature)
            }
            Presence::Unknown => return nothing_told(),
        };
        let unix_time = self.now.unix.as_secs();
        let body = PresenceBody { child: *child, online, secs, unix_time }.to_bytes();
        let signature = self.node.sign(&to_sign(Tag::Presence, &self.network.id, &body));
        Message::PresenceTold(PresenceTold { body: Blob(body), signature, attachment, child_signature })
    }

    pub(super) fn presence_heard(&mut self, id: u64, peer: PeerId, outcome: Outcome) {
        let Some(question) = self.presences.take(id) else { return };
        let told = match outcome {
            Outcome::Answer(Message::PresenceTold(told)) => Some(told),
            Outcome::Refused(refused) if Reason::from_wire(refused.reason) == Reason::Unsupported => {
                // If it was to be our parent, it is not.
                self.disowned(&peer, &refused);
                None
            }
            Outcome::Answer(_) | Outcome::Refused(_) | Outcome::Silent | Outcome::Unreachable => None,
        };
        match question {
            Question::Local { command, parent, child } => {
                let told = told.and_then(|told| self.believe(&parent, &child, &told));
                self.tell_presence(command, told.unwrap_or(Presence::Unknown));
            }
            Question::Passed { link, id } => {
                self.answer(link, id, told.map_or_else(nothing_told, Message::PresenceTold));
            }
        }
    }

    /// What a parent said about a child, if both their signatures are there and it is said now.
    fn believe(&mut self, parent: &PeerId, child: &PeerId, told: &PresenceTold) -> Option<Presence> {
        let body = PresenceBody::from_bytes(&told.body.0).ok()?;
        let (now, tolerance) = (self.now.unix.as_secs(), CLOCK_TOLERANCE.as_secs());
        if body.child != *child || body.unix_time.abs_diff(now) > tolerance {
            return None;
        }
        let network = self.network.id;
        let childs = if body.online {
            let attached = AttachmentBody::from_bytes(&told.attachment.0).ok()?;
            let ends = attached.from.saturating_add(u64::from(attached.secs)).saturating_add(tolerance);
            let holds = attached.from <= now.saturating_add(tolerance) && now <= ends;
            if attached.parent != *parent || attached.child != *child || !holds {
                return None;
            }
            to_sign(Tag::Attachment, &network, &told.attachment.0)
        } else {
            let lasts = body.secs.saturating_add(GOODBYE_LIFE.as_secs());
            if body.secs > now.saturating_add(tolerance) || lasts < now {
                return None;
            }
            statement_message(&network, child, body.secs, false)
        };
        let parents = to_sign(Tag::Presence, &network, &told.body.0);
        let signed = self.is_signed_by(parent, &parents, &told.signature)
            && self.is_signed_by(child, &childs, &told.child_signature);
        signed.then(|| {
            if body.online {
                Presence::Online { heard: Duration::from_secs(body.secs) }
            } else {
                Presence::Offline { since: Unix::from_secs(body.secs) }
            }
        })
    }
}

/// The answer of who knows nothing.
fn nothing_told() -> Message {
    let nothing = || Blob(Bytes::new());
    let none = [0; 64];
    Message::PresenceTold(PresenceTold {
        body: nothing(),
        signature: none,
        attachment: nothing(),
        child_signature: none,
    })
}
