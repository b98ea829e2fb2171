//! The overlay's counters and their names outside.

use std::fmt;

use callbook_overlay::Counters;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// One series: its labels, and where its value is.
type Series = (&'static [(&'static str, &'static str)], fn(&Counters) -> u64);

struct Metric {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    series: &'static [Series],
}

/// Writes every metric of the overlay.
pub(super) fn encode(counters: &Counters, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    for metric in TOTALS.iter().chain(GAUGES) {
        let mut out = encoder.encode_descriptor(metric.name, metric.help, None, metric.kind)?;
        for (labels, value) in metric.series {
            let value = value(counters);
            if labels.is_empty() {
                one(&mut out, metric.kind, value)?;
            } else {
                one(&mut out.encode_family(labels)?, metric.kind, value)?;
            }
        }
    }
    Ok(())
}

fn one(
    out: &mut prometheus_client::encoding::MetricEncoder<'_>,
    kind: MetricType,
    value: u64,
) -> fmt::Result {
    if matches!(kind, MetricType::Counter) {
        out.encode_counter::<NoLabelSet, _, u64>(&value, None)
    } else {
        out.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
    }
}

macro_rules! metrics {
    ($kind:ident: $($name:literal, $help:literal { $($series:tt)* })*) => {
        &[$(Metric {
            name: concat!("callbook_", $name),
            help: $help,
            kind: MetricType::$kind,
            series: metrics!(@ $($series)*),
        }),*]
    };
    (@ $field:ident) => { &[(&[], |counters| counters.$field)] };
    (@ $($($label:ident = $value:literal),+ => $($field:ident).+;)+) => {
        &[$((&[$((stringify!($label), $value)),+], |counters| counters.$($field).+)),+]
    };
}

const TOTALS: &[Metric] = metrics! { Counter:
    "lookups", "Look-ups, by how they ended and where the answer came from" {
        result = "found", source = "own" => lookups.own;
        result = "found", source = "index" => lookups.index;
        result = "found", source = "store" => lookups.store;
        result = "found", source = "cache" => lookups.cache;
        result = "found", source = "overlay" => lookups.overlay;
        result = "absent", source = "overlay" => lookups.absent;
        result = "unknown", source = "overlay" => lookups.unknown;
        result = "invalid", source = "overlay" => lookups.invalid;
    }
    "requests_served", "Requests that peers made of us, by kind" {
        kind = "hello" => served.hello;
        kind = "closest" => served.closest;
        kind = "get" => served.get;
        kind = "put" => served.put;
        kind = "attach" => served.attach;
        kind = "register" => served.register;
        kind = "resolve" => served.resolve;
        kind = "reserve" => served.reserve;
        kind = "watch" => served.watch;
        kind = "presence" => served.presence;
        kind = "digest" => served.digest;
        kind = "pull" => served.pull;
        kind = "offer" => served.offer;
    }
    "requests_asked", "Requests that we made of peers, by kind" {
        kind = "hello" => asked.hello;
        kind = "closest" => asked.closest;
        kind = "get" => asked.get;
        kind = "put" => asked.put;
        kind = "attach" => asked.attach;
        kind = "register" => asked.register;
        kind = "resolve" => asked.resolve;
        kind = "reserve" => asked.reserve;
        kind = "watch" => asked.watch;
        kind = "presence" => asked.presence;
        kind = "digest" => asked.digest;
        kind = "pull" => asked.pull;
        kind = "offer" => asked.offer;
    }
    "requests_refused", "Requests that we refused, by reason" {
        reason = "busy" => refused.busy;
        reason = "unsupported" => refused.unsupported;
        reason = "limit" => refused.limit;
        reason = "invalid" => refused.invalid;
        reason = "stale" => refused.stale;
    }
    "request_timeouts", "Requests of ours without an answer in time" { timeouts }
    "request_hedges", "Second requests made because the first was slow" { hedges }
    "registrations", "Publications of names held here, by result" {
        result = "ok" => registrations_ok;
        result = "failed" => registrations_failed;
    }
    "records_stored", "Records taken into the store" { records_stored }
    "records_dropped", "Records dropped from the store, by reason" {
        reason = "expired" => records_expired;
        reason = "revoked" => records_revoked;
    }
    "equivocations", "Pairs of records with one version and two bodies" { equivocations }
    "verifications", "Signatures and chains checked" { verifications }
    "rejects", "Served records that a child rejected" { rejects }
    "attachments", "Times that a parent accepted us" { attachments }
    "parents_lost", "Times that we lost a parent" { parents_lost }
    "parents_left", "Parents that we left because they were of no use" { parents_left }
    "parents_silent", "Times that a parent was silent for too long" { parents_silent }
    "failovers", "Times that a standby became our parent" { failovers }
    "absences_doubted", "Absences that a parent told and no standby confirmed, by why" {
        result = "refuted" => absences_refuted;
        result = "unconfirmed" => absences_unconfirmed;
    }
    "self_checks", "Questions to standbys for names registered here, by result" {
        result = "ok" => self_checks_ok;
        result = "failed" => self_checks_failed;
    }
    "working_sent", "Children told that we are still at work" { working_sent }
    "presence_answers", "Answers to local questions for presence" {
        presence = "online" => presence.online;
        presence = "offline" => presence.offline;
        presence = "unknown" => presence.unknown;
    }
    "dials_failed", "Dials that failed on every transport" { dials_failed }
    "dials_unverified_refused", "Dials to addresses nobody answered at, put off or given up at a limit" {
        dials_unverified_refused
    }
    "bad_hints", "Hints and statements from peers that did not verify" { bad_hints }
    "bad_links", "Links ended because too much on them did not verify" { bad_links }
    "suspects_told", "Superpeers that failed us and were told to others" { suspects_told }
    "refutations", "Times that we were suspected and said that we live" { refutations }
    "statements_heard", "Statements of other superpeers that were news" { statements_heard }
    "statements_refused", "Statements not heard: their superpeer makes too many" { statements_refused }
    "news_dropped", "News not told: too much waited, and they were of the farthest" { news_dropped }
    "map_dropped", "Superpeers that left the map for nearer ones, at its bound" { map_dropped }
    "records_moved", "Records that moved between superpeers, by why" {
        reason = "handed_over" => handed_over;
        reason = "repaired" => repaired;
        reason = "pushed" => pushed;
    }
    "repairs_put_off", "Repairs that were put off: the superpeer comes and goes" { repairs_put_off }
    "promises_broken", "Superpeers left while comparing: they named records and did not give them" {
        promises_broken
    }
    "moves_put_off", "Requests to compare or move records that were put off, at a limit" { moves_put_off }
    "cross_checks", "Look-ups for which storers had to agree" { cross_checks }
    "stale_repaired", "Storers that took a newer or missing record from a look-up" { stale_repaired }
    "denials_cached", "Look-ups answered by an absence that was remembered" { denials_cached }
    "changes_pushed", "Changes told to who watches, or had an older answer" { changes_pushed }
};

const GAUGES: &[Metric] = metrics! { Gauge:
    "records", "Records in the store" { records }
    "record_bytes", "Bytes of the records in the store" { record_bytes }
    "cached_bundles", "Bundles in the cache" { cached }
    "equivocations_kept", "Pairs of records with one version and two bodies, kept as proof" {
        equivocations_kept
    }
    "syncing", "1 while this one takes over its range" { syncing }
    "watches", "Keys watched for children and ourselves" { watches }
    "children", "Children attached" { children }
    "reservations", "Places kept for children of others" { reservations }
    "standbys", "Superpeers that keep a place for us" { standbys }
    "superpeers", "Superpeers in the map, this one included" { superpeers }
    "links", "Links that are open" { links }
    "names", "Names held here" { names }
    "superpeer", "1 as a superpeer, 0 as a child" { superpeer }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_of_the_overlay_is_exported() {
        // Goal: no new counter is forgotten. Method: as many series as there are numbers in the struct,
        // and no name twice.
        let numbers = format!("{:?}", Counters::default()).matches(": 0").count();
        let metrics = || TOTALS.iter().chain(GAUGES);
        assert_eq!(metrics().map(|metric| metric.series.len()).sum::<usize>(), numbers);
        let names: std::collections::BTreeSet<_> = metrics().map(|metric| metric.name).collect();
        assert_eq!(names.len(), metrics().count());
    }
}
