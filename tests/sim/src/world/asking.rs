//! Commands and their answers: look-ups, registrations, goodbyes.
//!
//! *Not here*: what an answer is worth (`oracle`).

use callbook_overlay::api::{Command, CommandId, Effect, Effects, How, Input, Notice, Reply, Source, Step};
use callbook_overlay::limits::DEVICE_LIFE_MAX;

use super::World;
use super::watches::Watching;
use crate::measures::{STARTERS, USERS};
use crate::oracle::{Floor, Oracle, Verdict, Wanted, Wrong};
use crate::peers::authority::{name_of, nobody};
use crate::peers::disk::Disk;
use crate::peers::{Departure, Kind, LOGIN, NOBODY, read_multiaddr};
use crate::time::{MILLISECOND, Micros, SECOND, START_UNIX, from_secs, secs};
use crate::workload::{Zipf, at_rank};

use super::Event;

/// Mistakes that are kept of those that are stale, and of those that are wrong.
const MISTAKES_MAX: usize = 64;

/// Peers of a network in which it is known who was told what.
const TOLD_MAX: usize = 2_000;

/// Who asks again at once does so after this: users and programs take a moment.
const AGAIN: Micros = 10 * MILLISECOND;

/// A command that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) peer: u32,
    at: Micros,
    pub(super) what: What,
}

/// What was asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    /// A name.
    LookUp(LookUp),
    /// The peer's own name is to be held.
    Register,
    /// To be told of a name's changes, until it wants no more.
    Watch(Watching),
    /// It is to say goodbye.
    Leave,
    /// Nothing that is measured.
    Other,
}

/// A look-up under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct LookUp {
    wanted: Wanted,
    /// The least that is right.
    floor: Floor,
    /// When it was asked first.
    first: Micros,
    /// How often it came to nothing.
    failed: u32,
    /// With which others it is counted, and what its asker was.
    of: (u8, Kind),
    /// Whether it is asked again when it came to nothing.
    again: bool,
}

/// An answer that was not right though it was no silence.
#[derive(Debug, Clone, Copy)]
pub struct Mistake {
    /// When it was given.
    pub at: Micros,
    /// To whom.
    pub asker: u32,
    /// About which name.
    pub wanted: Wanted,
    /// What it is worth.
    pub verdict: Verdict,
    /// Where it came from.
    pub source: Option<Source>,
    /// Superpeers that run and have a record of the name on disk.
    pub held_by: usize,
    /// Of the r superpeers that run and are closest.
    pub held_by_closest: usize,
    /// Since when the name was acknowledged as it should have been told.
    pub since: Micros,
    /// Superpeers that run, are not parted from the asker and have what was acknowledged last, or newer, on disk: with
    /// none of them left it is lost to the asker.
    pub copies: usize,
}

impl World {
    /// Gives a command.
    pub(super) fn tell(&mut self, peer: u32, command: Command, what: What) {
        let slot = self.asked_free.pop().unwrap_or_else(|| {
            self.asked.push((0, None));
            (self.asked.len() - 1) as u32
        });
        let entry = &mut self.asked[slot as usize];
        entry.0 += 1;
        entry.1 = Some(Asked { peer, at: self.now, what });
        let id = CommandId(u64::from(entry.0) << 32 | u64::from(slot));
        self.peers[peer as usize].open.push(slot);
        self.input(peer, Input::Command(id, command));
    }

    /// Asks an overlay what it can answer at once; such a question takes part in no measure.
    pub(super) fn ask_at_once(&mut self, peer: u32, command: Command) -> Option<Reply> {
        let (now, id) = (self.clock(peer), CommandId(u64::MAX));
        let overlay = self.peers[peer as usize].overlay.as_mut()?;
        let effects = overlay.handle(now, Input::Command(id, command));
        let (mut reply, mut others) = (None, Vec::new());
        for effect in effects.0 {
            match effect {
                Effect::Reply { command, reply: told } if command == id => reply = Some(told),
                other => others.push(other),
            }
        }
        self.perform(peer, Effects(others));
        self.set_deadline(peer);
        reply
    }

    /// Commands that have waited for longer than this.
    #[must_use]
    pub fn overdue(&self, longer: Micros) -> Vec<String> {
        self.overdue_of(longer, |_, _| true)
    }

    /// The same, of some peers.
    pub(super) fn overdue_of(&self, longer: Micros, of: impl Fn(&Self, u32) -> bool) -> Vec<String> {
        let waiting = self.asked.iter().filter_map(|(_, asked)| asked.as_ref());
        let waiting = waiting.filter(|asked| !matches!(asked.what, What::Watch(_)));
        let late = waiting.filter(|asked| asked.at + longer < self.now && of(self, asked.peer));
        late.map(|asked| format!("{} since {:.1} s: {:?}", asked.peer, secs(asked.at), asked.what)).collect()
    }

    /// A command's time begins now.
    pub(super) fn ask_anew(&mut self, slot: u32) {
        if let Some(asked) = &mut self.asked[slot as usize].1 {
            asked.at = self.now;
        }
    }

    /// The asker is gone: nobody waits.
    pub(super) fn forget_asked(&mut self, slot: u32) {
        if let Some(asked) = self.asked[slot as usize].1.take() {
            self.asked_free.push(slot);
            if let What::LookUp(look_up) = asked.what {
                self.stopped_asking(&look_up);
            }
        }
    }

    /// The asker of a look-up has stopped before it was right.
    pub(super) fn stopped_asking(&mut self, look_up: &LookUp) {
        let (existing, answered) = (look_up.floor.version > 0, look_up.failed > 0);
        self.measures.given_up(look_up.first, look_up.of, existing, answered);
    }

    /// Somebody who runs looks a name up, and the next one is on its way.
    pub(super) fn somebody_looks_up(&mut self) {
        let Some(every) = self.settings.workload.look_up_every else { return };
        if let Some(asker) = self.anybody() {
            let wanted = self.draw_name();
            self.look_up(asker, wanted, USERS, self.settings.retry);
        }
        let wait = self.next_of_many(every);
        self.queue.push(self.now + wait, Event::LookUp);
    }

    /// Somebody's address changes, and the next one's will.
    pub(super) fn somebody_moves(&mut self) {
        let Some(every) = self.settings.workload.move_every else { return };
        if let Some(peer) = self.anybody().filter(|peer| *peer != LOGIN) {
            self.move_peer(peer);
        }
        let wait = self.next_of_many(every);
        self.queue.push(self.now + wait, Event::Move);
    }

    /// Users begin.
    pub fn open_for_users(&mut self) {
        let (look_ups, moves) = (self.settings.workload.look_up_every, self.settings.workload.move_every);
        if look_ups.is_some() {
            self.queue.push(self.now + 1, Event::LookUp);
        }
        if moves.is_some() {
            self.queue.push(self.now + 1, Event::Move);
        }
        self.users = true;
        self.some_watch();
    }

    /// The user of a peer that has just started begins.
    pub(super) fn begins_to_ask(&mut self, peer: u32) {
        self.may_watch(peer);
        if self.settings.ask_at_start {
            let wanted = self.name_to_look_up();
            self.look_up(peer, wanted, STARTERS, true);
        }
    }

    /// The wait until one of all that run does what each does once in a while.
    fn next_of_many(&mut self, every: Micros) -> Micros {
        let count = (self.running[0].len() + self.running[1].len()).max(1);
        from_secs(self.chance.workload.exponential(secs(every) / count as f64))
    }

    /// Somebody who runs.
    pub fn somebody(&mut self) -> Option<u32> {
        self.anybody()
    }

    /// Somebody who runs and is of this sort.
    pub fn somebody_of(&mut self, sort: impl Fn(u32) -> bool) -> Option<u32> {
        let all: Vec<u32> = self.running.iter().flatten().copied().filter(|peer| sort(*peer)).collect();
        (!all.is_empty()).then(|| all[self.chance.workload.index(all.len())])
    }

    /// Whether a name's address was acknowledged after this.
    #[must_use]
    pub fn acknowledged_since(&self, name: u32, since: Micros) -> bool {
        self.oracle.knows(name, self.now) && self.oracle.last(name) >= since
    }

    /// Whether a name was acknowledged, and its record holds.
    #[must_use]
    pub fn is_registered(&self, name: u32) -> bool {
        self.oracle.knows(name, self.now)
    }

    /// For how long a peer's certificate still held when a run was at its beginning.
    #[must_use]
    pub fn certified_for(&self, name: u32) -> Micros {
        let ends = self.authority.device_ends(name, self.peers[name as usize].past);
        ends.as_secs().saturating_sub(START_UNIX) * SECOND
    }

    fn anybody(&mut self) -> Option<u32> {
        let [superpeers, children] = &self.running;
        let count = superpeers.len() + children.len();
        if count == 0 {
            return None;
        }
        let index = self.chance.workload.index(count);
        Some(
            superpeers
                .get(index)
                .or_else(|| children.get(index - superpeers.len()))
                .copied()
                .unwrap_or(LOGIN),
        )
    }

    fn draw_name(&mut self) -> Wanted {
        let random = &mut self.chance.workload;
        if random.chance(self.settings.workload.hot_absent) {
            return Wanted::Nobody(0);
        }
        if random.chance(self.settings.workload.absent) {
            return Wanted::Nobody(1 + random.below(1_000_000));
        }
        let count = self.peers.len() as u64;
        if self.zipf.as_ref().is_none_or(|(of, _)| *of != count) {
            self.zipf = Some((count, Zipf::new(count, self.settings.workload.skewness)));
        }
        let Some((_, zipf)) = &self.zipf else { return Wanted::Of(LOGIN) };
        // Names that nobody has registered yet would be absent: others are drawn, unless there are none.
        let mut name = LOGIN;
        for _ in 0..64 {
            name = at_rank(zipf.draw(random), count);
            if self.oracle.knows(name, self.now) {
                break;
            }
        }
        Wanted::Of(name)
    }

    /// A name that is looked up as users do.
    pub fn name_to_look_up(&mut self) -> Wanted {
        self.draw_name()
    }

    /// A peer that runs looks a name up, and again as long as it comes to nothing, if it has to.
    pub fn look_up(&mut self, asker: u32, wanted: Wanted, group: u8, again: bool) {
        let (floor, first) = (self.oracle.floor(wanted, self.now), self.now);
        let of = (group, self.peers[asker as usize].kind());
        self.measures.asked(first, of, floor.version > 0);
        self.ask(asker, LookUp { wanted, floor, first, failed: 0, of, again });
    }

    pub(super) fn ask(&mut self, asker: u32, look_up: LookUp) {
        let username = match look_up.wanted {
            Wanted::Of(name) => name_of(name),
            Wanted::Nobody(number) => nobody(number),
        };
        self.note(|world| format!("{} asks for {}", world.called(asker), username.as_str()));
        let how = How { trace: self.settings.way, ..How::default() };
        self.tell(asker, Command::Resolve { username, how }, What::LookUp(look_up));
    }

    /// A command is answered: exactly once, and by whom it was given to.
    pub(super) fn replied(&mut self, peer: u32, command: CommandId, reply: &Reply) {
        let (slot, count) = (command.0 as u32, (command.0 >> 32) as u32);
        let entry = &mut self.asked[slot as usize];
        let asked = entry.1.take_if(|asked| entry.0 == count && asked.peer == peer);
        let Some(asked) = asked else {
            panic!("peer {peer} answers {command:?}, which waits for no answer: {reply:?}");
        };
        self.asked_free.push(slot);
        let open = &mut self.peers[peer as usize].open;
        if let Some(at) = open.iter().position(|known| *known == slot) {
            open.swap_remove(at);
        }
        self.trace.add(command.0);
        match asked.what {
            What::LookUp(look_up) => self.looked_up(peer, look_up, reply),
            What::Register => {
                if matches!(reply, Reply::Failed(_)) && self.measures.since.is_some() {
                    self.measures.registrations_failed += 1;
                }
            }
            What::Leave => self.end(peer, Departure::Leave),
            What::Watch(watching) if !matches!(reply, Reply::Done) => {
                panic!("{} may not watch, {watching:?}: {reply:?}", self.called(peer));
            }
            What::Watch(_) | What::Other => {}
        }
    }

    fn looked_up(&mut self, peer: u32, mut look_up: LookUp, reply: &Reply) {
        let holder = match look_up.wanted {
            Wanted::Of(name) => Some(self.peers[name as usize].id),
            Wanted::Nobody(_) => None,
        };
        let verdict = Oracle::judge(look_up.wanted, look_up.floor, holder, reply);
        if matches!(verdict, Verdict::Wrong(Wrong::Forged | Wrong::Invented)) {
            panic!("{} was told what nobody made about {:?}: {reply:?}", self.called(peer), look_up.wanted);
        }
        self.heard(peer, look_up, reply);
        self.trace.add(verdict_code(verdict));
        self.note(|world| format!("{} is answered: {verdict:?} {}", world.called(peer), short(reply)));
        let existing = look_up.floor.version > 0;
        if look_up.failed == 0 {
            self.measures.answered(look_up.first, look_up.of.0, existing, verdict);
        }
        match (verdict, reply) {
            (Verdict::Right | Verdict::Old, Reply::Resolved(found))
                if existing && self.measures.counts(look_up.first) =>
            {
                self.sampling.right(look_up.first, self.now - look_up.first);
                self.measures.right(look_up.of, self.now - look_up.first, found.source, found.hops);
            }
            (Verdict::Stale | Verdict::Wrong(_), _) => self.mistaken(peer, look_up, verdict, reply),
            (Verdict::Unknown, _) if look_up.again => {
                look_up.failed += 1;
                let life = self.peers[peer as usize].life;
                self.queue.push(self.now + AGAIN, Event::Ask { peer, life, look_up });
            }
            _ => {}
        }
    }

    /// Whether a peer is told an older address of a name than it was told before, since it started.
    fn heard(&mut self, peer: u32, look_up: LookUp, reply: &Reply) {
        let (Wanted::Of(name), Reply::Resolved(found)) = (look_up.wanted, reply) else { return };
        let versions = found.devices.iter().filter_map(|device| Oracle::version(device, name));
        let Some(version) = versions.min().filter(|_| self.peers.len() <= TOLD_MAX) else { return };
        let (newest, at) = self.told.entry((peer, self.peers[peer as usize].life, name)).or_default();
        // Who asks twice at once may hear the later answer first.
        let older = version < *newest && look_up.first > *at;
        if version > *newest {
            (*newest, *at) = (version, self.now);
        }
        self.measures.older += u64::from(older && self.measures.since.is_some());
    }

    /// Keeps what is needed to find out why.
    fn mistaken(&mut self, asker: u32, look_up: LookUp, verdict: Verdict, reply: &Reply) {
        let alike = |known: &&Mistake| (known.verdict == Verdict::Stale) == (verdict == Verdict::Stale);
        if self.mistakes.iter().filter(alike).count() >= MISTAKES_MAX {
            return;
        }
        let mut mistake = Mistake {
            at: self.now,
            asker,
            wanted: look_up.wanted,
            verdict,
            source: match reply {
                Reply::Resolved(found) => Some(found.source),
                _ => None,
            },
            held_by: 0,
            held_by_closest: 0,
            since: 0,
            copies: 0,
        };
        if let Wanted::Of(name) = look_up.wanted {
            mistake.copies = self.copies_for(asker, name);
            mistake.since = self.oracle.since(name);
            (mistake.held_by, mistake.held_by_closest) = self.held_by(name);
        }
        self.mistakes.push(mistake);
    }

    pub(super) fn noticed(&mut self, peer: u32, notice: &Notice) {
        self.note(|world| format!("{} notes {notice:?}", world.called(peer)));
        let counts = self.measures.since.is_some();
        match notice {
            Notice::Attached(parent) => {
                let parent = self.by_id.get(parent).copied().unwrap_or(NOBODY);
                self.trace.add(u64::from(parent));
                let known = &mut self.peers[peer as usize];
                known.parent = parent;
                if !core::mem::replace(&mut known.attached, true) && counts {
                    let took = self.now - known.started;
                    self.measures.attached.push(u32::try_from(took).unwrap_or(u32::MAX));
                }
            }
            Notice::Detached(_) => {
                self.peers[peer as usize].parent = NOBODY;
                self.measures.detached += u64::from(counts);
            }
            Notice::Registered { .. } => {
                self.measures.registered += u64::from(counts);
                let version = self.peers[peer as usize].version;
                let life = DEVICE_LIFE_MAX.as_micros() as Micros;
                let ends = (self.now + life).min(self.certified_for(peer));
                self.oracle.acknowledged(peer, version, self.now, ends);
                let known = &mut self.peers[peer as usize];
                known.acknowledged = known.disk.as_deref().and_then(Disk::last_number).unwrap_or(0);
            }
            Notice::SuperpeerNeeded => self.is_needed(peer),
            Notice::SteppedDown => self.stepped_down(peer),
            Notice::Equivocation(slot) => panic!("peer {peer} saw an equivocation of {slot:?}: nobody lies"),
            Notice::Rejected { username, reason } => {
                panic!("{} was rejected: {reason}", username.as_str());
            }
            _ => {}
        }
    }
}

fn verdict_code(verdict: Verdict) -> u64 {
    match verdict {
        Verdict::Right => 1,
        Verdict::Stale => 2,
        Verdict::Wrong(_) => 3,
        Verdict::Unknown => 4,
        Verdict::Old => 5,
    }
}

fn short(reply: &Reply) -> String {
    match reply {
        Reply::Resolved(found) => {
            let step = |step: &Step| format!("{:.8} {:?} {:?}", step.peer.to_hex(), step.asked, step.answer);
            let steps: Vec<String> = found.trace.iter().map(step).collect();
            let versions: Vec<Option<(u32, u32)>> = found
                .devices
                .iter()
                .map(|device| device.payload.addresses.first().and_then(|bytes| read_multiaddr(bytes)))
                .collect();
            let (source, denials) = (found.source, found.denials);
            format!("{versions:?} from {source:?}, {denials} denials: {}", steps.join("; "))
        }
        Reply::Failed(failure) => failure.to_string(),
        other => format!("{other:?}"),
    }
}
