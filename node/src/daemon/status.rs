//! Turns what the overlay knows into what the local API answers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use callbook_net::transport_peer;
use callbook_overlay::api::{self, Command, HeldStatus, Neighbour, Relation, Reply};
use callbook_overlay::key::PeerId;
use callbook_overlay::limits::SKEW_MAX_SECS;
use callbook_overlay::name::Username;
use callbook_overlay::time::Unix;

use super::names::Name;
use super::state::{Daemon, unexpected};
use crate::clock::rfc3339;
use crate::problem::Outcome;
use crate::view::{HeldName, Parent, Peer, Peers, Status};

/// A PeerId as libp2p writes it.
pub(super) fn peer_text(peer: &PeerId) -> String {
    transport_peer(peer).to_string()
}

/// A child has a parent; a superpeer has a stream to another one.
pub(super) fn is_attached(status: &api::Status) -> bool {
    status.parent.is_some() || (status.node_id.is_some() && status.superpeer_links > 0)
}

/// `superpeer` or `child`.
pub(super) fn role(status: &api::Status) -> String {
    if status.node_id.is_some() { "superpeer" } else { "child" }.to_owned()
}

impl Daemon {
    /// `status`.
    pub(super) async fn status(&self) -> Outcome<Status> {
        let status = self.overlay_status().await?;
        let mut warnings = self.warnings();
        warnings.extend(skew_warning(status.skew_secs));
        let parent = |parent: &api::Parent| Parent {
            peer: peer_text(&parent.peer),
            address: parent.address.map(|address| address_text(&address)),
            round_trip_ms: parent.round_trip.map(millis),
        };
        let held = self.names.all();
        let known: BTreeMap<_, _> = status.names.iter().map(|held| (&held.username, held)).collect();
        let names =
            held.iter().map(|(username, name)| held_name(username, name, known.get(username).copied()));
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_secs: self.started.elapsed().as_secs(),
            role: role(&status),
            peer: peer_text(&status.peer),
            node_id: status.node_id.map(|id| id.to_hex()),
            node_certificate_until: status.node_certificate_until.map(rfc3339),
            attached: is_attached(&status),
            parent: status.parent.as_ref().map(parent),
            standbys: status.standbys.iter().map(parent).collect(),
            syncing: status.syncing,
            network: self.file.facts().name.clone(),
            network_id: self.network.id.to_hex(),
            network_version: self.network.version,
            scope: self.scope(),
            limits: self.limits(),
            addresses: self.addresses(),
            socket: self.socket.display().to_string(),
            metrics: self.metrics(),
            page: self.page.as_ref().map(|page| page.url()),
            data: self.folder.path.display().to_string(),
            superpeers: status.superpeers,
            superpeer_links: status.superpeer_links,
            children: status.children,
            children_max: self.children_max,
            records: status.records,
            skew_secs: status.skew_secs,
            names: names.collect(),
            warnings,
        })
    }

    /// `peers`.
    pub(super) async fn peers(&self) -> Outcome<Peers> {
        let reply = self.command(Command::Peers).await?;
        let Reply::Peers(peers) = reply else { return Err(unexpected(&reply)) };
        Ok(Peers { peers: peers.iter().map(neighbour).collect() })
    }
}

/// What to say about a clock that is off.
pub(super) fn skew_warning(seconds: i64) -> Option<String> {
    let off = seconds.unsigned_abs();
    (off > SKEW_MAX_SECS.unsigned_abs()).then(|| {
        let direction = if seconds > 0 { "ahead of" } else { "behind" };
        let off = humantime::format_duration(Duration::from_secs(off));
        format!("the clock is {off} {direction} the neighbours': nothing is published until it is set right")
    })
}

fn held_name(username: &Username, name: &Name, overlay: Option<&HeldStatus>) -> HeldName {
    let stored = overlay.and_then(|held| held.stored);
    HeldName {
        name: username.to_string(),
        device: name.device_hex(),
        registered: stored.is_some(),
        stored: stored.map(|stored| stored.stored),
        of: stored.map(|stored| stored.of),
        seq: overlay.map(|held| held.seq),
        record_until: overlay
            .map(|held| held.record_until)
            .filter(|until| *until > Unix::default())
            .map(rfc3339),
        certificate_until: rfc3339(name.certificate_until()),
    }
}

fn neighbour(neighbour: &Neighbour) -> Peer {
    let relation = match neighbour.relation {
        Relation::Superpeer => "superpeer",
        Relation::Parent => "parent",
        Relation::Child => "child",
        Relation::Other => "other",
    };
    Peer {
        peer: peer_text(&neighbour.peer),
        relation: relation.to_owned(),
        addresses: neighbour.addresses.iter().map(address_text).collect(),
        linked: neighbour.linked,
        round_trip_ms: neighbour.round_trip.map(millis),
        agent: neighbour.agent.clone(),
    }
}

/// An address as `IP:PORT`.
pub(super) fn address_text(address: &api::Address) -> String {
    match address.ip {
        IpAddr::V4(ip) => format!("{ip}:{}", address.port),
        IpAddr::V6(ip) => format!("[{ip}]:{}", address.port),
    }
}

/// Milliseconds, to the microsecond.
pub(super) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
