//! The data folder: one daemon at a time, and the files that make it who it is.
//!
//! `lock`, `node.key`, `network.toml`, `node.certificate`, `page.token`, `port`, `names/`, `store.redb`. Private
//! files are replaced as a whole, so a crash leaves the old or the new one. *Not here*: the names'
//! files (`names`), the store (`callbook-host`), the socket (`socket`).

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use callbook_login::files::{self, FolderLock, LockError};
use callbook_login::key_file::{self, KeyFileError};
use callbook_login::network_file::{NetworkFile, NetworkFileError, Replaces};
use callbook_overlay::certificate::NodeCertificate;
use callbook_overlay::sign::SecretKey;
use zeroize::Zeroizing;

use crate::cli::output::shell_word;
use crate::exit::Code;
use crate::problem::{Outcome, Problem, file_problem};

/// Largest file that is read, in bytes. A guess: far above any of ours.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A data folder that this process may use.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Its canonical path.
    pub(crate) path: PathBuf,
    _lock: FolderLock,
}

impl Folder {
    /// Makes the folder if it is not there, and takes its lock.
    ///
    /// # Errors
    /// The user: it can't be written, or another daemon uses it.
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        let unwritable = |error: io::Error| {
            file_problem(Code::FolderUnwritable, "can't use the data folder", path, &error)
        };
        let made = !path.exists();
        if !made && !path.is_dir() {
            let message = format!("{} is not a folder", path.display());
            return Err(Problem::new(Code::FolderUnwritable, message).hint("name another one with --data"));
        }
        fs::DirBuilder::new().recursive(true).mode(0o750).create(path).map_err(unwritable)?;
        if made {
            fs::set_permissions(path, fs::Permissions::from_mode(0o750)).map_err(unwritable)?;
        }
        let canonical = path.canonicalize().map_err(unwritable)?;
        let lock = FolderLock::take(&canonical).map_err(|error| locked(&canonical, &error))?;
        Ok(Self { path: canonical, _lock: lock })
    }

    /// The node key; made at the first start.
    pub(crate) fn node_key(&self) -> Outcome<SecretKey> {
        let path = self.path.join("node.key");
        match key_file::read_key(&path, "node") {
            Ok(key) => Ok(key),
            Err(error) if error.is_missing() => {
                let key = new_key()?;
                key_file::write_key(&path, "node", &key).map_err(|error| key_problem(&error))?;
                Ok(key)
            }
            Err(error) => Err(key_problem(&error)),
        }
    }

    /// The network: the file given, if it fits what is remembered, else what is remembered.
    ///
    /// # Errors
    /// The user: none at all, an unreadable or a wrong one, another network, an older version.
    pub(crate) fn network(&self, given: Option<&Path>) -> Outcome<NetworkFile> {
        let path = self.path.join("network.toml");
        let remembered = match read(&path)? {
            Some(text) => Some(NetworkFile::parse(&text).map_err(|error| network_problem(&path, &error))?),
            None => None,
        };
        let file = match given {
            Some(given) => {
                let text = read(given)?.ok_or_else(|| missing(given))?;
                Some(NetworkFile::parse(&text).map_err(|error| network_problem(given, &error))?)
            }
            None => None,
        };
        let at = given.unwrap_or(&path);
        match (file, remembered) {
            (Some(file), Some(old)) => match file.check_replaces(&old) {
                Ok(Replaces::Same) => Ok(old),
                Ok(Replaces::Newer) => self.remember(&path, file),
                Err(error) => Err(network_problem(at, &error)),
            },
            (Some(file), None) => self.remember(&path, file),
            (None, Some(old)) => Ok(old),
            (None, None) => Err(Problem::new(
                Code::NetworkMissing,
                format!("{} doesn't know its network yet", self.path.display()),
            )
            .hint("name it once: callbook up --network FILE (the operator of the network has the file)")),
        }
    }

    fn remember(&self, path: &Path, file: NetworkFile) -> Outcome<NetworkFile> {
        files::write_private(path, file.text().as_bytes())
            .map_err(|error| file_problem(Code::FolderUnwritable, "can't write", path, &error))?;
        tracing::info!(network = %file.id().short(), version = file.facts().version, folder = %self.path.display(), "network remembered");
        Ok(file)
    }

    /// The node certificate of an earlier start, as it is; a damaged one counts as none.
    pub(crate) fn node_certificate(&self) -> Option<NodeCertificate> {
        let path = self.path.join("node.certificate");
        let bytes = key_file::read_secret(&path, "node-certificate")
            .inspect_err(|error| {
                if !error.is_missing() {
                    tracing::warn!(%error, "the node certificate is not used");
                }
            })
            .ok()?;
        NodeCertificate::parse(&bytes)
            .inspect_err(|error| tracing::warn!(%error, "the node certificate is not used"))
            .ok()
    }

    /// What a browser shows to see what the page shows; made at the first start.
    pub(crate) fn page_token(&self) -> Outcome<Zeroizing<Vec<u8>>> {
        let path = self.path.join("page.token");
        match key_file::read_secret(&path, "page-token") {
            Err(error) if error.is_missing() => {
                let token = Zeroizing::new(entropy()?.to_vec());
                key_file::write_secret(&path, "page-token", &token).map_err(|error| key_problem(&error))?;
                Ok(token)
            }
            token => token.map_err(|error| key_problem(&error)),
        }
    }

    /// Keeps a node certificate.
    pub(crate) fn keep_node_certificate(&self, certificate: &NodeCertificate) -> Outcome<()> {
        let path = self.path.join("node.certificate");
        key_file::write_secret(&path, "node-certificate", certificate.bytes())
            .map_err(|error| key_problem(&error))
    }

    /// Where to listen: a port left open becomes the one of the last time, so that others who
    /// remember us find us again.
    pub(crate) fn last_listen(&self, wanted: SocketAddr) -> SocketAddr {
        let last = fs::read_to_string(self.path.join("port")).ok().and_then(|text| text.trim().parse().ok());
        match last {
            Some(port) if wanted.port() == 0 => SocketAddr::new(wanted.ip(), port),
            Some(_) | None => wanted,
        }
    }

    /// Remembers the port for [`Self::last_listen`].
    pub(crate) fn keep_port(&self, port: u16) {
        if let Err(error) = files::write_private(&self.path.join("port"), format!("{port}\n").as_bytes()) {
            tracing::warn!(%error, "the port is not remembered");
        }
    }
}

/// A new key from the system's entropy.
pub(crate) fn new_key() -> Outcome<SecretKey> {
    Ok(SecretKey::from_seed(*entropy()?))
}

fn entropy() -> Outcome<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice())
        .map_err(|error| Problem::new(Code::Failed, format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

/// A text file, `None` if it is not there.
fn read(path: &Path) -> Outcome<Option<String>> {
    let unreadable = |error: io::Error| file_problem(Code::FileUnreadable, "can't read", path, &error);
    match files::read_bounded_text(path, FILE_BYTES_MAX) {
        Ok(text) => Ok(Some(text.to_string())),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            let message = format!("{} is too large to be a network file", path.display());
            Err(Problem::new(Code::NetworkUnreadable, message).hint("is it the right file?"))
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            let message = format!("{} is not text, so it is no network file", path.display());
            Err(Problem::new(Code::NetworkUnreadable, message).hint("is it the right file?"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(error)),
    }
}

fn missing(path: &Path) -> Problem {
    Problem::new(Code::NetworkUnreadable, format!("there is no network file {}", path.display()))
        .hint("check the path; the operator of the network has the file")
}

fn network_problem(path: &Path, error: &NetworkFileError) -> Problem {
    let code = match error {
        NetworkFileError::Signature(_)
        | NetworkFileError::Identity
        | NetworkFileError::Conflict(_)
        | NetworkFileError::Stranger => Code::NetworkSignature,
        NetworkFileError::OtherNetwork { .. } => Code::NetworkOther,
        NetworkFileError::Older { .. } => Code::NetworkOlder,
        NetworkFileError::Syntax(_)
        | NetworkFileError::UnknownKey { .. }
        | NetworkFileError::Missing(_)
        | NetworkFileError::Value { .. }
        | NetworkFileError::TooNew { .. }
        | _ => Code::NetworkUnreadable,
    };
    Problem::new(code, format!("{}: {error}", path.display())).hint(error.hint())
}

fn key_problem(error: &KeyFileError) -> Problem {
    let code = match error {
        KeyFileError::Io { verb: "write", .. } => Code::FolderUnwritable,
        KeyFileError::Io { .. } => Code::FileUnreadable,
        KeyFileError::Newer { .. } => Code::StoreNewer,
        KeyFileError::Malformed { .. } | _ => Code::FileCorrupt,
    };
    Problem::new(code, error.to_string()).hint(error.hint())
}

fn locked(path: &Path, error: &LockError) -> Problem {
    match error {
        LockError::Io { source, .. } => {
            file_problem(Code::FolderUnwritable, "can't use the data folder", path, source)
        }
        LockError::Held { pid, .. } => {
            let data = shell_word(path);
            let who = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
            let message = format!("another callbook daemon{who} uses {}", path.display());
            let hint = format!(
                "ask it: callbook --data {data} status; stop it: callbook --data {data} down; or use another \
                 folder with --data"
            );
            Problem::new(Code::FolderLocked, message).hint(hint)
        }
        _ => Problem::new(Code::FolderLocked, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callbook_overlay::sign::Signer;

    #[test]
    fn a_second_daemon_on_a_folder_is_told_whose_it_is() {
        // Goal: message with process id and commands. Method: open the same folder twice.
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("data");
        let first = Folder::open(&path).unwrap();
        let problem = Folder::open(&path).unwrap_err();
        assert_eq!(problem.code, Code::FolderLocked);
        assert!(problem.message.contains(&std::process::id().to_string()), "{problem}");
        assert!(problem.hint.unwrap().contains("down"));
        drop(first);
        assert!(Folder::open(&path).is_ok());
    }

    #[test]
    fn the_node_key_is_made_once_and_only_its_owner_may_read_it() {
        // Goal: the same peer after a restart. Method: open twice, compare keys, look at the mode.
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        let key = folder.node_key().unwrap().public();
        assert_eq!(folder.node_key().unwrap().public(), key);
        let mode = fs::metadata(temporary.path().join("node.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn without_a_network_the_first_start_says_how_to_name_one() {
        // Goal: usage, not a crash. Method: none, a missing one, one that is no network file.
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(&temporary.path().join("data")).unwrap();
        assert_eq!(folder.network(None).unwrap_err().code, Code::NetworkMissing);
        let path = temporary.path().join("network.toml");
        assert_eq!(folder.network(Some(&path)).unwrap_err().code, Code::NetworkUnreadable);
        fs::write(&path, "name = \"x\"").unwrap();
        let problem = folder.network(Some(&path)).unwrap_err();
        assert_eq!(problem.code, Code::NetworkUnreadable);
        assert!(problem.message.contains("network.toml"), "{problem}");
    }
}
