//! What a child and a superpeer with many children send and receive while nobody asks anything.
//!
//! The children are hosts in this process. Two figures each: bytes of frames with their lengths, which the
//! hosts count themselves (`callbook_link_bytes`), and for all together what crosses the loopback interface,
//! with the headers of Noise, Yamux, TCP, QUIC, IP and the link, and whatever else this machine says to itself.

use std::fs;
use std::time::{Duration, Instant};

use callbook_e2e::{Authority, Census, Network, Peer, R_OF_THREE, metric};
use callbook_host::{Handle, Host, Settings, StoreSetting, Transports};
use callbook_overlay::api::{Command, Hellos, Parallelism, Reply, Role};
use callbook_overlay::limits::CHILDREN_MAX;
use callbook_overlay::wire::Hint;

const SUPERPEERS: usize = 4;
const CHILDREN: usize = 100;
/// Until attachments and reservations are made.
const SETTLE: Duration = Duration::from_secs(20);
/// A multiple of the time between hellos.
const WATCHED: Duration = Duration::from_secs(60);

pub(super) fn run() {
    let network = Network::start_with(R_OF_THREE);
    let supers = network.many_superpeers(SUPERPEERS);
    let hint = Census::take(&network, &supers[0]).hint(supers[0].id());
    let runtime = callbook_host::runtime().expect("a runtime");
    let children = runtime.block_on(children(&network, &hint));
    std::thread::sleep(SETTLE);
    let attached = supers[0].status()["children"].as_u64().unwrap_or_default();
    let began = Instant::now();
    let before = Counted::now(&supers[0], &children[0]);
    std::thread::sleep(WATCHED);
    let after = Counted::now(&supers[0], &children[0]);
    let seconds = began.elapsed().as_secs_f64();
    let per_second = |after: f64, before: f64| (after - before) / seconds;
    println!("  {:<58} {:>9}", format!("idle for {} s", WATCHED.as_secs()), "bytes/s");
    let line = |label: &str, bytes: f64| println!("  {label:<58} {bytes:>9.1}");
    line("a child's frames, both ways", per_second(after.child, before.child));
    let label = format!("frames of a superpeer with {attached} children, both ways");
    line(&label, per_second(after.superpeer, before.superpeer));
    let label = format!("loopback, with headers: {} superpeers, {CHILDREN} children", SUPERPEERS + 1);
    line(&label, per_second(after.wire, before.wire));
    runtime.block_on(async {
        for child in children {
            child.stop().await;
        }
    });
}

struct Counted {
    child: f64,
    superpeer: f64,
    wire: f64,
}

impl Counted {
    fn now(superpeer: &Peer, child: &Handle) -> Self {
        let links = |url: &str| metric(url, "callbook_link_bytes_total");
        let url = superpeer.ready()["metrics"].as_str().expect("metrics are on");
        let address = child.metrics_address().expect("metrics are on");
        let wire = fs::read_to_string("/sys/class/net/lo/statistics/tx_bytes").unwrap_or_default();
        Self {
            child: links(&format!("http://{address}/")),
            superpeer: links(url),
            wire: wire.trim().parse().unwrap_or(f64::NAN),
        }
    }
}

/// Children of one superpeer; the first one shows its metrics.
async fn children(network: &Network, parent: &Hint) -> Vec<Handle> {
    let facts = Authority::of(network).facts;
    let mut children = Vec::new();
    for index in 0..CHILDREN {
        let settings = Settings {
            key: [100 + u8::try_from(index).expect("a hundred"); 32],
            network: facts.clone(),
            listen: None,
            advertise: None,
            role: Role::Child,
            reluctant: false,
            store: StoreSetting::Memory,
            metrics_listen: (index == 0).then(|| ([127, 0, 0, 1], 0).into()),
            routes: callbook_host::axum::Router::new(),
            session_bounds: callbook_host::session_bounds(),
            agent: String::from("bench"),
            parallelism: Parallelism::Hedged,
            hellos: Hellos::default(),
            children_max: CHILDREN_MAX,
            tells_children: true,
            serves_login: false,
            transports: Transports::Both,
        };
        let Host { handle, .. } = callbook_host::start(settings).await.expect("a child starts");
        handle.command(Command::Seeds(vec![parent.clone()])).await.expect("it runs");
        while !is_attached(&handle).await {
            tokio::time::sleep(super::PAUSE).await;
        }
        children.push(handle);
    }
    children
}

async fn is_attached(child: &Handle) -> bool {
    match child.command(Command::Status).await {
        Ok(Reply::Status(status)) => status.parent.is_some(),
        other => panic!("{other:?}"),
    }
}
