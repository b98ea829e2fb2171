//! J: a tenth of all look-ups go to one name that nobody has.

use super::stage::{Plan, Stage, right};
use super::{Options, Row};
use crate::report::summary::unevenness;
use crate::report::{Figure, Outcome};

pub(super) const ROW: Row = Row { letter: "J", what: "10 % of look-ups go to one missing name", run };

fn run(options: &Options) -> Outcome {
    let mut plan = Plan::new(&ROW, options, options.size(10_000));
    plan.settings.workload.hot_absent = 0.1;
    let mut stage = Stage::open(plan);
    stage.warm_up();
    stage.measure();
    let served = unevenness(stage.world.loads().iter().map(|load| f64::from(load.served)));
    let figures = vec![
        Figure::number("requests served, most/mean", served, "").at_most(3.0),
        right("look-ups right", stage.users()),
    ];
    stage.outcome(figures)
}
