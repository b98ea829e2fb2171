//! The text form of each answer.

mod lookup;
mod watch;

pub(super) use lookup::lookups;
pub(super) use watch::seen;

use crate::cli::output::{duration, fields, plain, table};
use crate::view::{
    Enrolled, HeldName, LoggedOut, Parent, Peers, Ready, Registered, Settings, Status, Stopped, Waited,
};

/// The last digits of a PeerId: all begin the same.
pub(crate) fn short(peer: &str) -> String {
    const SHOWN: usize = 8;
    let start = peer.len().saturating_sub(SHOWN);
    peer.get(start..).filter(|_| start > 0).map_or_else(|| peer.to_owned(), |end| format!("…{end}"))
}

/// A multiaddr without the PeerId, which stands beside it or would fill the screen.
fn bare(address: &str) -> &str {
    address.split("/p2p/").next().unwrap_or(address)
}

pub(crate) fn all_bare(addresses: &[String]) -> String {
    addresses.iter().map(|address| bare(address)).collect::<Vec<_>>().join(", ")
}

/// How it is in its role.
pub(crate) fn state(status: &Status) -> &'static str {
    match (status.role.as_str(), status.attached) {
        ("superpeer", true) if status.syncing => "joined, taking over its range",
        ("superpeer", true) => "joined",
        ("superpeer", false) => "alone: no stream to another superpeer",
        (_, true) => "attached",
        (_, false) => "detached: looking for a parent",
    }
}

/// `status`: warnings first.
pub(super) fn status(status: &Status) -> String {
    let parent = |parent: &Parent| {
        let address = parent.address.as_deref().unwrap_or("address unknown");
        let measured = parent.round_trip_ms.map_or_else(String::new, |ms| format!(", {ms:.1} ms"));
        format!("{} ({address}{measured})", parent.peer)
    };
    let standbys: Vec<String> = status.standbys.iter().map(parent).collect();
    let standbys = match (status.role.as_str(), standbys.is_empty()) {
        ("superpeer", _) => String::new(),
        (_, true) => "none".to_owned(),
        (_, false) => standbys.join(", "),
    };
    let state = state(status);
    let certificate = status.node_certificate_until.as_ref().map(|until| format!("valid until {until}"));
    let mut lines: Vec<String> =
        status.warnings.iter().map(|warning| format!("warning: {warning}")).collect();
    let of_superpeer = |text: String| if status.role == "superpeer" { text } else { String::new() };
    lines.push(fields(&[
        ("role", format!("{}, {state}", status.role)),
        ("peer", status.peer.clone()),
        ("node id", status.node_id.clone().unwrap_or_default()),
        ("certificate", certificate.unwrap_or_default()),
        ("parent", status.parent.as_ref().map(parent).unwrap_or_default()),
        ("standbys", standbys),
        ("addresses", all_bare(&status.addresses)),
        ("superpeers", format!("{} known, {} linked", status.superpeers, status.superpeer_links)),
        ("children", of_superpeer(format!("{} of {} at most", status.children, status.children_max))),
        ("records", of_superpeer(status.records.to_string())),
        (
            "network",
            format!("{} ({}), version {}", plain(&status.network), status.network_id, status.network_version),
        ),
        ("limits", format!("{}, scope {}", status.limits, status.scope)),
        ("metrics", status.metrics.clone().unwrap_or_else(|| "off".to_owned())),
        ("page", status.page.clone().unwrap_or_else(|| "off".to_owned())),
        ("socket", status.socket.clone()),
        ("data", status.data.clone()),
        (
            "running",
            format!("{}, process {}, version {}", duration(status.uptime_secs), status.pid, status.version),
        ),
    ]));
    if status.names.is_empty() {
        lines.push("\nno names: callbook enrol NAME creates an account".to_owned());
    } else {
        let header = ["NAME", "REGISTERED", "RECORD UNTIL", "CERTIFICATE UNTIL"];
        lines.push(format!("\n{}", table(header, status.names.iter().map(held))));
    }
    lines.join("\n")
}

fn held(name: &HeldName) -> [String; 4] {
    let registered = match (name.registered, name.stored, name.of, name.seq) {
        (true, Some(stored), Some(of), _) => format!("{stored} of {of}"),
        (true, _, _, _) => "yes".to_owned(),
        (false, _, _, Some(_)) => "not yet".to_owned(),
        (false, _, _, None) => "no".to_owned(),
    };
    let until = name.record_until.clone().unwrap_or_else(|| "-".to_owned());
    [name.name.clone(), registered, until, name.certificate_until.clone()]
}

/// `peers`.
pub(super) fn peers(peers: &Peers) -> String {
    let rows = peers.peers.iter().map(|peer| {
        [
            peer.peer.clone(),
            peer.relation.clone(),
            if peer.linked { "yes" } else { "no" }.to_owned(),
            peer.round_trip_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}")),
            peer.addresses.join(" "),
            plain(&peer.agent),
        ]
    });
    table(["PEER", "RELATION", "LINKED", "MS", "ADDRESSES", "AGENT"], rows)
}

/// `enrol`, `login`.
pub(super) fn enrolled(enrolled: &Enrolled) -> String {
    let Enrolled { name, certificate_until, registered, .. } = enrolled;
    match registered {
        Some(stored) => format!(
            "{name} is registered: {} of {} storers hold it (certificate until {certificate_until})",
            stored.stored, stored.of
        ),
        None => format!(
            "{name} is certified until {certificate_until}; publish it with: callbook register --name {name}"
        ),
    }
}

/// `register`.
pub(super) fn registered(registered: &Registered) -> String {
    let Registered { name, stored, .. } = registered;
    format!("{name} is registered: {} of {} storers hold it", stored.stored, stored.of)
}

/// `logout`.
pub(super) fn logged_out(gone: &LoggedOut) -> String {
    let certificate =
        if gone.revoked { "its certificate is revoked" } else { "its certificate was not revoked" };
    format!("{} is forgotten here; {certificate}", gone.name)
}

/// `wait`.
pub(super) fn waited(waited: &Waited) -> String {
    format!("{} after {} ms", waited.condition, waited.waited_ms)
}

/// `down`.
pub(super) fn stopped(stopped: &Stopped) -> String {
    format!("the daemon (process {}) is gone", stopped.pid)
}

/// `config show`.
pub(super) fn settings(settings: &Settings, origin: bool) -> String {
    let value = |value: &Option<String>| value.as_ref().map_or_else(|| "-".to_owned(), |v| format!("{v:?}"));
    let rows = settings.settings.iter();
    if origin {
        let rows = rows.map(|s| [s.key.clone(), value(&s.value), s.origin.clone()]);
        return table(["KEY", "VALUE", "ORIGIN"], rows);
    }
    table(["KEY", "VALUE"], rows.map(|s| [s.key.clone(), value(&s.value)]))
}

/// The block that `up` prints once its socket answers.
pub(crate) fn ready(ready: &Ready) -> String {
    let warnings: Vec<_> = ready.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
    let block = fields(&[
        ("role", ready.role.clone()),
        ("peer", ready.peer.clone()),
        ("node id", ready.node_id.clone().unwrap_or_default()),
        ("addresses", all_bare(&ready.addresses)),
        ("network", format!("{} ({})", plain(&ready.network), ready.network_id)),
        ("socket", ready.socket.clone()),
        ("metrics", ready.metrics.clone().unwrap_or_else(|| "off".to_owned())),
        ("page", ready.page.clone().unwrap_or_else(|| "off".to_owned())),
        ("next", ready.next.clone()),
    ]);
    format!("callbook is up\n{}{block}", warnings.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_child() -> Status {
        Status {
            version: "0.1.0".into(),
            pid: 7,
            uptime_secs: 65,
            role: "child".into(),
            peer: "12D3KooWa".into(),
            node_id: None,
            node_certificate_until: None,
            attached: true,
            parent: Some(Parent {
                peer: "12D3KooWb".into(),
                address: Some("127.0.0.1:4001".into()),
                round_trip_ms: Some(0.44),
            }),
            standbys: vec![
                Parent { peer: "12D3KooWc".into(), address: None, round_trip_ms: None },
                Parent {
                    peer: "12D3KooWd".into(),
                    address: Some("127.0.0.1:4003".into()),
                    round_trip_ms: Some(1.0),
                },
            ],
            syncing: false,
            network: "demo".into(),
            network_id: "3c".into(),
            network_version: 1,
            scope: "local".into(),
            limits: "lab".into(),
            addresses: Vec::new(),
            socket: "/run/s".into(),
            metrics: None,
            page: None,
            data: "/d".into(),
            superpeers: 4,
            superpeer_links: 1,
            children: 0,
            children_max: 512,
            records: 0,
            skew_secs: 0,
            names: Vec::new(),
            warnings: vec!["look".into()],
        }
    }

    #[test]
    fn the_status_of_a_child_shows_parent_and_standbys_that_of_a_superpeer_its_children() {
        // Goal: each role shows what it has. Method: a snapshot of one, and what differs in the other.
        insta::assert_snapshot!(status(&of_child()), @r"
        warning: look
        role         child, attached
        peer         12D3KooWa
        parent       12D3KooWb (127.0.0.1:4001, 0.4 ms)
        standbys     12D3KooWc (address unknown), 12D3KooWd (127.0.0.1:4003, 1.0 ms)
        superpeers   4 known, 1 linked
        network      demo (3c), version 1
        limits       lab, scope local
        metrics      off
        page         off
        socket       /run/s
        data         /d
        running      1 min 5 s, process 7, version 0.1.0

        no names: callbook enrol NAME creates an account
        ");
        let superpeer = Status {
            role: "superpeer".into(),
            parent: None,
            standbys: Vec::new(),
            syncing: true,
            children: 3,
            ..of_child()
        };
        let text = status(&superpeer);
        assert!(text.contains("superpeer, joined, taking over its range"), "{text}");
        assert!(text.contains("3 of 512 at most") && !text.contains("standbys"), "{text}");
    }

    #[test]
    fn a_peer_id_is_shortened_to_its_end_and_never_cut_within_a_character() {
        // Goal: recognisable, and no panic. Method: a real one, a short one, one that is none.
        let long = "12D3KooWRiKg3hpatFiedTq82c2o6ViyvJktDFFafJxjiSnsi1ne";
        let shown = [long, "abc", "ääääää"].map(short);
        assert_eq!(shown, ["…iSnsi1ne", "abc", "…ääää"]);
    }
}
