//! A superpeer that leaves first puts what it holds to those who come next.
//!
//! ```text
//!  Leave to children ─▶ push: each record to who becomes its storer ─▶ Leave to all, command answered
//!                           └─ 5 s are over ────────────────────────────▲
//! ```
//! Meanwhile it serves as before, but takes no new children; what it is given to store goes on to the
//! next storer too. A child says goodbye and is gone.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::push::Cause;
use crate::api::{CommandId, Reply};
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
    gone: bool,
}

impl Overlay {
    pub(in crate::overlay) fn is_leaving(&self) -> bool {
        self.moving.leaving.is_some()
    }

    pub(in crate::overlay) fn leave(&mut self, command: CommandId) {
        match &mut self.moving.leaving {
            Some(leaving) if leaving.gone => return self.reply(command, Reply::Done),
            Some(leaving) => return leaving.commands.push(command),
            None => {}
        }
        self.moving.leaving = Some(Leaving { commands: alloc::vec![command], gone: false });
        self.end_own_affairs();
        if !self.is_superpeer() {
            return self.depart();
        }
        self.moving.repair = None;
        let all = self.links.peers().map(|(peer, _)| *peer);
        let children: Vec<PeerId> = all.filter(|peer| self.map.contact(peer).is_none()).collect();
        for peer in &children {
            // A hello to a child names others that it may go to.
            if let Some(link) = self.links.to(peer) {
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
            if let Some(peer) = self.successor(&item.key) {
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
        let commands = leaving.commands.clone();
        self.attaching.stop();
        self.moving.pushes.clear();
        self.timers.retain(|(_, timer)| *timer != Timer::Leave);
        self.end_own_affairs();
        let all: Vec<PeerId> = self.links.peers().map(|(peer, _)| *peer).collect();
        self.say_goodbye(&all);
        for command in commands {
            self.reply(command, Reply::Done);
        }
    }
}
