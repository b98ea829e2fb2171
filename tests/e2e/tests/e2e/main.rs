//! End-to-end tests over the real binaries, and `tidy`: what must hold for the repository as a whole.

mod accounts;
mod clocks;
mod commands;
mod demo;
mod folders;
mod networks;
mod observing;
mod restarts;
mod tidy;
mod whole_path;
