//! Benchmarks of the look-up path.
