//! Every bound of the streams.
//!
//! What reaches a bound waits, or ends its link; either is counted.

use std::num::NonZeroU32;
use std::time::Duration;

use callbook_overlay::wire::FRAME_BYTES_MAX;

/// Bytes that wait to be written on one link; when there are more, the owner drops the link.
///
/// Guess: an owner may answer a whole batch of 64 requests of one link before it is flushed, each with
/// as much as a frame holds.
pub const OUTBOUND_BYTES_MAX: usize = 64 * FRAME_BYTES_MAX;

/// So much is written to a stream at once.
///
/// Specification: DETAILS and DESIGN §6, 8 KiB on a child's stream.
pub const WRITE_BYTES: usize = 8 * 1024;

/// Bytes read from a stream at once, into memory that all links of an owner share.
///
/// Guess: a whole chunk of a hand-over.
pub const READ_BYTES: usize = 16 * 1024;

/// A link's buffer larger than this is given back once it is written.
///
/// Guess: two records with their chains; ten thousand links hold 20 MB.
pub const IDLE_BUFFER_BYTES: usize = 2 * 1024;

/// How long a closed link waits for the other side to take what was sent and to close too.
///
/// Guess.
pub const LINGER: Duration = Duration::from_secs(1);

/// How many frames a second a link takes from the other side, once its burst is used up.
///
/// # Shape
/// A link above it is not read until the next frame is due, so the other side's queue fills up,
/// and not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Frames a second in the long run.
    pub frames_per_second: NonZeroU32,
    /// Frames at once.
    pub burst: u32,
}

/// The rate of a link unless the network's limits are lifted.
///
/// Guess: several times what one superpeer asks of another under full load, and a fraction of what
/// one thread decodes (measured: some 40,000 frames a second).
pub const RATE: Rate = Rate {
    frames_per_second: match NonZeroU32::new(5_000) {
        Some(rate) => rate,
        None => NonZeroU32::MIN,
    },
    burst: 10_000,
};
