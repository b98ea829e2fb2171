//! Bounds of records that move: hand-over, repair, comparison.

use core::time::Duration;

use super::STORED_MAX;

/// Bits of a range that can be asked for: a sixteenth of it has four more, and an item tells 64. *Specification* (`wire.cddl`).
pub const RANGE_BITS_MAX: u8 = 60;

/// Items in one message: a range with more is told by the hashes of its sixteenths. *Guess*: 4 KiB.
pub const ITEMS_MAX: usize = 256;

/// Items of a range that one hash is taken over; that of more is taken over the hashes of both halves.
/// *Specification* (`wire.cddl`).
pub const HASHED_ITEMS: usize = 64;

/// Items that may be read, a second, for one superpeer that compares records or moves them. *Guess*: a
/// hundredth of a core (150 ns each).
pub const MOVING_WORK_PER_SEC: u64 = 65_536;

/// The same, at once after a quiet time. *Guess*: all that a superpeer stores.
pub const MOVING_WORK_BURST: u64 = STORED_MAX as u64;

/// What an item that is offered costs of that: to see whether it is ours takes longer. *Guess*.
pub const OFFERED_ITEM_WORK: usize = 8;

/// Peers without a link of which is remembered what they have spent. *Guess*.
pub const SPENT_MAX: usize = 1_024;

/// Times that a request to compare or move records waits until its peer has time. *Guess*.
pub const PUT_OFF_MAX: u8 = 8;

/// Longest such wait. *Guess*: until a debt of [`MOVING_WORK_BURST`] is paid.
pub const PUT_OFF_WAIT_MAX: Duration = Duration::from_secs(5);

/// Bytes of records in one answer to a pull. *Specification* (DESIGN §6).
pub const PULLED_BYTES_MAX: usize = 16 * 1024;

/// Records asked for by one pull. *Guess*: about as many as one answer has room for.
pub const PULL_ITEMS: usize = 32;

/// Superpeers from which a newcomer takes its range over. *Specification* (DESIGN §4, *Repair*).
pub const HAND_OVER_SOURCES: usize = 2;

/// Superpeers that a newcomer tries in all; those that fail, and those that are syncing themselves,
/// don't count as sources. *Guess*.
pub const HAND_OVER_TRIES: usize = 16;

/// Keys drawn to see whether the sources hold all that becomes ours. *Guess*.
pub const HAND_OVER_SAMPLES: usize = 64;

/// How long after joining a newcomer still pulls from superpeers that prove to be nearer. *Guess*.
pub const HAND_OVER_WINDOW: Duration = Duration::from_secs(60);

/// When a newcomer compares once more with its two nearest, after it joined. *Guess*: after a put that was
/// under way, and when [`HAND_OVER_WINDOW`] is over.
pub const HAND_OVER_AGAIN: [Duration; 2] = [Duration::from_secs(12), HAND_OVER_WINDOW];

/// One of so many nearest is compared with in each [`REFRESH_INTERVAL`](super::REFRESH_INTERVAL). *Guess*; that it is done again and again
/// and not only for a reason is Bamboo's answer to churn (paper).
pub const NEIGHBOURS_COMPARED: usize = 3;

/// By a chance of one in so many it is one of the r closest. *Guess*: a group of six that are nearest to one another compares
/// with somebody else more than once in a minute, and who holds only a part of what we do takes more bytes to compare with.
pub const STORERS_COMPARED_EACH: usize = 4;

/// Records that a superpeer may name and not give before it is left. *Guess*: some are replaced, or end,
/// between two messages.
pub const BROKEN_PROMISES_MAX: usize = 16;

/// Records that storers have missed, all together. *Guess*: those of a minute, some 200 KiB.
pub const MISSED_MAX: usize = 256;

/// For how long it is known who has missed a record. *Guess*: after that it was away for long, and is compared with by its
/// neighbours.
pub const MISSED_FOR: Duration = Duration::from_secs(600);

/// Records that one that is back is given of those that it missed. *Guess*: half of [`MENDING_MAX`], as for
/// [`GIVEN_MAX`].
///
/// [`MENDING_MAX`]: super::MENDING_MAX
pub const MISSED_GIVEN: usize = 32;

/// Newer records that one with whom records are compared is given. *Guess*: half of [`MENDING_MAX`], so that it
/// doesn't keep others from being put right.
///
/// [`MENDING_MAX`]: super::MENDING_MAX
pub const GIVEN_MAX: usize = 32;

/// Questions to a superpeer beyond one for each item that it proves to hold. *Guess*: hashes lead down
/// three or four steps before the first items come, and to parts of which little is ours.
pub const UNPROVEN_REQUESTS: usize = 256;

/// Time for a superpeer's answers beyond [`UNPROVEN_TIME_PER_ITEM`]. *Guess*: the first items come after
/// four round trips, and twice it may have to be waited for.
pub const UNPROVEN_TIME: Duration = Duration::from_secs(10);

/// Time for each item that a superpeer proves to hold. *Guess*: a pull brings some 16, and takes less than
/// a second.
pub const UNPROVEN_TIME_PER_ITEM: Duration = Duration::from_millis(60);

/// A repair begins within this after a death. *Specification* (DETAILS *Records*).
pub const REPAIR_WITHIN: Duration = Duration::from_secs(10);

/// Times that one superpeer may be gone or back within [`RETURNS_WINDOW`] and be repaired within
/// [`REPAIR_WITHIN`]; from then on each repair waits twice as long as the one before. *Guess*: a restart
/// that fails once.
pub const RETURNS_MAX: u32 = 4;

/// See [`RETURNS_MAX`]; also the longest wait. *Guess*.
pub const RETURNS_WINDOW: Duration = Duration::from_secs(600);

/// Who has not told what it holds after this counts as silent. *Guess*.
pub const REPAIR_TIMEOUT: Duration = Duration::from_secs(120);

/// Superpeers that a repair asks for one record that has perhaps replaced a scarce one. *Guess*: one, and
/// another if it fails.
pub const OTHERS_TRIES: usize = 2;

/// So many of the nearest superpeers to a key look after its number of copies. *Guess*: one, and two in
/// case that it holds no copy.
pub const REPAIRERS: usize = 3;

/// Places where somebody is gone, or back, that wait for the next repair; further ones are left to the
/// publishers. *Guess*.
pub const CHANGED_MAX: usize = 1_024;

/// A leaver has left after this, whatever it has not pushed yet. *Guess*.
pub const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// Pairs of records with one version and two bodies that are kept as proof. *Guess*.
pub const EQUIVOCATIONS_MAX: usize = 64;
