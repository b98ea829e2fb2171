//! Requests to the listener of metrics and health, counted by route and never by raw path.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use prometheus_client::encoding::DescriptorEncoder;

use super::catalogue::{Bars, Value, encode as encode_metric};

/// What this exports.
pub(super) mod names {
    crate::metrics::catalogue::declare! {
        HTTP:
        /// HTTP requests to this listener, by route and status
        HTTP_REQUESTS = Counter "callbook_http_requests";
        /// How long they took, by route
        HTTP_REQUEST_DURATION = Histogram "callbook_http_request_duration_seconds";
    }
}
use names::{HTTP_REQUEST_DURATION, HTTP_REQUESTS};

/// The routes that are told apart: the rest is `other`.
const HANDLERS: [(&str, &str); 5] = [
    ("metrics", "/metrics"),
    ("healthz", "/healthz"),
    ("readyz", "/readyz"),
    ("targets", "/v1/prometheus/targets"),
    ("other", ""),
];

/// The statuses that are told apart: the rest is `other`.
const CODES: [(&str, Option<StatusCode>); 5] = [
    ("200", Some(StatusCode::OK)),
    ("404", Some(StatusCode::NOT_FOUND)),
    ("405", Some(StatusCode::METHOD_NOT_ALLOWED)),
    ("503", Some(StatusCode::SERVICE_UNAVAILABLE)),
    ("other", None),
];

/// Bounds of the durations, in microseconds. Guess: a scrape takes a few milliseconds, and few bounds leave room for
/// other series.
const BOUNDS: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// What was asked and how it went.
#[derive(Debug, Default)]
pub(super) struct Requests {
    counts: [[AtomicU64; CODES.len()]; HANDLERS.len()],
    times: [Times; HANDLERS.len()],
}

#[derive(Debug, Default)]
struct Times {
    counts: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Requests {
    /// Counts one.
    pub(super) fn count(&self, path: &str, status: StatusCode, took: Duration) {
        let last = HANDLERS.len() - 1;
        let handler = HANDLERS.iter().position(|(_, route)| *route == path).unwrap_or(last);
        let code = CODES.iter().position(|(_, code)| *code == Some(status)).unwrap_or(CODES.len() - 1);
        self.counts[handler][code].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let times = &self.times[handler];
        times.counts[BOUNDS.partition_point(|bound| *bound < micros)].fetch_add(1, Ordering::Relaxed);
        times.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut series = Vec::new();
        for ((handler, _), counts) in HANDLERS.into_iter().zip(&self.counts) {
            for ((code, _), count) in CODES.into_iter().zip(counts) {
                series.push(([("handler", handler), ("code", code)], count.load(Ordering::Relaxed)));
            }
        }
        let series = series.iter().map(|(labels, count)| (&labels[..], Value::Whole(*count)));
        encode_metric(encoder, &HTTP_REQUESTS, series)?;
        let labels = HANDLERS.map(|(handler, _)| [("handler", handler)]);
        let times = labels.iter().zip(&self.times).map(|(labels, times)| (&labels[..], times.bars()));
        encode_metric(encoder, &HTTP_REQUEST_DURATION, times)
    }
}

impl Times {
    fn bars(&self) -> Value {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let bounds = BOUNDS.iter().map(|micros| *micros as f64 / 1e6).chain([f64::INFINITY]);
        let buckets = bounds.zip(self.counts.iter().map(load)).collect();
        Value::Bars(Bars { sum: load(&self.micros) as f64 / 1e6, buckets })
    }
}
