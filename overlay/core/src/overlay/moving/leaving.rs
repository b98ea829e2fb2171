//! A superpeer that leaves, or becomes a child, first puts what it holds to those who come next.
//!
//! ```text
//!  Leave to children ─▶ push: each record to who becomes its storer ─▶ Leave to all, command answered
//!                           └─ 5 s are over ────────────────────────────▲         or: a child now
//! ```
//! Meanwhile it serves as before, but takes no new children; what it is given to store goes on to the
//! next storer too. A child says goodbye and is gone.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::push::Cause;
use crate::api::{CommandId, Notice, Reply, Role};
use crate::key::PeerId;
use crate::limits::LEAVE_WITHIN;
use crate::overlay::{Overlay, Timer};
use crate::record::Record;
use crate::store::item;
use crate::wire::{Item, Range};

#[derive(Debug)]
pub(super) struct Leaving {
    /// Who asked for it, and waits.
    commands: Vec<CommandId>,
    /// Its process goes on, as a child.
    stays: bool,
    gone: bool,
}

impl Overlay {
    pub(in crate::overlay) fn is_leaving(&self) -> bool {
        self.moving.leaving.is_some()
    }

    pub(in crate::overlay) fn leave(&mut self, command: CommandId) {
        match &mut self.moving.leaving {
            Some(leaving) if leaving.gone => return self.reply(command, Reply::Done),
            Some(leaving) => {
                // It has begun, for good or to be a child: now it is for good.
                leaving.commands.push(command);
                if core::mem::take(&mut leaving.stays) {
                    self.end_own_affairs();
                }
                return;
            }
            None => {}
        }
        let commands = alloc::vec![command];
        self.moving.leaving = Some(Box::new(Leaving { commands, stays: false, gone: false }));
        self.end_own_affairs();
        if !self.is_superpeer() {
            return self.depart();
        }
        self.push_all();
    }

    /// We are to be a child: what we hold goes to those who come next before.
    pub(in crate::overlay) fn step_down(&mut self, command: CommandId) {
        if let Some(leaving) = &mut self.moving.leaving {
            return if leaving.gone {
                self.reply(command, Reply::Done);
            } else {
                leaving.commands.push(command);
            };
        }
        let commands = alloc::vec![command];
        self.moving.leaving = Some(Box::new(Leaving { commands, stays: true, gone: false }));
        self.push_all();
    }

    /// There are superpeers enough without us.
    pub(in crate::overlay) fn step_down_unasked(&mut self) {
        self.moving.leaving = Some(Box::new(Leaving { commands: Vec::new(), stays: true, gone: false }));
        self.push_all();
    }

    /// We stay what we are after all, if it was only to become a child.
    pub(in crate::overlay) fn step_up_again(&mut self) {
        if let Some(leaving) = self.moving.leaving.take_if(|leaving| leaving.stays) {
            self.moving.pushes.retain(|_, push| push.cause != Cause::Leave);
            self.timers.retain(|(_, timer)| *timer != Timer::Leave);
            for command in leaving.commands {
                self.reply(command, Reply::Done);
            }
        }
    }

    /// Children go, records are pushed.
    fn push_all(&mut self) {
        self.moving.repair = None;
        let all = self.links.peers().map(|(peer, _)| *peer);
        let children: Vec<PeerId> = all.filter(|peer| self.map.contact(peer).is_none()).collect();
        for peer in &children {
            // A hello to a child names others that it may go to.
            if let Some(link) = self.links.to(peer) {
                self.introduce_again(link);
                self.say_hello(link, *peer);
            }
        }
        self.say_goodbye(&children);
        self.set_timer(LEAVE_WITHIN, Timer::Leave);
        for (peer, items) in self.successions() {
            self.push(peer, items, Cause::Leave);
        }
        self.depart_if_pushed();
    }

    /// The held records that get a new storer by our leaving, by that storer.
    fn successions(&self) -> BTreeMap<PeerId, Vec<Item>> {
        let mut successions: BTreeMap<PeerId, Vec<Item>> = BTreeMap::new();
        let range = self.place().map(|place| self.range_at(&place, self.replicas()));
        let items = range.map(|range: Range| self.store.items(&range, self.now.unix)).unwrap_or_default();
        for item in items {
            if let Some(peer) = self.successor(&item.key()) {
                successions.entry(peer).or_default().push(item);
            }
        }
        successions
    }

    /// A record has come while we leave.
    pub(in crate::overlay) fn push_late(&mut self, record: &Record) {
        if self.moving.leaving.as_ref().is_some_and(|leaving| !leaving.gone)
            && let Some(peer) = self.successor(&record.header().key)
        {
            let item = item(record);
            if !self.push_too(peer, item) {
                self.push(peer, alloc::vec![item], Cause::Leave);
            }
        }
    }

    pub(super) fn depart_if_pushed(&mut self) {
        if !self.moving.pushes.values().any(|push| push.cause == Cause::Leave) {
            self.depart();
        }
    }

    /// Tells all who are left, and the user.
    pub(in crate::overlay) fn depart(&mut self) {
        let Some(leaving) = self.moving.leaving.as_mut().filter(|leaving| !leaving.gone) else { return };
        leaving.gone = true;
        let (commands, stays) = (leaving.commands.clone(), leaving.stays);
        if !stays {
            self.attaching.stop();
            self.end_own_affairs();
        }
        self.moving.pushes.clear();
        self.timers.retain(|(_, timer)| *timer != Timer::Leave);
        let all: Vec<PeerId> = self.links.peers().map(|(peer, _)| *peer).collect();
        self.say_goodbye(&all);
        if stays {
            self.moving.leaving = None;
            self.act(Role::Child);
            if commands.is_empty() {
                self.notice(Notice::SteppedDown);
            }
        }
        for command in commands {
            self.reply(command, Reply::Done);
        }
    }
}
