//! The text form of each answer.

use crate::cli::output::{duration, fields, plain, table};
use crate::view::{
    Answered, DemoLookup, Device, Enrolled, HeldName, LoggedOut, Lookup, Lookups, Peers, Ready, Registered,
    Settings, Status, Stopped, Waited,
};

/// A multiaddr without the PeerId, which stands beside it or would fill the screen.
fn bare(address: &str) -> &str {
    address.split("/p2p/").next().unwrap_or(address)
}

fn all_bare(addresses: &[String]) -> String {
    addresses.iter().map(|address| bare(address)).collect::<Vec<_>>().join(", ")
}

/// `status`: warnings first.
pub(super) fn status(status: &Status) -> String {
    let parent = status.parent.as_ref().map_or_else(String::new, |parent| {
        let address = parent.address.as_deref().unwrap_or("address unknown");
        format!("{} ({address}, {:.1} ms)", parent.peer, parent.round_trip_ms)
    });
    let state = match (status.role.as_str(), status.attached) {
        ("superpeer", true) => "joined",
        ("superpeer", false) => "alone: no stream to another superpeer",
        (_, true) => "attached",
        (_, false) => "detached: looking for a parent",
    };
    let certificate = status.node_certificate_until.as_ref().map(|until| format!("valid until {until}"));
    let mut lines: Vec<String> =
        status.warnings.iter().map(|warning| format!("warning: {warning}")).collect();
    let of_superpeer = |text: String| if status.role == "superpeer" { text } else { String::new() };
    lines.push(fields(&[
        ("role", format!("{}, {state}", status.role)),
        ("peer", status.peer.clone()),
        ("node id", status.node_id.clone().unwrap_or_default()),
        ("certificate", certificate.unwrap_or_default()),
        ("parent", parent),
        ("addresses", all_bare(&status.addresses)),
        ("superpeers", format!("{} known, {} linked", status.superpeers, status.superpeer_links)),
        ("children", of_superpeer(status.children.to_string())),
        ("records", of_superpeer(status.records.to_string())),
        (
            "network",
            format!("{} ({}), version {}", plain(&status.network), status.network_id, status.network_version),
        ),
        ("limits", format!("{}, scope {}", status.limits, status.scope)),
        ("metrics", status.metrics.clone().unwrap_or_else(|| "off".to_owned())),
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

/// `lookup`.
pub(super) fn lookups(lookups: &Lookups) -> String {
    lookups.names.iter().map(lookup).collect::<Vec<_>>().join("\n")
}

fn lookup(answer: &Lookup) -> String {
    let name = plain(&answer.name);
    let how = match (&answer.source, answer.hops) {
        (Some(source), 0) => format!("from {source}, {:.1} ms", answer.ms),
        (Some(source), hops) => format!("from {source}, hops {hops}, {:.1} ms", answer.ms),
        (None, _) => format!("{:.1} ms", answer.ms),
    };
    match answer.outcome {
        Answered::Found => {
            let devices = answer.devices.iter().map(device).collect::<Vec<_>>().join("\n\n");
            let count = match answer.devices.len() {
                1 => "1 device".to_owned(),
                count => format!("{count} devices"),
            };
            format!("{name}: {count} ({how})\n{devices}")
        }
        Answered::Absent => format!("{name}: absent ({how}, {} denials)", answer.denials),
        Answered::Unknown => format!("{name}: unknown ({how})"),
        Answered::Unverified => format!("{name}: the answers did not pass verification ({how})"),
        Answered::Failed => format!("{name}: failed ({how})"),
        Answered::Invalid => format!("{name}: not a username"),
    }
}

fn device(device: &Device) -> String {
    let parent = match &device.parent {
        Some(parent) if *parent == device.peer => "itself: it is a superpeer".to_owned(),
        Some(parent) => parent.clone(),
        None => "none".to_owned(),
    };
    let addresses = match device.addresses.is_empty() {
        true => "none: reached through its parent".to_owned(),
        false => all_bare(&device.addresses),
    };
    let lines = fields(&[
        ("addresses", addresses),
        ("peer", device.peer.clone()),
        ("parent", parent),
        ("display", plain(&device.display)),
        ("entries", device.entries.iter().map(|entry| plain(entry)).collect::<Vec<_>>().join("; ")),
        ("age", duration(device.age_secs)),
        ("valid until", device.valid_until.clone()),
    ]);
    lines.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
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
        ("next", ready.next.clone()),
    ]);
    format!("callbook is up\n{}{block}", warnings.concat())
}

/// The demo's table.
pub(crate) fn demo(lookups: &[DemoLookup]) -> String {
    let rows = lookups.iter().map(|lookup| {
        [
            lookup.name.clone(),
            lookup.from.clone(),
            if lookup.right { "yes" } else { "NO" }.to_owned(),
            lookup.addresses.first().map_or("-", |address| bare(address)).to_owned(),
            lookup.hops.to_string(),
            lookup.source.clone().unwrap_or_else(|| "-".to_owned()),
            format!("{:.2}", lookup.ms),
        ]
    });
    table(["NAME", "FROM", "FOUND", "ADDRESS", "HOPS", "SOURCE", "MS"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Code;
    use crate::problem::Problem;
    use crate::view::Document;

    fn answer() -> Lookup {
        Lookup {
            name: "alice".into(),
            outcome: Answered::Found,
            devices: vec![Device {
                device: "5d".into(),
                peer: "12D3KooWa".into(),
                parent: Some("12D3KooWb".into()),
                addresses: vec!["/ip4/127.0.0.1/tcp/4001".into()],
                display: "Al\u{1b}ice".into(),
                entries: vec!["A 192.0.2.1".into()],
                seq: 2,
                age_secs: 65,
                signed_at: "2026-11-21T10:00:00Z".into(),
                valid_until: "2026-11-24T22:00:00Z".into(),
            }],
            hops: 1,
            source: Some("overlay".into()),
            denials: 0,
            ms: 1.94,
            error: None,
        }
    }

    #[test]
    fn a_lookup_shows_each_device() {
        // Goal: addresses, age, validity, parent; nothing that moves the cursor. Method: a snapshot.
        insta::assert_snapshot!(lookup(&answer()), @r"
        alice: 1 device (from overlay, hops 1, 1.9 ms)
          addresses    /ip4/127.0.0.1/tcp/4001
          peer         12D3KooWa
          parent       12D3KooWb
          display      Al�ice
          entries      A 192.0.2.1
          age          1 min 5 s
          valid until  2026-11-24T22:00:00Z
        ");
    }

    #[test]
    fn the_json_of_a_lookup_is_stable() {
        // Goal: scripts rely on these fields. Method: a snapshot of one found and one absent name.
        let absent = Lookup {
            outcome: Answered::Absent,
            devices: Vec::new(),
            denials: 2,
            error: Some(Problem::new(Code::Absent, "nobody is not registered")),
            ..answer()
        };
        let found = serde_json::to_string(&Document::new(Lookups { names: vec![answer()] })).unwrap();
        insta::assert_snapshot!(found, @r#"{"schema_version":1,"names":[{"name":"alice","outcome":"found","devices":[{"device":"5d","peer":"12D3KooWa","parent":"12D3KooWb","addresses":["/ip4/127.0.0.1/tcp/4001"],"display":"Al\u001bice","entries":["A 192.0.2.1"],"seq":2,"age_secs":65,"signed_at":"2026-11-21T10:00:00Z","valid_until":"2026-11-24T22:00:00Z"}],"hops":1,"source":"overlay","denials":0,"ms":1.94,"error":null}]}"#);
        let absent = serde_json::to_value(absent).unwrap();
        insta::assert_snapshot!(absent["error"], @r#"{"code":"absent","exit":3,"hint":null,"message":"nobody is not registered"}"#);
    }
}
