//! H: the network parts into halves for an hour; both sides register and move; then it is whole again.

use super::stage::{Plan, Stage};
use super::{Options, Row};
use crate::peers::Kind;
use crate::report::{Figure, Outcome};
use crate::time::{HOUR, MINUTE, SECOND};

pub(super) const ROW: Row =
    Row { letter: "H", what: "halves apart for an hour, both sides move, then whole again", run };

fn run(options: &Options) -> Outcome {
    let mut plan = Plan::new(&ROW, options, options.size(1_000));
    let (_, apart) = options.time(0, HOUR);
    plan.settings.workload.move_every = Some(20 * MINUTE);
    let mut stage = Stage::open(plan);
    stage.warm_up();
    let side: Vec<u32> = (0..stage.world.len()).filter(|peer| peer % 2 == 1).collect();
    stage.world.part(&side);
    stage.run_for(apart);
    stage.world.join();
    let joined = stage.world.now();
    let mut converged = None;
    while converged.is_none() && stage.world.now() < joined + 10 * MINUTE {
        stage.run_for(5 * SECOND);
        let found = stage.world.look_over();
        if found.unknown_superpeers + found.dead_in_maps + found.without_parent + found.few_copies == 0 {
            converged = Some(stage.world.now() - joined);
        }
    }
    let took = converged.map_or(f64::INFINITY, |took| took as f64 / SECOND as f64);
    let found = stage.world.look_over();
    stage.remark(format!("at the end: {found:?}"));
    stage.world.measure();
    stage.run_for(5 * MINUTE);
    let (right, all) = stage.users().first();
    let figures = vec![
        Figure::number("maps, parents and copies right again after", took, "s").at_most(120.0),
        Figure::share("right after that", (right, all)).at_least(1.0),
        Figure::number("superpeers", stage.world.running(Kind::Superpeer).len() as f64, ""),
    ];
    stage.outcome(figures)
}
