//! The login/bootstrap server.
fn main() {}
