//! What the overlay counts. Plain numbers; `overlay/host` exports them.

use alloc::boxed::Box;

/// Upper bounds of [`Times`], in microseconds.
///
/// Source: a guess that spans a loopback's answer and the longest that a look-up may take.
pub const TIMES_MICROS: [u64; 12] = [
    5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
    30_000_000,
];

/// Upper bounds of the hops of a look-up.
///
/// Source: a guess: a map that knows all needs one.
pub const HOPS: [u64; 11] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/// Upper bounds of the requests of a walk.
///
/// Source: a guess: a walk asks [`CANDIDATES_MAX`](crate::limits::CANDIDATES_MAX) at most.
pub const REQUESTS: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];

/// How often values fell where: up to each of some bounds (and above the one before), and above all.
///
/// It takes room once something has been counted: a child asks little.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spread<const N: usize>(Option<Box<Noted<N>>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Noted<const N: usize> {
    counts: [u64; N],
    above: u64,
    sum: u64,
}

/// Durations, by [`TIMES_MICROS`].
pub type Times = Spread<{ TIMES_MICROS.len() }>;

impl<const N: usize> Spread<N> {
    const NONE: [u64; N] = [0; N];

    /// Counts a value.
    pub fn note(&mut self, bounds: &[u64; N], value: u64) {
        let noted = self.0.get_or_insert_with(|| Box::new(Noted { counts: Self::NONE, above: 0, sum: 0 }));
        noted.sum = noted.sum.saturating_add(value);
        match bounds.iter().position(|bound| value <= *bound) {
            Some(place) => noted.counts[place] += 1,
            None => noted.above += 1,
        }
    }

    /// Values up to each bound, and above the one before.
    #[must_use]
    pub fn counts(&self) -> &[u64; N] {
        self.0.as_ref().map_or(&Self::NONE, |noted| &noted.counts)
    }

    /// Values above the last bound.
    #[must_use]
    pub fn above(&self) -> u64 {
        self.0.as_ref().map_or(0, |noted| noted.above)
    }

    /// All values together.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0.as_ref().map_or(0, |noted| noted.sum)
    }

    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts().iter().sum::<u64>() + self.above()
    }
}

impl Times {
    /// Counts a duration.
    pub fn took(&mut self, took: core::time::Duration) {
        self.note(&TIMES_MICROS, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}

/// Totals since the start, and gauges (marked *now*).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Local or children's look-ups, by how they ended.
    pub lookups: Lookups,
    /// How long local look-ups took, by how they ended.
    pub lookup_times: LookupTimes,
    /// Sequential requests after the parent of local look-ups that found something.
    pub lookup_hops: Spread<{ HOPS.len() }>,
    /// Requests of a walk for a name, until it had its answer.
    pub lookup_requests: Spread<{ REQUESTS.len() }>,
    /// How long children waited for what we resolved for them.
    pub resolve_times: Times,
    /// Walks for the superpeers nearest to a key, before a put or to keep the map, by how they ended.
    pub nodes: Nodes,
    /// How long those took that found somebody; the others take as long as they may.
    pub nodes_times: Times,
    /// Their hops, of those that found somebody.
    pub nodes_hops: Spread<{ HOPS.len() }>,
    /// Their requests.
    pub nodes_requests: Spread<{ REQUESTS.len() }>,
    /// From signing a record of a name held here until a majority had it.
    pub registration_times: Times,
    /// Requests that peers made of us.
    pub served: Requests,
    /// Those of them that we refused (a put: any record in it).
    pub denied: Requests,
    /// Requests that we made of peers.
    pub asked: Requests,
    /// What we refused, by reason: requests, and what was in them.
    pub refused: Refusals,
    /// Requests of ours without an answer in time.
    pub timeouts: u64,
    /// Hedged requests: a second storer asked because the first was slow.
    pub hedges: u64,
    /// Publications of names held here that somebody asked for.
    pub registered: Registrations,
    /// Those that we did by ourselves: renewals, and failed ones tried again.
    pub renewed: Registrations,
    /// Records stored for others or ourselves.
    pub records_stored: u64,
    /// Records dropped at their expiry.
    pub records_expired: u64,
    /// Records dropped because an epoch record revoked them.
    pub records_revoked: u64,
    /// Pairs of records with one version and two bodies.
    pub equivocations: u64,
    /// Signatures checked.
    pub verifications: u64,
    /// Served records that a child rejected.
    pub rejects: u64,
    /// Times that we attached to a parent.
    pub attachments: u64,
    /// Times that we lost a parent.
    pub parents_lost: u64,
    /// Times that a parent was silent for too long after a request.
    pub parents_silent: u64,
    /// Times that a standby became our parent.
    pub failovers: u64,
    /// Absences that a parent told and a standby refuted.
    pub absences_refuted: u64,
    /// Absences that no standby confirmed.
    pub absences_unconfirmed: u64,
    /// Own names that a standby found as they were registered.
    pub self_checks_ok: u64,
    /// Own names that a standby did not find as they were registered.
    pub self_checks_failed: u64,
    /// Children told that we are still at work.
    pub working_sent: u64,
    /// Local questions for presence, by answer.
    pub presence: Presences,
    /// Parents that we left because they were of no use.
    pub parents_left: u64,
    /// Dials that failed.
    pub dials_failed: u64,
    /// Dials to addresses nobody had answered at yet, that were put off or given up at a limit.
    pub dials_unverified_refused: u64,
    /// Hints and statements from peers that did not verify.
    pub bad_hints: u64,
    /// Links that were ended because too much on them did not verify.
    pub bad_links: u64,
    /// Superpeers that failed us and were told to others as suspects.
    pub suspects_told: u64,
    /// Times that we were suspected and said that we live.
    pub refutations: u64,
    /// Statements of other superpeers (alive, leaving) that were news.
    pub statements_heard: u64,
    /// Statements that were not heard: their superpeer makes too many.
    pub statements_refused: u64,
    /// News of superpeers that were not told: too much waited, and they are the farthest.
    pub news_dropped: u64,
    /// Superpeers that left the map for nearer ones, at its bound.
    pub map_dropped: u64,
    /// Records taken over by pulling them from other superpeers.
    pub handed_over: u64,
    /// Records put where a dead superpeer's were missing.
    pub repaired: u64,
    /// Records put to others when we left.
    pub pushed: u64,
    /// Repairs that were put off: the superpeer comes and goes.
    pub repairs_put_off: u64,
    /// Superpeers that were left while comparing records: they promised and did not give.
    pub promises_broken: u64,
    /// Requests to compare records or maps, or to move records, that were put off: too much work for one link.
    pub moves_put_off: u64,
    /// *Now*: pairs of records with one version and two bodies, kept as proof.
    pub equivocations_kept: u64,
    /// *Now*: 1 while we take over our range.
    pub syncing: u64,
    /// Look-ups for which storers had to agree.
    pub cross_checks: u64,
    /// Storers that took a newer record, or one that they lacked, from a look-up.
    pub stale_repaired: u64,
    /// Look-ups answered by an absence that was remembered.
    pub denials_cached: u64,
    /// Changes told to who watches, or to who had an older answer.
    pub changes_pushed: u64,
    /// *Now*: keys watched for children and ourselves, once for each.
    pub watches: u64,
    /// *Now*: records in the store.
    pub records: u64,
    /// *Now*: bytes of the records in the store.
    pub record_bytes: u64,
    /// *Now*: bundles in the cache.
    pub cached: u64,
    /// *Now*: children attached.
    pub children: u64,
    /// *Now*: places kept for children of others.
    pub reservations: u64,
    /// *Now*: superpeers that keep a place for us.
    pub standbys: u64,
    /// *Now*: superpeers in the map, ourselves included.
    pub superpeers: u64,
    /// *Now*: children that we would take at most.
    pub children_max: u64,
    /// *Now*: peers that are online, by what the loads of neighbours let guess.
    pub peers: u64,
    /// *Now*: open links.
    pub links: u64,
    /// *Now*: names held.
    pub names: u64,
    /// *Now*: 1 as a superpeer, 0 as a child.
    pub superpeer: u64,
    /// *Now*: 1 as a child, 0 as a superpeer.
    pub child: u64,
    /// Times that we became a superpeer.
    pub promotions: u64,
    /// Times that we became a child after having been a superpeer.
    pub demotions: u64,
}

/// How long look-ups took, by how they ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LookupTimes {
    /// A device was found.
    pub found: Times,
    /// Denied.
    pub absent: Times,
    /// Too few answers.
    pub unknown: Times,
    /// Answers that did not pass verification, three times over.
    pub invalid: Times,
}

/// Walks for superpeers, by end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nodes {
    /// Somebody answered.
    pub found: u64,
    /// Nobody did.
    pub unknown: u64,
}

/// Publications of names held here, by end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registrations {
    /// A majority acknowledged it.
    pub ok: u64,
    /// Too few answers in time, or nobody to ask.
    pub timeout: u64,
    /// Refused by parent or storers.
    pub refused: u64,
    /// By us: the record is not valid, or our clock is off.
    pub error: u64,
}

/// Look-ups by end; found ones by source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lookups {
    /// Found, a name of this daemon.
    pub own: u64,
    /// Found in the index of children.
    pub index: u64,
    /// Found in the own store.
    pub store: u64,
    /// Found in the cache.
    pub cache: u64,
    /// Found in the overlay.
    pub overlay: u64,
    /// Denied by more than two thirds.
    pub absent: u64,
    /// Too few answers.
    pub unknown: u64,
    /// Answers that did not pass verification.
    pub invalid: u64,
}

/// Answers about presence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presences {
    /// The parent hears it.
    pub online: u64,
    /// It said goodbye.
    pub offline: u64,
    /// No answer, or none that can be believed.
    pub unknown: u64,
}

/// Requests by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests {
    /// Kind 2.
    pub hello: u64,
    /// Kind 3.
    pub closest: u64,
    /// Kind 4.
    pub get: u64,
    /// Kind 5.
    pub put: u64,
    /// Kind 6.
    pub attach: u64,
    /// Kind 7.
    pub register: u64,
    /// Kind 8.
    pub resolve: u64,
    /// Kind 11.
    pub reserve: u64,
    /// Kind 12.
    pub watch: u64,
    /// Kind 13.
    pub presence: u64,
    /// Kind 14.
    pub digest: u64,
    /// Kind 15.
    pub pull: u64,
    /// Kind 16.
    pub offer: u64,
    /// Kind 21.
    pub survey: u64,
}

/// Refusals by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals {
    /// At a limit of children or requests.
    pub busy: u64,
    /// Not known, or not in this role.
    pub unsupported: u64,
    /// A quota is used up.
    pub limit: u64,
    /// Not valid.
    pub invalid: u64,
    /// A newer record is held.
    pub stale: u64,
}

impl Counters {
    /// Publications that somebody asked for, or those that we do by ourselves.
    pub(crate) fn registrations(&mut self, asked_for: bool) -> &mut Registrations {
        if asked_for { &mut self.registered } else { &mut self.renewed }
    }
}
