//! Whose metrics Prometheus is to scrape: its *HTTP service discovery*.
//!
//! Daemons that want to be seen announce the port of their metrics listener, again and again; the address
//! is the one that the announcement came from, so nobody can have somebody else scraped. What was not
//! announced again in time is left out, and so is who says goodbye.
//!
//! *Not here*: the announcement's message ([`callbook_login::messages`]).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use callbook_host::axum::extract::State;
use callbook_host::axum::http::header;
use callbook_host::axum::response::IntoResponse;
use callbook_host::axum::{Router, routing};
use callbook_overlay::key::PeerId;
use callbook_overlay::time::Instant;

use crate::clock::Clock;
use crate::limiter::group;
use crate::limits::{ANNOUNCED_FOR, TARGETS_MAX, TARGETS_PER_GROUP};

/// The path under which Prometheus asks.
pub const PATH: &str = "/v1/prometheus/targets";

#[derive(Debug, Clone, Copy)]
struct Target {
    address: SocketAddr,
    until: Instant,
}

/// The table of targets; cheap to clone.
#[derive(Debug, Clone)]
pub struct Targets {
    table: Arc<Mutex<HashMap<PeerId, Target>>>,
    /// How many of one address group there may be.
    per_group: usize,
}

impl Targets {
    /// Nobody announced anything yet; on a `lab` network all may come from one machine.
    #[must_use]
    pub fn new(lab: bool) -> Self {
        Self { table: Arc::default(), per_group: if lab { TARGETS_MAX } else { TARGETS_PER_GROUP } }
    }

    /// Lists a peer's metrics for [`ANNOUNCED_FOR`], in place of what it announced before. Whether there
    /// was room.
    #[must_use]
    pub fn announce(&self, peer: PeerId, (ip, port): (IpAddr, u16), now: Instant) -> bool {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let target = Target { address: SocketAddr::new(ip, port), until: now + ANNOUNCED_FOR };
        if let Some(known) = table.get_mut(&peer) {
            *known = target;
            return true;
        }
        let ours = group(ip);
        let of_group = |table: &HashMap<_, Target>| {
            table.values().filter(|other| group(other.address.ip()) == ours).count()
        };
        if table.len() >= TARGETS_MAX || of_group(&table) >= self.per_group {
            table.retain(|_, target| target.until > now);
        }
        let room = table.len() < TARGETS_MAX && of_group(&table) < self.per_group;
        if room {
            table.insert(peer, target);
        }
        room
    }

    /// Lists a peer's metrics no more.
    pub fn withdraw(&self, peer: &PeerId) {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).remove(peer);
    }

    /// All that count now, in order.
    #[must_use]
    pub fn list(&self, now: Instant) -> Vec<SocketAddr> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let live = table.values().filter(|target| target.until > now);
        let mut addresses: Vec<SocketAddr> = live.map(|target| target.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// What Prometheus reads: a list of groups, of which there is one or none.
    #[must_use]
    pub fn to_json(&self, now: Instant) -> serde_json::Value {
        let addresses: Vec<String> = self.list(now).iter().map(SocketAddr::to_string).collect();
        if addresses.is_empty() {
            serde_json::json!([])
        } else {
            serde_json::json!([{ "targets": addresses }])
        }
    }

    /// The route for the listener of metrics.
    pub fn route(&self, clock: Clock) -> Router {
        Router::new().route(PATH, routing::get(answer)).with_state((self.clone(), clock))
    }
}

async fn answer(State((targets, clock)): State<(Targets, Clock)>) -> impl IntoResponse {
    let body = targets.to_json(clock().instant).to_string();
    ([(header::CONTENT_TYPE, "application/json")], body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_micros(secs * 1_000_000)
    }

    #[test]
    fn a_target_is_listed_until_it_was_not_announced_for_a_while() {
        // Goal: whom nobody hears of is scraped no more, and a new port replaces the old one. Method: two
        // peers of one address, one of which announces again.
        let targets = Targets::new(true);
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        let [one, two] = [1, 2].map(|byte| PeerId::from_bytes([byte; 32]));
        assert_eq!(targets.to_json(at(0)), serde_json::json!([]));
        assert!(targets.announce(one, (ip, 1_000), at(0)));
        assert!(targets.announce(two, (ip, 2_000), at(0)));
        assert!(targets.announce(two, (ip, 2_001), at(300)));
        let expected = serde_json::json!([{ "targets": ["192.0.2.1:1000", "192.0.2.1:2001"] }]);
        assert_eq!(targets.to_json(at(599)), expected);
        assert_eq!(targets.list(at(600)), ["192.0.2.1:2001".parse().unwrap()]);
        targets.withdraw(&two);
        assert!(targets.list(at(600)).is_empty());
    }

    #[test]
    fn the_table_is_bounded_in_all_and_for_each_address_group() {
        // Goal: announcements can't fill memory, nor one network the list. Method: as many as one group may
        // have and one more; the same after the first have run out; a lab network up to the whole bound.
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        let peer = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            PeerId::from_bytes(bytes)
        };
        let targets = Targets::new(false);
        for number in 0..TARGETS_PER_GROUP {
            assert!(targets.announce(peer(number), (ip, 1), at(0)));
        }
        assert!(!targets.announce(peer(TARGETS_PER_GROUP), (ip, 1), at(1)));
        assert!(targets.announce(peer(TARGETS_PER_GROUP), ("198.51.100.1".parse().unwrap(), 1), at(1)));
        assert!(targets.announce(peer(TARGETS_PER_GROUP + 1), (ip, 1), at(600)));
        let lab = Targets::new(true);
        assert!((0..TARGETS_MAX).all(|number| lab.announce(peer(number), (ip, 1), at(0))));
        assert!(!lab.announce(peer(TARGETS_MAX), (ip, 1), at(0)));
    }
}
