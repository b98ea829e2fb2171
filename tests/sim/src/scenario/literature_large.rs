//! A2: row A's sessions and look-ups at 100,000 peers, of whom one in a hundred is a superpeer.
//!
//! Over streams, connections charged. Half of all are there at a time, so that a superpeer has 50 children on
//! average.

use super::stage::{Plan, Stage, latency, right};
use super::{Options, Row};
use crate::churn::Churn;
use crate::peers::Kind;
use crate::report::summary::sent_by;
use crate::report::{Figure, Outcome};
use crate::time::{HOUR, MILLISECOND};

pub(super) const ROW: Row = Row { letter: "A2", what: "row A at 100,000, a hundredth superpeers", run };

/// Children of a superpeer on average. *Specification* (issue 4).
const CHILDREN: u32 = 50;

fn run(options: &Options) -> Outcome {
    let peers = options.size(100_000);
    let mut plan = Plan::new(&ROW, options, peers).churned(options, Churn::exponential(HOUR, HOUR));
    plan.superpeers = options.superpeers.unwrap_or((peers / (CHILDREN + 1)).max(24));
    let trip = plan.settings.conditions.round_trip as f64 / MILLISECOND as f64;
    let mut stage = Stage::open(plan);
    stage.warm_up();
    stage.measure();
    let children = stage.users().times_of(Kind::Child);
    let figures = vec![
        latency("look-up of a child, p50", children.clone(), 0.5).at_most(2.1 * trip),
        latency("look-up of a child, p99", children, 0.99).at_most(1_000.0),
        Figure::number("child sends", sent_by(&stage.world, Kind::Child), "B/s").at_most(50.0),
        Figure::number("superpeer sends", sent_by(&stage.world, Kind::Superpeer), "B/s").at_most(5_000.0),
        right("look-ups right", stage.users()),
    ];
    stage.outcome(figures)
}
