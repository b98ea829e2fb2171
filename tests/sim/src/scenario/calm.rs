//! Calm: nobody comes or goes. Not of the table; what fails here fails everywhere.

use super::stage::{Plan, Stage, right};
use super::{Options, Row};
use crate::report::{Figure, Outcome};

pub(super) const ROW: Row = Row { letter: "calm", what: "nobody comes or goes", run };

fn run(options: &Options) -> Outcome {
    let plan = Plan::new(&ROW, options, options.peers.unwrap_or(200));
    let mut stage = Stage::open(plan);
    stage.warm_up();
    stage.measure();
    let all = right("look-ups right", stage.users()).at_least(1.0);
    let unsettled = stage.world.look_over();
    let none = |what, count: usize| Figure::number(what, count as f64, "").at_most(0.0);
    let figures = vec![
        all,
        none("children without a parent", unsettled.without_parent),
        none("superpeers that another doesn't know", unsettled.unknown_superpeers),
        none("names with too few copies", unsettled.few_copies),
    ];
    stage.remark(format!("at the end: {unsettled:?}"));
    stage.outcome(figures)
}
