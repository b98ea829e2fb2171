//! The text of `lookup`: a block for each name, its devices, and the trace as a table.

use super::{all_bare, short};
use crate::cli::output::{duration, fields, plain, table};
use crate::view::{Answered, Device, Lookup, Lookups, Presence, Step};

/// All names.
pub(crate) fn lookups(lookups: &Lookups) -> String {
    lookups.names.iter().map(lookup).collect::<Vec<_>>().join("\n")
}

fn lookup(answer: &Lookup) -> String {
    let name = plain(&answer.name);
    let how = match (&answer.source, answer.hops) {
        (Some(source), 0) => format!("from {source}, {:.1} ms", answer.ms),
        (Some(source), hops) => format!("from {source}, hops {hops}, {:.1} ms", answer.ms),
        (None, _) => format!("{:.1} ms", answer.ms),
    };
    let mut text = match answer.outcome {
        Answered::Found => {
            let devices = answer.devices.iter().map(device).collect::<Vec<_>>().join("\n\n");
            let part = answer.partial.as_ref().map_or("", |_| ", perhaps not all: nobody else could say");
            format!("{name}: {}{part} ({how})\n{devices}", devices_text(answer.devices.len()))
        }
        Answered::Absent => format!("{name}: absent ({how}, {} denials)", answer.denials),
        Answered::Unknown => format!("{name}: unknown ({how})"),
        Answered::Unverified => format!("{name}: the answers did not pass verification ({how})"),
        Answered::Failed => format!("{name}: failed ({how})"),
        Answered::Invalid => format!("{name}: not a username"),
    };
    if !answer.trace.is_empty() {
        let gap = if answer.devices.is_empty() { "\n" } else { "\n\n" };
        text.push_str(gap);
        text.push_str(&trace(&answer.trace));
    }
    text
}

/// So many, as people say it.
pub(super) fn devices_text(count: usize) -> String {
    if count == 1 { "1 device".to_owned() } else { format!("{count} devices") }
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
        ("presence", device.presence.as_ref().map(presence).unwrap_or_default()),
        ("addresses", addresses),
        ("peer", device.peer.clone()),
        ("parent", parent),
        ("display", plain(&device.display)),
        ("entries", device.entries.iter().map(|entry| plain(entry)).collect::<Vec<_>>().join("; ")),
        ("age", duration(device.age_secs)),
        ("valid until", device.valid_until.clone()),
    ]);
    indented(&lines)
}

/// Whether a device is there.
pub(super) fn presence(presence: &Presence) -> String {
    match presence {
        Presence::Online { heard_secs } => format!("online (heard {} ago)", duration(*heard_secs)),
        Presence::Offline { since } => format!("offline since {since}"),
        Presence::Unknown => "unknown: its parent doesn't answer, or doesn't know it".to_owned(),
    }
}

fn trace(steps: &[Step]) -> String {
    let rows = steps.iter().zip(1..).map(|(step, number): (_, usize)| {
        let answer = match (step.devices, &step.source) {
            (Some(count), Some(source)) => format!("found {}, {source}", devices_text(count)),
            (Some(count), None) => format!("found {}", devices_text(count)),
            (None, _) => step.answer.clone(),
        };
        [
            number.to_string(),
            format!("+{:.1}", step.at_ms),
            step.asked.clone(),
            short(&step.peer),
            step.address.clone().unwrap_or_else(|| "-".to_owned()),
            format!("{:.1}", step.took_ms),
            answer,
        ]
    });
    let table = table(["#", "AT MS", "ASKED", "PEER", "ADDRESS", "TOOK MS", "ANSWER"], rows);
    // A table's lines begin with a space already.
    table.lines().map(|line| format!(" {line}")).collect::<Vec<_>>().join("\n")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
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
                presence: Some(Presence::Online { heard_secs: 2 }),
            }],
            hops: 1,
            source: Some("overlay".into()),
            denials: 0,
            ms: 1.94,
            trace: Vec::new(),
            partial: None,
            error: None,
        }
    }

    fn step(asked: &str, at_ms: f64, answer: &str) -> Step {
        let found = (answer == "found").then_some(1);
        Step {
            at_ms,
            peer: "12D3KooWRiKg3hpatFiedTq82c2o6ViyvJktDFFafJxjiSnsi1ne".into(),
            address: (asked != "standby").then(|| "127.0.0.1:38331".into()),
            asked: asked.into(),
            took_ms: 1.25,
            answer: answer.into(),
            devices: found,
            source: found.filter(|_| asked == "parent").map(|_| "overlay".into()),
        }
    }

    #[test]
    fn a_lookup_shows_each_device() {
        // Goal: presence, addresses, age, validity, parent; nothing that moves the cursor. Method: a snapshot.
        insta::assert_snapshot!(lookup(&answer()), @r"
        alice: 1 device (from overlay, hops 1, 1.9 ms)
          presence     online (heard 2 s ago)
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
    fn an_answer_that_may_be_a_part_says_so_before_its_devices() {
        // Goal: who sees one device knows that there may be others. Method: the first line.
        let partial = Some(Problem::new(Code::Detached, "alice: not attached to any superpeer"));
        let answer = Lookup { partial, hops: 0, source: Some("own".into()), ..answer() };
        insta::assert_snapshot!(
            lookup(&answer).lines().next().unwrap_or_default(),
            @"alice: 1 device, perhaps not all: nobody else could say (from own, 1.9 ms)"
        );
    }

    #[test]
    fn a_trace_is_a_table_with_one_line_for_each_request() {
        // Goal: order, time, who, as what, answer, in 80 columns. Method: a snapshot under a name that nobody
        // has, and one line of what is found.
        let steps = [("parent", 0.0, "denied"), ("storer", 0.31, "syncing"), ("standby", 2.5, "denied")];
        let trace = steps.map(|(asked, at, answer)| step(asked, at, answer)).to_vec();
        let absent = Lookup { outcome: Answered::Absent, devices: Vec::new(), denials: 3, trace, ..answer() };
        insta::assert_snapshot!(lookup(&absent), @r"
        alice: absent (from overlay, hops 1, 1.9 ms, 3 denials)
          #  AT MS  ASKED    PEER       ADDRESS          TOOK MS  ANSWER
          1  +0.0   parent   …iSnsi1ne  127.0.0.1:38331  1.2      denied
          2  +0.3   storer   …iSnsi1ne  127.0.0.1:38331  1.2      syncing
          3  +2.5   standby  …iSnsi1ne  -                1.2      denied
        ");
        let found = trace_of_found();
        assert!(found.lines().all(|line| line.chars().count() <= 80), "{found}");
        assert!(found.contains("found 1 device, overlay"), "{found}");
    }

    fn trace_of_found() -> String {
        trace(&[step("parent", 0.0, "found"), step("storer", 10.5, "found")])
    }

    #[test]
    fn each_presence_is_a_phrase() {
        // Goal: what a person reads. Method: all three.
        let since = "2026-11-22T00:00:00Z".to_owned();
        let all = [Presence::Online { heard_secs: 2 }, Presence::Offline { since }, Presence::Unknown];
        insta::assert_snapshot!(all.map(|p| presence(&p)).join("\n"), @r"
        online (heard 2 s ago)
        offline since 2026-11-22T00:00:00Z
        unknown: its parent doesn't answer, or doesn't know it
        ");
    }

    #[test]
    fn the_json_of_a_lookup_is_stable() {
        // Goal: scripts rely on these fields. Method: a snapshot of one found and one absent name.
        let trace = vec![step("parent", 0.0, "found"), step("storer", 0.31, "silent")];
        let absent = Lookup {
            outcome: Answered::Absent,
            devices: Vec::new(),
            denials: 2,
            error: Some(Problem::new(Code::Absent, "nobody is not registered")),
            ..answer()
        };
        let answer = Lookup { trace, ..answer() };
        let found = serde_json::to_string(&Document::new(Lookups { names: vec![answer] })).unwrap();
        insta::assert_snapshot!(found, @r#"{"schema_version":1,"names":[{"name":"alice","outcome":"found","devices":[{"device":"5d","peer":"12D3KooWa","parent":"12D3KooWb","addresses":["/ip4/127.0.0.1/tcp/4001"],"display":"Al\u001bice","entries":["A 192.0.2.1"],"seq":2,"age_secs":65,"signed_at":"2026-11-21T10:00:00Z","valid_until":"2026-11-24T22:00:00Z","presence":{"state":"online","heard_secs":2}}],"hops":1,"source":"overlay","denials":0,"ms":1.94,"trace":[{"at_ms":0.0,"peer":"12D3KooWRiKg3hpatFiedTq82c2o6ViyvJktDFFafJxjiSnsi1ne","address":"127.0.0.1:38331","asked":"parent","took_ms":1.25,"answer":"found","devices":1,"source":"overlay"},{"at_ms":0.31,"peer":"12D3KooWRiKg3hpatFiedTq82c2o6ViyvJktDFFafJxjiSnsi1ne","address":"127.0.0.1:38331","asked":"storer","took_ms":1.25,"answer":"silent","devices":null,"source":null}],"partial":null,"error":null}]}"#);
        let absent = serde_json::to_value(absent).unwrap();
        insta::assert_snapshot!(absent["error"], @r#"{"code":"absent","exit":3,"hint":null,"message":"nobody is not registered"}"#);
    }
}
