//! G: the login server is down for 72 hours while peers come and go.
//!
//! Certificates are of all ages when it goes, and none is renewed. At the end everybody's name is looked up
//! who was online meanwhile and had a certificate for all of that time; many of them are offline by then.

use super::stage::{Plan, Stage, right};
use super::{Options, Row};
use crate::churn::Churn;
use crate::measures::OWN;
use crate::oracle::Wanted;
use crate::peers::{Departure, LOGIN};
use crate::report::{Figure, Outcome};
use crate::signing::Signing;
use crate::time::{HOUR, MILLISECOND, MINUTE};

pub(super) const ROW: Row = Row { letter: "G", what: "login server down for 72 h", run };

fn run(options: &Options) -> Outcome {
    let mut plan = Plan::new(&ROW, options, options.size(1_000)).churned(options, Churn::modern());
    // Three days of a thousand peers: real signatures would take hours.
    if options.real != Some(true) {
        (plan.settings.signing, plan.settings.codec) = (Signing::Quick, false);
    }
    plan.settings.aged = true;
    let (_, down) = options.time(0, 72 * HOUR);
    plan.measured = down;
    let mut stage = Stage::open(plan);
    stage.warm_up();
    stage.world.login_up = false;
    stage.world.stop(LOGIN, Departure::Vanish);
    let began = stage.world.now();
    stage.run_for(down);
    let (mut asked, mut without, mut never) = (0u32, 0u32, 0u32);
    for name in 1..stage.world.len() {
        let told = stage.world.acknowledged_since(name, began);
        if !told {
            never += 1;
        } else if stage.world.certified_for(name) < began + down {
            without += 1;
        } else if let Some(asker) = stage.world.somebody() {
            asked += 1;
            stage.world.look_up(asker, Wanted::Of(name), OWN, false);
            stage.run_for(50 * MILLISECOND);
        }
    }
    stage.run_for(MINUTE);
    let own = &stage.world.measures.groups[usize::from(OWN)];
    let found = own.existing;
    let figures = vec![
        Figure::share("names of who was online right", (found.good(), own.owed())).at_least(1.0),
        right("look-ups right, all along", stage.users()),
        Figure::number("names asked for", f64::from(asked), ""),
        Figure::number("names of who was not online", f64::from(never), ""),
        Figure::number("names whose certificate was too old", f64::from(without), ""),
    ];
    stage.outcome(figures)
}
