//! The text of `watch`: one line per event.

use super::lookup::{devices_text, presence};
use super::{all_bare, short};
use crate::cli::output::plain;
use crate::view::{Change, Device, Facet, Seen};

/// An event.
pub(crate) fn seen(seen: &Seen) -> String {
    let Seen { at, name, change } = seen;
    let name = plain(name);
    let what = match change {
        Change::Found { count } => format!("found, {}", devices_text(*count)),
        Change::Absent => "absent: nobody is registered under this name".to_owned(),
        Change::Unknown { error } => format!("unknown: {}", plain(&error.message)),
        Change::DeviceAdded { device } => format!("{} is {}", key(&device.device), place(device)),
        Change::DeviceChanged { device, changed } => {
            let device_name = key(&device.device);
            match changed.as_slice() {
                [] => format!("{device_name} signed its record again (valid until {})", device.valid_until),
                changed => format!("{device_name} changed: {}", differences(device, changed)),
            }
        }
        Change::DeviceRemoved { device } => format!("{} is gone", key(&device.device)),
        Change::PresenceChanged { device, presence: now, .. } => {
            format!("{} {}", key(device), presence(now))
        }
        Change::Ended { error } => format!("the watch ends: {}", plain(&error.message)),
    };
    format!("{at}  {name}  {what}")
}

/// The first digits of a device key.
fn key(key: &str) -> &str {
    const SHOWN: usize = 8;
    key.get(..SHOWN).unwrap_or(key)
}

fn place(device: &Device) -> String {
    match device.addresses.is_empty() {
        true => "reached through its parent".to_owned(),
        false => format!("at {}", all_bare(&device.addresses)),
    }
}

fn differences(device: &Device, changed: &[Facet]) -> String {
    let said = changed.iter().map(|facet| match facet {
        Facet::Peer => format!("peer {}", short(&device.peer)),
        Facet::Parent => match &device.parent {
            Some(parent) if *parent == device.peer => "a superpeer now".to_owned(),
            Some(parent) => format!("parent {}", short(parent)),
            None => "no parent".to_owned(),
        },
        Facet::Addresses => place(device),
        Facet::Display => format!("display {:?}", plain(&device.display)),
        Facet::Entries => {
            let entries: Vec<_> = device.entries.iter().map(|entry| plain(entry)).collect();
            format!("entries {}", if entries.is_empty() { "none".to_owned() } else { entries.join("; ") })
        }
    });
    said.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Code;
    use crate::problem::Problem;
    use crate::view::{Document, Presence};

    fn device(parent: &str) -> Box<Device> {
        Box::new(Device {
            device: "5d3a9c1e77aa".repeat(5) + "0000",
            peer: "12D3KooWRiKg3hpatFiedTq82c2o6ViyvJktDFFafJxjiSnsi1ne".into(),
            parent: Some(parent.into()),
            addresses: vec!["/ip4/127.0.0.1/tcp/4001/p2p/x".into()],
            display: "A\u{7}".into(),
            entries: vec!["A 192.0.2.1".into()],
            seq: 2,
            age_secs: 65,
            signed_at: "2026-11-21T10:00:00Z".into(),
            valid_until: "2026-11-24T22:00:00Z".into(),
            presence: None,
        })
    }

    fn story() -> Vec<Seen> {
        let parent = "12D3KooWDc99LGPVMifWZWr2P3ZdiLji9i7Qvw1TDUPj1EJgAUtF";
        let (device_key, peer) = (device(parent).device, device(parent).peer);
        let error = Problem::new(Code::Detached, "alice: not attached to any superpeer");
        let all = vec![Facet::Peer, Facet::Parent, Facet::Addresses, Facet::Display, Facet::Entries];
        let presence =
            |presence| Change::PresenceChanged { device: device_key.clone(), peer: peer.clone(), presence };
        let changes = [
            Change::Absent,
            Change::Found { count: 1 },
            Change::DeviceAdded { device: device(parent) },
            presence(Presence::Online { heard_secs: 2 }),
            Change::DeviceChanged { device: device(parent), changed: Vec::new() },
            Change::DeviceChanged { device: device(parent), changed: all },
            presence(Presence::Offline { since: "2026-11-22T00:00:00Z".into() }),
            Change::DeviceRemoved { device: device(parent) },
            Change::Unknown { error: error.clone() },
            Change::Ended { error },
        ];
        let (at, name) = ("2026-11-22T00:00:00Z", "alice");
        changes.map(|change| Seen { at: at.into(), name: name.into(), change }).to_vec()
    }

    #[test]
    fn each_event_is_one_line_of_text() {
        // Goal: readable, one line each, nothing that moves the cursor. Method: a snapshot of every event.
        let lines: Vec<String> = story().iter().map(seen).collect();
        assert!(lines.iter().all(|line| !line.contains(|c: char| c.is_control())), "{lines:?}");
        insta::assert_snapshot!(lines.join("\n"), @r#"
        2026-11-22T00:00:00Z  alice  absent: nobody is registered under this name
        2026-11-22T00:00:00Z  alice  found, 1 device
        2026-11-22T00:00:00Z  alice  5d3a9c1e is at /ip4/127.0.0.1/tcp/4001
        2026-11-22T00:00:00Z  alice  5d3a9c1e online (heard 2 s ago)
        2026-11-22T00:00:00Z  alice  5d3a9c1e signed its record again (valid until 2026-11-24T22:00:00Z)
        2026-11-22T00:00:00Z  alice  5d3a9c1e changed: peer …iSnsi1ne, parent …1EJgAUtF, at /ip4/127.0.0.1/tcp/4001, display "A�", entries A 192.0.2.1
        2026-11-22T00:00:00Z  alice  5d3a9c1e offline since 2026-11-22T00:00:00Z
        2026-11-22T00:00:00Z  alice  5d3a9c1e is gone
        2026-11-22T00:00:00Z  alice  unknown: alice: not attached to any superpeer
        2026-11-22T00:00:00Z  alice  the watch ends: alice: not attached to any superpeer
        "#);
    }

    #[test]
    fn each_event_is_one_document_that_can_be_read_back() {
        // Goal: scripts rely on these fields, and our own client too. Method: write and read every event; a
        // snapshot of two.
        let lines: Vec<String> =
            story().into_iter().map(|seen| serde_json::to_string(&Document::new(seen)).unwrap()).collect();
        for (line, event) in lines.iter().zip(story()) {
            let read: Document<Seen> = serde_json::from_str(line).unwrap();
            assert_eq!(read.content, event);
        }
        insta::assert_snapshot!(lines[1], @r#"{"schema_version":1,"at":"2026-11-22T00:00:00Z","name":"alice","event":"found","count":1}"#);
        insta::assert_snapshot!(lines[3], @r#"{"schema_version":1,"at":"2026-11-22T00:00:00Z","name":"alice","event":"presence_changed","device":"5d3a9c1e77aa5d3a9c1e77aa5d3a9c1e77aa5d3a9c1e77aa5d3a9c1e77aa0000","peer":"12D3KooWRiKg3hpatFiedTq82c2o6ViyvJktDFFafJxjiSnsi1ne","presence":{"state":"online","heard_secs":2}}"#);
    }
}
