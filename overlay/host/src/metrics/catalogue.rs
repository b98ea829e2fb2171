//! What a metric is, and the words for it outside.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// A metric as it is exported: what dashboards and documentation name it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// The family's name, without what its kind adds (`_total`, `_bucket`).
    pub name: &'static str,
    /// What it tells.
    pub help: &'static str,
    /// How it behaves.
    pub kind: Kind,
}

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by size.
    Histogram,
}

impl Metric {
    /// The name of a counter's or gauge's series.
    ///
    /// # Panics
    /// It is a histogram, which has three.
    #[must_use]
    pub fn series(&self) -> String {
        match self.kind {
            Kind::Counter => format!("{}_total", self.name),
            Kind::Gauge => self.name.to_owned(),
            Kind::Histogram => panic!("{} has buckets", self.name),
        }
    }

    /// The name of one of a histogram's series: `bucket`, `sum` or `count`.
    #[must_use]
    pub fn part(&self, part: &str) -> String {
        format!("{}_{part}", self.name)
    }

    fn metric_type(&self) -> MetricType {
        match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        }
    }
}

/// The labels of one series, in their order.
pub(crate) type Labels<'a> = &'a [(&'static str, &'a str)];

/// The values of a histogram: bounds with how many values lie up to each (and above the one before).
pub(crate) struct Bars {
    pub(crate) sum: f64,
    /// The last bound is `f64::INFINITY`, for all that is above.
    pub(crate) buckets: Vec<(f64, u64)>,
}

/// One series, ready to be written.
pub(crate) enum Value {
    Whole(u64),
    Real(f64),
    Bars(Bars),
}

/// Writes a metric with all its series.
pub(crate) fn encode<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    metric: &Metric,
    series: impl IntoIterator<Item = (Labels<'a>, Value)>,
) -> fmt::Result {
    let kind = metric.metric_type();
    let mut out = encoder.encode_descriptor(metric.name, metric.help, None, kind)?;
    for (labels, value) in series {
        if labels.is_empty() {
            one(&mut out, metric.kind, &value)?;
        } else {
            one(&mut out.encode_family(&labels)?, metric.kind, &value)?;
        }
    }
    Ok(())
}

fn one(out: &mut prometheus_client::encoding::MetricEncoder<'_>, kind: Kind, value: &Value) -> fmt::Result {
    match (kind, value) {
        (Kind::Counter, Value::Whole(count)) => out.encode_counter::<NoLabelSet, _, u64>(count, None),
        (Kind::Counter, Value::Real(count)) => out.encode_counter::<NoLabelSet, _, u64>(count, None),
        (_, Value::Whole(level)) => out.encode_gauge(&i64::try_from(*level).unwrap_or(i64::MAX)),
        (_, Value::Real(level)) => out.encode_gauge(level),
        (_, Value::Bars(bars)) => {
            let count = bars.buckets.iter().map(|(_, count)| count).sum();
            out.encode_histogram::<NoLabelSet>(bars.sum, count, &bars.buckets, None)
        }
    }
}

/// Declares metrics, each with its help as its documentation.
macro_rules! declare {
    ($all:ident: $(#[doc = $help:literal] $name:ident = $kind:ident $word:literal;)*) => {
        $(
            #[doc = $help]
            pub const $name: $crate::metrics::Metric = $crate::metrics::Metric {
                name: $word,
                help: $help.trim_ascii(),
                kind: $crate::metrics::Kind::$kind,
            };
        )*
        /// All that are declared here.
        pub(crate) const $all: &[$crate::metrics::Metric] = &[$($name),*];
    };
}
pub(crate) use declare;
