//! Places in a plane: round trips in proportion to distance.
//!
//! A unit square; the mean distance of two random points in it is (2 + √2 + 5 asinh 1)/15, so the mean round
//! trip can be set exactly. Source: p2psim's Euclidean topology (directories.md §3.5); the mean by Ghosh
//! (1951). *Not here*: what varies from packet to packet.

use crate::random::Random;
use crate::time::{MILLISECOND, Micros};

/// Mean distance of two random points of the unit square.
const MEAN_DISTANCE: f64 = 0.521_405_433_164_720_7;

/// No two machines are nearer, one way. *Guess*.
const ONE_WAY_MIN: Micros = MILLISECOND / 2;

/// A point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    x: f32,
    y: f32,
}

impl Place {
    pub(super) fn drawn(random: &mut Random) -> Self {
        Self { x: random.unit() as f32, y: random.unit() as f32 }
    }

    /// One way to another place, where the mean round trip is given.
    pub(super) fn one_way(&self, other: &Self, round_trip: Micros) -> Micros {
        let (x, y) = (f64::from(self.x - other.x), f64::from(self.y - other.y));
        let distance = (x * x + y * y).sqrt() / MEAN_DISTANCE;
        ((distance * round_trip as f64 / 2.0) as Micros).max(ONE_WAY_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::Place;
    use crate::random::Random;
    use crate::time::MILLISECOND;

    #[test]
    fn the_mean_round_trip_is_the_one_that_was_asked_for() {
        // Goal: the scale of the plane. Method: the mean over many pairs, and the way back is as long.
        let mut random = Random::of(1, "places");
        let mut sum = 0;
        for _ in 0..50_000 {
            let (one, other) = (Place::drawn(&mut random), Place::drawn(&mut random));
            let there = one.one_way(&other, 180 * MILLISECOND);
            assert_eq!(there, other.one_way(&one, 180 * MILLISECOND));
            sum += 2 * there;
        }
        let mean = sum / 50_000;
        assert!(mean.abs_diff(180 * MILLISECOND) < 2 * MILLISECOND, "{mean} µs");
    }
}
