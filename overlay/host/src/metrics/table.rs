//! The overlay's counters and their names outside.
//!
//! Each line names a metric, its help, and where its series come from. *Not here*: what isn't a plain
//! number ([`super::spreads`]).

use std::fmt;

use callbook_overlay::Counters;
use prometheus_client::encoding::DescriptorEncoder;

use super::catalogue::{Kind, Metric, Value, encode as encode_metric};

/// One series: its labels, and where its value is.
type Series = (&'static [(&'static str, &'static str)], fn(&Counters) -> u64);

/// Writes every number of the overlay.
pub(super) fn encode(counters: &Counters, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    TABLE.iter().try_for_each(|(metric, series)| {
        let values = series.iter().map(|(labels, value)| (*labels, Value::Whole(value(counters))));
        encode_metric(encoder, metric, values)
    })
}

/// The series of a metric: one field; the fields of a group, each its own label value; or any.
macro_rules! series {
    ($field:ident) => { &[(&[], |counters| counters.$field)] };
    ($label:ident of $group:ident: $($field:ident)+) => {
        &[$((&[(stringify!($label), stringify!($field))], |counters| counters.$group.$field)),+]
    };
    ($label:ident: $($value:ident = $field:ident)+) => {
        &[$((&[(stringify!($label), stringify!($value))], |counters| counters.$field)),+]
    };
    ($($op:ident $result:ident $source:ident = $group:ident.$field:ident)+) => {
        &[$((
            &[("op", stringify!($op)), ("result", stringify!($result)), ("source", stringify!($source))],
            |counters| counters.$group.$field,
        )),+]
    };
    ($($op:ident = $group:ident: $($result:ident)+;)+) => {
        &[$($((
            &[("op", stringify!($op)), ("result", stringify!($result))],
            |counters| counters.$group.$result,
        )),+),+]
    };
    (kinds: $($kind:ident)+) => {
        &[$(
            (&[("kind", stringify!($kind)), ("result", "ok")], |counters| {
                counters.served.$kind - counters.denied.$kind
            }),
            (&[("kind", stringify!($kind)), ("result", "refused")], |counters| counters.denied.$kind)
        ),+]
    };
}

macro_rules! table {
    ($(#[doc = $help:literal] $name:ident = $kind:ident $word:literal { $($series:tt)* })*) => {
        /// What this exports.
        pub(super) mod names {
            $(
                #[doc = $help]
                pub const $name: super::Metric = super::Metric {
                    name: concat!("callbook_", $word),
                    help: $help.trim_ascii(),
                    kind: super::Kind::$kind,
                };
            )*
        }
        pub(super) const TABLE: &[(Metric, &[Series])] = &[$((names::$name, series!($($series)*))),*];
    };
}

table! {
    /// Look-ups, by how they ended and where the answer came from: of names (resolve), of the superpeers nearest to a key (find_node)
    LOOKUPS = Counter "lookups" {
        resolve found own = lookups.own
        resolve found index = lookups.index
        resolve found store = lookups.store
        resolve found cache = lookups.cache
        resolve found overlay = lookups.overlay
        resolve absent overlay = lookups.absent
        resolve unknown overlay = lookups.unknown
        resolve invalid overlay = lookups.invalid
        find_node found overlay = nodes.found
        find_node unknown overlay = nodes.unknown
    }
    /// Requests that peers made of us, by kind and whether we refused them at once
    REQUESTS_SERVED = Counter "requests_served" {
        kinds: hello closest get put attach register resolve reserve watch presence digest pull offer survey
    }
    /// Requests that we made of peers, by kind
    REQUESTS_ASKED = Counter "requests_asked" {
        kind of asked: hello closest get put attach register resolve reserve watch presence digest pull offer survey
    }
    /// What we refused, by reason: requests, and records in them
    REQUESTS_REFUSED = Counter "requests_refused" { reason of refused: busy unsupported limit invalid stale }
    /// Requests of ours without an answer in time
    REQUEST_TIMEOUTS = Counter "request_timeouts" { timeouts }
    /// Second requests made because the first was slow
    REQUEST_HEDGES = Counter "request_hedges" { hedges }
    /// Publications of names held here, by result: those that somebody asked for (register), and those done again by ourselves (renew)
    REGISTRATIONS = Counter "registrations" {
        register = registered: ok timeout refused error;
        renew = renewed: ok timeout refused error;
    }
    /// Records taken into the store
    RECORDS_STORED = Counter "records_stored" { records_stored }
    /// Records dropped from the store, by reason
    RECORDS_DROPPED = Counter "records_dropped" { reason: expired = records_expired revoked = records_revoked }
    /// Pairs of records with one version and two bodies
    EQUIVOCATIONS = Counter "equivocations" { equivocations }
    /// Signatures and chains checked
    VERIFICATIONS = Counter "verifications" { verifications }
    /// Served records that a child rejected
    REJECTS = Counter "rejects" { rejects }
    /// Times that a parent accepted us
    ATTACHMENTS = Counter "attachments" { attachments }
    /// Times that we lost a parent
    PARENTS_LOST = Counter "parents_lost" { parents_lost }
    /// Parents that we left because they were of no use
    PARENTS_LEFT = Counter "parents_left" { parents_left }
    /// Times that a parent was silent for too long
    PARENTS_SILENT = Counter "parents_silent" { parents_silent }
    /// Times that a standby became our parent
    FAILOVERS = Counter "failovers" { failovers }
    /// Absences that a parent told and no standby confirmed, by why
    ABSENCES_DOUBTED = Counter "absences_doubted" {
        result: refuted = absences_refuted unconfirmed = absences_unconfirmed
    }
    /// Questions to standbys for names registered here, by result
    SELF_CHECKS = Counter "self_checks" { result: ok = self_checks_ok failed = self_checks_failed }
    /// Children told that we are still at work
    WORKING_SENT = Counter "working_sent" { working_sent }
    /// Answers to local questions for presence
    PRESENCE_ANSWERS = Counter "presence_answers" { presence of presence: online offline unknown }
    /// Dials that failed on every transport
    DIALS_FAILED = Counter "dials_failed" { dials_failed }
    /// What was put off or not heard because there was too much of it, by what limited it
    RATE_LIMITED = Counter "rate_limited" {
        limiter: unverified_dials = dials_unverified_refused
        statements = statements_refused
        moves = moves_put_off
        repairs = repairs_put_off
    }
    /// Hints and statements from peers that did not verify
    BAD_HINTS = Counter "bad_hints" { bad_hints }
    /// Links ended because too much on them did not verify
    BAD_LINKS = Counter "bad_links" { bad_links }
    /// Superpeers that failed us and were told to others
    SUSPECTS_TOLD = Counter "suspects_told" { suspects_told }
    /// Times that we were suspected and said that we live
    REFUTATIONS = Counter "refutations" { refutations }
    /// Statements of other superpeers that were news
    STATEMENTS_HEARD = Counter "statements_heard" { statements_heard }
    /// News not told: too much waited, and they were of the farthest
    NEWS_DROPPED = Counter "news_dropped" { news_dropped }
    /// Superpeers that left the map for nearer ones, at its bound
    MAP_DROPPED = Counter "map_dropped" { map_dropped }
    /// Records that moved between superpeers, by why
    RECORDS_MOVED = Counter "records_moved" {
        reason: handed_over = handed_over repaired = repaired pushed = pushed
    }
    /// Superpeers left while comparing: they named records and did not give them
    PROMISES_BROKEN = Counter "promises_broken" { promises_broken }
    /// Look-ups for which storers had to agree
    CROSS_CHECKS = Counter "cross_checks" { cross_checks }
    /// Storers that took a newer or missing record from a look-up
    STALE_REPAIRED = Counter "stale_repaired" { stale_repaired }
    /// Look-ups answered by an absence that was remembered
    DENIALS_CACHED = Counter "denials_cached" { denials_cached }
    /// Changes told to who watches, or had an older answer
    CHANGES_PUSHED = Counter "changes_pushed" { changes_pushed }
    /// Times that this one took another role, by which
    ROLE_CHANGES = Counter "role_changes" { to: superpeer = promotions child = demotions }
    /// Records in the store
    RECORDS = Gauge "records" { records }
    /// Bytes of the records in the store
    RECORD_BYTES = Gauge "record_bytes" { record_bytes }
    /// Bundles in the cache
    CACHED_BUNDLES = Gauge "cached_bundles" { cached }
    /// Pairs of records with one version and two bodies, kept as proof
    EQUIVOCATIONS_KEPT = Gauge "equivocations_kept" { equivocations_kept }
    /// 1 while this one takes over its range
    SYNCING = Gauge "syncing" { syncing }
    /// Keys watched for children and ourselves
    WATCHES = Gauge "watches" { watches }
    /// Children attached
    CHILDREN = Gauge "children" { children }
    /// Children that this one would take as a superpeer
    CHILDREN_MAX = Gauge "children_max" { children_max }
    /// Places kept for children of others
    RESERVATIONS = Gauge "reservations" { reservations }
    /// Superpeers that keep a place for us
    STANDBYS = Gauge "standbys" { standbys }
    /// Superpeers in the map, this one included
    SUPERPEERS = Gauge "superpeers" { superpeers }
    /// Peers that are online as the loads of neighbours let guess: a size of the network
    PEERS_ESTIMATE = Gauge "peers_estimate" { peers }
    /// Links that are open
    LINKS = Gauge "links" { links }
    /// Names held here
    NAMES = Gauge "names" { names }
    /// 1 for the role that this one has now, 0 for the other
    NODE_ROLE = Gauge "node_role" { role: superpeer = superpeer child = child }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_of_the_overlay_is_exported() {
        // Goal: no new counter is forgotten. Method: as many series as there are numbers in the struct
        // (those of a spread go by themselves), and no name twice.
        let debug = format!("{:?}", Counters::default());
        let in_spreads = debug.matches("Spread {").count() * 2;
        let numbers = debug.matches(": 0").count() - in_spreads;
        assert_eq!(TABLE.iter().map(|(_, series)| series.len()).sum::<usize>(), numbers);
        let names: std::collections::BTreeSet<_> = TABLE.iter().map(|(metric, _)| metric.name).collect();
        assert_eq!(names.len(), TABLE.len());
    }
}
