//! A list of names through the demo's network: enrolled, registered, resolved, with figures.
//!
//! The names are dealt out to the children; each is resolved from the next child. A fixed number of
//! requests is in flight, so the rates are those of the machine, not of waiting.

use std::fmt;
use std::io;
use std::time::Instant;

use callbook_overlay::name::Username;
use futures::StreamExt;
use futures::stream;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::fleet::Node;
use super::{judge, password};
use crate::cli::client::{Request, segment};
use crate::exit::Code;
use crate::problem::Outcome;
use crate::view::{
    Bulk, Credentials, DemoLookup, Enrolled, Lookup, Password, Percentiles, Phases, Publish, Registered,
};

/// Requests in flight for each child. A guess: enough to keep two cores busy.
const IN_FLIGHT_PER_CHILD: usize = 8;

/// One name: where it lives, and from where it is looked up.
#[derive(Debug, Clone, Copy)]
struct Dealt<'a> {
    name: &'a Username,
    home: &'a Node,
    from: &'a Node,
}

/// Enrols, registers and resolves all names; returns the figures, and what was wrong.
///
/// # Errors
/// A daemon is gone; anything else counts as wrong for its name.
pub(super) async fn run(
    children: &[Node],
    names: &[Username],
    secret: &str,
) -> Outcome<(Bulk, Vec<DemoLookup>)> {
    let in_flight = IN_FLIGHT_PER_CHILD * children.len();
    let next = children.iter().cycle().skip(1);
    let homes = children.iter().cycle().zip(next);
    let dealt = names.iter().zip(homes).map(|(name, (home, from))| Dealt { name, home, from });
    let dealt: Vec<Dealt<'_>> = dealt.collect();
    let mut bulk = Bulk { names: names.len(), ..Bulk::default() };
    let mut wrong = Vec::new();

    let phase = Phase::begin("enrol", dealt.len());
    let done = phase.each(&dealt, in_flight, |dealt| enrol(dealt, secret)).await;
    (bulk.seconds.enrol, bulk.per_second.enrol) = phase.end();
    let enrolled: Vec<Dealt<'_>> = sorted(done, &mut wrong)?.into_iter().map(|(dealt, ())| dealt).collect();

    let phase = Phase::begin("register", enrolled.len());
    let done = phase.each(&enrolled, in_flight, register).await;
    (bulk.seconds.register, bulk.per_second.register) = phase.end();
    let registered: Vec<Dealt<'_>> = sorted(done, &mut wrong)?.into_iter().map(|(dealt, ())| dealt).collect();

    let phase = Phase::begin("resolve", registered.len());
    let done = phase.each(&registered, in_flight, resolve).await;
    (bulk.seconds.resolve, bulk.per_second.resolve) = phase.end();
    let answers: Vec<DemoLookup> = sorted(done, &mut wrong)?.into_iter().map(|(_, answer)| answer).collect();

    let mut latencies: Vec<f64> = answers.iter().map(|answer| answer.ms).collect();
    bulk.resolve_ms = percentiles(&mut latencies);
    for answer in &answers {
        *bulk.sources.entry(answer.source.clone().unwrap_or_else(|| "none".to_owned())).or_default() += 1;
    }
    wrong.extend(answers.into_iter().filter(|answer| !answer.right));
    Ok((bulk, wrong))
}

/// What was done; what failed goes to `wrong`.
fn sorted<'a, T>(
    done: Vec<(Dealt<'a>, Outcome<T>)>,
    wrong: &mut Vec<DemoLookup>,
) -> Outcome<Vec<(Dealt<'a>, T)>> {
    let mut good = Vec::with_capacity(done.len());
    for (dealt, outcome) in done {
        match outcome {
            Ok(value) => good.push((dealt, value)),
            Err(problem) if problem.code == Code::NoDaemon => return Err(problem),
            Err(problem) => wrong.push(DemoLookup {
                act: 0,
                name: dealt.name.to_string(),
                from: dealt.from.name.clone(),
                found: false,
                right: false,
                addresses: Vec::new(),
                hops: 0,
                source: None,
                ms: 0.0,
                error: Some(problem.message),
            }),
        }
    }
    Ok(good)
}

async fn enrol(dealt: Dealt<'_>, secret: &str) -> Outcome<()> {
    let (name, password) = (dealt.name.to_string(), Password(password(secret)));
    let credentials = Credentials { name, password, display: None, register: false };
    dealt.home.client.call::<Enrolled>(Request::post("/v1/enrol", &credentials)?).await.map(|_| ())
}

async fn register(dealt: Dealt<'_>) -> Outcome<()> {
    let path = format!("/v1/names/{}", segment(dealt.name.as_str()));
    dealt.home.client.call::<Registered>(Request::put(path, &Publish::default())?).await.map(|_| ())
}

async fn resolve(dealt: Dealt<'_>) -> Outcome<DemoLookup> {
    let request = Request::get(format!("/v1/names/{}", segment(dealt.name.as_str())));
    let answer = dealt.from.client.call::<Lookup>(request).await?.content;
    Ok(judge(0, dealt.home, dealt.from, answer))
}

/// One pass over the names.
struct Phase {
    bar: ProgressBar,
    started: Instant,
    count: usize,
}

impl Phase {
    fn begin(what: &'static str, count: usize) -> Self {
        // Standard error, and hidden off a terminal.
        let target = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(Some(count as u64), target);
        let style = ProgressStyle::with_template("{msg:8} {wide_bar} {pos}/{len}  {rate}  {eta}");
        if let Ok(style) = style {
            let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
                // A bar that can't be drawn is no reason to stop.
                write!(out, "{:.0}/s", state.per_sec()).unwrap_or_default();
            };
            bar.set_style(style.with_key("rate", rate));
        }
        bar.set_message(what);
        Self { bar, started: Instant::now(), count }
    }

    /// Does something for each name, so many at once.
    async fn each<'a, T, F: Future<Output = Outcome<T>>>(
        &self,
        dealt: &[Dealt<'a>],
        in_flight: usize,
        work: impl Fn(Dealt<'a>) -> F,
    ) -> Vec<(Dealt<'a>, Outcome<T>)> {
        let work = dealt.iter().map(|dealt| {
            let outcome = work(*dealt);
            async move { (*dealt, outcome.await) }
        });
        let mut running = stream::iter(work).buffer_unordered(in_flight);
        let mut done = Vec::with_capacity(dealt.len());
        while let Some(outcome) = running.next().await {
            done.push(outcome);
            self.bar.inc(1);
        }
        done
    }

    /// Seconds and rate.
    fn end(self) -> (f64, f64) {
        self.bar.finish_and_clear();
        let seconds = self.started.elapsed().as_secs_f64().max(f64::EPSILON);
        #[expect(clippy::cast_precision_loss, reason = "a count of names is far below 2^52")]
        let rate = self.count as f64 / seconds;
        (rounded(seconds), rounded(rate))
    }
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// By the nearest-rank rule.
pub(super) fn percentiles(values: &mut [f64]) -> Percentiles {
    values.sort_by(f64::total_cmp);
    let at = |percent: usize| {
        let rank = (values.len() * percent).div_ceil(100).max(1) - 1;
        values.get(rank).copied().unwrap_or_default()
    };
    Percentiles { p50: at(50), p90: at(90), p99: at(99), max: at(100) }
}

/// The figures as text.
pub(super) fn text(bulk: &Bulk) -> String {
    let Bulk { names, seconds, per_second, resolve_ms, sources } = bulk;
    let row = |what: &str, pick: fn(&Phases) -> f64| {
        [
            what.to_owned(),
            names.to_string(),
            format!("{:.2}", pick(seconds)),
            format!("{:.0}", pick(per_second)),
        ]
    };
    let rows = [row("enrol", |p| p.enrol), row("register", |p| p.register), row("resolve", |p| p.resolve)];
    let table = crate::cli::output::table(["PHASE", "NAMES", "SECONDS", "PER SECOND"], rows);
    let Percentiles { p50, p90, p99, max } = resolve_ms;
    let sources: Vec<String> = sources.iter().map(|(source, count)| format!("{source} {count}")).collect();
    format!(
        "{table}\n\nresolve latency: p50 {p50:.2} ms, p90 {p90:.2} ms, p99 {p99:.2} ms, max {max:.2} ms\n\
         answered from: {}",
        sources.join(", ")
    )
}

/// Whether progress is shown at all.
pub(super) fn shows_progress() -> bool {
    io::IsTerminal::is_terminal(&io::stderr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        // Goal: the nearest-rank rule at both ends. Method: 1 to 100, one value, none.
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let Percentiles { p50, p90, p99, max } = percentiles(&mut values);
        assert_eq!([p50, p90, p99, max], [50.0, 90.0, 99.0, 100.0]);
        assert_eq!(percentiles(&mut [7.0]).p50, 7.0);
        assert_eq!(percentiles(&mut []).max, 0.0);
    }
}
