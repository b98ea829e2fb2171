//! The only place that reads a clock.
//!
//! The overlay is handed both clocks once per turn. Its instants count microseconds from the start of
//! this [`Clock`].

use std::time::{SystemTime, UNIX_EPOCH};

use callbook_overlay::time::{Instant, Now, Unix};

/// Both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: tokio::time::Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }

    /// Both clocks, for one turn.
    pub(crate) fn now(&self) -> Now {
        let micros = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        // A clock before 1970 is off by decades, which the neighbours' clocks will show.
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Now { instant: Instant::from_micros(micros), unix: Unix::from_secs(unix) }
    }

    /// The monotonic clock alone, for time-outs of the driver's own.
    pub(crate) fn monotonic() -> tokio::time::Instant {
        tokio::time::Instant::now()
    }

    /// The runtime's name for an instant of the overlay.
    pub(crate) fn at(&self, instant: Instant) -> tokio::time::Instant {
        self.origin + instant.since(Instant::default())
    }
}
