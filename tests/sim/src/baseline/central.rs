//! A central index: everybody tells one server its address and asks it.
//!
//! One round trip, nothing to keep up among peers, and the server carries everything. A peer registers when it
//! comes and says every minute that it is still there; the server forgets who has been silent for three.
//!
//! Source: Napster, as Lv et al. (ICS 2002) §1 and Saroiu et al. (MMCN 2002) §2 describe it. The times are
//! guesses. *Not here*: a server that is down, more than one.

use super::field::{Answer, Field, For};
use super::{Protocol, Wire};
use crate::time::{MINUTE, Micros};

/// *Guess*.
const TELL_EVERY: Micros = MINUTE;

const WIRE: Wire = Wire::REAL;

#[derive(Debug, Clone, Copy)]
pub(super) enum Message {
    Register {
        life: u32,
    },
    Still {
        life: u32,
    },
    Ask {
        query: u32,
        name: u32,
    },
    Found {
        query: u32,
        life: Option<u32>,
    },
    /// A timer.
    Tell,
}

/// The server's index: the life of each peer, and when it was heard last.
#[derive(Debug, Default)]
pub(super) struct Central {
    index: Vec<Option<(u32, Micros)>>,
}

impl Protocol for Central {
    type Message = Message;

    fn name(&self) -> &'static str {
        "central index"
    }

    fn servers(&self) -> u32 {
        1
    }

    fn preset(&mut self, field: &mut Field<Message>) {
        self.index = vec![None; field.peers as usize];
        for peer in field.all_up() {
            self.index[peer as usize] = Some((field.life(peer), 0));
            let wait = field.random.below(TELL_EVERY);
            field.after(peer, wait, Message::Tell);
        }
    }

    fn start(&mut self, peer: u32, field: &mut Field<Message>) {
        let (server, life) = (field.peers, field.life(peer));
        field.send((peer, server), For::Upkeep, WIRE.id + WIRE.record, Message::Register { life });
        field.after(peer, TELL_EVERY, Message::Tell);
    }

    fn stop(&mut self, _peer: u32) {}

    fn look_up(&mut self, query: u32, asker: u32, name: u32, field: &mut Field<Message>) {
        field.send((asker, field.peers), For::Query(query), WIRE.id, Message::Ask { query, name });
    }

    fn receive(&mut self, (from, to): (u32, u32), message: Message, field: &mut Field<Message>) {
        match message {
            Message::Register { life } | Message::Still { life } => {
                self.index[from as usize] = Some((life, field.now));
            }
            Message::Ask { query, name } => {
                let entry = self.index.get(name as usize).copied().flatten();
                let entry = entry.filter(|(_, heard)| *heard + 3 * TELL_EVERY > field.now);
                let life = entry.map(|(life, _)| life);
                let bytes = WIRE.id + if life.is_some() { WIRE.record } else { 0 };
                field.send((to, from), For::Query(query), bytes, Message::Found { query, life });
            }
            Message::Found { query, life } => {
                field.settle(query, life.map_or(Answer::Absent, Answer::Life), 1);
            }
            Message::Tell => {}
        }
    }

    fn timer(&mut self, peer: u32, _message: Message, field: &mut Field<Message>) {
        let (server, life) = (field.peers, field.life(peer));
        field.send((peer, server), For::Upkeep, WIRE.id, Message::Still { life });
        field.after(peer, TELL_EVERY, Message::Tell);
    }
}
