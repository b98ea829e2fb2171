//! F: 30 % of superpeers vanish within a minute and clients ask again at once, as Skype's did in 2010.
//!
//! First their processes end, as Skype's did: machines close connections and refuse dials. Then their machines vanish in silence.

use super::stage::{Plan, Stage};
use super::{Options, Row, UPLINK};
use crate::measures::OWN;
use crate::peers::{Departure, Kind};
use crate::report::summary::unevenness;
use crate::report::{Figure, Outcome};
use crate::time::{MINUTE, SECOND};

pub(super) const ROW: Row =
    Row { letter: "F", what: "30 % of superpeers vanish in 60 s, clients ask again", run };

fn run(options: &Options) -> Outcome {
    let (ended, stage) = fail(options, Departure::End);
    drop(stage);
    let (vanished, stage) = fail(options, Departure::Vanish);
    let mut figures = vanished.figures("");
    figures.extend(ended.figures("processes: "));
    figures.push(Figure::number("superpeers that vanished", vanished.gone as f64, ""));
    stage.outcome(figures)
}

struct Told {
    gone: usize,
    within: (u64, u64),
    /// Of children, and of requests served.
    uneven: [f64; 2],
}

impl Told {
    fn figures(&self, how: &str) -> Vec<Figure> {
        let [children, served] = self.uneven;
        vec![
            Figure::share(format!("{how}right within 60 s"), self.within).at_least(0.99),
            Figure::number(format!("{how}children, most/mean"), children, "").at_most(2.5),
            Figure::number(format!("{how}requests served, most/mean"), served, "").at_most(2.5),
        ]
    }
}

fn fail(options: &Options, departure: Departure) -> (Told, Stage) {
    let mut plan = Plan::new(&ROW, options, options.size(10_000));
    plan.settings.retry = true;
    (plan.settings.conditions.uplink, plan.settings.conditions.processors) = (Some(UPLINK), true);
    let mut stage = Stage::open(plan);
    stage.warm_up();
    let before = stage.world.running(Kind::Superpeer).len();
    for wave in 0..12u32 {
        let share = 0.025 / (1.0 - 0.025 * f64::from(wave));
        stage.world.stop_share(Kind::Superpeer, share, departure);
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
    let children = unevenness(loads.iter().map(|load| load.children as f64));
    let served = unevenness(loads.iter().map(|load| f64::from(load.served)));
    (Told { gone, within: (within, asked.owed()), uneven: [children, served] }, stage)
}
