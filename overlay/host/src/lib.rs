//! Runs the overlay under libp2p: driver, clock, store, metrics.
