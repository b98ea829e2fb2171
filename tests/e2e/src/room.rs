//! What a test has to itself: a folder, an environment, a loopback address, and its turn.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::{Outcome, Program};

/// Rooms that are in use at once. A guess: two networks keep two cores busy.
const ROOMS_MAX: usize = 2;

/// Variables that reach the processes of a test; nothing else does.
const KEPT: [&str; 5] = ["PATH", "TMPDIR", "RUST_BACKTRACE", "LLVM_PROFILE_FILE", "LD_LIBRARY_PATH"];

/// A test's own folder and environment. Gone when the last of its processes is.
#[derive(Debug)]
pub struct Room {
    folder: tempfile::TempDir,
    address: Ipv4Addr,
    _turn: Turn,
}

impl Room {
    /// Waits for a turn and makes a room.
    ///
    /// # Panics
    /// There is no place for temporary files.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let turn = Turn::take();
        let folder = tempfile::Builder::new().prefix("callbook-e2e-").tempdir().expect("a temporary folder");
        for (name, mode) in [("run", 0o700), ("home", 0o755)] {
            let made = std::fs::DirBuilder::new().mode(mode).create(folder.path().join(name));
            made.expect("a temporary folder can be written");
        }
        Arc::new(Self { folder, address: own_address(), _turn: turn })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A loopback address for the processes of this room alone, so that no other test takes a port
    /// that one of them had and comes back to.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// A file with this content.
    ///
    /// # Panics
    /// It can't be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("a temporary folder can be written");
        path
    }

    /// A command of one of the programs in this room's environment.
    #[must_use]
    pub fn command(&self, program: Program) -> Command {
        let mut command = Command::new(program.path());
        let kept = KEPT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
        command
            .env_clear()
            .envs(kept)
            .env("HOME", self.path("home"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("XDG_CONFIG_HOME", self.path("home/config"))
            .env("XDG_DATA_HOME", self.path("home/data"))
            .current_dir(self.folder())
            // Ctrl-C in the test's terminal ends the test, and its end ends them.
            .process_group(0);
        command
    }

    /// Runs a command of one of the programs to its end.
    pub fn run<S: AsRef<OsStr>>(&self, program: Program, arguments: impl IntoIterator<Item = S>) -> Outcome {
        let mut command = self.command(program);
        command.args(arguments);
        Outcome::of(command, None)
    }
}

/// 127.1.x.y, where x is different for test runs at the same time and y for rooms of one run.
fn own_address() -> Ipv4Addr {
    static ROOMS: AtomicU8 = AtomicU8::new(0);
    if cfg!(not(target_os = "linux")) {
        // Elsewhere only one loopback address is there by itself.
        return Ipv4Addr::LOCALHOST;
    }
    let [.., run] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 1, run, ROOMS.fetch_add(1, Ordering::Relaxed).max(1))
}

static IN_USE: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

#[derive(Debug)]
struct Turn;

impl Turn {
    fn take() -> Self {
        let in_use = lock();
        let mut in_use =
            FREED.wait_while(in_use, |in_use| *in_use >= ROOMS_MAX).unwrap_or_else(PoisonError::into_inner);
        *in_use += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *lock() -= 1;
        FREED.notify_one();
    }
}

fn lock() -> MutexGuard<'static, usize> {
    IN_USE.lock().unwrap_or_else(PoisonError::into_inner)
}
