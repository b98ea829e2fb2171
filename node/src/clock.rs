//! The only place of this program that reads the wall clock, and how its times are written.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use callbook_overlay::time::Unix;

/// Now, by the wall clock.
pub(crate) fn wall() -> Unix {
    // A clock before 1970 is off by decades, which the neighbours' clocks will show.
    Unix::from_secs(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

/// As RFC 3339 in UTC, such as `2026-11-21T10:00:00Z`.
pub(crate) fn rfc3339(time: Unix) -> String {
    // The year 9999 is the last that the format can say.
    let last = 253_402_300_799;
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(time.as_secs().min(last))).to_string()
}

/// How many seconds it is until a time that is written so; 0 once it has passed. None if it is no time.
pub(crate) fn seconds_until(written: &str, now: Unix) -> Option<u64> {
    let until = humantime::parse_rfc3339(written).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(until.as_secs().saturating_sub(now.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_and_never_panic() {
        // Goal: the format, and that a peer's absurd time is no panic. Method: zero and the largest.
        assert_eq!(rfc3339(Unix::from_secs(0)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(Unix::from_secs(u64::MAX)), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn what_was_written_is_read_again() {
        // Goal: how long until a time, and nothing of what is none. Method: ahead, past, and no time.
        let now = Unix::from_secs(1_000);
        let until = |seconds| seconds_until(&rfc3339(Unix::from_secs(seconds)), now);
        assert_eq!([until(1_060), until(900)], [Some(60), Some(0)]);
        assert_eq!(seconds_until("soon", now), None);
    }
}
