//! The dashboards, one a file.
//!
//! Sums over superpeers are right for children, who have one parent each; of superpeers, whom many see, the
//! largest view counts.

pub mod churn;
pub mod experiment;
pub mod libp2p;
pub mod login;
pub mod lookups;
pub mod node;
pub mod overview;
pub mod superpeers;

use callbook_host::metrics::names::{LOOKUPS, PEER_DEPARTURES, PEERS_ONLINE, RATE_LIMITED};

use crate::promql::{increase, of, rate};

/// Children online, over all superpeers.
fn children() -> String {
    format!("sum({})", of(&PEERS_ONLINE, "role=\"child\""))
}

/// Children online on average over the last hour.
fn children_in_an_hour() -> String {
    format!("avg_over_time(({})[1h:1m])", children())
}

/// Children's departures within the last hour; who has moved to another parent is still there.
fn departures_in_an_hour() -> String {
    format!("sum({})", increase(&PEER_DEPARTURES, "role=\"child\",reason!=\"moved\"", "1h"))
}

/// Children who told within the last hour that they have another parent.
fn moves_in_an_hour() -> String {
    format!("sum({})", increase(&PEER_DEPARTURES, "role=\"child\",reason=\"moved\"", "1h"))
}

/// The two in relation; nothing as long as none was online, of which there is no share.
fn departure_ratio() -> String {
    format!("{} / ({} > 0)", departures_in_an_hour(), children_in_an_hour())
}

/// The share of look-ups that ended in an answer, found or absent.
fn lookups_answered() -> String {
    let answered = rate(&LOOKUPS, "op=\"resolve\",result=~\"found|absent\"");
    format!("sum({answered}) / sum({})", rate(&LOOKUPS, "op=\"resolve\""))
}

/// What was put off or not heard, by what limited it.
fn limited() -> String {
    format!("sum by (limiter) ({})", rate(&RATE_LIMITED, ""))
}
