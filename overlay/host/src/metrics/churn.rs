//! The book of sessions as metrics.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::catalogue::{Bars, Value, encode as encode_metric};
use crate::sessions::{CLASSES, Figures, KINS, Lengths, REASONS, UPTIMES, WINDOWS};

/// What this exports.
pub(super) mod names {
    crate::metrics::catalogue::declare! {
        CHURN:
        /// Peers that this superpeer sees now: children attached to it, superpeers that told it so themselves
        PEERS_ONLINE = Gauge "callbook_peers_online";
        /// Sessions that began, by whether the peer was known from an earlier one; flaps begin none
        PEER_ARRIVALS = Counter "callbook_peer_arrivals";
        /// Sessions that ended, by why; lost ones (timeout) are counted when they have been away for 60 s
        PEER_DEPARTURES = Counter "callbook_peer_departures";
        /// Peers that were lost and back within 60 s: their session goes on
        PEER_FLAPS = Counter "callbook_peer_flaps";
        /// Lengths of ended sessions, from the first to the last that was seen of the peer
        PEER_SESSION_DURATION = Histogram "callbook_peer_session_duration_seconds";
        /// From the end of a session to the beginning of the same peer's next one
        PEER_DOWNTIME = Histogram "callbook_peer_downtime_seconds";
        /// Peers online whose session is at least so old
        PEERS_UPTIME_AT_LEAST = Gauge "callbook_peers_uptime_at_least";
        /// Peers that were seen within the time, gone ones too
        PEERS_SEEN_WITHIN = Gauge "callbook_peers_seen_within";
        /// Known peers by what they did within 24 h: online and entered are there, left and oneoff are gone, dangling came and went more often, offline was not there
        PEERS_CLASS = Gauge "callbook_peers_class";
        /// Peers whose sessions are remembered
        PEERS_KNOWN = Gauge "callbook_peers_known";
        /// Peers that came while none could be forgotten for them: their sessions are not in the figures
        PEERS_OVERLOOKED = Counter "callbook_peers_overlooked";
    }
}
use names::{
    PEER_ARRIVALS, PEER_DEPARTURES, PEER_DOWNTIME, PEER_FLAPS, PEER_SESSION_DURATION, PEERS_CLASS,
    PEERS_KNOWN, PEERS_ONLINE, PEERS_OVERLOOKED, PEERS_SEEN_WITHIN, PEERS_UPTIME_AT_LEAST,
};

/// Writes them all.
pub(super) fn encode(figures: &Figures, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    encode_levels(figures, encoder)?;
    encode_totals(figures, encoder)?;
    encode_lengths(figures, encoder)
}

fn encode_levels(figures: &Figures, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    by(encoder, &PEERS_ONLINE, "role", KINS.iter().zip(figures.online))?;
    let uptimes = UPTIMES.map(|(word, _)| word);
    by_role_and(encoder, &PEERS_UPTIME_AT_LEAST, ("threshold", &uptimes), &figures.uptimes)?;
    let windows = WINDOWS.map(|(word, _)| word);
    by_role_and(encoder, &PEERS_SEEN_WITHIN, ("window", &windows), &figures.windows)?;
    by_role_and(encoder, &PEERS_CLASS, ("class", &CLASSES), &figures.classes)?;
    encode_metric(encoder, &PEERS_KNOWN, [(&[][..], Value::Whole(figures.known))])
}

fn encode_totals(figures: &Figures, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut arrivals = Vec::new();
    let mut departures = Vec::new();
    for (index, role) in KINS.into_iter().enumerate() {
        let (new, returning) = figures.arrivals[index];
        arrivals.push(([("role", role), ("kind", "new")], new));
        arrivals.push(([("role", role), ("kind", "returning")], returning));
        let by_reason = REASONS.into_iter().zip(figures.departures[index]);
        departures.extend(by_reason.map(|(reason, count)| ([("role", role), ("reason", reason)], count)));
    }
    for (metric, series) in [(&PEER_ARRIVALS, arrivals), (&PEER_DEPARTURES, departures)] {
        encode_metric(
            encoder,
            metric,
            series.iter().map(|(labels, count)| (&labels[..], Value::Whole(*count))),
        )?;
    }
    by(encoder, &PEER_FLAPS, "role", KINS.iter().zip(figures.flaps))?;
    encode_metric(encoder, &PEERS_OVERLOOKED, [(&[][..], Value::Whole(figures.overlooked))])
}

fn encode_lengths(figures: &Figures, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let bars = |lengths: &Lengths| {
        let bounds = figures.bounds.iter().map(|bound| bound.as_secs_f64()).chain([f64::INFINITY]);
        let buckets = bounds.zip(lengths.counts.iter().copied()).collect();
        Value::Bars(Bars { sum: lengths.sum.as_secs_f64(), buckets })
    };
    let mut sessions = Vec::new();
    for (role, by_reason) in KINS.into_iter().zip(&figures.sessions) {
        for (reason, lengths) in REASONS.into_iter().zip(by_reason) {
            sessions.push(([("role", role), ("reason", reason)], lengths));
        }
    }
    let sessions = sessions.iter().map(|(labels, lengths)| (&labels[..], bars(lengths)));
    encode_metric(encoder, &PEER_SESSION_DURATION, sessions)?;
    let downtimes: Vec<_> = KINS.into_iter().map(|role| [("role", role)]).zip(&figures.downtimes).collect();
    let downtimes = downtimes.iter().map(|(labels, lengths)| (&labels[..], bars(lengths)));
    encode_metric(encoder, &PEER_DOWNTIME, downtimes)
}

/// A metric with the role and one label more.
fn by_role_and<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    metric: &super::Metric,
    (label, words): (&'static str, &[&'static str; N]),
    values: &[[u64; N]; KINS.len()],
) -> fmt::Result {
    let of_role = |(role, values): (&'static str, &[u64; N])| {
        let one = move |(word, value)| ([("role", role), (label, word)], value);
        words.iter().copied().zip(*values).map(one).collect::<Vec<_>>()
    };
    let series: Vec<_> = KINS.into_iter().zip(values).flat_map(of_role).collect();
    encode_metric(encoder, metric, series.iter().map(|(labels, value)| (&labels[..], Value::Whole(*value))))
}

/// A metric with one label.
fn by<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    metric: &super::Metric,
    label: &'static str,
    values: impl Iterator<Item = (&'a &'static str, u64)>,
) -> fmt::Result {
    let series: Vec<_> = values.map(|(word, value)| ([(label, *word)], value)).collect();
    encode_metric(encoder, metric, series.iter().map(|(labels, value)| (&labels[..], Value::Whole(*value))))
}
