//! Many runs, some at a time: rows of a table, seeds of a soak; and what is broken in them.
//!
//! A run that breaks a promise panics; here that becomes a [`Broken`] with what was said and where, and the
//! other runs go on. *Not here*: what has to hold (`scenario`), how it is told (the program).

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::random::Random;
use crate::report::Outcome;
use crate::scenario::{Options, Row};

/// A run that broke a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// What was said, and where in the code.
    pub why: String,
}

/// What a run came to.
pub type Ran = Result<Outcome, Broken>;

thread_local! {
    /// The last panic of this thread.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Panics are kept for [`attempt`] instead of being printed when they happen.
pub fn keep_panics() {
    std::panic::set_hook(Box::new(|panic| LAST.set(panic.to_string())));
}

/// Runs a row.
///
/// # Errors
/// The overlay's or ours: a promise is broken.
pub fn attempt(row: &'static Row, options: &Options) -> Ran {
    LAST.set(String::new());
    catch_unwind(AssertUnwindSafe(|| (row.run)(options))).map_err(|payload| {
        let kept = LAST.take();
        let said = payload.downcast_ref::<String>().cloned();
        let said = said.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let why = if kept.is_empty() { said.unwrap_or_else(|| String::from("a panic")) } else { kept };
        Broken { why }
    })
}

/// Runs all of a list, `at_once` at a time in its order; `tell` hears of each when it is done.
///
/// # Shape
/// In the order of the list, whatever ended first; shorter if `enough` said so before its end.
pub fn all<T: Sync>(
    list: &[T],
    at_once: usize,
    run: impl Fn(&T) -> Ran + Sync,
    tell: impl Fn(&T, &Ran) + Sync,
    enough: impl Fn(Instant) -> bool + Sync,
) -> Vec<Ran> {
    let (next, began) = (AtomicUsize::new(0), Instant::now());
    let done: Mutex<Vec<(usize, Ran)>> = Mutex::new(Vec::new());
    let work = || {
        while !enough(began) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = list.get(index) else { return };
            let ran = run(item);
            tell(item, &ran);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((index, ran));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..at_once.min(list.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, ran)| ran).collect()
}

/// Seeds that a text gives, a commit's name: others for each commit, and the same ones for the same.
#[must_use]
pub fn seeds_of(text: &str, count: usize) -> Vec<u64> {
    let mut random = Random::of(0, text);
    // Short enough to be typed.
    (0..count).map(|_| 1_000 + random.below(1_000_000_000)).collect()
}

/// Seeds of a file: the first word of each line that is no remark.
#[must_use]
pub fn seeds_in(text: &str) -> Vec<u64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Broken, all, attempt, seeds_in, seeds_of};
    use crate::report::Outcome;
    use crate::scenario::{Options, Row};

    fn run(options: &Options) -> Outcome {
        assert!(options.seed != 3, "seed 3 is bad");
        Outcome {
            row: "x",
            what: "a run",
            seed: options.seed,
            peers: 1,
            figures: Vec::new(),
            remarks: Vec::new(),
            curves: Default::default(),
            trace: 0,
        }
    }

    const ROW: Row = Row { letter: "x", what: "a run", run };

    #[test]
    fn a_broken_run_is_told_and_the_others_go_on() {
        // Goal: one bad seed hides no other. Method: five seeds of which one panics, two at a time; then a
        // soak whose time is up at once.
        let seeds: Vec<u64> = (1..=5).collect();
        let one = |seed: &u64| attempt(&ROW, &Options { seed: *seed, ..Options::default() });
        let ran = all(&seeds, 2, one, |_, _| {}, |_| false);
        let fine: Vec<Option<u64>> =
            ran.iter().map(|ran| ran.as_ref().ok().map(|outcome| outcome.seed)).collect();
        assert_eq!(fine, [Some(1), Some(2), None, Some(4), Some(5)]);
        assert!(matches!(&ran[2], Err(Broken { why }) if why.contains("seed 3 is bad")));
        assert!(all(&seeds, 2, one, |_, _| {}, |_| true).is_empty());
    }

    #[test]
    fn a_commit_gives_its_seeds_and_another_gives_others() {
        // Goal: a red run can be run again, and the next commit looks elsewhere. Method: twice, and another.
        assert_eq!(seeds_of("abc", 20), seeds_of("abc", 20));
        assert!(seeds_of("abc", 20).iter().all(|seed| !seeds_of("abd", 20).contains(seed)));
        assert_eq!(seeds_in("# a remark\n4 why\n\n17\n"), [4, 17]);
    }
}
