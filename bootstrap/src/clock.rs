//! The only place of the login server that reads a clock.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use callbook_overlay::time::{Instant, Now, Unix};

/// Reads both clocks.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// The machine's clocks; instants count from this call.
#[must_use]
pub fn system() -> Clock {
    let origin = std::time::Instant::now();
    Arc::new(move || Now {
        instant: Instant::from_micros(u64::try_from(origin.elapsed().as_micros()).unwrap_or(u64::MAX)),
        unix: wall(),
    })
}

/// The wall clock.
#[must_use]
pub fn wall() -> Unix {
    // A clock before 1970 is off by decades; checks against certificates will say so.
    Unix::from_secs(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}
