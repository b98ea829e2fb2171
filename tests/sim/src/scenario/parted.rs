//! H: the network parts into halves for an hour; both sides register and move; then it is whole again.
//!
//! On the login server's side names are registered for the first time, too. In the end every name is asked for on
//! both sides, when no cache may tell an old address any more.

use super::stage::{Plan, Stage, right};
use super::{Options, Row};
use crate::measures::OWN;
use crate::oracle::Wanted;
use crate::peers::Kind;
use crate::report::{Figure, Outcome};
use crate::time::{HOUR, MILLISECOND, MINUTE, SECOND};

pub(super) const ROW: Row =
    Row { letter: "H", what: "halves apart for an hour, both sides move, then whole again", run };

/// For so many peers a new one comes while they are apart. *Guess.*
const NEW: u32 = 20;

fn run(options: &Options) -> Outcome {
    let peers = options.size(1_000);
    let mut plan = Plan::new(&ROW, options, peers);
    let (_, apart) = options.time(0, HOUR);
    plan.settings.workload.move_every = Some(20 * MINUTE);
    plan.settings.workload.watching = 0.1;
    let mut stage = Stage::open(plan);
    stage.warm_up();
    let side: Vec<u32> = (0..stage.world.len()).filter(|peer| peer % 2 == 1).collect();
    stage.world.part(&side);
    for _ in 0..peers / NEW {
        let peer = stage.world.add(Kind::Child);
        stage.world.begin(peer, apart / 2);
    }
    stage.run_for(apart);
    stage.world.join();
    // What is on its way would never be on all of its storers.
    stage.world.settings.workload.move_every = None;
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
    let older = stage.world.measures.older;
    let meanwhile = right("look-ups right, apart and after", stage.users());
    stage.run_for(2 * MINUTE);
    let untold = stage.world.untold(MINUTE);
    stage.remark(format!("watchers that have not heard of the newest address: {untold:?}"));
    let watches = stage.world.watches() as f64;
    stage.world.measure();
    for name in 0..stage.world.len() {
        for at in 0..2 {
            if let Some(asker) = stage.world.somebody_of(|peer| peer % 2 == at) {
                stage.world.look_up(asker, Wanted::Of(name), OWN, false);
            }
        }
        stage.run_for(20 * MILLISECOND);
    }
    stage.run_for(MINUTE);
    let told = &stage.world.measures.groups[usize::from(OWN)];
    let figures = vec![
        Figure::number("maps, parents and newest copies right again after", took, "s").at_most(120.0),
        Figure::share(
            "newest address of every name, asked on both sides",
            (told.existing.right, told.owed()),
        )
        .at_least(1.0),
        Figure::number("answers older than one before, to one peer", older as f64, "").at_most(0.0),
        Figure::number("watches", watches, "").at_least(1.0),
        Figure::number("watchers that have not heard of the newest address", untold.len() as f64, "")
            .at_most(0.0),
        meanwhile,
        Figure::number("superpeers", stage.world.running(Kind::Superpeer).len() as f64, ""),
    ];
    stage.outcome(figures)
}
