//! Watches: who wants to be told of another one's changes, and when that happens.
//!
//! Whoever watches a name is told its address at once, and again whenever it is another one. A change takes from its
//! acknowledgement until it is told; none if the watcher hears of it before its owner does. *Not here*: look-ups (`asking`).

use callbook_overlay::api::{Command, CommandId, Failure, Reply, Resolution};

use super::World;
use super::asking::What;
use crate::oracle::{Floor, Oracle, Verdict, Wanted, Wrong};
use crate::peers::authority::name_of;
use crate::time::{MILLISECOND, Micros, secs};

/// A watch under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watching {
    name: u32,
    since: Micros,
    /// The address that was told last; 0 for none.
    told: u32,
    /// The newest that ever was.
    newest: u32,
}

impl World {
    /// Some of those who run watch a name each.
    pub(super) fn some_watch(&mut self) {
        let all: Vec<u32> = self.running.iter().flatten().copied().collect();
        all.into_iter().for_each(|peer| self.may_watch(peer));
    }

    /// By chance a peer watches a name.
    pub(super) fn may_watch(&mut self, peer: u32) {
        let share = self.settings.workload.watching;
        if share <= 0.0 || !self.users || !self.chance.watches.chance(share) {
            return;
        }
        let name = self.chance.watches.index(self.peers.len()) as u32;
        let watching = Watching { name, since: self.now, told: 0, newest: 0 };
        self.note(|world| format!("{} watches {}", world.called(peer), name_of(name).as_str()));
        self.tell(peer, Command::Watch(name_of(name)), What::Watch(watching));
    }

    /// A watcher is told something.
    pub(super) fn told_by_watch(
        &mut self,
        peer: u32,
        command: CommandId,
        outcome: Result<Resolution, Failure>,
    ) {
        let (slot, count) = (command.0 as u32, (command.0 >> 32) as u32);
        let (of, asked) = &self.asked[slot as usize];
        let asked = asked.as_ref().filter(|asked| *of == count && asked.peer == peer);
        // It waited for a disk that was full, and the watch is over by now.
        let Some(What::Watch(watching)) = asked.map(|asked| asked.what) else { return };
        let reply = outcome.map_or_else(Reply::Failed, Reply::Resolved);
        let (holder, wanted) = (self.peers[watching.name as usize].id, Wanted::Of(watching.name));
        let any = Floor { version: 0, fresh: false };
        if let Verdict::Wrong(Wrong::Forged | Wrong::Invented) =
            Oracle::judge(wanted, any, Some(holder), &reply)
        {
            panic!(
                "{} was told what nobody made of {wanted:?}, which it watches: {reply:?}",
                self.called(peer)
            );
        }
        let version = match &reply {
            Reply::Resolved(found) => {
                let versions = found.devices.iter().map(|device| Oracle::version(device, watching.name));
                versions.flatten().min().unwrap_or(0)
            }
            _ => 0,
        };
        self.note(|world| {
            format!("{} is told of {} by its watch: {version}", world.called(peer), watching.name)
        });
        let (acknowledged, since) =
            (self.oracle.acknowledged_version(watching.name), self.oracle.since(watching.name));
        let changed = watching.newest > 0 && version > watching.newest && version >= acknowledged;
        // Who hears of it before its owner has not waited.
        let at = if version > acknowledged { self.now } else { since };
        if changed && at >= watching.since && self.measures.counts(at) {
            self.measures.told_by_watches.push(u32::try_from(self.now - at).unwrap_or(u32::MAX));
        }
        if let Some(asked) = &mut self.asked[slot as usize].1 {
            asked.what =
                What::Watch(Watching { told: version, newest: version.max(watching.newest), ..watching });
        }
    }

    /// Watches under way.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.asked
            .iter()
            .flat_map(|(_, asked)| asked)
            .filter(|asked| matches!(asked.what, What::Watch(_)))
            .count()
    }

    /// Watchers that have not been told the newest address, though it was acknowledged so long ago.
    #[must_use]
    pub fn untold(&self, for_long: Micros) -> Vec<String> {
        let watches = self.asked.iter().filter_map(|(_, asked)| match asked.as_ref()?.what {
            What::Watch(watching) => Some((asked.as_ref()?.peer, watching)),
            _ => None,
        });
        let behind = watches.filter(|(_, watching)| {
            let floor = self.oracle.floor(Wanted::Of(watching.name), self.now);
            let since = self.oracle.since(watching.name).max(watching.since);
            watching.told < floor.version && since + for_long <= self.now
        });
        let tell = |(peer, watching): (u32, Watching)| {
            let Watching { name, told, since, .. } = watching;
            let since = secs(since - since % MILLISECOND);
            format!("{peer} watches {name} since {since:.3} s and was told {told}")
        };
        behind.map(tell).collect()
    }
}
