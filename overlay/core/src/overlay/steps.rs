//! The steps of a walk whose asker wants to be told of them.
//!
//! Nothing is kept, and nothing allocated, for a walk that nobody traces. *Not here*: what a child makes
//! of them (`resolve`).

use alloc::vec::Vec;
use core::time::Duration;

use super::requests::Outcome;
use crate::api::{Answer, Source};
use crate::key::PeerId;
use crate::limits::TRACE_MAX;
use crate::time::Instant;
use crate::wire::{Message, Reason, TraceStep};

#[derive(Debug, Default)]
pub(super) struct Steps {
    /// When the walk began, if it is traced.
    since: Option<Instant>,
    steps: Vec<Asked>,
}

#[derive(Debug)]
struct Asked {
    peer: PeerId,
    /// Whom it knows, and not what it holds.
    path: bool,
    at: Instant,
    ended: Option<(Instant, Answer)>,
}

impl Steps {
    pub(super) fn new(traced: bool, now: Instant) -> Self {
        Self { since: traced.then_some(now), steps: Vec::new() }
    }

    /// Somebody was asked for records; or, at the start of a path, whom it knows.
    pub(super) fn asked(&mut self, peer: PeerId, path: bool, now: Instant) {
        if self.since.is_some() && self.steps.len() < TRACE_MAX {
            self.steps.push(Asked { peer, path, at: now, ended: None });
        }
    }

    pub(super) fn ended(&mut self, peer: &PeerId, now: Instant, answer: Answer) {
        self.ended_as(peer, false, (now, answer));
    }

    fn ended_as(&mut self, peer: &PeerId, path: bool, ended: (Instant, Answer)) {
        // Who was not ready is asked again.
        if let Some(step) = self.steps.iter_mut().rfind(|step| step.peer == *peer && step.path == path) {
            step.ended = Some(ended);
        }
    }

    /// What the question at the start of a path ended in.
    pub(super) fn path_ended(&mut self, peer: &PeerId, now: Instant, outcome: &Outcome) {
        if self.since.is_some() {
            self.ended_as(peer, true, (now, failure(outcome)));
        }
    }

    /// What a request that brought no bundle ended in.
    pub(super) fn failed(&mut self, peer: &PeerId, now: Instant, outcome: &Outcome) {
        if self.since.is_some() {
            self.ended(peer, now, failure(outcome));
        }
    }

    /// As they travel; what has not been answered by now was not waited for.
    pub(super) fn told(&self, now: Instant) -> Vec<TraceStep> {
        let Some(since) = self.since else { return Vec::new() };
        let told = self.steps.iter().map(|step| {
            let (ended, answer) = step.ended.unwrap_or((now, Answer::Pending));
            let (answer, devices) = to_wire(answer);
            let (at_micros, took_micros) = (micros(step.at.since(since)), micros(ended.since(step.at)));
            TraceStep { peer: step.peer, at_micros, took_micros, answer, devices }
        });
        told.collect()
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "any other answer is none to the point")]
fn failure(outcome: &Outcome) -> Answer {
    match outcome {
        Outcome::Answer(Message::Got(_)) => Answer::Denied,
        Outcome::Answer(Message::Hints(hints)) => Answer::Named { superpeers: hints.hints.len() },
        Outcome::Answer(_) => Answer::Invalid,
        Outcome::Refused(refused) => match Reason::from_wire(refused.reason) {
            Reason::Syncing => Answer::Syncing,
            _ => Answer::Refused,
        },
        Outcome::Silent => Answer::Silent,
        Outcome::Unreachable => Answer::Unreachable,
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

fn to_wire(answer: Answer) -> (u8, u8) {
    match answer {
        Answer::Found { devices, .. } => (0, u8::try_from(devices).unwrap_or(u8::MAX)),
        Answer::Denied => (1, 0),
        Answer::Syncing => (2, 0),
        Answer::Unknown => (3, 0),
        Answer::Refused => (4, 0),
        Answer::Silent => (5, 0),
        Answer::Unreachable => (6, 0),
        Answer::Invalid => (7, 0),
        Answer::Pending => (8, 0),
        Answer::Named { superpeers } => (9, u8::try_from(superpeers).unwrap_or(u8::MAX)),
    }
}

/// What a storer answered, as the wire tells it.
pub(super) fn from_wire(step: &TraceStep) -> Answer {
    match step.answer {
        0 => Answer::Found { devices: usize::from(step.devices), source: Source::Store },
        1 => Answer::Denied,
        2 => Answer::Syncing,
        3 => Answer::Unknown,
        4 => Answer::Refused,
        5 => Answer::Silent,
        6 => Answer::Unreachable,
        8 => Answer::Pending,
        9 => Answer::Named { superpeers: usize::from(step.devices) },
        _ => Answer::Invalid,
    }
}
