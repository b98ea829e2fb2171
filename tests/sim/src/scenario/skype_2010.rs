//! F: 30 % of superpeers vanish within a minute and clients ask again at once, as Skype's did in 2010.

use super::stage::{Plan, Stage};
use super::{Options, Row};
use crate::measures::OWN;
use crate::peers::{Departure, Kind};
use crate::report::summary::unevenness;
use crate::report::{Figure, Outcome};
use crate::time::{MINUTE, SECOND};

pub(super) const ROW: Row =
    Row { letter: "F", what: "30 % of superpeers vanish in 60 s, clients ask again", run };

fn run(options: &Options) -> Outcome {
    let mut plan = Plan::new(&ROW, options, options.size(10_000));
    plan.settings.retry = true;
    let mut stage = Stage::open(plan);
    stage.warm_up();
    let before = stage.world.running(Kind::Superpeer).len();
    for wave in 0..12u32 {
        let share = 0.025 / (1.0 - 0.025 * f64::from(wave));
        stage.world.stop_share(Kind::Superpeer, share, Departure::Vanish);
        stage.run_for(5 * SECOND);
    }
    let gone = before - stage.world.running(Kind::Superpeer).len();
    // Everybody asks once in the minute after.
    let children = stage.world.running(Kind::Child).to_vec();
    for (index, child) in children.iter().enumerate() {
        if stage.world.runs(*child) {
            let wanted = stage.world.name_to_look_up();
            stage.world.look_up(*child, wanted, OWN, true);
        }
        if index % (children.len() / 60).max(1) == 0 {
            stage.run_for(SECOND);
        }
    }
    stage.run_for(2 * MINUTE);
    let asked = &stage.world.measures.groups[usize::from(OWN)];
    let times = asked.all_times();
    let within = times.iter().filter(|took| u64::from(**took) <= MINUTE).count() as u64;
    let loads = stage.world.loads();
    let figures = vec![
        Figure::share("right within 60 s", (within, asked.owed())).at_least(0.99),
        Figure::number("children, most/mean", unevenness(loads.iter().map(|load| load.children as f64)), "")
            .at_most(2.5),
        Figure::number(
            "requests served, most/mean",
            unevenness(loads.iter().map(|load| f64::from(load.served))),
            "",
        )
        .at_most(2.5),
        Figure::number("superpeers that vanished", gone as f64, ""),
    ];
    stage.outcome(figures)
}
