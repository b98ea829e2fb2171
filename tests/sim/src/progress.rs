//! How far a run is, told to whoever wants to know.
//!
//! The library draws nothing: a run calls what it was given, every few seconds of virtual time. *Not here*:
//! bars (the program's).

use std::fmt;
use std::sync::Arc;

use crate::time::Micros;

/// A moment of a run.
#[derive(Debug, Clone, Copy)]
pub struct Far {
    /// The row's letter.
    pub row: &'static str,
    /// Virtual time that has passed.
    pub now: Micros,
    /// When the run is expected to end; what a row does after measuring comes on top.
    pub end: Micros,
    /// Superpeers that run.
    pub superpeers: usize,
    /// Children that run.
    pub children: usize,
    /// Turns of overlays so far.
    pub turns: u64,
}

/// Who hears of it; by default nobody.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<dyn Fn(Far) + Send + Sync>>);

impl Progress {
    /// Calls this every few seconds of virtual time.
    pub fn told_to(hears: impl Fn(Far) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hears)))
    }

    pub(crate) fn tell(&self, far: impl FnOnce() -> Far) {
        if let Some(hears) = &self.0 {
            hears(far());
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Progress(told)" } else { "Progress(silent)" })
    }
}
