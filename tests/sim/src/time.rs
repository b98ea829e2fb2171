//! Virtual time: microseconds since the run began.

/// A moment or a length of virtual time, in microseconds.
pub type Micros = u64;

/// One millisecond.
pub const MILLISECOND: Micros = 1_000;
/// One second.
pub const SECOND: Micros = 1_000 * MILLISECOND;
/// One minute.
pub const MINUTE: Micros = 60 * SECOND;
/// One hour.
pub const HOUR: Micros = 60 * MINUTE;
/// One day.
pub const DAY: Micros = 24 * HOUR;

/// Wall-clock time of all peers at the beginning, in seconds since 1970.
pub const START_UNIX: u64 = 1_800_000_000;

/// Seconds as virtual time, at least one microsecond, so that nothing happens at the moment that causes it.
#[must_use]
pub fn from_secs(seconds: f64) -> Micros {
    ((seconds * SECOND as f64) as Micros).max(1)
}

/// Virtual time in seconds.
#[must_use]
pub fn secs(time: Micros) -> f64 {
    time as f64 / SECOND as f64
}
