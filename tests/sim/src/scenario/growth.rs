//! N: growth from three seeds to 10,000 peers and back to 1,000.
//!
//! Peers come a hundredth of their number every ten seconds, later they go so. A tenth of them can be reached
//! and volunteer as superpeers as `callbook --role auto` does; others are children for good. The number of
//! superpeers and their load are looked at every half minute.

use super::stage::{Plan, Stage, right};
use super::{Options, Row};
use crate::peers::{Departure, Kind};
use crate::report::summary::unevenness;
use crate::report::{Figure, Outcome};
use crate::time::{MINUTE, SECOND};

pub(super) const ROW: Row = Row { letter: "N", what: "from 3 seeds to 10,000 peers and back to 1,000", run };

/// One peer in so many can be reached. *Guess*: far more than are needed.
const REACHABLE: u32 = 10;

/// One superpeer for so many peers. *Specification* (DESIGN §5).
const PEERS_PER_SUPERPEER: f64 = 100.0;

/// With fewer peers the least number of superpeers (24) counts, not their share.
const COUNTS_FROM: usize = 2_400;

#[derive(Debug, Clone, Copy)]
struct Extremes {
    least: f64,
    most: f64,
    uneven: f64,
    looked: u32,
}

impl Extremes {
    fn look(&mut self, stage: &Stage) {
        let (superpeers, children) =
            (stage.world.running(Kind::Superpeer).len(), stage.world.running(Kind::Child).len());
        if superpeers + children < COUNTS_FROM {
            return;
        }
        let ratio = superpeers as f64 * PEERS_PER_SUPERPEER / (superpeers + children) as f64;
        let loads = stage.world.loads();
        let uneven = unevenness(loads.iter().map(|load| load.children as f64));
        self.least = self.least.min(ratio);
        self.most = self.most.max(ratio);
        self.uneven = self.uneven.max(uneven);
        self.looked += 1;
    }
}

fn run(options: &Options) -> Outcome {
    let peers = options.size(10_000);
    let mut plan = Plan::new(&ROW, options, peers);
    (plan.peers, plan.superpeers) = (4, 4);
    plan.warm_up = 2 * MINUTE;
    plan.settings.volunteers = true;
    let mut stage = Stage::open(plan);
    stage.warm_up();
    let mut extremes = Extremes { least: f64::MAX, most: 0.0, uneven: 0.0, looked: 0 };
    let step = (peers / 100).max(1);
    while stage.world.len() < peers {
        for _ in 0..step {
            let peer = stage.world.add(Kind::Child);
            if peer.is_multiple_of(REACHABLE) {
                stage.world.can_be_reached(peer);
            }
            stage.world.begin(peer, 10 * SECOND);
        }
        stage.run_for(10 * SECOND);
        extremes.look(&stage);
    }
    stage.run_for(10 * MINUTE);
    extremes.look(&stage);
    let grown = stage.world.running(Kind::Superpeer).len();
    for wave in 0..90u32 {
        let share = 0.01 / (1.0 - 0.01 * f64::from(wave));
        for kind in [Kind::Superpeer, Kind::Child] {
            stage.world.stop_share(kind, share, Departure::Leave);
        }
        stage.run_for(10 * SECOND);
        extremes.look(&stage);
    }
    stage.run_for(10 * MINUTE);
    let [superpeers, children] = [Kind::Superpeer, Kind::Child].map(|kind| stage.world.running(kind).len());
    let unsettled = stage.world.look_over();
    let share = |of: usize, all: usize| of as f64 * PEERS_PER_SUPERPEER / all.max(1) as f64;
    let mut figures = vec![
        Figure::number("superpeers over N/100 when grown", share(grown, peers as usize), ""),
        Figure::number("superpeers at the end", superpeers as f64, ""),
        Figure::number("peers at the end", (superpeers + children) as f64, ""),
        Figure::number("children without a parent", unsettled.without_parent as f64, "").at_most(0.0),
        right("look-ups right", stage.users()),
    ];
    if extremes.looked > 0 {
        figures.insert(0, Figure::number("superpeers over N/100, least", extremes.least, "").at_least(0.5));
        figures.insert(1, Figure::number("superpeers over N/100, most", extremes.most, "").at_most(2.0));
        figures.insert(2, Figure::number("children, most/mean, at worst", extremes.uneven, "").at_most(2.5));
    }
    stage.outcome(figures)
}
