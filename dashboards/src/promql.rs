//! Expressions, put together from metrics.

use callbook_host::metrics::Metric;

/// Chooses what the variables `job` and `instance` do.
pub const CHOSEN: &str = r#"job=~"$job",instance=~"$instance""#;

/// Chooses the one whose view counts.
pub const OBSERVED: &str = r#"job=~"$job",instance="$observer""#;

/// The series of a counter or gauge that are chosen, narrowed by more labels (may be empty).
#[must_use]
pub fn of(metric: &Metric, labels: &str) -> String {
    format!("{}{{{}}}", metric.series(), narrowed(labels))
}

/// The rate of a counter, per second.
#[must_use]
pub fn rate(metric: &Metric, labels: &str) -> String {
    format!("rate({}[$__rate_interval])", of(metric, labels))
}

/// What a counter grew by within a window.
#[must_use]
pub fn increase(metric: &Metric, labels: &str, window: &str) -> String {
    format!("increase({}[{window}])", of(metric, labels))
}

/// The series of a gauge as the one chosen observer has them: of superpeers, whom many see.
#[must_use]
pub fn observed(metric: &Metric, labels: &str) -> String {
    format!("{}{{{}}}", metric.series(), narrowed_to(OBSERVED, labels))
}

/// What a counter's part (or the counter itself: `None`) of the chosen observer grew by within a window.
#[must_use]
pub fn observed_grown(metric: &Metric, part: Option<&str>, labels: &str, window: &str) -> String {
    let series = part.map_or_else(|| metric.series(), |part| metric.part(part));
    format!("increase({series}{{{}}}[{window}])", narrowed_to(OBSERVED, labels))
}

/// A histogram's part (`bucket`, `sum`, `count`) as it grew within a window.
#[must_use]
pub fn grown(metric: &Metric, part: &str, labels: &str, window: &str) -> String {
    format!("increase({}{{{}}}[{window}])", metric.part(part), narrowed(labels))
}

/// A quantile of what a histogram saw within a window, over all its labels.
#[must_use]
pub fn quantile(share: &str, metric: &Metric, labels: &str, window: &str) -> String {
    format!("histogram_quantile({share}, sum by (le) ({}))", grown(metric, "bucket", labels, window))
}

/// The mean of what a histogram saw within a window.
#[must_use]
pub fn mean(metric: &Metric, labels: &str, window: &str) -> String {
    let [sum, count] = ["sum", "count"].map(|part| grown(metric, part, labels, window));
    format!("sum({sum}) / sum({count})")
}

fn narrowed(labels: &str) -> String {
    narrowed_to(CHOSEN, labels)
}

fn narrowed_to(chosen: &str, labels: &str) -> String {
    if labels.is_empty() { chosen.to_owned() } else { format!("{chosen},{labels}") }
}
