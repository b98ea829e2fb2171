//! Exit codes and error codes: which failures there are, and how a process that meets one ends.
//!
//! The one place where an error code, its exit code and its HTTP status stand side by side
//! (docs/cli.md prints the same table). *Not here*: messages and hints, which the place that fails
//! knows best.

use serde::{Deserialize, Serialize};

/// Exit code of a command that Ctrl-C ended: 128 + SIGINT, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $exit:literal, $status:literal;)*) => {
        /// A stable error code; scripts may match on its text.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub(crate) enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Code {
            /// Its stable text.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The exit code of a process that ends with it.
            pub(crate) const fn exit(self) -> u8 {
                match self { $(Self::$name => $exit,)* }
            }

            /// The HTTP status of an answer that carries it.
            pub(crate) const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// All of them, for tests.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

codes! {
    /// Something else; the message says what.
    Failed = "failed", 1, 500;
    /// Us: a bug.
    Internal = "internal", 1, 500;
    /// Another daemon uses the data folder.
    FolderLocked = "folder_locked", 1, 500;
    /// The data folder can't be written.
    FolderUnwritable = "folder_unwritable", 1, 500;
    /// A file of ours can't be read.
    FileUnreadable = "file_unreadable", 1, 500;
    /// A file of ours doesn't say what it should.
    FileCorrupt = "file_corrupt", 1, 500;
    /// Somebody else listens there.
    PortInUse = "port_in_use", 1, 500;
    /// The store file is damaged.
    StoreCorrupt = "store_corrupt", 1, 500;
    /// The store was written by a newer version.
    StoreNewer = "store_newer", 1, 500;
    /// The data folder belongs to another network.
    NetworkOther = "network_other", 2, 400;
    /// An older version of the network file than the one known.
    NetworkOlder = "network_older", 2, 400;
    /// The login server wants us to slow down.
    RateLimited = "rate_limited", 7, 429;
    /// This machine's clock differs too much from the neighbours'.
    ClockSkewed = "clock_skewed", 1, 500;
    /// The daemon does so much of it already.
    Busy = "busy", 1, 503;
    /// A look-up of the demo was wrong.
    DemoWrong = "demo_wrong", 1, 500;
    /// A process of the demo ended.
    DemoProcess = "demo_process", 1, 500;
    /// The command line or a request makes no sense.
    Usage = "usage", 2, 400;
    /// The configuration file makes no sense.
    ConfigInvalid = "config_invalid", 2, 400;
    /// No network was named yet.
    NetworkMissing = "network_missing", 2, 400;
    /// The network file can't be read or understood.
    NetworkUnreadable = "network_unreadable", 2, 400;
    /// Not a username.
    NameInvalid = "name_invalid", 2, 400;
    /// Several names are held; say which.
    NameAmbiguous = "name_ambiguous", 2, 400;
    /// The password is too short.
    PasswordShort = "password_short", 2, 400;
    /// The two passwords differ.
    PasswordMismatch = "password_mismatch", 2, 400;
    /// Nobody can be asked for a password.
    PasswordNeeded = "password_needed", 2, 400;
    /// Not an entry.
    EntryInvalid = "entry_invalid", 2, 400;
    /// The name doesn't exist.
    Absent = "absent", 3, 404;
    /// No daemon answers on the socket.
    NoDaemon = "no_daemon", 4, 503;
    /// The socket may not be used.
    SocketPermission = "socket_permission", 4, 403;
    /// No answer in time.
    Timeout = "timeout", 5, 504;
    /// Attached to nobody.
    Detached = "detached", 5, 504;
    /// The login server can't be reached.
    LoginUnreachable = "login_unreachable", 5, 504;
    /// Certified, but no majority has acknowledged the record yet.
    RegistrationPending = "registration_pending", 5, 504;
    /// The name belongs to somebody else (or looks too much like one that does).
    NameTaken = "name_taken", 6, 409;
    /// This daemon holds the name already.
    NameHeld = "name_held", 6, 409;
    /// This daemon doesn't hold the name.
    LoginRequired = "login_required", 7, 401;
    /// Wrong password or no such account.
    LoginRefused = "login_refused", 7, 403;
    /// The node token isn't accepted.
    TokenRefused = "token_refused", 7, 403;
    /// The page's token is missing or wrong.
    TokenMissing = "token_missing", 7, 401;
    /// Asked under a name that is not ours.
    HostRefused = "host_refused", 2, 421;
    /// A certificate was revoked or not renewed.
    CertificateRefused = "certificate_refused", 7, 403;
    /// What a peer answered didn't pass verification.
    VerificationFailed = "verification_failed", 8, 502;
    /// The network file's signature is wrong.
    NetworkSignature = "network_signature", 8, 400;
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn every_code_has_its_row_in_the_documentation() {
        // Goal: docs/cli.md lists each code beside its exit code. Method: find the table's row.
        let page = include_str!("../../docs/cli.md");
        for code in Code::ALL {
            let row = format!("| {} |", code.exit());
            let found =
                page.lines().any(|l| l.starts_with(&row) && l.contains(&format!("`{}`", code.as_str())));
            assert!(found, "{} with exit code {} is not in docs/cli.md", code.as_str(), code.exit());
        }
    }
}
