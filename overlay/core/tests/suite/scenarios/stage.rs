//! A stage for scenarios: a network whose sizes come from the seed, and what its users do meanwhile.

use std::time::Duration;

use callbook_overlay::Username;
use callbook_overlay::api::{Command, How, Parallelism};

use crate::invariants::{Rest, settled};
use crate::world::{Conditions, World};

/// A network, its cast, and the names in it.
pub(crate) struct Stage {
    pub(crate) world: World,
    /// All superpeers, running or not.
    pub(crate) superpeers: Vec<usize>,
    /// All children.
    pub(crate) children: Vec<usize>,
    /// Names that were registered, and some that nobody has.
    pub(crate) names: Vec<String>,
    /// Superpeers that are down now.
    pub(crate) down: Vec<usize>,
}

impl Stage {
    /// Peers that don't run yet: 3–12 superpeers, 4–30 children, r from 2 to 5; small ones more often.
    pub(crate) fn open(seed: u64, log: bool) -> Self {
        let parallelism = if seed.is_multiple_of(2) { Parallelism::Hedged } else { Parallelism::AtOnce };
        let r = 2 + (seed % 4) as usize;
        let mut world = World::new(seed.wrapping_mul(0x0005_deec_e66d).wrapping_add(11), r, parallelism);
        world.conditions = Conditions::rough();
        world.ledger.enforced = true;
        world.log = log;
        let most = if world.draw(0, 3) == 0 { (12, 30) } else { (7, 9) };
        let (superpeers, children) = (world.draw(3, most.0) as usize, world.draw(4, most.1) as usize);
        let superpeers: Vec<usize> = (0..superpeers).map(|_| world.add(true)).collect();
        let children: Vec<usize> = (0..children).map(|_| world.add(false)).collect();
        Self { world, superpeers, children, names: vec![String::from("nobody")], down: Vec::new() }
    }

    /// Starts superpeers, then children, and waits until they have found each other.
    pub(crate) fn begin(&mut self) {
        let first = self.superpeers[0];
        for index in self.superpeers.clone() {
            self.world.start(index, &[first]);
        }
        self.wait(10_000, 10_000);
        for index in self.children.clone() {
            let seeds = [self.any_superpeer(), self.any_superpeer()];
            self.world.start(index, &seeds);
        }
        self.wait(3_000, 5_000);
    }

    /// Registers a name for some children and a superpeer or two.
    pub(crate) fn register_names(&mut self, count: u64) {
        for _ in 0..count {
            let holder = if self.world.draw(0, 7) == 0 { self.any_superpeer() } else { self.any_child() };
            if self.world.is_running(holder) {
                self.register(holder);
            }
        }
    }

    /// Registers a new name at a peer, without waiting for it.
    pub(crate) fn register(&mut self, holder: usize) {
        let name = format!("name-{}", self.names.len());
        let (held, _) = self.world.authority.held(&name);
        self.world.tell(holder, Command::Register(Box::new(held)));
        self.names.push(name);
    }

    /// A few peers look a few names up, without waiting for them.
    pub(crate) fn look_around(&mut self, count: u64) {
        for _ in 0..count {
            let everybody = [self.world.running(false), self.world.running(true)].concat();
            let asker = everybody[self.world.random() as usize % everybody.len()];
            let name = self.names[self.world.random() as usize % self.names.len()].clone();
            let username = Username::parse(&name).expect("a name");
            let fresh = self.world.draw(0, 1) == 0;
            self.world.tell(asker, Command::Resolve { username, how: How { fresh, ..How::default() } });
        }
    }

    /// Lets a time pass, in milliseconds, drawn from the range.
    pub(crate) fn wait(&mut self, from: u64, to: u64) {
        let wait = self.world.draw(from, to);
        self.world.run_for(Duration::from_millis(wait));
    }

    pub(crate) fn any_superpeer(&mut self) -> usize {
        self.superpeers[self.world.random() as usize % self.superpeers.len()]
    }

    pub(crate) fn any_child(&mut self) -> usize {
        self.children[self.world.random() as usize % self.children.len()]
    }

    /// How many superpeers may be down at a time, so that no name loses a majority of its storers.
    pub(crate) fn spare(&self) -> usize {
        self.world.authority.network.parameters.r.min(self.superpeers.len()) / 2
    }

    /// Starts again what is down, with what its disk holds and, sometimes, what a login server tells.
    pub(crate) fn restart_one(&mut self) {
        if self.down.is_empty() {
            return;
        }
        let index = self.world.random() as usize % self.down.len();
        let index = self.down.swap_remove(index);
        let seed = self.any_superpeer();
        self.world.start(index, &[seed]);
    }

    /// Nothing goes wrong any more.
    pub(crate) fn mend(&mut self) {
        self.world.heal();
        for index in self.superpeers.iter().chain(&self.children).copied().collect::<Vec<_>>() {
            self.world.thaw(index);
        }
        while !self.down.is_empty() {
            self.restart_one();
        }
    }

    /// A quiet time, and then all has to be well.
    pub(crate) fn settle(&mut self, seconds: u64, rests: &[Rest]) {
        self.world.run_for(Duration::from_secs(seconds));
        settled(&mut self.world, &self.names, rests);
    }
}
