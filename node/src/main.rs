//! The Callbook peer.
fn main() {}
