//! A: the setting of p2psim's comparison (directories.md §3.5), in its own way of charging.
//!
//! 1,024 peers, all reachable and all superpeers, sessions and absences exponential of one hour on average, a
//! look-up each per ten minutes; datagrams at 20 bytes a packet, who goes is silent. Statistics on the
//! second half of six hours. Then two hours of the same over streams, whose connections cost time and bytes.

use super::stage::{Plan, Stage, latency, right};
use super::{Options, Row};
use crate::churn::Churn;
use crate::network::Carriage;
use crate::peers::Departure;
use crate::report::Figure;
use crate::report::Outcome;
use crate::report::summary::{sent_for_look_ups, sent_per_peer};
use crate::time::{HOUR, Micros};

pub(super) const ROW: Row = Row { letter: "A", what: "p2psim's setting: 1 h up, 1 h down, datagrams", run };

fn run(options: &Options) -> Outcome {
    let streams = open(options, Carriage::Streams, (HOUR, HOUR));
    let p50_streams =
        latency("over streams: look-up p50", streams.users().all_times(), 0.5).at_most(1.1 * 180.0);
    let right_streams = right("over streams: look-ups right", streams.users());
    drop(streams);
    let stage = open(options, Carriage::Datagrams, (3 * HOUR, 3 * HOUR));
    let all = right("look-ups right", stage.users()).at_least(0.999);
    let p50 = latency("look-up p50", stage.users().all_times(), 0.5).at_most(190.0);
    let per_peer = |what, bytes| Figure::number(what, bytes, "B/s");
    let sent = per_peer("sent per live peer, everything", sent_per_peer(&stage.world)).at_most(400.0);
    let few = per_peer("sent per live peer, to know others and look up", sent_for_look_ups(&stage.world));
    stage.outcome(vec![p50, all, few.at_most(60.0), sent, p50_streams, right_streams])
}

/// The network with look-ups measured, over a carriage, for a time before and while it is measured.
fn open(options: &Options, carriage: Carriage, (before, measured): (Micros, Micros)) -> Stage {
    let peers = options.size(1_024);
    let mut plan = Plan::new(&ROW, options, peers).churned(options, Churn::exponential(HOUR, HOUR));
    plan.superpeers = options.superpeers.unwrap_or(peers);
    (plan.warm_up, plan.measured) = options.time(before, measured);
    plan.settings.conditions.carriage = carriage;
    plan.settings.conditions.jitter = 0.0;
    plan.settings.departure = Departure::Vanish;
    let mut stage = Stage::open(plan);
    stage.warm_up();
    stage.measure();
    stage
}
