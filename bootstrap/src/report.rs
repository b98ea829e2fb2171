//! How the programs tell an error: what failed, why, what to do, and the exit code.
//!
//! ```text
//! error: /srv/book is in use by another process (process id 4711)
//!   help: stop it first, or give another `--data DIR`
//!   code: folder_in_use
//! ```
//! With `--json` the same as one document. Exit codes: DESIGN §8.

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

use callbook_login::Refusal;
use callbook_login::files::LockError;
use callbook_login::key_file::KeyFileError;
use callbook_login::network_file::NetworkFileError;

/// Version of every JSON document that the programs print.
pub const SCHEMA_VERSION: u32 = 1;

/// Exit codes of all programs.
///
/// # Source
/// DESIGN §8; 130 as shells give it to Ctrl-C.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Failed, for a reason that has no number of its own.
    Failed = 1,
    /// The command line or a file given on it is wrong.
    Usage = 2,
    /// The name is absent.
    Absent = 3,
    /// No daemon runs on this data folder.
    NoDaemon = 4,
    /// It is not known, or took too long.
    Unknown = 5,
    /// The name is taken.
    Taken = 6,
    /// Login is required, or was refused.
    Login = 7,
    /// What arrived did not pass verification.
    Verification = 8,
    /// Ended by Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error as it is told to people.
#[derive(Debug, Clone)]
pub struct Report {
    /// What failed and why, in one sentence.
    pub message: String,
    /// A stable word for programs.
    pub code: &'static str,
    /// What to do.
    pub hint: Option<String>,
    /// How the program ends.
    pub exit: Exit,
}

impl Report {
    /// A report with [`Exit::Failed`] and no hint.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { message: message.into(), code, hint: None, exit: Exit::Failed }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with another exit code.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The report as one JSON document.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "schema_version": SCHEMA_VERSION,
            "error": {
                "code": self.code,
                "message": self.message,
                "hint": self.hint,
                "exit": self.exit as u8,
            },
        })
    }

    /// Prints the report, as text to stderr or as JSON to stdout, and gives the exit code.
    #[must_use]
    pub fn print(&self, json: bool) -> ExitCode {
        // Nobody is left to tell when stdout and stderr are closed.
        if json {
            writeln!(std::io::stdout(), "{}", self.to_json()).ok();
        } else {
            writeln!(std::io::stderr(), "{self}").ok();
        }
        self.exit.into()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  help: {hint}")?;
        }
        write!(f, "\n  code: {}", self.code)
    }
}

impl std::error::Error for Report {}

impl From<NetworkFileError> for Report {
    fn from(error: NetworkFileError) -> Self {
        let forged = matches!(
            error,
            NetworkFileError::Signature(_)
                | NetworkFileError::Identity
                | NetworkFileError::Conflict(_)
                | NetworkFileError::Stranger
        );
        let exit = if forged { Exit::Verification } else { Exit::Usage };
        Self::new("network_file", error.to_string()).hint(error.hint()).exit(exit)
    }
}

impl From<KeyFileError> for Report {
    fn from(error: KeyFileError) -> Self {
        Self::new("key_file", error.to_string()).hint(error.hint())
    }
}

impl From<LockError> for Report {
    fn from(error: LockError) -> Self {
        let text = error.to_string();
        if let LockError::Held { pid, .. } = &error {
            let stop =
                pid.map_or_else(|| "stop it first".into(), |pid| format!("stop it first (`kill {pid}`)"));
            Self::new("folder_in_use", text).hint(format!("{stop}, or give another `--data DIR`"))
        } else {
            Self::new("folder", text).hint(FOLDER_HINT)
        }
    }
}

/// What to do when a folder can't be used.
pub const FOLDER_HINT: &str =
    "check that the folder exists, is writable, and belongs to the user who runs this";

impl From<Refusal> for Report {
    fn from(refusal: Refusal) -> Self {
        let (code, exit) = match refusal {
            Refusal::Taken => ("taken", Exit::Taken),
            Refusal::Reserved => ("reserved", Exit::Taken),
            Refusal::BadUsername => ("bad_username", Exit::Usage),
            Refusal::Refused => ("login_refused", Exit::Login),
            Refusal::RateLimited { .. } => ("rate_limited", Exit::Login),
            Refusal::BadToken => ("bad_token", Exit::Login),
            Refusal::NotRenewable => ("not_renewable", Exit::Login),
            Refusal::StaleSession => ("stale_session", Exit::Login),
            Refusal::TooManyDevices => ("too_many_devices", Exit::Login),
            Refusal::TooManyNodes => ("too_many_nodes", Exit::Login),
            Refusal::Uncertified => ("uncertified", Exit::Login),
            Refusal::Internal
            | Refusal::Unsupported
            | Refusal::BadProof
            | Refusal::Malformed
            | Refusal::KeyExpiring
            | Refusal::Other(_)
            | _ => ("login_server", Exit::Failed),
        };
        Self::new(code, refusal.to_string()).hint(refusal.hint()).exit(exit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_why_and_what_to_do() {
        // Goal: the two forms. Method: one report printed as text and as JSON.
        let report = Report::from(Refusal::Taken);
        let text = report.to_string();
        assert!(text.starts_with("error: this name") && text.contains("\n  help: choose"), "{text}");
        assert_eq!(report.to_json()["error"]["exit"], 6);
        assert_eq!(report.to_json()["schema_version"], 1);
    }
}
