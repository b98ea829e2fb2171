//! A process that stays until it is told to leave.
//!
//! Standard output and log go into files beside its data folder; reading them is how a test sees what
//! happens, and what is shown when it fails.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::panicking;
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};
use serde_json::Value;

use crate::{LOOK, Room, until};

pub use rustix::process::Signal;

/// How many lines of a log are shown when a test fails. A guess: what tells the cause.
const LOG_LINES: usize = 25;

/// How long a process may take to leave. A guess: it takes well under a second.
const LEAVE: Duration = Duration::from_secs(20);

/// A process, its output and its log.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    output: PathBuf,
    log: PathBuf,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts a command under a name, from which its files are named.
    ///
    /// # Panics
    /// It can't be started.
    #[must_use]
    pub fn start(room: &Room, name: &str, mut command: Command) -> Self {
        let (output, log) = (room.path(&format!("{name}.out")), room.path(&format!("{name}.log")));
        let create = |path| File::create(path).expect("a temporary folder can be written");
        command.stdin(Stdio::piped()).stdout(create(&output)).stderr(create(&log));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} can't be started: {error}"));
        let input = child.stdin.take();
        Self { name: name.to_owned(), child, input, output, log, status: None }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The events of a kind that it printed so far.
    #[must_use]
    pub fn events(&self, kind: &str) -> Vec<Value> {
        let output = fs::read_to_string(&self.output).unwrap_or_default();
        let whole = output.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let events = whole.map(|line| serde_json::from_str::<Value>(line).expect("one document per line"));
        let mut events: Vec<Value> = events.collect();
        for event in &events {
            assert_eq!(event["schema_version"], 1, "{}: {event}", self.name);
        }
        events.retain(|event| event["event"] == kind);
        events
    }

    /// Waits for an event of a kind.
    ///
    /// # Panics
    /// It doesn't come, or the process ends first.
    pub fn event(&mut self, kind: &str) -> Value {
        let what = format!("{} prints the event {kind}", self.name);
        until(&what, || {
            let ended = self.has_ended();
            let event = self.events(kind).into_iter().next();
            assert!(event.is_some() || !ended, "{} ended before the event {kind}", self.name);
            event
        })
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// It has gone already.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process is there");
    }

    /// Waits until it ends, and returns its exit code (`None` when a signal ended it).
    ///
    /// # Panics
    /// It doesn't end.
    pub fn end(&mut self) -> Option<i32> {
        let what = format!("{} ends", self.name);
        until(&what, || self.has_ended().then_some(()));
        self.status.and_then(|status| status.code())
    }

    /// Kills it as a power cut would, and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.end();
    }

    /// Closes its standard input, on which it leaves.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Whether it catches a signal by now, rather than being ended by it.
    #[must_use]
    pub fn catches(&self, signal: Signal) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
        caught & (1 << (signal.as_raw() - 1)) != 0
    }

    fn has_ended(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("a child of ours can be waited for");
        }
        self.status.is_some()
    }

    /// Whether it left by itself in time.
    fn leave(&mut self) -> bool {
        self.close_input();
        let deadline = Instant::now() + LEAVE;
        while !self.has_ended() {
            if Instant::now() > deadline {
                drop(self.child.kill());
                drop(self.child.wait());
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }

    fn last_lines(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n  ")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let left = self.leave();
        let log = self.log();
        let errors: Vec<&str> = log.lines().filter(|line| is_error(line)).collect();
        if panicking() {
            // Only what stood in the log can tell why the test failed.
            #[expect(clippy::print_stderr, reason = "a failing test's output")]
            {
                eprintln!("--- {} ({:?}) logged last:\n  {}", self.name, self.status, self.last_lines());
            }
            return;
        }
        assert!(left, "{} didn't leave when its input closed:\n  {}", self.name, self.last_lines());
        assert!(errors.is_empty(), "{} logged errors:\n  {}", self.name, errors.join("\n  "));
    }
}

/// A line at level ERROR, or of a panic.
fn is_error(line: &str) -> bool {
    line.split_whitespace().nth(1) == Some("ERROR") || line.contains("panicked at")
}

/// Whether a process with this id is there.
#[must_use]
pub fn alive(id: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    // One that has ended and was not waited for yet is gone too.
    !status.is_empty() && !status.lines().any(|line| line.starts_with("State:\tZ"))
}
