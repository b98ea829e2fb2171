//! Round trips from a file: what was measured between real machines.
//!
//! # Shape
//! CSV, `from,to,milliseconds` a line: two machines by number from 0 and the round trip between them. Empty
//! lines, those that begin with `#` and a heading are passed over. What is given one way holds both ways;
//! a pair that is missing, and two peers at one machine, take the mean of what was measured at either.
//! Peers are put on machines by chance, several on each if there are more peers. *Not here*: planes.

use std::fmt;

use crate::time::{MILLISECOND, Micros};

/// No more machines than this: a million pairs. *Guess*: King's data set has 1,740.
const MACHINES_MAX: u32 = 4_096;

/// Nobody is nearer, one way. *Guess*, as in the plane.
const ONE_WAY_MIN: f32 = 0.5;

/// Round trips between machines.
#[derive(Debug, Clone, PartialEq)]
pub struct Trips {
    count: u32,
    /// Milliseconds by rows; below 0 where nothing was measured.
    pairs: Vec<f32>,
    /// The mean at each machine.
    means: Vec<f32>,
}

/// What is wrong with a file: the user's fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TripsError {
    /// From 1; 0 for the whole file.
    pub line: usize,
    /// What was expected.
    pub expected: &'static str,
}

impl fmt::Display for TripsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: expected {}", self.line, self.expected)
    }
}

impl std::error::Error for TripsError {}

fn read_line(line: &str) -> Result<(u32, u32, f32), &'static str> {
    let mut fields = line.split(',').map(str::trim);
    let (Some(from), Some(to), Some(trip), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err("from,to,milliseconds");
    };
    let machine = |text: &str| text.parse().ok().filter(|number: &u32| *number < MACHINES_MAX);
    let (Some(from), Some(to)) = (machine(from), machine(to)) else {
        return Err("two machines' numbers, below 4,096");
    };
    let trip = trip.parse().ok().filter(|trip: &f32| (0.0..1e6).contains(trip));
    Ok((from, to, trip.ok_or("a round trip in milliseconds")?))
}

impl Trips {
    /// Reads a file's text.
    ///
    /// # Errors
    /// The user's: a line that is not of the shape, or no pair of two machines at all.
    pub fn read(text: &str) -> Result<Self, TripsError> {
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let heading = index == 0 && line.starts_with("from");
            if !line.is_empty() && !line.starts_with('#') && !heading {
                lines.push(read_line(line).map_err(|expected| TripsError { line: index + 1, expected })?);
            }
        }
        lines.retain(|(from, to, _)| from != to);
        let count = lines.iter().map(|(from, to, _)| from.max(to) + 1).max();
        let count = count.ok_or(TripsError { line: 0, expected: "at least one pair of machines" })?;
        let at = |from: u32, to: u32| from as usize * count as usize + to as usize;
        let mut pairs = vec![-1.0; count as usize * count as usize];
        for (from, to, trip) in lines {
            pairs[at(from, to)] = trip;
            if pairs[at(to, from)] < 0.0 {
                pairs[at(to, from)] = trip;
            }
        }
        let mean = |trips: &[f32]| {
            let known: Vec<f32> = trips.iter().copied().filter(|trip| *trip >= 0.0).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f32>() / known.len() as f32)
        };
        let all = mean(&pairs).unwrap_or(0.0);
        let means = pairs.chunks(count as usize).map(|row| mean(row).unwrap_or(all)).collect();
        Ok(Self { count, pairs, means })
    }

    /// How many machines there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// One way from a machine to another.
    pub(super) fn one_way(&self, from: u32, to: u32) -> Micros {
        let known = self.pairs[from as usize * self.count as usize + to as usize];
        let trip =
            if known < 0.0 { (self.means[from as usize] + self.means[to as usize]) / 2.0 } else { known };
        ((trip / 2.0).max(ONE_WAY_MIN) * MILLISECOND as f32) as Micros
    }
}

#[cfg(test)]
mod tests {
    use super::Trips;

    #[test]
    fn measured_trips_hold_both_ways_and_the_rest_is_guessed_from_them() {
        // Goal: every pair has a round trip. Method: three machines with one pair missing and one given twice.
        let trips =
            Trips::read("from,to,milliseconds\n0,1,100\n\n1, 0, 120\n# far\n1,2,300\n").expect("good");
        assert_eq!(trips.count(), 3);
        assert_eq!((trips.one_way(0, 1), trips.one_way(1, 0)), (50_000, 60_000));
        assert_eq!((trips.one_way(1, 2), trips.one_way(2, 1)), (150_000, 150_000));
        // Means are 100 at machine 0 and 300 at machine 2.
        assert_eq!((trips.one_way(0, 2), trips.one_way(2, 2)), (100_000, 150_000));
    }

    #[test]
    fn a_bad_line_is_named() {
        // Goal: the user finds the fault. Method: one of each.
        for fault in ["0,1", "0,1,2,3", "x,1,2", "0,5000,2", "0,1,-2", "0,1,2\n1,0,NaN"] {
            let error = Trips::read(fault).expect_err(fault);
            assert_eq!(error.line, fault.lines().count(), "{fault}");
        }
        assert_eq!(Trips::read("3,3,1\n").map_err(|error| error.line), Err(0));
    }
}
