//! The look-up path against its floor, in one process and on one one-worker runtime.
//!
//! 64 superpeers with complete maps and a stream between every two, and a child of one of them, all
//! real hosts over loopback TCP, then QUIC. Certificate chains are cached, each record is new to the
//! child. Measured: resolving through the parent, cached there and uncached (only look-ups whose parent
//! is no storer), with one storer asked first (hedged) and with α at once; beside them in the same run
//! a ping-pong of equal size over one bare libp2p stream, and one strict Ed25519 verification. Each
//! look-up has one of both before it, so that all find the machine equally fast and its caches equally
//! cold. After those with α at once stands what they ask of the network as bare streams do it: one
//! ping-pong, and then three at once until the first is answered.
//!
//! `cargo bench -p callbook-bench [-- tcp|quic|overlay]`; `overlay`, which takes some ten minutes, is another
//! bench beside it (see there) and runs only when it is named, whole or by its parts
//! (`overlay fail-over start repair idle`).

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a benchmark names the answers it expects")]
#![expect(clippy::unwrap_used, reason = "a benchmark that can't be set up has nothing to say")]

mod floor;
mod network;
mod overlay;
mod recording;
mod sample;

use std::time::{Duration, Instant};

use callbook_host::Transports;
use callbook_overlay::api::{Parallelism, Source};

use crate::network::{Network, Wanted};
use crate::sample::Sample;

/// Rounds that the parts take turns in.
const ROUNDS: usize = 8;
/// Look-ups of each kind in a round.
const LOOKUPS: usize = 150;
/// Look-ups for one figure of throughput.
const BURST: usize = 1_200;
/// In flight for throughput.
const IN_FLIGHT: usize = 64;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let runs = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    if wanted.iter().any(|word| word == "overlay") {
        return overlay::run(&wanted);
    }
    let runtime = callbook_host::runtime().unwrap();
    for (name, transports) in [("tcp", Transports::TcpOnly), ("quic", Transports::QuicOnly)] {
        if runs(name) {
            // Spawned, so that it runs on the one worker and not beside it.
            runtime.block_on(runtime.spawn(run(name, transports))).unwrap();
        }
    }
}

async fn run(name: &str, transports: Transports) {
    let began = Instant::now();
    let mut network = Network::start(transports).await;
    println!(
        "\n{name}: {} superpeers, r = {}, one child; ready after {:.1} s",
        network::SUPERPEERS,
        network::REPLICAS,
        began.elapsed().as_secs_f64()
    );
    let mut pair = floor::Pair::start(transports).await;
    let mut four = Vec::new();
    for _ in 0..4 {
        four.push(floor::Pair::start(transports).await);
    }
    let (request, answer) = network.frame_sizes();

    let mut figures = Figures::default();
    let (mut asked, mut store) = (0, 0);
    let message = network.a_message();
    for _ in 0..ROUNDS {
        for (parallelism, index) in [Parallelism::Hedged, Parallelism::AtOnce].into_iter().zip(0..) {
            for name in network.fresh(LOOKUPS, Wanted::Uncached).await {
                figures.stream.add(pair.ping_pong(request, answer).await);
                figures.verify.add(message.verify());
                asked += 1;
                let (took, source) = network.resolve(parallelism, &name, true).await;
                if parallelism == Parallelism::AtOnce {
                    figures.fan_out.add(floor::fan_out(&mut four, request, answer).await);
                }
                match source {
                    Source::Overlay => figures.uncached[index].add(took),
                    _ => store += 1,
                }
            }
        }
        for name in network.fresh(LOOKUPS, Wanted::Cached).await {
            figures.stream.add(pair.ping_pong(request, answer).await);
            figures.verify.add(message.verify());
            let (took, source) = network.resolve(Parallelism::Hedged, &name, false).await;
            if source == Source::Cache {
                figures.cached.add(took);
            }
        }
    }
    println!(
        "  frames of {request} and {answer} bytes; the parent is a storer in {:.0} % of the look-ups",
        100.0 * f64::from(store) / f64::from(asked)
    );
    figures.print();
    bursts(&mut network).await;
    network.stop().await;
}

/// What was measured with one look-up in flight.
#[derive(Default)]
struct Figures {
    stream: Sample,
    fan_out: Sample,
    verify: Sample,
    cached: Sample,
    /// Hedged, and with α at once.
    uncached: [Sample; 2],
}

impl Figures {
    fn print(&self) {
        let (floor, one) = (self.stream.median(), self.verify.median());
        println!(
            "  {:<34} {:>9} {:>9} {:>7} {:>12}",
            "1 in flight", "p50 µs", "p99 µs", "count", "bar p50 µs"
        );
        row("bare stream, ping-pong", &self.stream, None);
        row("bare streams, one, then three", &self.fan_out, None);
        row("one strict verification", &self.verify, None);
        row("resolve, cached", &self.cached, Some(floor * 3 / 2 + one));
        row("resolve, uncached, hedged", &self.uncached[0], Some(floor * 7 / 2 + one));
        row("resolve, uncached, α at once", &self.uncached[1], Some(floor * 5 + one));
        ratio("cached", &self.cached, floor, one);
        ratio("uncached, hedged", &self.uncached[0], floor, one);
        ratio("uncached, α at once", &self.uncached[1], floor, one);
    }
}

async fn bursts(network: &mut Network) {
    println!("  {:<34} {:>9}", format!("{IN_FLIGHT} in flight"), "per s");
    for (label, wanted, parallelism) in [
        ("resolve, cached", Wanted::Cached, Parallelism::Hedged),
        ("resolve, uncached, hedged", Wanted::Uncached, Parallelism::Hedged),
        ("resolve, uncached, α at once", Wanted::Uncached, Parallelism::AtOnce),
    ] {
        let names = network.fresh(BURST, wanted).await;
        let began = Instant::now();
        let fresh = wanted == Wanted::Uncached;
        network.resolve_all(parallelism, names, fresh, IN_FLIGHT).await;
        let per_second = BURST as f64 / began.elapsed().as_secs_f64();
        println!("  {label:<34} {per_second:>9.0}");
        if (wanted, parallelism) == (Wanted::Uncached, Parallelism::Hedged) {
            // One worker does the work of all three: child, parent, and the storer that is asked.
            recording::show(recording::cost(), per_second, 3.0);
        }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1_000.0
}

fn row(label: &str, sample: &Sample, bar: Option<Duration>) {
    let median = sample.median();
    let verdict = bar.map_or(String::new(), |bar| {
        format!("{:>12.1} {}", micros(bar), if median <= bar { "reached" } else { "MISSED" })
    });
    println!(
        "  {label:<34} {:>9.1} {:>9.1} {:>7}{verdict}",
        micros(median),
        micros(sample.quantile(0.99)),
        sample.count()
    );
}

/// How many floors a look-up takes besides its one verification.
fn ratio(label: &str, sample: &Sample, floor: Duration, one: Duration) {
    let floors = (micros(sample.median()) - micros(one)) / micros(floor);
    println!("  {label:<34} {floors:>9.2} × floor + one verification");
}
