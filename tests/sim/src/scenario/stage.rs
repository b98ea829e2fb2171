//! The stage of a scenario: how a network comes to be, warms up and is measured.
//!
//! The login server starts, superpeers join within a minute, children within the next two; then users begin. Many superpeers
//! of a network with a past start within a second, and know each other.
//! Warm-up counts from the very beginning. *Not here*: what goes wrong (each row's file).

use std::sync::Arc;
use std::time::Instant;

use super::{Options, Row, superpeers_for};
use crate::churn::Churn;
use crate::churn::trace::{self, Change};
use crate::measures::{Group, USERS};
use crate::peers::Kind;
use crate::progress::{Far, Progress};
use crate::report::curves::Curves;
use crate::report::summary::{self, Cost};
use crate::report::{Figure, Outcome, memory};
use crate::time::{HOUR, MINUTE, Micros, SECOND};
use crate::world::{Settings, World};

/// Superpeers join within this.
const SUPERPEERS_JOIN: Micros = MINUTE;
/// From so many on, where peers come and go, they know each other from before. *Guess*: fewer have learnt of each other when
/// children come.
const KNOWN_BEFORE_FROM: u32 = 512;
/// And start within this.
const SUPERPEERS_START: Micros = SECOND;
/// Children join within this.
const CHILDREN_JOIN: Micros = 2 * MINUTE;

/// What a row wants.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whose it is.
    pub row: &'static Row,
    /// All peers, online or not, the login server included.
    pub peers: u32,
    /// Those of them that are superpeers.
    pub superpeers: u32,
    /// From the beginning until measuring begins.
    pub warm_up: Micros,
    /// How long is measured.
    pub measured: Micros,
    /// The world.
    pub settings: Settings,
    progress: Progress,
}

impl Plan {
    /// A row's plan with as many peers, all of them online: 30 minutes of warm-up, one hour measured.
    #[must_use]
    pub fn new(row: &'static Row, options: &Options, peers: u32) -> Self {
        let (warm_up, measured) = options.time(30 * MINUTE, HOUR);
        let mut settings = Settings::of(options.seed, peers);
        (settings.log, settings.way) = (options.log, options.way);
        if let Some(real) = options.real {
            settings.signing =
                if real { crate::signing::Signing::Real } else { crate::signing::Signing::Quick };
            settings.codec = real;
        }
        settings.machines = options.machines.unwrap_or(settings.machines);
        settings.conditions.trips.clone_from(&options.trips);
        settings.changes.clone_from(&options.changes);
        // A file says how many there are.
        let peers = options.changes.as_deref().map_or(peers, |changes| trace::count(changes) + 1);
        let superpeers = options.superpeers.unwrap_or(superpeers_for(peers)).max(1);
        Self { row, peers, superpeers, warm_up, measured, settings, progress: options.progress.clone() }
    }

    /// With churn: of these peers only a share is online, and of superpeers so many more are needed.
    #[must_use]
    pub fn churned(mut self, options: &Options, churn: Churn) -> Self {
        let online = churn.always_on + (1.0 - churn.always_on) * churn.availability();
        let wanted = superpeers_for((f64::from(self.peers) * online) as u32);
        self.superpeers = options.superpeers.unwrap_or((f64::from(wanted) / online) as u32).max(1);
        if self.settings.changes.is_none() {
            self.settings.churn = Some(churn);
        }
        self
    }
}

/// A network that runs.
pub struct Stage {
    /// The network.
    pub world: World,
    plan: Plan,
    cost: Cost,
    began: Instant,
    remarks: Vec<String>,
}

impl Stage {
    /// A network in which everybody has joined and users have begun.
    #[must_use]
    pub fn open(plan: Plan) -> Self {
        let mut cost = Cost { memory: [memory::resident(); 4], ..Cost::default() };
        let mut world = World::new(plan.settings.clone());
        if let Some(changes) = plan.settings.changes.clone() {
            return Self::follow(plan, world, changes);
        }
        let superpeers: Vec<u32> = (1..plan.superpeers).map(|_| world.add(Kind::Superpeer)).collect();
        let children: Vec<u32> = (plan.superpeers..plan.peers).map(|_| world.add(Kind::Child)).collect();
        let began = Instant::now();
        world.begin(0, 0);
        world.run_until(5 * SECOND);
        let known = plan.settings.churn.is_some() && plan.superpeers >= KNOWN_BEFORE_FROM;
        let within = if known { SUPERPEERS_START } else { SUPERPEERS_JOIN };
        superpeers.iter().for_each(|peer| world.begin(*peer, within));
        if known {
            world.run_until(5 * SECOND + within + 1);
            world.introduce_superpeers();
        }
        world.run_until(5 * SECOND + SUPERPEERS_JOIN + 25 * SECOND);
        cost.memory[1] = memory::resident();
        cost.peers[0] = world.running(Kind::Superpeer).len() as u64;
        children.iter().for_each(|peer| world.begin(*peer, CHILDREN_JOIN));
        world.remember_the_absent();
        cost.memory[2] = memory::resident();
        cost.peers[1] = u64::from(world.names().0) * cost.peers[0].min(world.settings.parameters.r as u64);
        let mut stage = Self { world, plan, cost, began, remarks: Vec::new() };
        stage.run_for(CHILDREN_JOIN + 30 * SECOND);
        stage.cost.memory[3] = memory::resident();
        stage.cost.peers[2] = stage.world.running(Kind::Child).len() as u64;
        stage.world.open_for_users();
        stage
    }

    /// A network whose peers come and go as a file says; who is there longest are superpeers.
    fn follow(plan: Plan, mut world: World, changes: Arc<[Change]>) -> Self {
        let cost = Cost { memory: [memory::resident(); 4], ..Cost::default() };
        let longest = trace::longest(&changes, plan.superpeers as usize - 1);
        for peer in 0..plan.peers - 1 {
            world.add(if longest.contains(&peer) { Kind::Superpeer } else { Kind::Child });
        }
        let began = Instant::now();
        world.begin(0, 0);
        world.run_until(5 * SECOND);
        world.follow(changes);
        world.open_for_users();
        Self { world, plan, cost, began, remarks: Vec::new() }
    }

    /// Lets time pass, and says how far it is.
    pub fn run_for(&mut self, time: Micros) {
        let until = self.world.now() + time;
        while self.world.now() < until {
            self.world.run_until(until.min(self.world.now() + 10 * SECOND));
            self.tell_progress();
        }
    }

    fn tell_progress(&self) {
        let world = &self.world;
        self.plan.progress.tell(|| Far {
            row: self.plan.row.letter,
            now: world.now(),
            end: self.plan.warm_up + self.plan.measured,
            superpeers: world.running(Kind::Superpeer).len(),
            children: world.running(Kind::Child).len(),
            turns: world.turns(),
        });
    }

    /// Until measuring may begin.
    pub fn warm_up(&mut self) {
        let left = self.plan.warm_up.saturating_sub(self.world.now());
        self.run_for(left);
        self.world.measure();
    }

    /// Measures for as long as the plan says.
    pub fn measure(&mut self) {
        self.run_for(self.plan.measured);
    }

    /// What the users' look-ups have come to.
    #[must_use]
    pub fn users(&self) -> &Group {
        &self.world.measures.groups[usize::from(USERS)]
    }

    /// Something that whoever reads the figures has to know.
    pub fn remark(&mut self, remark: impl Into<String>) {
        self.remarks.push(remark.into());
    }

    /// The end: the row's figures, then those that every run has.
    #[must_use]
    pub fn outcome(mut self, mut figures: Vec<Figure>) -> Outcome {
        self.cost.seconds = self.began.elapsed().as_secs_f64();
        figures.extend(summary::figures(&self.world, &self.cost));
        let mut remarks = self.remarks;
        remarks.extend(summary::mistakes(&self.world));
        Outcome {
            row: self.plan.row.letter,
            what: self.plan.row.what,
            seed: self.plan.settings.seed,
            peers: self.plan.peers.max(self.world.len()),
            figures,
            remarks,
            curves: Curves::of(&self.world),
            trace: self.world.trace(),
        }
    }
}

/// The share of first answers that were right, of a group of look-ups.
#[must_use]
pub fn right(what: &str, group: &Group) -> Figure {
    Figure::share(what, group.first())
}

/// Latency at a share of a sample, in milliseconds. Infinite where that falls on what has not come to an end, and of no
/// sample at all, as no bar may hold then.
#[must_use]
pub fn latency(what: &str, mut sample: Vec<u32>, share: f64) -> Figure {
    let millis = if sample.is_empty() {
        f64::INFINITY
    } else {
        summary::millis(crate::measures::quantile(&mut sample, share))
    };
    Figure::number(what, millis, "ms")
}
