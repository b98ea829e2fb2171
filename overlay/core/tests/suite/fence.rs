//! The fence around the core: no runtime, socket or entropy among its dependencies.

use std::process::Command;

/// Crates that would let a clock, a socket, a thread or entropy in.
const BANNED: [&str; 14] = [
    "tokio",
    "mio",
    "socket2",
    "async-std",
    "smol",
    "futures-timer",
    "libp2p",
    "libp2p-identity",
    "quinn",
    "getrandom",
    "rand",
    "fastrand",
    "ahash",
    "hashbrown",
];

/// Goal: the core can't reach IO or entropy even through a dependency. Method: read cargo's own tree
/// of its normal dependencies; that the tree names a known dependency shows that it was read.
#[test]
fn no_dependency_brings_io_or_entropy() {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let output = Command::new(cargo)
        .args(["tree", "-p", "callbook-overlay", "-e", "normal", "--prefix", "none"])
        .args(["--locked", "--offline", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"blake3"), "not a dependency tree: {tree}");
    let found: Vec<_> = BANNED.iter().filter(|banned| names.contains(banned)).collect();
    assert!(found.is_empty(), "the core depends on {found:?}");
}
