//! E: 60 % of all peers restart within five minutes, as Skype's did in August 2007.

use super::stage::{Plan, Stage, latency, right};
use super::{Options, Row, UPLINK};
use crate::measures::STARTERS;
use crate::peers::{Departure, Kind};
use crate::report::{Figure, Outcome};
use crate::time::{MINUTE, SECOND};

/// A machine takes this long to restart. *Guess*.
const REBOOT: (u64, u64) = (30 * SECOND, 120 * SECOND);

pub(super) const ROW: Row = Row { letter: "E", what: "60 % of all peers restart within 5 min", run };

fn run(options: &Options) -> Outcome {
    let mut plan = Plan::new(&ROW, options, options.size(10_000));
    plan.settings.ask_at_start = true;
    (plan.settings.conditions.uplink, plan.settings.conditions.processors) = (Some(UPLINK), true);
    let children_max = plan.settings.children_max as f64;
    let mut stage = Stage::open(plan);
    stage.warm_up();
    // Ten waves, so that they spread over the five minutes; of those that are left each takes its part.
    for wave in 0..10u32 {
        let share = 0.06 / (1.0 - 0.06 * f64::from(wave));
        for kind in [Kind::Superpeer, Kind::Child] {
            for peer in stage.world.stop_share(kind, share, Departure::Crash) {
                let wait = stage.world.draw(REBOOT.0, REBOOT.1);
                let at = stage.world.now() + wait;
                stage.world.start_at(peer, at);
            }
        }
        stage.run_for(30 * SECOND);
    }
    stage.run_for(4 * MINUTE);
    let starters = stage.world.measures.groups[usize::from(STARTERS)].clone();
    let most = stage.world.loads().iter().map(|load| load.children).max().unwrap_or(0);
    let unsettled = stage.world.look_over();
    let figures = vec![
        latency("start to first parent, the slowest", stage.world.times_to_attach(), 1.0).at_most(60_000.0),
        latency("start to first right answer, the slowest", starters.all_times(), 1.0).at_most(60_000.0),
        Figure::number("children without a parent", unsettled.without_parent as f64, "").at_most(0.0),
        Figure::number("children of one superpeer, most", most as f64, "").at_most(children_max),
        right("look-ups right", stage.users()),
    ];
    stage.outcome(figures)
}
