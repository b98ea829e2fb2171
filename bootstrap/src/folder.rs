//! The login server's data folder: what lies in it, and how it is read.
//!
//! ```text
//! network.toml     signed; handed to every peer        server.toml   address to listen on
//! root.key         certifies login keys; move offline  login.key     certifies devices and nodes
//! node.key         who the server's own node is        passwords.key OPAQUE's server keys
//! accounts.sqlite  accounts, devices, nodes, tokens    store.redb    records of the overlay
//! node.token       for the first other superpeer       lock          who works on the folder
//! ```
//! *Not here*: making a new one ([`crate::cli`]).

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use callbook_login::opaque::ServerKeys;
use callbook_login::{NetworkFile, files, key_file, suggest};
use callbook_overlay::sign::SecretKey;

use crate::database::{Database, DatabaseError};
use crate::limits::FILE_BYTES_MAX;
use crate::report::{Exit, FOLDER_HINT, Report};

/// What to do when the database fails.
pub(crate) const DATABASE_HINT: &str = "check the free space and the owner of the data folder; restore accounts.sqlite from a backup if it is damaged";

/// A data folder, by its paths.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at this path.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// `network.toml`.
    #[must_use]
    pub fn network(&self) -> PathBuf {
        self.file("network.toml")
    }

    /// The token that `init` writes.
    #[must_use]
    pub fn node_token(&self) -> PathBuf {
        self.file("node.token")
    }

    /// Opens the database.
    ///
    /// # Errors
    /// The user: it can't be opened, is damaged, or is newer than this program.
    pub async fn database(&self) -> Result<Database, Report> {
        Database::open(&self.file("accounts.sqlite")).await.map_err(|error| {
            let newer = matches!(error, DatabaseError::Newer { .. });
            let hint = if newer { "update this program" } else { DATABASE_HINT };
            Report::new("database", error.to_string()).hint(hint)
        })
    }

    /// Reads everything that `serve` needs, but the database.
    ///
    /// # Errors
    /// The user: there is no network here, or a file is missing, damaged or changed.
    pub fn load(&self) -> Result<Loaded, Report> {
        let network = match read(&self.network()) {
            Err(ReadError::Missing) => {
                return Err(Report::new("no_network", format!("{} holds no network", self.0.display()))
                    .hint("make one: callbook-bootstrap init --data DIR --network NAME")
                    .exit(Exit::Usage));
            }
            text => NetworkFile::parse(&report(&self.network(), text)?)?,
        };
        let settings = self.file("server.toml");
        let passwords = key_file::read_secret(&self.file("passwords.key"), key_file::PASSWORDS)?;
        Ok(Loaded {
            network,
            settings: ServerSettings::parse(&report(&settings, read(&settings))?)?,
            login: key_file::read_key(&self.file("login.key"), key_file::LOGIN)?,
            node: key_file::read_key(&self.file("node.key"), key_file::NODE)?,
            passwords: ServerKeys::from_bytes(&passwords).map_err(|_| {
                Report::new("key_file", format!("{} is damaged", self.file("passwords.key").display()))
                    .hint("restore the file from a backup; without it every account must enrol again")
            })?,
        })
    }
}

/// What a data folder holds.
pub struct Loaded {
    /// The network.
    pub network: NetworkFile,
    /// Where to listen.
    pub settings: ServerSettings,
    /// Certifies devices and nodes.
    pub login: SecretKey,
    /// Who the server's own node is.
    pub node: SecretKey,
    /// OPAQUE's server keys.
    pub passwords: ServerKeys,
}

/// `server.toml`: fixed at `init`, because the address is in the signed network file too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where to listen, TCP and UDP.
    pub listen: SocketAddr,
    /// The address that others are told, if another.
    pub advertise: Option<IpAddr>,
}

impl ServerSettings {
    /// The address that others dial.
    #[must_use]
    pub fn public(&self) -> IpAddr {
        self.advertise.unwrap_or(self.listen.ip())
    }

    /// Writes the file.
    ///
    /// # Errors
    /// The user: the folder can't be written.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut text = format!(
            "# Where the login server listens. The address is in the signed network.toml too.\n\
             schema = 1\nlisten = \"{}\"\n",
            self.listen
        );
        if let Some(advertise) = self.advertise {
            text.push_str(&format!("advertise = \"{advertise}\"\n"));
        }
        files::write_private(path, text.as_bytes())
    }

    fn parse(text: &str) -> Result<Self, Report> {
        const KNOWN: [&str; 3] = ["schema", "listen", "advertise"];
        let wrong = |reason: String| {
            Report::new("server_file", format!("server.toml cannot be used: {reason}"))
                .hint("restore it; `listen` must be the address and port that network.toml names")
                .exit(Exit::Usage)
        };
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| wrong(error.to_string().trim_end().to_owned()))?;
        if let Some(key) = table.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            let meant = suggest::closest(key, &KNOWN);
            let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
            return Err(wrong(format!("unknown key `{key}`{meant}")));
        }
        if table.get("schema").and_then(toml::Value::as_integer) != Some(1) {
            return Err(wrong("its schema is not 1; a newer program wrote it".into()));
        }
        let text = |key| table.get(key).and_then(toml::Value::as_str);
        let listen = text("listen").and_then(|text| text.parse().ok());
        let listen = listen.ok_or_else(|| wrong("`listen` is not IP:PORT".into()))?;
        let advertise = match table.get("advertise") {
            None => None,
            Some(value) => {
                let address = value.as_str().and_then(|text| text.parse().ok());
                Some(address.ok_or_else(|| wrong("`advertise` is not an IP address".into()))?)
            }
        };
        Ok(Self { listen, advertise })
    }
}

enum ReadError {
    Missing,
    TooLong,
    Io(std::io::Error),
}

fn read(path: &Path) -> Result<String, ReadError> {
    let failed = |error: std::io::Error| {
        if error.kind() == ErrorKind::NotFound {
            ReadError::Missing
        } else if error.kind() == ErrorKind::FileTooLarge {
            ReadError::TooLong
        } else {
            ReadError::Io(error)
        }
    };
    files::read_bounded_text(path, FILE_BYTES_MAX).map(|text| text.to_string()).map_err(failed)
}

fn report(path: &Path, text: Result<String, ReadError>) -> Result<String, Report> {
    let path = path.display();
    text.map_err(|error| {
        let message = match error {
            ReadError::Missing => format!("{path} is missing"),
            ReadError::TooLong => format!("{path} is longer than {FILE_BYTES_MAX} bytes"),
            ReadError::Io(error) => format!("cannot read {path}: {error}"),
        };
        Report::new("file", message).hint(FOLDER_HINT)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_back_and_unknown_keys_suggested() {
        // Goal: round trip and the error's text. Method: a temporary file.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.toml");
        for advertise in [None, Some("192.0.2.1".parse().unwrap())] {
            let settings = ServerSettings { listen: "[::1]:4242".parse().unwrap(), advertise };
            settings.write(&path).unwrap();
            assert_eq!(ServerSettings::parse(&std::fs::read_to_string(&path).unwrap()).unwrap(), settings);
        }
        let error = ServerSettings::parse("schema = 1\nlisen = \"x\"").unwrap_err();
        assert!(error.message.ends_with("unknown key `lisen`; did you mean `listen`?"), "{error}");
    }
}
