//! C: churn as in file sharing: Weibull(0.38, 42 min).

use super::stage::{Plan, Stage, right};
use super::{Options, Row};
use crate::churn::Churn;
use crate::report::Outcome;

pub(super) const ROW: Row = Row { letter: "C", what: "file sharing's churn: Weibull(0.38, 42 min)", run };

fn run(options: &Options) -> Outcome {
    let plan = Plan::new(&ROW, options, options.size(10_000)).churned(options, Churn::file_sharing());
    let mut stage = Stage::open(plan);
    stage.warm_up();
    stage.measure();
    let all = right("look-ups right", stage.users()).at_least(0.999);
    stage.outcome(vec![all])
}
