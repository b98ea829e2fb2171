//! K: half of the superpeers die at one instant; then again with 70 %.
//!
//! Their machines vanish in silence, as in a power cut; half of them once more by their processes' end, as a bad release
//! would have it, whose machines close connections and refuse dials.
//!
//! At once every child asks for one name, another one each: those whose parent lives have to be right at the first
//! try. Who gets no answer counts as not right.

use super::stage::{Plan, Stage};
use super::{Options, Row};
use crate::measures::OWN;
use crate::oracle::Wanted;
use crate::peers::{Departure, Kind};
use crate::report::{Figure, Outcome};
use crate::time::MINUTE;

pub(super) const ROW: Row = Row { letter: "K", what: "50 % and 70 % of superpeers die at one instant", run };

/// Of children whose parent lives, and of the others.
const LIVES: u8 = OWN;
const OTHERS: u8 = OWN + 1;

fn run(options: &Options) -> Outcome {
    let (half, stage) = fail(options, 0.5, Departure::Vanish);
    drop(stage);
    let (ended, stage) = fail(options, 0.5, Departure::End);
    drop(stage);
    let (most, stage) = fail(options, 0.7, Departure::Vanish);
    let figures = vec![
        Figure::share("50 %: right at first try, parent lives", half.first).at_least(0.999),
        Figure::share("50 %: right within 60 s, all", half.within).at_least(1.0),
        Figure::share("50 %, processes: right at first try, parent lives", ended.first).at_least(0.999),
        Figure::share("50 %, processes: right within 60 s, all", ended.within).at_least(1.0),
        Figure::share("70 %: right at first try, parent lives", most.first).at_least(0.99),
        Figure::share("70 %: right within 60 s, all", most.within),
    ];
    stage.outcome(figures)
}

struct Told {
    first: (u64, u64),
    within: (u64, u64),
}

fn fail(options: &Options, share: f64, departure: Departure) -> (Told, Stage) {
    let plan = Plan::new(&ROW, options, options.size(10_000));
    let mut stage = Stage::open(plan);
    stage.warm_up();
    stage.world.stop_share(Kind::Superpeer, share, departure);
    let names: Vec<u32> = (0..stage.world.len()).filter(|name| stage.world.is_registered(*name)).collect();
    let children = stage.world.running(Kind::Child).to_vec();
    // Each name about equally often, and not by its own holder.
    for (child, name) in children.into_iter().zip(names.iter().cycle().skip(names.len() / 2)) {
        let group = if stage.world.parent(child).is_some() { LIVES } else { OTHERS };
        stage.world.look_up(child, Wanted::Of(*name), group, true);
    }
    stage.run_for(2 * MINUTE);
    let [lives, others] =
        [LIVES, OTHERS].map(|group| stage.world.measures.groups[usize::from(group)].clone());
    let times = [lives.all_times(), others.all_times()].concat();
    let within = times.iter().filter(|took| u64::from(**took) <= MINUTE).count() as u64;
    let told =
        Told { first: (lives.existing.good(), lives.owed()), within: (within, lives.owed() + others.owed()) };
    (told, stage)
}
