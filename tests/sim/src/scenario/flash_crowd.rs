//! M: 1,000 peers join within ten seconds from two seeds.
//!
//! The two are the login server and one superpeer; the newcomers are children and superpeers as the overlay
//! wants them for their number.

use super::stage::{Plan, Stage, latency};
use super::{Options, Row, superpeers_for};
use crate::measures::STARTERS;
use crate::peers::Kind;
use crate::report::{Figure, Outcome};
use crate::time::{MINUTE, SECOND};

pub(super) const ROW: Row = Row { letter: "M", what: "1,000 peers join within 10 s from two seeds", run };

fn run(options: &Options) -> Outcome {
    let crowd = options.size(1_000);
    let mut plan = Plan::new(&ROW, options, crowd);
    (plan.peers, plan.superpeers) = (2, 2);
    plan.warm_up = 5 * MINUTE;
    plan.settings.ask_at_start = true;
    plan.settings.workload.absent = 0.0;
    let mut stage = Stage::open(plan);
    stage.warm_up();
    let superpeers = options.superpeers.unwrap_or(superpeers_for(crowd));
    for number in 0..crowd {
        let kind = if number < superpeers { Kind::Superpeer } else { Kind::Child };
        let peer = stage.world.add(kind);
        stage.world.begin(peer, 10 * SECOND);
    }
    stage.run_for(3 * MINUTE);
    let starters = &stage.world.measures.groups[usize::from(STARTERS)];
    let times = starters.all_times();
    let within = times.iter().filter(|took| u64::from(**took) <= 5 * SECOND).count() as u64;
    let figures = vec![
        Figure::share("right within 5 s of the start", (within, u64::from(crowd))).at_least(1.0),
        latency("start to first parent, the slowest", stage.world.times_to_attach(), 1.0),
        latency("start to first right answer, the slowest", times, 1.0),
    ];
    stage.outcome(figures)
}
