//! The rows of the table: what the overlay has to reach, each in a file of its own.
//!
//! A row names its size, its churn and its bars (issue 4); the stage ([`stage`]) is common to all. `quick` is
//! a tenth of the size and of the time: its bars are shown, but only a broken invariant fails it.
//! *Not here*: how figures are shown (`report`).

mod brutal;
mod calm;
mod file_sharing;
mod flash_crowd;
mod growth;
mod hot_absence;
mod literature;
mod literature_large;
mod login_down;
mod lossy;
mod mass_failure;
mod modern;
mod parted;
mod skype_2007;
mod skype_2010;
pub mod stage;
mod turmoil;

use std::sync::Arc;

use crate::churn::trace::Change;
use crate::network::trips::Trips;
use crate::progress::Progress;
use crate::report::Outcome;
use crate::time::{MINUTE, Micros};

/// What the user may choose.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// A tenth of the size.
    pub quick: bool,
    /// Instead of the row's number of peers.
    pub peers: Option<u32>,
    /// Instead of the row's number of superpeers.
    pub superpeers: Option<u32>,
    /// Instead of the row's time of measuring.
    pub measured: Option<Micros>,
    /// Instead of the row's time before that.
    pub warm_up: Option<Micros>,
    /// Who hears how far it is.
    pub progress: Progress,
    /// Between which moments to print what happens.
    pub log: Option<(Micros, Micros)>,
    /// Whether each answer tells its way in the log; answers are longer then, so it is another run.
    pub way: bool,
    /// When peers come and go, instead of the row's own churn.
    pub changes: Option<Arc<[Change]>>,
    /// How long round trips take, instead of a plane.
    pub trips: Option<Arc<Trips>>,
    /// Whether signatures are real and frames pass through the codec; `None`: as the size asks for.
    pub real: Option<bool>,
    /// Instead of half: the share of crashes that take the machine along, of those that are not of a row's own kind.
    pub machines: Option<f64>,
}

impl Options {
    /// Peers of a row that is to have so many.
    #[must_use]
    pub fn size(&self, peers: u32) -> u32 {
        self.peers.unwrap_or(if self.quick { peers / 10 } else { peers }).max(4)
    }

    /// Time of a row that is to take so long, warm-up and measuring. *Guess* for quick ones: all have
    /// attached and registered after four minutes.
    #[must_use]
    pub fn time(&self, warm_up: Micros, measured: Micros) -> (Micros, Micros) {
        let (warm, long) = if self.quick {
            (warm_up.min(6 * MINUTE), measured.min(6 * MINUTE))
        } else {
            (warm_up, measured)
        };
        (self.warm_up.unwrap_or(warm), self.measured.unwrap_or(long))
    }
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its letter.
    pub letter: &'static str,
    /// What it is about.
    pub what: &'static str,
    /// Runs it.
    pub run: fn(&Options) -> Outcome,
}

/// All rows, in the table's order.
pub const ROWS: [&Row; 16] = [
    &calm::ROW,
    &turmoil::ROW,
    &literature::ROW,
    &literature_large::ROW,
    &modern::ROW,
    &file_sharing::ROW,
    &brutal::ROW,
    &skype_2007::ROW,
    &skype_2010::ROW,
    &mass_failure::ROW,
    &login_down::ROW,
    &parted::ROW,
    &hot_absence::ROW,
    &lossy::ROW,
    &flash_crowd::ROW,
    &growth::ROW,
];

/// Bytes a second that a peer can send where capacity is the point. *Guess*: 10 Mbit/s, a home's uplink.
const UPLINK: u64 = 1_250_000;

/// Row B, which `scale` runs.
pub const MODERN: &Row = &modern::ROW;

/// The row of a letter.
#[must_use]
pub fn row(letter: &str) -> Option<&'static Row> {
    ROWS.iter().copied().find(|row| row.letter.eq_ignore_ascii_case(letter))
}

/// Superpeers for so many peers that are online: what the overlay aims for (DESIGN §5, issue 3).
#[must_use]
pub fn superpeers_for(online: u32) -> u32 {
    (online / 100).max(24).min(online / 2)
}
