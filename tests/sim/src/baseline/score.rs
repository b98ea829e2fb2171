//! What a model's run comes to: look-ups judged, bytes counted, the row of the table.
//!
//! A look-up counts if it began while counting; one whose asker or holder goes before it ends doesn't. Its
//! messages are counted to it whenever they are sent; upkeep and load are counted while counting.
//! *Not here*: printing (`show`).

use super::field::For;
use crate::measures::quantile;
use crate::time::{Micros, secs};

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    Missed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Void,
    Judged(Verdict),
}

#[derive(Debug, Clone)]
struct Query {
    asker: u32,
    /// Who has the name, in which life.
    holder: Option<(u32, u32)>,
    began: Micros,
    took: Micros,
    hops: u32,
    state: State,
    messages: u64,
    bytes: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Load {
    messages: u64,
    bytes: u64,
}

/// Everything that is counted in a run.
#[derive(Debug)]
pub(super) struct Score {
    window: (Micros, Micros),
    queries: Vec<Query>,
    open: Vec<u32>,
    loads: Vec<Load>,
    upkeep: u64,
    all: u64,
    there: i64,
    since: Micros,
    seconds: f64,
}

/// A model's figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What it is called.
    pub name: &'static str,
    /// Look-ups of names that somebody who is there has: right ones, wrong ones, all.
    pub existing: [u64; 3],
    /// Look-ups of names of nobody: right ones, all.
    pub absent: [u64; 2],
    /// p50, p90 and p99 of right answers about existing names, in milliseconds.
    pub latency: [f64; 3],
    /// Hops of these on average: requests one after the other.
    pub hops: f64,
    /// Messages of a look-up on average, answers included.
    pub messages: f64,
    /// Bytes of a look-up on average, headers included.
    pub bytes: f64,
    /// Bytes per second that a live peer sends, servers' included: not for look-ups, and for everything.
    pub upkeep: f64,
    /// See above.
    pub sent: f64,
    /// Messages per second of who sends and receives most.
    pub worst_messages: f64,
    /// Bytes per second of who sends and receives most.
    pub worst_bytes: f64,
    /// p50 in milliseconds and bytes per second that p2psim found (directories.md §3.5).
    pub published: Option<(f64, f64)>,
    /// Why it may be far from that.
    pub why: &'static str,
}

impl Score {
    pub(super) fn new(sites: usize, from: Micros, to: Micros) -> Self {
        Self {
            window: (from, to),
            queries: Vec::new(),
            open: Vec::new(),
            loads: vec![Load::default(); sites],
            upkeep: 0,
            all: 0,
            there: 0,
            since: 0,
            seconds: 0.0,
        }
    }

    fn counts(&self, at: Micros) -> bool {
        (self.window.0..self.window.1).contains(&at)
    }

    /// A message is sent at some time, to somebody who hears it or not.
    pub(super) fn sent(&mut self, (from, to): (u32, u32), why: For, bytes: u32, (at, heard): (Micros, bool)) {
        let bytes = u64::from(bytes);
        if let For::Query(query) = why {
            let query = &mut self.queries[query as usize];
            query.messages += 1;
            query.bytes += bytes;
        }
        if !self.counts(at) {
            return;
        }
        self.all += bytes;
        if why == For::Upkeep {
            self.upkeep += bytes;
        }
        for end in [Some(from), heard.then_some(to)].into_iter().flatten() {
            let load = &mut self.loads[end as usize];
            load.messages += 1;
            load.bytes += bytes;
        }
    }

    pub(super) fn population(&mut self, by: i64, now: Micros) {
        let (from, to) = (self.since.max(self.window.0), now.min(self.window.1));
        self.seconds += self.there as f64 * secs(to.saturating_sub(from));
        (self.there, self.since) = (self.there + by, now);
    }

    pub(super) fn asked(&mut self, asker: u32, holder: Option<(u32, u32)>, now: Micros) -> u32 {
        let number = self.queries.len() as u32;
        self.open.push(number);
        let state = State::Open;
        self.queries.push(Query {
            asker,
            holder,
            began: now,
            took: 0,
            hops: 0,
            state,
            messages: 0,
            bytes: 0,
        });
        number
    }

    pub(super) fn holder(&self, query: u32) -> Option<(u32, u32)> {
        self.queries[query as usize].holder
    }

    pub(super) fn is_open(&self, query: u32) -> bool {
        self.queries[query as usize].state == State::Open
    }

    pub(super) fn settle(&mut self, number: u32, verdict: Verdict, hops: u32, now: Micros) {
        let query = &mut self.queries[number as usize];
        if query.state == State::Open {
            (query.state, query.hops, query.took) = (State::Judged(verdict), hops, now - query.began);
            self.open.retain(|open| *open != number);
        }
    }

    /// Look-ups by a peer that goes, and of it, are nobody's fault.
    pub(super) fn gone(&mut self, peer: u32) {
        let queries = &mut self.queries;
        self.open.retain(|number| {
            let query = &mut queries[*number as usize];
            let concerned = query.asker == peer || query.holder.is_some_and(|(holder, _)| holder == peer);
            if concerned {
                query.state = State::Void;
            }
            !concerned
        });
    }

    pub(super) fn row(mut self, name: &'static str) -> Row {
        self.population(0, self.window.1.max(self.since));
        let length = secs(self.window.1 - self.window.0);
        let counted: Vec<&Query> = self
            .queries
            .iter()
            .filter(|query| self.counts(query.began) && query.state != State::Void)
            .collect();
        let tally = |existing: bool, verdict: Option<Verdict>| {
            let of = counted.iter().filter(|query| {
                query.holder.is_some() == existing
                    && verdict.is_none_or(|verdict| query.state == State::Judged(verdict))
            });
            of.count() as u64
        };
        let right = || {
            let right =
                |query: &&&Query| query.state == State::Judged(Verdict::Right) && query.holder.is_some();
            counted.iter().filter(right)
        };
        let mut times: Vec<u32> =
            right().map(|query| u32::try_from(query.took).unwrap_or(u32::MAX)).collect();
        let latency = [0.5, 0.9, 0.99].map(|share| f64::from(quantile(&mut times, share)) / 1_000.0);
        let mean = |sum: u64, count: usize| sum as f64 / count.max(1) as f64;
        let seconds = self.seconds.max(1.0);
        let worst = |of: fn(&Load) -> u64| self.loads.iter().map(of).max().unwrap_or(0) as f64 / length;
        Row {
            name,
            existing: [
                tally(true, Some(Verdict::Right)),
                tally(true, Some(Verdict::Wrong)),
                tally(true, None),
            ],
            absent: [tally(false, Some(Verdict::Right)), tally(false, None)],
            latency,
            hops: mean(right().map(|query| u64::from(query.hops)).sum(), right().count()),
            messages: mean(counted.iter().map(|query| query.messages).sum(), counted.len()),
            bytes: mean(counted.iter().map(|query| query.bytes).sum(), counted.len()),
            upkeep: self.upkeep as f64 / seconds,
            sent: self.all as f64 / seconds,
            worst_messages: worst(|load| load.messages),
            worst_bytes: worst(|load| load.bytes),
            published: None,
            why: "",
        }
    }
}

impl Row {
    /// Beside what p2psim found.
    pub(super) fn beside(self, p50: f64, sent: f64, why: &'static str) -> Self {
        Self { published: Some((p50, sent)), why, ..self }
    }
}
