//! Every bound of a census: what it may cost the network, and what it may keep.

use std::time::Duration;

/// How long to wait between two walks, unless it is told. A guess: the longest time between two visits of one
/// peer by the rule for sessions.
pub(super) const INTERVAL: Duration = Duration::from_secs(15 * 60);

/// The shortest time between two walks. Specification: the shortest time between two visits of one peer
/// (Nebula, migration 000020).
pub(super) const INTERVAL_MIN: Duration = Duration::from_secs(60);

/// The same on a network whose limits are lifted.
pub(super) const INTERVAL_LAB_MIN: Duration = Duration::from_secs(1);

/// Superpeers that are dialled each second in the long run. Measured elsewhere: Nebula visits 20,000 peers in
/// five minutes.
pub(super) const DIALS_PER_SEC: u32 = 50;

/// Dials at once after a rest. A guess: a small network is seen at once.
pub(super) const DIALS_BURST: u32 = 50;

/// Visits under way at once. A guess: those that don't answer hold their place for [`VISIT_TIMEOUT`].
pub(super) const VISITS_MAX: usize = 64;

/// How long one visit may take once there is a link. A guess: three questions on a slow line.
pub(super) const VISIT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long one dial may take. A guess: as long as a host waits.
pub(super) const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long all dials of one visit may take: each of its addresses over both transports is tried to the end.
pub(super) const DIALS_TIMEOUT: Duration = Duration::from_secs(2 * ADDRESSES_MAX as u64 * 5);

/// How long links that are closed are waited for at the end of a walk. A guess: their own linger, and a bit.
pub(super) const FAREWELL: Duration = Duration::from_millis(1_500);

/// Questions that one superpeer is asked within an hour. A guess: two in each of the most frequent walks.
pub(super) const QUESTIONS_PER_HOUR_MAX: u32 = 120;

/// Superpeers that one walk looks at. A guess: twice what the largest map holds.
pub(super) const SUPERPEERS_MAX: usize = 32_768;

/// Addresses that are tried for one superpeer. A guess: two of its hint, and two of an older one.
pub(super) const ADDRESSES_MAX: usize = 4;

/// Questions about parts that nobody's surroundings covered, in one walk. A guess: such parts are rare, and each
/// answer takes one away.
pub(super) const GAP_QUESTIONS_MAX: usize = 256;

/// The longest time between two walks. A guess: half of what makes a session unobserved.
pub(super) const INTERVAL_MAX: Duration = Duration::from_secs(30 * 60);

/// Time between two rounds of visits between walks. A guess: so that a census of thousands does not dial all the
/// time.
pub(super) const VISITS_PAUSE: Duration = Duration::from_secs(5);

/// With fewer than so many visits in a round, one that comes to nothing may be us as well as them. A guess.
pub(super) const ROUND_MIN: usize = 4;

/// Time between two readings of the book for what is there, between walks. Specification: each minute
/// (observability-and-ux §1.4, classes).
pub(super) const LEVELS_INTERVAL: Duration = Duration::from_secs(60);

/// Sessions that figures look back on. A guess: a month; the longest of their windows is four days, and more makes
/// survival less uncertain.
pub(super) const KEPT_IN_VIEW: Duration = Duration::from_secs(30 * 24 * 60 * 60);
