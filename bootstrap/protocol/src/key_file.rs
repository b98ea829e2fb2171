//! Secrets on disk: one line `callbook key 1 <kind> <hexadecimal>`, in a private file.
//!
//! The number is the schema; the kind keeps a key from being used as another one. *Not here*: what
//! the keys are for.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use callbook_overlay::sign::SecretKey;
use zeroize::Zeroizing;

use crate::files;

/// Kind of a root key: it certifies login keys.
pub const ROOT: &str = "root";
/// Kind of a login key: it certifies devices and nodes.
pub const LOGIN: &str = "login";
/// Kind of a node key: who a peer is.
pub const NODE: &str = "node";
/// Kind of a device key: it holds a name.
pub const DEVICE: &str = "device";
/// Kind of the login server's password keys ([`crate::opaque::ServerKeys`]).
pub const PASSWORDS: &str = "passwords";
/// Kind of a node token, 32 bytes.
pub const NODE_TOKEN: &str = "node-token";

/// Schema number of key files.
const SCHEMA: &str = "1";

/// Bytes that a key file may have; the largest secret (OPAQUE's 128 bytes) needs a third. (guess)
const FILE_BYTES_MAX: u64 = 1024;

/// Why a secret could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The user: the file is missing, or may not be read or written.
    #[error("cannot {verb} {}: {source}", path.display())]
    Io {
        /// What was tried: `read` or `write`.
        verb: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The user: it is not a file of this kind, or it is damaged.
    #[error("{} is not a `{kind}` key file: {reason}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        kind: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The user: a newer program wrote it.
    #[error("{} was written by a newer version (schema {found}; this program reads 1)", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        found: u32,
    },
}

impl KeyFileError {
    /// Whether the file is simply not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } => "check that the folder exists and belongs to the user who runs this",
            Self::Malformed { .. } => "restore the file from a backup; a key cannot be made again",
            Self::Newer { .. } => "update this program",
        }
    }
}

/// Writes an Ed25519 key.
///
/// # Errors
/// The user: see [`KeyFileError`].
pub fn write_key(path: &Path, kind: &'static str, key: &SecretKey) -> Result<(), KeyFileError> {
    write_secret(path, kind, key.seed())
}

/// Reads an Ed25519 key.
///
/// # Errors
/// The user: see [`KeyFileError`].
pub fn read_key(path: &Path, kind: &'static str) -> Result<SecretKey, KeyFileError> {
    let bytes = read_secret(path, kind)?;
    let seed = <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new).map_err(|_| {
        KeyFileError::Malformed { path: path.to_owned(), kind, reason: "it does not hold 32 bytes" }
    })?;
    Ok(SecretKey::from_seed(*seed))
}

/// Writes any secret.
///
/// # Errors
/// The user: see [`KeyFileError`].
pub fn write_secret(path: &Path, kind: &'static str, secret: &[u8]) -> Result<(), KeyFileError> {
    let mut line = Zeroizing::new(format!("callbook key {SCHEMA} {kind} "));
    line.reserve(secret.len() * 2 + 1);
    for byte in secret {
        // Writing to a String can't fail.
        write!(line, "{byte:02x}").ok();
    }
    line.push('\n');
    files::write_private(path, line.as_bytes()).map_err(|source| KeyFileError::Io {
        verb: "write",
        path: path.to_owned(),
        source,
    })
}

/// Reads any secret.
///
/// # Errors
/// The user: see [`KeyFileError`].
pub fn read_secret(path: &Path, kind: &'static str) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let malformed = |reason| KeyFileError::Malformed { path: path.to_owned(), kind, reason };
    let failed = |source| KeyFileError::Io { verb: "read", path: path.to_owned(), source };
    let bytes = files::read_bounded(path, FILE_BYTES_MAX).map_err(|error| {
        if error.kind() == io::ErrorKind::FileTooLarge { malformed("it is too long") } else { failed(error) }
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|_| malformed("it is not text"))?;
    let rest = text
        .strip_prefix("callbook key ")
        .ok_or_else(|| malformed("it does not begin with `callbook key`"))?;
    let mut words = rest.split_whitespace();
    match words.next() {
        Some(SCHEMA) => {}
        Some(other) => {
            let found = other.parse().map_err(|_| malformed("it has no schema number"))?;
            return Err(KeyFileError::Newer { path: path.to_owned(), found });
        }
        None => return Err(malformed("it has no schema number")),
    }
    if words.next() != Some(kind) {
        return Err(malformed("it holds a key of another kind"));
    }
    let digits = words.next().ok_or_else(|| malformed("it holds no key"))?;
    if words.next().is_some() || digits.len() % 2 != 0 || !digits.is_ascii() {
        return Err(malformed("the key is damaged"));
    }
    let mut secret = Zeroizing::new(Vec::with_capacity(digits.len() / 2));
    for pair in digits.as_bytes().chunks_exact(2) {
        let pair = std::str::from_utf8(pair).map_err(|_| malformed("the key is damaged"))?;
        secret.push(u8::from_str_radix(pair, 16).map_err(|_| malformed("the key is damaged"))?);
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use callbook_overlay::sign::Signer as _;

    #[test]
    fn a_key_is_read_back_and_a_wrong_kind_newer_or_damaged_file_is_refused() {
        // Goal: round trip and each refusal. Method: files in a temporary folder.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login.key");
        let key = SecretKey::from_seed([7; 32]);
        write_key(&path, "login", &key).unwrap();
        assert_eq!(read_key(&path, "login").unwrap().public(), key.public());
        assert!(matches!(read_key(&path, "root"), Err(KeyFileError::Malformed { .. })));
        std::fs::write(&path, "callbook key 2 login 00\n").unwrap();
        assert!(matches!(read_key(&path, "login"), Err(KeyFileError::Newer { found: 2, .. })));
        std::fs::write(&path, "callbook key 1 login zz\n").unwrap();
        assert!(matches!(read_key(&path, "login"), Err(KeyFileError::Malformed { .. })));
        assert!(read_key(&folder.path().join("none"), "login").unwrap_err().is_missing());
    }
}
