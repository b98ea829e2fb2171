//! D: Bamboo's hardest point: the median session of every peer, superpeers too, lasts 1.4 minutes.
//!
//! Bamboo replaces who dies, so that 1,000 are there; here 2,000 come and go, half of them there.

use super::stage::{Plan, Stage, right};
use super::{Options, Row};
use crate::churn::Churn;
use crate::report::summary::sent_per_peer;
use crate::report::{Figure, Outcome};
use crate::time::MINUTE;

pub(super) const ROW: Row = Row { letter: "D", what: "sessions of 1.4 min in the median, all peers", run };

fn run(options: &Options) -> Outcome {
    let mut plan = Plan::new(&ROW, options, 2 * options.size(1_000)).churned(options, Churn::brutal());
    plan.settings.workload.look_up_every = Some(MINUTE);
    let mut stage = Stage::open(plan);
    stage.warm_up();
    stage.measure();
    let all = right("look-ups right", stage.users()).at_least(0.995);
    let sent = Figure::number("sent per live peer", sent_per_peer(&stage.world), "B/s").at_most(900.0);
    stage.outcome(vec![all, sent])
}
