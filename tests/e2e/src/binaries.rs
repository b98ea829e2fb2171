//! Where the binaries are, and that they are of these sources.
//!
//! Cargo builds no other package's binary for a test, so the first process that is started builds
//! both, once per run (the build lock is free while tests run), with the profile of the test itself.
//! `CALLBOOK_BIN_DIR` names a folder of binaries to use instead, as they are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// How the names begin of what cargo tells a package that it runs.
const OF_A_PACKAGE: [&str; 3] = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_"];

/// One of the two programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `callbook`.
    Callbook,
    /// `callbook-bootstrap`.
    Bootstrap,
}

impl Program {
    /// Its file.
    ///
    /// # Panics
    /// It can't be built.
    #[must_use]
    pub fn path(self) -> PathBuf {
        static FOLDER: OnceLock<PathBuf> = OnceLock::new();
        FOLDER.get_or_init(build).join(match self {
            Self::Callbook => "callbook",
            Self::Bootstrap => "callbook-bootstrap",
        })
    }
}

/// The workspace's folder.
#[must_use]
pub fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).expect("the package lies two folders below the workspace")
}

fn build() -> PathBuf {
    if let Some(folder) = std::env::var_os("CALLBOOK_BIN_DIR") {
        return folder.into();
    }
    let test = std::env::current_exe().expect("a running test has a file");
    // …/target/debug/deps/e2e-0123456789abcdef
    let above = test.parent().expect("a program lies in a folder");
    // …/target/release/a-program lies beside them already.
    let tests = above.file_name().is_some_and(|name| name == "deps");
    let folder = if tests { above.parent().unwrap_or(above) } else { above }.to_owned();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace()).args(["build", "--quiet", "--locked", "--bins"]);
    cargo.args(["-p", "callbook", "-p", "callbook-bootstrap"]);
    // What cargo says to this test of its own package would have dependencies built again whose build scripts
    // look at it, and whatever stands on them.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| OF_A_PACKAGE.iter().any(|prefix| name.starts_with(prefix))) {
            cargo.env_remove(name);
        }
    }
    match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => {}
        Some(profile) => {
            cargo.args(["--profile", profile]);
        }
    }
    let status = cargo.status().expect("cargo can be started");
    assert!(status.success(), "the binaries can't be built: {status}");
    folder
}
