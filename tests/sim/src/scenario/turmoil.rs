//! Turmoil: a small network drawn from the seed, everything fails at random, then nothing does any more.
//!
//! *Safety*: while peers stop, come back with or without their disks, disks are full, the network parts, packets
//! are lost and clocks are wrong, nobody is told a device that its holder did not make, and no acknowledged name is called
//! absent, or told an old address because the new one is lost. Of those that acknowledged a name, a majority of its storers,
//! never all are lost within the time of a repair; what is told of a name that has no copy on one side of a parted network,
//! and absences until it has grown together, are not counted: each side counts the superpeers that it has.
//! *Liveness*: faults stop, all start again. After [`SETTLES`] every superpeer knows all, every child has a
//! parent that lives, acknowledged names have their copies and are told right from anywhere, and every
//! command was answered. *Not here*: large networks (the other rows).

use std::collections::VecDeque;

use super::stage::{Plan, Stage};
use super::{Options, Row};
use crate::measures::OWN;
use crate::oracle::{Verdict, Wanted, Wrong};
use crate::peers::Departure;
use crate::random::Random;
use crate::report::{Figure, Outcome};
use crate::signing::Signing;
use crate::time::{MILLISECOND, MINUTE, Micros, SECOND, secs};
use crate::world::{ANSWERED, Mistake};

pub(super) const ROW: Row = Row { letter: "turmoil", what: "everything fails at random, then nothing", run };

/// How long things go wrong.
const SAFETY: Micros = 6 * MINUTE;

/// After so long without faults all has to be well. *Specification* in part: silence is noticed after 40 s, a
/// repair begins within 10 s of that, who is gone is redialled every 15 s, sums are compared each minute.
const SETTLES: Micros = 150 * SECOND;

/// Losses further apart than this are mended in between. *Specification* (DETAILS): as for [`SETTLES`].
const REPAIR: Micros = 75 * SECOND;

/// Who watches a name has heard of its newest address after so long without faults. *Specification* in part: a watch is
/// renewed after 300 s (`WATCH_RENEW`), or the name looked up after 90 s at most (`WATCH_POLL`, jittered).
const WATCHED: Micros = 400 * SECOND;

fn run(options: &Options) -> Outcome {
    let mut turmoil = Turmoil::open(options);
    let begins = turmoil.stage.world.now();
    while turmoil.stage.world.now() < begins + SAFETY {
        turmoil.something_fails();
    }
    turmoil.mend();
    turmoil.stage.run_for(SETTLES);
    let wrong = turmoil.judge();
    assert!(wrong.is_empty(), "seed {}: {}", options.seed, wrong.join("; "));
    let users = turmoil.stage.users();
    let figures = vec![
        Figure::share("look-ups right, all along", users.first()),
        Figure::share("called absent though acknowledged", (users.existing.wrong, users.existing.all())),
        Figure::share("stale, all along", (users.existing.stale, users.existing.all())),
    ];
    turmoil.stage.outcome(figures)
}

struct Turmoil {
    stage: Stage,
    superpeers: Vec<u32>,
    children: Vec<u32>,
    /// Superpeers that were lost lately, with the time.
    lost: VecDeque<Micros>,
    down: Vec<u32>,
    parted_until: Option<Micros>,
    /// When the network was parted, until when, and until when that is an excuse.
    parted: Vec<(Micros, Micros, Micros)>,
    /// So many storers may be lost at a time.
    spare: usize,
    /// Of three networks in ten disks fill up; from a stream of its own, so that the others are as they were.
    disks: Option<Random>,
    full: Vec<u32>,
}

impl Turmoil {
    fn open(options: &Options) -> Self {
        let mut random = Random::of(options.seed, "turmoil");
        let most = if random.chance(0.25) { 26 } else { 10 };
        let mut superpeers = random.between(3, most) as u32;
        let children = random.between(4, 24) as u32;
        let mut r = [2, 3, 4, 5, 20][random.index(5)];
        // Three networks in ten have more superpeers than storers; from a stream of its own, so that the others are as
        // they were.
        let mut roomy = Random::of(options.seed, "roomy");
        if roomy.chance(0.3) {
            r = [4, 20][roomy.index(2)];
            superpeers = r as u32 + roomy.between(2, 8) as u32;
        }
        let mut plan = Plan::new(&ROW, options, 1 + superpeers + children);
        plan.superpeers = 1 + superpeers;
        let settings = &mut plan.settings;
        settings.signing = if options.real == Some(true) { Signing::Real } else { Signing::Quick };
        settings.codec = true;
        settings.commit = 200 * MILLISECOND;
        settings.parameters.r = r;
        settings.workload.look_up_every = Some(10 * SECOND);
        settings.workload.move_every = Some(2 * MINUTE);
        // In three networks in ten half of the peers watch a name; from a stream of its own, as above.
        settings.workload.watching = if Random::of(options.seed, "watching").chance(0.3) { 0.5 } else { 0.0 };
        settings.conditions.round_trip = random.between(5, 180) * MILLISECOND;
        settings.conditions.loss = if random.chance(0.3) { 0.05 * random.unit() } else { 0.0 };
        // A majority has what was acknowledged; one of them is left.
        let spare = r.min(superpeers as usize + 1) / 2;
        let stage = Stage::open(plan);
        let mut turmoil = Self {
            stage,
            superpeers: (1..=superpeers).collect(),
            children: (superpeers + 1..=superpeers + children).collect(),
            lost: VecDeque::new(),
            down: Vec::new(),
            parted_until: None,
            parted: Vec::new(),
            spare,
            disks: Some(Random::of(options.seed, "disks")).filter(|disks| disks.clone().chance(0.3)),
            full: Vec::new(),
        };
        turmoil.stage.run_for(MINUTE);
        turmoil.stage.world.measure();
        turmoil
    }

    fn draw(&mut self, least: u64, most: u64) -> u64 {
        self.stage.world.draw(least, most)
    }

    fn one_of(&mut self, superpeers: bool) -> u32 {
        let count = if superpeers { self.superpeers.len() } else { self.children.len() };
        let index = self.draw(0, count as u64 - 1) as usize;
        if superpeers { self.superpeers[index] } else { self.children[index] }
    }

    fn something_fails(&mut self) {
        let now = self.stage.world.now();
        if self.parted_until.is_some_and(|until| until <= now) {
            self.join();
        }
        let departure = match self.draw(0, 2) {
            0 => Departure::Leave,
            1 => Departure::End,
            _ => Departure::Vanish,
        };
        match self.draw(0, 9) {
            0..=2 => self.lose_superpeer(departure),
            3 | 4 => self.restart(),
            5 | 6 => {
                let child = self.one_of(false);
                if self.stage.world.runs(child) {
                    self.stage.world.stop(child, departure);
                    let at = now + self.draw(1, 60) * SECOND;
                    self.stage.world.start_at(child, at);
                }
            }
            7 => self.part(),
            8 => {
                let skew = self.draw(0, 300) as i32 - 150;
                let superpeers = self.draw(0, 1) == 0;
                let peer = self.one_of(superpeers);
                self.stage.world.set_clock(peer, skew);
            }
            _ => {
                self.stage.world.login_up = !self.stage.world.login_up;
            }
        }
        self.a_disk_is_full();
        let wait = self.draw(200, 12_000) * MILLISECOND;
        self.stage.run_for(wait);
    }

    /// Now and then somebody's disk is full, or has room again.
    fn a_disk_is_full(&mut self) {
        let Some(disks) = &mut self.disks else { return };
        if disks.chance(0.7) {
            return;
        }
        if self.full.len() < 3 && disks.chance(0.6) {
            let everybody = 1 + self.superpeers.len() + self.children.len();
            let peer = disks.index(everybody) as u32;
            self.stage.world.fill_disk(peer);
            self.full.push(peer);
        } else if let Some(peer) = self.full.pop() {
            self.stage.world.free_disk(peer);
        }
    }

    /// Stops a superpeer, unless too many have been lost lately.
    fn lose_superpeer(&mut self, departure: Departure) {
        let now = self.stage.world.now();
        self.lost.retain(|at| at + REPAIR > now);
        let peer = self.one_of(true);
        let busy = self.lost.len().max(self.down.len()) >= self.spare || self.parted_until.is_some();
        if busy || !self.stage.world.runs(peer) {
            return;
        }
        self.stage.world.stop(peer, departure);
        self.lost.push_back(now);
        self.down.push(peer);
    }

    /// Starts one that is down; now and then its disk is lost.
    fn restart(&mut self) {
        if self.down.is_empty() {
            return;
        }
        let index = self.draw(0, self.down.len() as u64 - 1) as usize;
        let peer = self.down.swap_remove(index);
        if self.draw(0, 3) == 0 {
            self.stage.world.wipe(peer);
        }
        let at = self.stage.world.now() + 1;
        self.stage.world.start_at(peer, at);
    }

    fn part(&mut self) {
        let now = self.stage.world.now();
        self.lost.retain(|at| at + REPAIR > now);
        if self.parted_until.is_some() || !self.lost.is_empty() {
            return;
        }
        let among = 1 + self.superpeers.len() + self.children.len();
        let share = self.draw(1, 4);
        let mut side = Vec::new();
        for peer in 1..among as u32 {
            if self.draw(0, 4) < share {
                side.push(peer);
            }
        }
        self.stage.world.part(&side);
        let until = now + self.draw(5, 90) * SECOND;
        self.parted_until = Some(until);
        self.parted.push((now, Micros::MAX, Micros::MAX));
    }

    fn join(&mut self) {
        self.stage.world.join();
        self.parted_until = None;
        let now = self.stage.world.now();
        if let Some(last) = self.parted.last_mut() {
            (last.1, last.2) = (now, now + SETTLES);
        }
        // Either side may have lost what the other one keeps.
        self.lost.extend(std::iter::repeat_n(now, self.spare));
    }

    /// Nothing goes wrong any more.
    fn mend(&mut self) {
        if self.parted_until.is_some() {
            self.join();
        }
        self.stage.world.login_up = true;
        for peer in core::mem::take(&mut self.full) {
            self.stage.world.free_disk(peer);
        }
        // Who is leaving has to be gone before it can come back.
        self.stage.run_for(6 * SECOND);
        let now = self.stage.world.now();
        for peer in self.superpeers.iter().chain(&self.children).copied() {
            self.stage.world.start_at(peer, now + 1);
        }
        let conditions = self.stage.world.conditions();
        conditions.loss = 0.0;
        self.stage.world.settings.workload.move_every = None;
    }

    /// All that is wrong.
    fn judge(&mut self) -> Vec<String> {
        let mut wrong = self.unsafe_answers();
        let found = self.stage.world.look_over();
        let flaws = found.without_parent + found.unknown_superpeers + found.dead_in_maps + found.few_copies;
        if flaws > 0 {
            wrong.push(format!("after {} s of quiet: {found:?}", SETTLES / SECOND));
        }
        let overdue = self.stage.world.overdue(ANSWERED);
        if !overdue.is_empty() {
            wrong.push(format!("not answered: {}", overdue.join(", ")));
        }
        let before = self.stage.world.mistakes.len();
        self.ask_everybody();
        let asked = &self.stage.world.measures.groups[usize::from(OWN)];
        let unknown = asked.existing.unknown + asked.absent.unknown;
        if unknown > 0 {
            let all = asked.existing.all() + asked.absent.all();
            wrong.push(format!("{unknown} of {all} look-ups are unknown after the quiet time"));
        }
        if self.stage.world.settings.workload.watching > 0.0 {
            self.stage.run_for(WATCHED);
            wrong.extend(self.stage.world.untold(WATCHED));
        }
        wrong.extend(self.stage.world.mistakes.iter().skip(before).map(|mistake| format!("{mistake:?}")));
        wrong
    }

    /// Mistakes for which there is no excuse.
    ///
    /// While the network is parted a side may call absent what it has no copy of, and until both have grown together
    /// either may count the superpeers that it has. A storer that has missed an address may tell the one before until it is
    /// put right (row B has the bar for that), but not because what was acknowledged is gone: never so many storers
    /// die that it could be.
    fn unsafe_answers(&self) -> Vec<String> {
        let excused = |mistake: &Mistake| {
            let within = |(from, _, until): &&(Micros, Micros, Micros)| (*from..*until).contains(&mistake.at);
            let of = self.parted.iter().rfind(within);
            of.is_some_and(|(_, joined, _)| mistake.at >= *joined || mistake.copies == 0)
        };
        let mistakes = self.stage.world.mistakes.iter().filter(|mistake| match mistake.verdict {
            Verdict::Wrong(Wrong::CalledAbsent) => !excused(mistake),
            Verdict::Stale => mistake.copies == 0 && !excused(mistake),
            Verdict::Wrong(Wrong::Invented | Wrong::Forged) => true,
            Verdict::Right | Verdict::Old | Verdict::Unknown => false,
        });
        mistakes.map(|mistake| format!("at {:.3} s {mistake:?}", secs(mistake.at))).collect()
    }

    /// Each name from two peers, and one that nobody has from each peer.
    fn ask_everybody(&mut self) {
        let all = self.stage.world.len();
        for name in 0..all {
            for _ in 0..2 {
                let asker = self.draw(0, u64::from(all) - 1) as u32;
                if self.stage.world.runs(asker) {
                    self.stage.world.look_up(asker, Wanted::Of(name), OWN, false);
                }
            }
            if self.stage.world.runs(name) {
                self.stage.world.look_up(name, Wanted::Nobody(2_000_000 + u64::from(name)), OWN, false);
            }
            self.stage.run_for(200 * MILLISECOND);
        }
        self.stage.run_for(12 * SECOND);
    }
}
