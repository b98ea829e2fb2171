//! Churn from a file: who joined and left when.
//!
//! # Shape
//! CSV, `seconds,peer,event` a line, ascending in time: seconds since the beginning (may have a fraction),
//! the peer's number from 0, and `join` or `leave`. Empty lines, those that begin with `#` and a heading
//! are passed over. *Not here*: what a peer does when it joins.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::time::{Micros, SECOND};

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Micros,
    /// Who.
    pub peer: u32,
    /// Whether it joins; else it leaves.
    pub joins: bool,
}

/// What is wrong with a file: the user's fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceError {
    /// From 1.
    pub line: usize,
    /// What was expected.
    pub expected: &'static str,
}

impl std::fmt::Display for TraceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: expected {}", self.line, self.expected)
    }
}

impl std::error::Error for TraceError {}

/// Reads a file's text.
///
/// # Errors
/// The user's: a line that is not of the shape, or is earlier than the one before it.
pub fn read(text: &str) -> Result<Vec<Change>, TraceError> {
    let mut changes: Vec<Change> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let heading = index == 0 && line.starts_with("seconds");
        if line.is_empty() || line.starts_with('#') || heading {
            continue;
        }
        let wrong = |expected| TraceError { line: index + 1, expected };
        let mut fields = line.split(',').map(str::trim);
        let (Some(seconds), Some(peer), Some(event), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(wrong("seconds,peer,event"));
        };
        let seconds = seconds.parse::<f64>().ok().filter(|seconds| (0.0..1e9).contains(seconds));
        let at = (seconds.ok_or(wrong("seconds since the beginning"))? * SECOND as f64) as Micros;
        let peer = peer.parse().map_err(|_| wrong("a peer's number"))?;
        let joins = match event {
            "join" => true,
            "leave" => false,
            _ => return Err(wrong("join or leave")),
        };
        if changes.last().is_some_and(|last| last.at > at) {
            return Err(wrong("a time that is not before the last one"));
        }
        changes.push(Change { at, peer, joins });
    }
    Ok(changes)
}

/// How many peers there are: one more than the greatest number.
#[must_use]
pub fn count(changes: &[Change]) -> u32 {
    changes.iter().map(|change| change.peer + 1).max().unwrap_or(0)
}

/// The peers that are there longest in all, so many.
#[must_use]
pub fn longest(changes: &[Change], count: usize) -> BTreeSet<u32> {
    let end = changes.last().map_or(0, |change| change.at);
    let (mut since, mut there): (BTreeMap<u32, Micros>, BTreeMap<u32, Micros>) = Default::default();
    for change in changes {
        if change.joins {
            since.entry(change.peer).or_insert(change.at);
        } else if let Some(from) = since.remove(&change.peer) {
            *there.entry(change.peer).or_default() += change.at - from;
        }
    }
    for (peer, from) in since {
        *there.entry(peer).or_default() += end - from;
    }
    let mut ranked: Vec<(Reverse<Micros>, u32)> =
        there.into_iter().map(|(peer, time)| (Reverse(time), peer)).collect();
    ranked.sort_unstable();
    ranked.into_iter().take(count).map(|(_, peer)| peer).collect()
}

#[cfg(test)]
mod tests {
    use super::{Change, count, longest, read};
    use crate::time::SECOND;

    #[test]
    fn who_is_there_longest_is_told_whether_or_not_it_leaves() {
        // Goal: superpeers of a file are its stable peers. Method: one that stays, one that comes twice, one
        // that is there for a moment.
        let changes =
            read("0,0,join\n0,4,join\n1,4,leave\n2,2,join\n5,0,leave\n6,0,join\n9,2,join\n9,0,leave\n");
        let changes = changes.expect("a good file");
        assert_eq!(count(&changes), 5);
        assert_eq!(longest(&changes, 1).into_iter().collect::<Vec<_>>(), [0]);
        assert_eq!(longest(&changes, 2).into_iter().collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn a_file_is_read_or_its_first_bad_line_is_named() {
        // Goal: the shape. Method: a good file, then one of each fault.
        let text = "seconds,peer,event\n# a remark\n0,3,join\n\n1.5, 4 ,leave\n";
        let good =
            [Change { at: 0, peer: 3, joins: true }, Change { at: 3 * SECOND / 2, peer: 4, joins: false }];
        assert_eq!(read(text), Ok(good.to_vec()));
        let faults =
            ["1,2", "1,2,join,4", "x,2,join", "-1,2,join", "1,y,join", "1,2,stay", "2,1,join\n1,1,leave"];
        for fault in faults {
            let error = read(fault).expect_err(fault);
            assert_eq!(error.line, fault.lines().count(), "{fault}");
        }
    }
}
