//! What goes wrong in a world: crashes, silence, frozen processes, dead links, partitions, lost disks.
//!
//! Each fault tells the ledger what may be lost by it. *Not here*: when (`scenarios`).

use std::collections::BTreeSet;

use callbook_overlay::api::{Command, CommandId, Input, LinkId};

use super::World;
use super::disk::Disk;

/// How long the other end of a link waits for somebody who is gone without a word (QUIC's idle time).
const IDLE: u64 = 30_000_000;

impl World {
    /// The process dies: its links end at once. The last writes may be lost.
    pub(crate) fn crash(&mut self, index: usize) {
        self.note(|world| format!("{} crashes", world.called(index)));
        self.stop(index);
        for link in self.links_of(index) {
            self.end_link(link);
        }
    }

    /// As [`Self::crash`], but whoever dials it waits in vain, as over QUIC.
    pub(crate) fn crash_unanswering(&mut self, index: usize) {
        self.crash(index);
        self.peers[index].vanished = true;
    }

    /// The machine is gone without a word: its links stay open at the other ends until they time out.
    pub(crate) fn vanish(&mut self, index: usize) {
        self.note(|world| format!("{} vanishes", world.called(index)));
        self.stop(index);
        self.peers[index].vanished = true;
        for link in self.links_of(index) {
            if let Some(end) = self.links.remove(&link) {
                self.links.remove(&(end.other, end.theirs));
                self.after(IDLE, end.other, Input::Disconnected { link: end.theirs });
            }
        }
    }

    /// The process dies, its host stays: over QUIC its links stay open at the other ends until they time
    /// out, but who dials it is refused.
    pub(crate) fn die(&mut self, index: usize) {
        self.vanish(index);
        self.peers[index].vanished = false;
    }

    /// Says goodbye, waits for the answer, and ends: nothing is lost.
    pub(crate) fn leave(&mut self, index: usize) {
        self.note(|world| format!("{} leaves", world.called(index)));
        let command = self.begin_to_leave(index);
        for _ in 0..1_000_000 {
            if self.reply(command).is_some() {
                return self.end(index);
            }
            assert!(self.turn(u64::MAX), "nothing is left to happen, and no goodbye");
        }
        panic!("no goodbye after a million events");
    }

    /// Says goodbye; [`Self::end`] has to follow when that is answered.
    pub(crate) fn begin_to_leave(&mut self, index: usize) -> CommandId {
        self.tell(index, Command::Leave)
    }

    /// The process ends after a goodbye: its links end after what it has said.
    pub(crate) fn end(&mut self, index: usize) {
        self.peers[index].disk.commit_until(u64::MAX);
        self.halt(index);
        for link in self.links_of(index) {
            self.end_link(link);
        }
    }

    /// The disk of a peer is lost.
    pub(crate) fn wipe(&mut self, index: usize) {
        self.lose(index);
        self.peers[index].disk = Disk::default();
    }

    /// The process stops taking anything in; its links stay. Goes on by [`Self::thaw`].
    pub(crate) fn freeze(&mut self, index: usize) {
        if self.is_running(index) && !self.is_frozen(index) {
            self.note(|world| format!("{} freezes", world.called(index)));
            self.lose(index);
            self.peers[index].frozen = Some(Vec::new());
            self.set_deadline(index);
        }
    }

    /// A frozen process goes on, and takes all in that has come meanwhile.
    pub(crate) fn thaw(&mut self, index: usize) {
        let Some(backlog) = self.peers[index].frozen.take() else { return };
        self.note(|world| format!("{} thaws", world.called(index)));
        self.regain(index);
        for input in backlog {
            if let Some(input) = self.delivered(index, input) {
                self.input(index, input);
            }
        }
        self.set_deadline(index);
    }

    /// A connection breaks: one of the links of a peer, of its choice by chance. Each end hears of it at
    /// once, or only by silence.
    pub(crate) fn break_some_link(&mut self, index: usize) {
        let links = self.links_of(index);
        if links.is_empty() {
            return;
        }
        let link = links[self.random() as usize % links.len()];
        let mut hears = || if self.random().is_multiple_of(2) { 1_000 } else { 1_000 + self.random() % IDLE };
        let (ours, theirs) = (hears(), hears());
        self.note(|world| format!("link {} of {} breaks", link.1.0, world.called(index)));
        self.break_link(link, ours, theirs);
    }

    /// Nothing comes through on the links between two peers any more, and neither hears of it but by that:
    /// something on the way has forgotten them.
    pub(crate) fn deafen(&mut self, one: usize, other: usize) {
        for link in self.links_between(one, other).collect::<Vec<_>>() {
            self.break_link((one, link), IDLE, IDLE);
        }
    }

    /// Nothing passes between these peers and the others until [`Self::heal`]. The links between them
    /// die: the ends hear of it by silence.
    pub(crate) fn part(&mut self, side: BTreeSet<usize>) {
        self.note(|world| format!("apart: {}", world.all_called(&side)));
        for index in 0..self.peers.len() {
            for link in self.links_of(index) {
                let other = self.links.get(&link).map_or(index, |end| end.other);
                if side.contains(&index) && !side.contains(&other) {
                    let (ours, theirs) = (self.draw(IDLE / 3, IDLE), self.draw(IDLE / 3, IDLE));
                    self.break_link(link, ours, theirs);
                }
            }
        }
        // Either side may have lost what the other one keeps.
        for index in 0..self.peers.len() {
            self.lose(index);
        }
        self.apart = Some(side);
        self.ledger.parted();
    }

    /// Ends the partition.
    pub(crate) fn heal(&mut self) {
        if self.apart.take().is_some() {
            self.note(|_| String::from("together again"));
            self.ledger.healed(self.now);
            for index in 0..self.peers.len() {
                self.regain(index);
            }
        }
    }

    /// Whether a peer has no link that is dead without its knowing, and none that is coming up.
    pub(crate) fn knows_its_links(&self, index: usize) -> bool {
        self.overlay(index).counters().links == self.links_of(index).len() as u64
    }

    fn all_called(&self, side: &BTreeSet<usize>) -> String {
        side.iter().map(|index| self.called(*index)).collect::<Vec<_>>().join(" ")
    }

    /// The process is no more, and with it what it had not yet committed.
    fn stop(&mut self, index: usize) {
        self.lose(index);
        let safe = self.now.saturating_sub(self.conditions.commit.as_micros() as u64);
        self.peers[index].disk.commit_until(safe);
        let open = self.peers[index].disk.uncommitted() as u64;
        if open > 0 {
            let kept = self.draw(0, open) as usize;
            self.peers[index].disk.crash(kept);
        }
        self.halt(index);
    }

    fn halt(&mut self, index: usize) {
        self.ledger.ended(index);
        let peer = &mut self.peers[index];
        (peer.overlay, peer.frozen) = (None, None);
        self.set_deadline(index);
    }

    /// What this peer stores can't be had from it now.
    fn lose(&mut self, index: usize) {
        let mut ledger = core::mem::take(&mut self.ledger);
        ledger.lost(self, index);
        self.ledger = ledger;
    }

    /// What this peer stores can be had from it again.
    pub(super) fn regain(&mut self, index: usize) {
        let mut ledger = core::mem::take(&mut self.ledger);
        ledger.regained(self, index);
        self.ledger = ledger;
    }

    fn links_of(&self, index: usize) -> Vec<(usize, LinkId)> {
        let all = self.links.range((index, LinkId(0))..=(index, LinkId(u64::MAX)));
        all.map(|(link, _)| *link).collect()
    }
}
