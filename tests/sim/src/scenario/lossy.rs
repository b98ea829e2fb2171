//! L: a fifth of packets is lost and a fifth of peers is slow.

use super::stage::{Plan, Stage, right};
use super::{Options, Row};
use crate::report::{Figure, Outcome};

pub(super) const ROW: Row = Row { letter: "L", what: "20 % loss, 20 % slow peers", run };

fn run(options: &Options) -> Outcome {
    let mut plan = Plan::new(&ROW, options, options.size(1_000));
    plan.settings.conditions.loss = 0.2;
    plan.settings.conditions.slow = 0.2;
    plan.settings.conditions.late = 0.02;
    plan.settings.conditions.doubled = 0.01;
    let mut stage = Stage::open(plan);
    stage.warm_up();
    stage.measure();
    let existing = stage.users().existing;
    let figures = vec![
        right("look-ups right", stage.users()).at_least(0.995),
        Figure::share("names called absent that are there", (existing.wrong, existing.all())).at_most(0.0),
    ];
    stage.outcome(figures)
}
