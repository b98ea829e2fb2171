//! Screens as they look, on ratatui's terminal for tests.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::exit::Code;
use crate::problem::Problem;
use crate::view::{History, Status};

/// A superpeer with half an hour behind it.
pub(in crate::top) fn sight() -> Sight {
    let at: Vec<u64> = (0..360).map(|sample| 1_000_000 + 5 * sample).collect();
    let of = |value: fn(u64) -> u64| (0..360).map(value).collect::<Vec<u64>>();
    let history = History {
        step_secs: 5,
        secs: of(|_| 5),
        superpeer: of(|_| 1),
        children: of(|sample| sample / 40),
        children_max: of(|_| 512),
        superpeers: of(|_| 5),
        links: of(|sample| 4 + sample / 40),
        records: of(|_| 17),
        online: of(|sample| 4 + sample / 40),
        arrivals: of(|sample| u64::from(sample % 40 == 39)),
        departures: of(|sample| u64::from(sample == 300) * 2),
        flaps: of(|_| 0),
        found: of(|sample| sample % 7),
        absent: of(|sample| u64::from(sample % 50 == 1)),
        unknown: of(|_| 0),
        invalid: of(|_| 0),
        p50_ms: (0..360).map(|sample| (sample > 100).then_some(1.25)).collect(),
        p99_ms: (0..360).map(|sample| (sample > 100).then(|| f64::from(sample) / 10.0)).collect(),
        at,
    };
    let peer = |name: &str, relation: &str, linked: bool| Peer {
        peer: format!("12D3KooWRiKg3hpatFiedTq82c2o6ViyvJktDFFafJxj{name}"),
        relation: relation.into(),
        addresses: vec![format!("/ip4/127.0.0.1/tcp/4001/p2p/12D3KooW{name}")],
        linked,
        round_trip_ms: linked.then_some(0.44),
        agent: "callbook/0.1.0".into(),
    };
    let peers = (0..30).map(|index| {
        let relation = if index % 3 == 0 { "child" } else { "superpeer" };
        peer(&format!("Snsi1n{index:02}"), relation, index < 12)
    });
    Sight { status: status(), peers: peers.collect(), history, at: Unix::from_secs(1_801_795) }
}

fn status() -> Status {
    let name = |name: &str, registered: bool| HeldName {
        name: name.into(),
        device: "3c".into(),
        registered,
        stored: registered.then_some(3),
        of: registered.then_some(3),
        seq: Some(2),
        record_until: Some("1970-01-24T20:30:00Z".into()),
        certificate_until: "1970-01-28T00:00:00Z".into(),
    };
    let status = serde_json::json!({
        "version": "0.1.0", "pid": 7, "uptime_secs": 1_830, "role": "superpeer", "peer": "12D3KooWa",
        "node_id": "aa", "node_certificate_until": null, "attached": true, "parent": null, "network": "demo",
        "network_id": "3c", "network_version": 1, "scope": "local", "limits": "lab", "addresses": [],
        "socket": "/run/s", "metrics": null, "data": "/d", "superpeers": 5, "superpeer_links": 4, "children": 8,
        "children_max": 512, "records": 17, "skew_secs": 0, "names": [], "warnings": [],
    });
    let status: Status = serde_json::from_value(status).unwrap();
    Status { names: vec![name("alice", true), name("bob", false)], ..status }
}

fn drawn(screen: &mut Screen, (width, height): (u16, u16)) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| all(frame, screen)).unwrap();
    terminal
}

/// As lines, without what is empty at their ends.
fn lines(screen: &mut Screen, size: (u16, u16)) -> String {
    let terminal = drawn(screen, size);
    let buffer = terminal.backend().buffer();
    let line = |y| (0..size.0).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..size.1).map(line).collect::<Vec<_>>().join("\n")
}

fn on(view: View) -> Screen {
    Screen { view, ..Screen::new(sight(), true) }
}

#[test]
fn the_overview_shows_figures_and_charts() {
    // Goal: what a glance should tell, on a usual terminal. Method: a snapshot.
    insta::assert_snapshot!(lines(&mut on(View::Overview), (80, 24)), @r"
    callbook: superpeer, joined | demo | up 30 min 30 s
    Overview Churn Look-ups Peers Names
    role        superpeer, joined
    children    8 of 512 at most
    superpeers  5 known, 4 linked
    neighbours  12 linked
    churn, 1 h  9 came, 2 left, 0 flaps
    look-ups    1074 found, 8 absent, 0 unknown, 0 unverified
    latency     median 1.2 ms, p99 35.9 ms
    names       1 of 2 registered; alice expires in 3 d 0 h
    records     17 kept for others
    clock       +0 s against the neighbours'
    peer        12D3KooWa
    peers seen online: 12, at most 12
                                                         ▁▁▁▁▂▃▃▃▃▄▄▄▄▄▅▅▅▅▇▇▇▇▇████
                                            ▅▅▅▅▆▇▇▇▇███████████████████████████████
    look-ups found: 1074 in 1 h, at most 42.7/min
                                            ▁▄▇▄▂▅█▁▄▇▄▂▅█▁▄▇▄▂▅█▁▄▇▄▂▅█▁▄▇▄▂▅█▁▄▇▄▂
                                            ████████████████████████████████████████
                                            ████████████████████████████████████████
    look-up median: 1.2 ms, mean 1.2, at most 1.2
                                                       █████████████████████████████
                                                       █████████████████████████████
    q leave  Tab view  ↑↓ scroll  ? keys
    ");
}

#[test]
fn a_small_terminal_shows_the_most_telling_figures_and_scrolls_to_the_others() {
    // Goal: of use at 40 × 12; what does not fit ends in an ellipsis. Method: snapshots before and after scrolling.
    let mut screen = on(View::Overview);
    insta::assert_snapshot!(lines(&mut screen, (40, 12)), @r"
    callbook: superpeer, joined | demo | up…
    Overview Churn Look-ups Peers Names
    role        superpeer, joined
    children    8 of 512 at most
    superpeers  5 known, 4 linked
    neighbours  12 linked
    churn, 1 h  9 came, 2 left, 0 flaps
    look-ups    1074 found, 8 absent, 0 unk…
    latency     median 1.2 ms, p99 35.9 ms
    names       1 of 2 registered; alice ex…
    records     17 kept for others
    q leave  Tab view  ↑↓ scroll  ? keys
    ");
    screen.scrolled = usize::MAX;
    insta::assert_snapshot!(lines(&mut screen, (40, 12)), @r"
    callbook: superpeer, joined | demo | up…
    Overview Churn Look-ups Peers Names
    superpeers  5 known, 4 linked
    neighbours  12 linked
    churn, 1 h  9 came, 2 left, 0 flaps
    look-ups    1074 found, 8 absent, 0 unk…
    latency     median 1.2 ms, p99 35.9 ms
    names       1 of 2 registered; alice ex…
    records     17 kept for others
    clock       +0 s against the neighbours'
    peer        12D3KooWa
    q leave  Tab view  ↑↓ scroll  ? keys
    ");
}

#[test]
fn charts_of_churn_and_look_ups_share_the_height() {
    // Goal: shape and numbers. Method: snapshots of one large, one small.
    insta::assert_snapshot!(lines(&mut on(View::Churn), (80, 24)), @r"
    callbook: superpeer, joined | demo | up 30 min 30 s
    Overview Churn Look-ups Peers Names
    arrivals: 9 in 1 h, at most 1.3/min
                                                █   █    █   █    █   █    █   █   █
                                                █   █    █   █    █   █    █   █   █
                                            ____█___█____█___█____█___█____█___█___█
    departures: 2 in 1 h, at most 2.7/min
                                                                             █
                                            _________________________________█______
    flaps: 0 in 1 h, at most 0/min


                                            ________________________________________
    peers seen online: 12, at most 12
                                                         ▁▁▁▁▂▃▃▃▃▄▄▄▄▄▅▅▅▅▇▇▇▇▇████
                                            ▅▅▅▅▆▇▇▇▇███████████████████████████████
    superpeers known: 5, at most 5
                                            ████████████████████████████████████████
                                            ████████████████████████████████████████
                                            ████████████████████████████████████████
    children: 8, at most 8
                                                                  ▂▂▂▂▃▄▄▄▄▆▆▆▆▇████
                                            ____▁▂▂▂▂▄▄▄▄▅▆▆▆▆██████████████████████
    q leave  Tab view  ↑↓ scroll  ? keys
    ");
    insta::assert_snapshot!(lines(&mut on(View::Lookups), (40, 12)), @r"
    callbook: superpeer, joined | demo | up…
    Overview Churn Look-ups Peers Names
    found: 1074 in 1 h, at most 40/min
                        ▆█▇▇▇▇█▆█▇▇▇▇█▆█▇▇▇▇
    absent: 8 in 1 h, at most 0.7/min
                        █ █  █  █  █ █  █  █
                        █_█__█__█__█_█__█__█
    unknown: 0 in 1 h, at most 0/min
                        ____________________
    unverified: 0 in 1 h, at most 0/min
                        ____________________
    q leave  Tab view  ↑↓ scroll  ? keys
    ");
}

#[test]
fn peers_and_names_are_tables() {
    // Goal: all columns where there is room, the most telling ones where not. Method: snapshots.
    insta::assert_snapshot!(lines(&mut on(View::Peers), (80, 12)), @r"
    callbook: superpeer, joined | demo | up 30 min 30 s
    Overview Churn Look-ups Peers Names
    PEER       IS         STREAM  MS   AGENT           ADDRESSES
    …Snsi1n00  child      open    0.4  callbook/0.1.0  /ip4/127.0.0.1/tcp/4001
    …Snsi1n01  superpeer  open    0.4  callbook/0.1.0  /ip4/127.0.0.1/tcp/4001
    …Snsi1n02  superpeer  open    0.4  callbook/0.1.0  /ip4/127.0.0.1/tcp/4001
    …Snsi1n03  child      open    0.4  callbook/0.1.0  /ip4/127.0.0.1/tcp/4001
    …Snsi1n04  superpeer  open    0.4  callbook/0.1.0  /ip4/127.0.0.1/tcp/4001
    …Snsi1n05  superpeer  open    0.4  callbook/0.1.0  /ip4/127.0.0.1/tcp/4001
    …Snsi1n06  child      open    0.4  callbook/0.1.0  /ip4/127.0.0.1/tcp/4001
    …Snsi1n07  superpeer  open    0.4  callbook/0.1.0  /ip4/127.0.0.1/tcp/4001
    q leave  Tab view  ↑↓ scroll  ? keys
    ");
    insta::assert_snapshot!(lines(&mut on(View::Peers), (40, 12)), @r"
    callbook: superpeer, joined | demo | up…
    Overview Churn Look-ups Peers Names
    PEER       IS         STREAM  MS
    …Snsi1n00  child      open    0.4
    …Snsi1n01  superpeer  open    0.4
    …Snsi1n02  superpeer  open    0.4
    …Snsi1n03  child      open    0.4
    …Snsi1n04  superpeer  open    0.4
    …Snsi1n05  superpeer  open    0.4
    …Snsi1n06  child      open    0.4
    …Snsi1n07  superpeer  open    0.4
    q leave  Tab view  ↑↓ scroll  ? keys
    ");
    insta::assert_snapshot!(lines(&mut on(View::Names), (80, 8)), @r"
    callbook: superpeer, joined | demo | up 30 min 30 s
    Overview Churn Look-ups Peers Names
    NAME   STORED     EXPIRES     CERTIFICATE EXPIRES
    alice  by 3 of 3  in 3 d 0 h  in 6 d 3 h
    bob    not yet    in 3 d 0 h  in 6 d 3 h


    q leave  Tab view  ↑↓ scroll  ? keys
    ");
    insta::assert_snapshot!(lines(&mut on(View::Names), (40, 8)), @r"
    callbook: superpeer, joined | demo | up…
    Overview Churn Look-ups Peers Names
    NAME   STORED     EXPIRES
    alice  by 3 of 3  in 3 d 0 h
    bob    not yet    in 3 d 0 h


    q leave  Tab view  ↑↓ scroll  ? keys
    ");
}

#[test]
fn trouble_and_the_keys_are_said() {
    // Goal: a daemon that is gone is said in a line of its own, above what it said last. Method: a snapshot with the help.
    let mut screen = Screen { help: true, ..on(View::Overview) };
    screen.see(Err(Problem::new(Code::NoDaemon, "the daemon went away")));
    insta::assert_snapshot!(lines(&mut screen, (40, 13)), @r"
    callbook: superpeer, joined | demo | up…
    the daemon went away
    Overview Churn Look-ups Peers Names
    q, Esc      leave
    Tab, → ←    next view, the one before
    1 to 5      this view
    ↑ ↓         scroll by a line
    PgUp PgDn   scroll by some
    Home End    first line, last line
    ?           these keys
    Charts: the last hour, now at the right

    q leave  Tab view  ↑↓ scroll  ? keys
    ");
}

#[test]
fn a_child_shows_its_parent_and_a_new_one_has_nothing_to_chart() {
    // Goal: no number that is none. Method: a child without history.
    let mut screen = on(View::Overview);
    let status = &mut screen.sight.status;
    status.role = "child".into();
    let (peer, address) = ("12D3KooWRiKg3hpatFiedTq82c2o6Viyv".into(), None);
    status.parent = Some(Parent { peer, address, round_trip_ms: Some(0.44) });
    status.names.clear();
    screen.sight.history = History::default();
    let shown = lines(&mut screen, (60, 24));
    for told in [
        "parent      …c2o6Viyv, 0.4 ms",
        "standbys    0",
        "none (callbook enrol NAME)",
        "look-up median: nothing yet",
    ] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
}

#[test]
fn no_colour_means_none_and_no_size_panics() {
    // Goal: NO_COLOR, and any window. Method: every view at every small size; all cells of one without colours.
    let mut coloured = 0;
    for view in View::ALL {
        for size in (1..90).step_by(7).flat_map(|width| (1..26).map(move |height| (width, height))) {
            drawn(&mut on(view), size);
        }
        let mut screen = Screen { coloured: false, ..on(view) };
        screen.see(Err(Problem::new(Code::NoDaemon, "gone")));
        let with = |terminal: Terminal<TestBackend>| {
            let cells = terminal.backend().buffer().content().iter();
            cells.filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
        };
        assert_eq!(with(drawn(&mut screen, (80, 24))), 0, "{view:?}");
        screen.coloured = true;
        coloured += with(drawn(&mut screen, (80, 24)));
    }
    assert!(coloured > 0, "the control has colours");
}

#[test]
fn a_bar_is_never_lost_and_never_too_high() {
    // Goal: something little is seen, nothing is a line. Method: bars of two rows by hand.
    let bar = |value| [1, 0].map(|row| cell(value, 100.0, (row, 2))).concat();
    assert_eq!([0.0, 0.1, 50.0, 75.0, 100.0].map(bar), [" _", " ▁", " █", "▄█", "██"]);
}
