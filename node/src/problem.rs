//! The one error type at the edge: what failed and why, what to do about it, and a stable code.
//!
//! It travels over the local API as `application/problem+json` (RFC 9457) and ends a command as
//! three lines, or as one JSON document. *Not here*: which codes there are (`exit`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::exit::Code;

/// What went wrong, for a person and for a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Problem {
    /// Stable code.
    pub(crate) code: Code,
    /// What failed and why.
    #[serde(alias = "detail")]
    pub(crate) message: String,
    /// What to do, if there is something to say.
    #[serde(default)]
    pub(crate) hint: Option<String>,
    /// The exit code that follows from the code.
    pub(crate) exit: u8,
}

/// An outcome at the edge.
pub(crate) type Outcome<T> = Result<T, Problem>;

impl Problem {
    /// A problem without a hint.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, exit: code.exit() }
    }

    /// Says what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The body of an RFC 9457 answer.
    pub(crate) fn to_http(&self) -> serde_json::Value {
        serde_json::json!({
            "type": "about:blank",
            "title": self.code.as_str(),
            "status": self.code.status(),
            "code": self.code,
            "detail": self.message,
            "hint": self.hint,
            "exit": self.exit,
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

/// A file or folder that can't be read or written: the message names it and the reason.
pub(crate) fn file_problem(
    code: Code,
    doing: &str,
    path: &std::path::Path,
    error: &std::io::Error,
) -> Problem {
    let hint = if error.kind() == std::io::ErrorKind::PermissionDenied {
        "check who owns it (ls -l), or choose another folder with --data"
    } else {
        "check that the path is right and that the disk is not full"
    };
    Problem::new(code, format!("{doing} {}: {error}", path.display())).hint(hint)
}
