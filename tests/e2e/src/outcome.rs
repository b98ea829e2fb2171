//! A command that ran to its end: exit code and output.

use std::io::{Read, Seek, SeekFrom, Write};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::until;

/// What became of a command.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The command.
    pub line: String,
}

impl Outcome {
    /// Runs a command with this on its standard input; with `None` that stays open until it ends.
    ///
    /// # Panics
    /// It can't be started or doesn't end.
    #[must_use]
    pub fn of(mut command: Command, input: Option<&str>) -> Self {
        let line = format!("{command:?}");
        let file = || tempfile::tempfile().expect("a temporary file");
        let (mut stdout, mut stderr) = (file(), file());
        let share = |file: &std::fs::File| file.try_clone().expect("a file can be shared");
        command.stdin(Stdio::piped()).stdout(share(&stdout)).stderr(share(&stderr));
        let child = command.spawn().unwrap_or_else(|error| panic!("{line} can't be started: {error}"));
        let mut child = Reaped(child);
        if let Some(input) = input
            && let Some(mut stdin) = child.0.stdin.take()
        {
            // A command that doesn't read its input may be gone before we have written it.
            drop(stdin.write_all(input.as_bytes()));
        }
        let status = until(&format!("{line} ends"), || child.0.try_wait().expect("a child of ours"));
        let read = |file: &mut std::fs::File| {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes)).expect("our own file");
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Self { code: status.code(), stdout: read(&mut stdout), stderr: read(&mut stderr), line }
    }

    /// The one document on standard output.
    ///
    /// # Panics
    /// There is none, or more, or it has no version.
    #[track_caller]
    pub fn json(&self) -> Value {
        let document: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not one document ({error}): {self:?}"));
        assert_eq!(document["schema_version"], 1, "{self:?}");
        document
    }

    /// The document of a command that must have gone well.
    ///
    /// # Panics
    /// It didn't.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.json()
    }

    /// The error of a command that must have been refused with this exit code and error code.
    ///
    /// # Panics
    /// It went well, was refused otherwise, or without a message or a hint.
    #[track_caller]
    pub fn refused(&self, exit: i32, code: &str) -> Value {
        assert_eq!(self.code, Some(exit), "{self:?}");
        let error = self.json()["error"].clone();
        assert_eq!(error["code"], code, "{self:?}");
        assert_eq!(error["exit"], exit, "{self:?}");
        let told = |field: &str| error[field].as_str().is_some_and(|text| !text.is_empty());
        assert!(told("message") && told("hint"), "an error says what failed and what to do: {self:?}");
        error
    }
}

/// A child that doesn't outlive a test that gives up on it.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // It has ended already unless the test gave up.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
