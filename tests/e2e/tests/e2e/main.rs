//! End-to-end tests over the real binaries, and `tidy`: what must hold for the repository as a whole.

mod accounts;
mod clocks;
mod commands;
mod counting;
mod demo;
mod failing;
mod folders;
mod lies;
mod moving;
mod networks;
mod observing;
mod page;
mod restarts;
mod strangers;
mod terminal;
mod tidy;
mod watching;
mod whole_path;
