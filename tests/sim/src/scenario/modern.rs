//! B: churn as it was measured lately: Weibull sessions and absences, a tenth always on, day and night.

use super::stage::{Plan, Stage, right};
use super::{Options, Row};
use crate::churn::Churn;
use crate::peers::Kind;
use crate::report::summary::sent_by;
use crate::report::{Figure, Outcome};

pub(super) const ROW: Row =
    Row { letter: "B", what: "modern churn: Weibull, a tenth always on, day and night", run };

fn run(options: &Options) -> Outcome {
    let plan = Plan::new(&ROW, options, options.size(100_000)).churned(options, Churn::modern());
    let mut stage = Stage::open(plan);
    stage.warm_up();
    stage.measure();
    let existing = stage.users().existing;
    let figures = vec![
        right("look-ups right", stage.users()).at_least(0.9995),
        Figure::share("stale addresses", (existing.outdated(), existing.all())).at_most(0.001),
        Figure::number("superpeer sends", sent_by(&stage.world, Kind::Superpeer), "B/s").at_most(3_000.0),
    ];
    stage.outcome(figures)
}
