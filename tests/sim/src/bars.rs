//! Progress on the terminal: a bar for each run under way, nothing where nobody looks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use callbook_sim::progress::{Far, Progress};
use callbook_sim::time::SECOND;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bars of all runs.
#[derive(Clone)]
pub(crate) struct Bars {
    all: MultiProgress,
    rows: Arc<Mutex<BTreeMap<&'static str, Row>>>,
}

struct Row {
    bar: ProgressBar,
    began: Instant,
}

impl Bars {
    /// On standard error, and hidden off a terminal.
    pub(crate) fn on_terminal() -> Self {
        Self { all: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()), rows: Arc::default() }
    }

    /// What a run calls.
    pub(crate) fn progress(&self) -> Progress {
        let bars = self.clone();
        Progress::told_to(move |far| bars.tell(&far))
    }

    fn tell(&self, far: &Far) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let row = rows.entry(far.row).or_insert_with(|| Row {
            bar: self.all.add(styled("{msg} {wide_bar} {percent:>3} %  {eta:>4}", far.end / SECOND)),
            began: Instant::now(),
        });
        let rate = far.turns as f64 / row.began.elapsed().as_secs_f64().max(1e-3);
        let word = format!(
            "{:<8} {:>6} s, {} + {} peers, {:>4.0} k turns/s",
            far.row,
            far.now / SECOND,
            far.superpeers,
            far.children,
            rate / 1_000.0
        );
        row.bar.set_message(word);
        row.bar.set_position((far.now / SECOND).min(far.end / SECOND));
    }

    /// A bar that counts whole runs.
    pub(crate) fn count(&self, what: &'static str, runs: u64) -> ProgressBar {
        let bar = self.all.add(styled("{msg} {wide_bar} {pos}/{len}  {eta:>4}", runs));
        bar.set_message(what);
        bar
    }

    /// A run is over.
    pub(crate) fn done(&self, row: &'static str) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = rows.remove(row) {
            row.bar.finish_and_clear();
        }
    }

    /// Prints a line above the bars, or just prints it.
    #[expect(clippy::print_stderr, reason = "what goes wrong is told on the terminal")]
    pub(crate) fn say(&self, line: &str) {
        self.all.suspend(|| eprintln!("{line}"));
    }
}

fn styled(template: &str, length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        // A bar of another form is no reason to stop.
        Err(_) => bar,
    }
}
