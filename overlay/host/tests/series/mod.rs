//! How many series there are, whoever comes.

use std::collections::BTreeSet;

use callbook_host::metrics::{Kind, names};
use callbook_host::{Settings, session_bounds};
use callbook_overlay::api::{Command, Notice, Reply};
use callbook_overlay::wire::Hint;

use super::world::{Peer, World, any};
use super::{get, in_time};

/// The budget for each of the two prefixes.
const SERIES_MAX: usize = 600;

/// All series of a page, without their values.
fn series(page: &str) -> BTreeSet<String> {
    let (_, body) = page.split_once("\r\n\r\n").unwrap();
    let lines = body.lines().filter(|line| !line.starts_with('#') && line.contains(' '));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

fn of<'a>(series: &'a BTreeSet<String>, prefix: &'a str) -> BTreeSet<&'a String> {
    series.iter().filter(|series| series.starts_with(prefix)).collect()
}

/// Children that each come, register so many names, look one up that is there and one that is not; every
/// other one leaves, the rest stay.
async fn visit(world: &World, seeds: &[Hint], numbers: std::ops::Range<u8>, names: usize) -> Vec<Peer> {
    let mut staying = Vec::new();
    for number in numbers {
        let agent = format!("fake-agent/{number}");
        let mut child = Peer::start(Settings { agent, ..world.child(number) }).await;
        child.command(Command::Seeds(seeds.to_vec())).await;
        in_time(child.notice(|notice| matches!(notice, Notice::Attached(_)))).await;
        for index in 0..names {
            let held = world.held(&format!("fake-name-{number}-{index}"), number);
            let reply = in_time(child.command(Command::Register(Box::new(held)))).await;
            assert!(matches!(reply, Reply::Registered(_)), "{reply:?}");
        }
        assert_eq!(in_time(child.resolve(&format!("fake-name-{number}-0"))).await.devices.len(), 1);
        assert_eq!(in_time(child.resolve(&format!("fake-absent-{number}"))).await.devices.len(), 0);
        if number % 2 == 0 {
            in_time(child.handle.stop()).await;
        } else {
            staying.push(child);
        }
    }
    staying
}

#[tokio::test]
async fn the_number_of_series_does_not_grow_with_peers_or_names() {
    // Goal: nobody can make the metrics grow. Method: 10 children with 20 names, then 190 more with 570:
    // the very same series, and none that shows an agent, name or PeerId; within the budget.
    let world = World::new();
    // Alone it may speak for its network only as the login server's.
    let superpeer = Peer::start(Settings {
        reluctant: true,
        metrics_listen: Some(any()),
        session_bounds: session_bounds(),
        ..world.superpeer(255)
    })
    .await;
    let seeds = superpeer.sample().await;
    let empty = series(&get(&superpeer, "/metrics").await);
    let few = visit(&world, &seeds, 0..10, 2).await;
    // Two of the few have gone and their sessions are in the book, so libp2p has shown all that it has.
    let ten = series(&get(&superpeer, "/metrics").await);
    let many = visit(&world, &seeds, 10..200, 3).await;
    let page = get(&superpeer, "/metrics").await;
    let all = series(&page);
    assert_eq!(of(&empty, "callbook_"), of(&all, "callbook_"), "all are there from the start");
    assert_eq!(of(&ten, "libp2p_"), of(&all, "libp2p_"));
    assert_eq!(ten, all);
    for prefix in ["callbook_", "libp2p_"] {
        let count = of(&all, prefix).len();
        assert!((1..=SERIES_MAX).contains(&count), "{count} series {prefix}");
    }
    for word in ["fake", &few[0].handle.peer().to_string(), "127.0.0.1"] {
        assert!(!page.contains(word), "{word} is in {page}");
    }
    assert!(page.contains("callbook_peers_online{role=\"child\"} 100\n"), "{page}");
    assert!(
        page.contains("callbook_peer_departures_total{role=\"child\",reason=\"graceful\"} 100\n"),
        "{page}"
    );
    for peer in few.into_iter().chain(many) {
        in_time(peer.handle.stop()).await;
    }
    in_time(superpeer.handle.stop()).await;
}

#[tokio::test]
async fn every_metric_that_is_named_is_shown_as_what_it_is() {
    // Goal: dashboards that take names from the catalogue find them. Method: each against a page.
    let world = World::new();
    let superpeer = Peer::start(Settings { metrics_listen: Some(any()), ..world.superpeer(1) }).await;
    let page = get(&superpeer, "/metrics").await;
    let shown = series(&page);
    let has =
        |name: &str| shown.iter().any(|series| series == name || series.starts_with(&format!("{name}{{")));
    for metric in names::all() {
        let name = match metric.kind {
            Kind::Counter | Kind::Gauge => metric.series(),
            Kind::Histogram => {
                let whole = page
                    .lines()
                    .any(|line| line.starts_with(&metric.part("bucket")) && line.contains("le=\"+Inf\""));
                assert!(whole, "{} has no last bucket in {page}", metric.name);
                metric.part("count")
            }
        };
        assert!(has(&name), "{name} is missing in {page}");
        assert!(page.contains(&format!("# HELP {} {}", metric.name, metric.help)), "{}", metric.name);
    }
    let named = names::all().count();
    let declared = page
        .lines()
        .filter(|line| line.starts_with("# TYPE callbook_") || line.starts_with("# TYPE process_"));
    assert_eq!(declared.count(), named, "nothing is shown that is not named");
    in_time(superpeer.handle.stop()).await;
}
