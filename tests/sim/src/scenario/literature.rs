//! A: the setting of p2psim's comparison (directories.md §3.5), in its own way of charging.
//!
//! 1,024 peers, all reachable and all superpeers, sessions and absences exponential of one hour on average, a
//! look-up each per ten minutes; datagrams at 20 bytes a packet, who goes is silent. Statistics on the
//! second half of six hours.

use super::stage::{Plan, Stage, latency, right};
use super::{Options, Row};
use crate::churn::Churn;
use crate::network::Carriage;
use crate::peers::Departure;
use crate::report::Figure;
use crate::report::Outcome;
use crate::report::summary::sent_per_peer;
use crate::time::HOUR;

pub(super) const ROW: Row = Row { letter: "A", what: "p2psim's setting: 1 h up, 1 h down, datagrams", run };

fn run(options: &Options) -> Outcome {
    let peers = options.size(1_024);
    let mut plan = Plan::new(&ROW, options, peers).churned(options, Churn::exponential(HOUR, HOUR));
    plan.superpeers = options.superpeers.unwrap_or(peers);
    (plan.warm_up, plan.measured) = options.time(3 * HOUR, 3 * HOUR);
    plan.settings.conditions.carriage = Carriage::Datagrams;
    plan.settings.conditions.jitter = 0.0;
    plan.settings.departure = Departure::Vanish;
    let mut stage = Stage::open(plan);
    stage.warm_up();
    stage.measure();
    let all = right("look-ups right", stage.users()).at_least(0.999);
    let p50 = latency("look-up p50", stage.users().all_times(), 0.5).at_most(190.0);
    let sent =
        Figure::number("sent per live peer, everything", sent_per_peer(&stage.world), "B/s").at_most(400.0);
    stage.outcome(vec![p50, all, sent])
}
