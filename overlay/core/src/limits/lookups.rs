//! Bounds of look-ups and watches.

use core::time::Duration;

use super::TTL_DEFAULT;

/// Of fewer closest to a name all count that are still taking their range over, when it is to be absent. *Guess*: half
/// of r, twice what a small network has.
pub const SPARED_FROM: usize = 10;

/// A storer with a link is given up by a look-up after this at the earliest. *Guess*: far above a
/// usual round trip, so that only one that hangs is passed over.
pub const STORER_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// A storer with a link is given up by a look-up after so many of its round trips. *Guess*.
pub const STORER_ROUND_TRIPS: u32 = 8;

/// Restarts of a look-up that is stuck. *Specification* (DESIGN §4).
pub const RESTARTS_MAX: usize = 2;

/// Paths that look-ups may begin, a second. *Guess*: one look-up in two seconds restarts once, and that costs no
/// more than what a busy superpeer sends anyway.
pub const PATHS_PER_SEC: u64 = 4;

/// The same, at once after a quiet time. *Guess*: eight look-ups restart once.
pub const PATHS_BURST: u64 = 64;

/// Steps of one look-up that are told. *Guess*: more than as a rule are asked; a walk may have 60 candidates.
pub const TRACE_MAX: usize = 64;

/// How long an absence is remembered. *Specification* (DESIGN §4).
pub const DENIAL_TTL: Duration = Duration::from_secs(60);

/// Storers that are being put right at once. *Guess*: a burst of them costs 64 KiB or so.
pub const MENDING_MAX: usize = 64;

/// Keys of one child that are watched. *Guess*.
pub const WATCHES_PER_CHILD_MAX: usize = 64;

/// Keys watched for children, counted once for each child. *Guess*: 70 look-ups a second.
pub const WATCHES_MAX: usize = 4_096;

/// Keys that one other superpeer watches here: all that it may watch for children.
pub const WATCHES_PER_SUPERPEER_MAX: usize = WATCHES_MAX;

/// Keys that other superpeers watch here, counted once for each. *Guess*: some 2 MiB.
pub const STORER_WATCHES_MAX: usize = 16_384;

/// Names that the local user watches. *Guess*: as many as a parent allows.
pub const LOCAL_WATCHES_MAX: usize = WATCHES_PER_CHILD_MAX;

/// Keys that one child may begin to watch at once. *Guess*: all that it may watch.
pub const WATCHES_BURST: u64 = WATCHES_PER_CHILD_MAX as u64;

/// Keys that one child may begin to watch, a second: each costs a look-up. *Guess*.
pub const WATCHES_PER_SEC: u64 = 2;

/// How long a watch holds. *Guess*: as an attachment.
pub const WATCH_LIFE: Duration = Duration::from_secs(600);

/// When a watch is renewed. *Guess*: as an attachment.
pub const WATCH_RENEW: Duration = Duration::from_secs(300);

/// Wait before a watch that failed is asked for again. *Guess*.
pub const WATCH_RETRY: Duration = Duration::from_secs(2);

/// How often a watched key is looked up all the same, jittered by half. *Specification* (the default
/// ttl, DESIGN §3).
pub const WATCH_POLL: Duration = TTL_DEFAULT;

/// Failed look-ups in a row after which a watched name counts as unknown. *Guess*.
pub const WATCH_FAILURES: u8 = 2;

/// Look-ups of one local watch under way at once. *Guess*: a push while another is being looked into.
pub const WATCH_LOOK_UPS_MAX: u8 = 4;
