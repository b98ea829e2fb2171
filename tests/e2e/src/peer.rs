//! A daemon: its folder, its process, and the commands that are asked of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use libp2p::Multiaddr;
use serde_json::Value;

use crate::stranger::tcp_address;
use crate::{Outcome, PATIENCE, Process, Program, Room, Signal, until};

/// Everybody's password.
pub const PASSWORD: &str = "correct horse battery";

/// A daemon's folder, and the daemon when it runs.
#[derive(Debug)]
pub struct Peer {
    /// The daemon.
    pub process: Option<Process>,
    room: Arc<Room>,
    name: String,
    data: PathBuf,
    flags: Vec<String>,
    ready: Value,
}

impl Peer {
    /// A daemon that is not started, with a folder named like it and these flags for `up`.
    #[must_use]
    pub fn new(room: Arc<Room>, name: &str, flags: &[&str]) -> Self {
        let data = room.path(name);
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Self { process: None, room, name: name.to_owned(), data, flags, ready: Value::Null }
    }

    /// What the test calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Its last ready block.
    #[must_use]
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// Its PeerId.
    #[must_use]
    pub fn id(&self) -> &str {
        self.ready["peer"].as_str().expect("it was started")
    }

    /// Where it listens for TCP.
    #[must_use]
    pub fn address(&self) -> Multiaddr {
        tcp_address(&self.ready["addresses"])
    }

    /// The command that starts it, as the test's child.
    #[must_use]
    pub fn up(&self) -> Command {
        let mut command = self.command(&["up", "--json", "--log", "info", "--leave-with-stdin"]);
        command.args(&self.flags);
        command
    }

    /// Starts it and waits for its ready block.
    pub fn start(&mut self) {
        self.start_with(self.up());
    }

    /// Starts it by this command.
    pub fn start_with(&mut self, command: Command) {
        let process = self.process.insert(Process::start(&self.room, &self.name, command));
        self.ready = process.event("ready");
    }

    /// Starts it, which must fail.
    #[must_use]
    pub fn start_refused(&self) -> Outcome {
        Outcome::of(self.up(), None)
    }

    /// Ends it by SIGTERM.
    ///
    /// # Panics
    /// It doesn't end well.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.signal(Signal::TERM);
        assert_eq!(process.end(), Some(0), "{} ends well on SIGTERM", self.name);
    }

    /// Kills it as a power cut would.
    ///
    /// # Panics
    /// It doesn't run.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// A command that is asked of it.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.room.command(Program::Callbook);
        command.arg("--data").arg(&self.data).args(arguments);
        command
    }

    /// Asks it, for JSON.
    #[must_use]
    pub fn ask(&self, arguments: &[&str]) -> Outcome {
        self.ask_with(arguments, "")
    }

    /// Asks it, with this on standard input.
    #[must_use]
    pub fn ask_with(&self, arguments: &[&str], input: &str) -> Outcome {
        let mut command = self.command(arguments);
        command.arg("--json");
        Outcome::of(command, Some(input))
    }

    /// Asks it, for text.
    #[must_use]
    pub fn ask_for_text(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(self.command(arguments), None)
    }

    /// `status`.
    #[must_use]
    pub fn status(&self) -> Value {
        self.ask(&["status"]).ok()
    }

    /// The PeerId of its parent, if it has one.
    #[must_use]
    pub fn parent(&self) -> Option<String> {
        self.status()["parent"]["peer"].as_str().map(str::to_owned)
    }

    /// Stops it in its tracks: its connections stay open, and nothing is answered.
    ///
    /// # Panics
    /// It doesn't run.
    pub fn freeze(&self) {
        self.process.as_ref().expect("it runs").signal(Signal::STOP);
    }

    /// Lets it go on after [`Self::freeze`].
    ///
    /// # Panics
    /// It doesn't run.
    pub fn thaw(&self) {
        self.process.as_ref().expect("it runs").signal(Signal::CONT);
    }

    /// Leaves by `callbook down`.
    ///
    /// # Panics
    /// It doesn't end well.
    pub fn leave(&mut self) {
        self.ask(&["down"]).ok();
        let end = self.process.take().expect("it ran").end();
        assert_eq!(end, Some(0), "{} leaves well", self.name);
    }

    /// Waits, with `callbook wait`.
    pub fn wait(&self, condition: &str) {
        let timeout = format!("{}s", PATIENCE.as_secs() - 5);
        self.ask(&["wait", "--for", condition, "--timeout", &timeout]).ok();
    }

    /// `enrol` or `login` with a password.
    #[must_use]
    pub fn account(&self, command: &str, name: &str, password: &str) -> Outcome {
        self.ask_with(&[command, name, "--password-file", "-"], &format!("{password}\n"))
    }

    /// Enrols a name with everybody's password.
    pub fn enrol(&self, name: &str) -> Value {
        self.account("enrol", name, PASSWORD).ok()
    }

    /// Logs in with everybody's password.
    pub fn login(&self, name: &str) -> Value {
        self.account("login", name, PASSWORD).ok()
    }

    /// Looks names up past all caches until all of them are found at once; the elements of the answer.
    ///
    /// # Panics
    /// They aren't, or one is said to be absent: that may be unknown for a while, and never wrong.
    pub fn find_all(&self, names: &[&str]) -> Vec<Value> {
        until(&format!("{} finds {names:?}", self.name), || {
            let outcome = self.ask(&[&["lookup", "--fresh"], names].concat());
            assert_ne!(outcome.code, Some(3), "a registered name is absent: {outcome:?}");
            (outcome.code == Some(0)).then(|| outcome.json()["names"].as_array().cloned().unwrap_or_default())
        })
    }

    /// Looks a name up that is there; the one element of the answer.
    pub fn find(&self, name: &str) -> Value {
        let answer = self.ask(&["lookup", name]).ok();
        assert_eq!(answer["names"].as_array().map(Vec::len), Some(1), "{answer}");
        answer["names"][0].clone()
    }
}
