//! The names that this daemon holds, each in a private file of its own under `names/`.
//!
//! A file is written before the name is published or its certificate used, and removed after it was
//! revoked, so a crash never loses a device key that the network knows. *Not here*: publishing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use callbook_login::files;
use callbook_overlay::api::Held;
use callbook_overlay::certificate::DeviceCertificate;
use callbook_overlay::limits::TTL_DEFAULT;
use callbook_overlay::name::Username;
use callbook_overlay::record::Entry;
use callbook_overlay::sign::{SecretKey, Signer};
use callbook_overlay::time::Unix;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::entry;
use crate::exit::Code;
use crate::problem::{Outcome, Problem, file_problem};

/// Schema number of the files.
const SCHEMA: u32 = 1;

/// Largest file that is read, in bytes. A guess: far above any of ours.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A name, with what it takes to publish it.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    /// Signs its records.
    pub(crate) device: SecretKey,
    /// Login certificate, then device certificate, as they travel.
    pub(crate) chain: Vec<Bytes>,
    /// Display name.
    pub(crate) display: String,
    /// Typed entries.
    pub(crate) entries: Vec<Entry>,
    /// How long caches may keep the record.
    pub(crate) ttl: Duration,
    /// Whether it is published.
    pub(crate) publish: bool,
}

impl Name {
    /// A name as it is after a login.
    pub(crate) fn new(device: SecretKey, chain: Vec<Bytes>) -> Self {
        let (display, entries) = (String::new(), Vec::new());
        Self { device, chain, display, entries, ttl: TTL_DEFAULT, publish: false }
    }

    /// The device certificate.
    pub(crate) fn certificate(&self) -> Option<DeviceCertificate> {
        DeviceCertificate::parse(self.chain.last()?).ok()
    }

    /// When the certificate expires.
    pub(crate) fn certificate_until(&self) -> Unix {
        self.certificate().map(|certificate| certificate.not_after).unwrap_or_default()
    }

    /// The device key's public half, in hexadecimal.
    pub(crate) fn device_hex(&self) -> String {
        self.device.public().to_hex()
    }

    /// What the overlay needs to publish it.
    pub(crate) fn held(&self, username: &Username) -> Held {
        Held {
            username: username.clone(),
            device: Box::new(self.device.clone()),
            chain: self.chain.clone(),
            display: self.display.clone(),
            entries: self.entries.clone(),
            ttl: self.ttl,
        }
    }
}

/// All names, in memory and on disk.
#[derive(Debug)]
pub(crate) struct Names {
    folder: PathBuf,
    held: Mutex<BTreeMap<Username, Name>>,
}

impl Names {
    /// Reads the names of an earlier run.
    ///
    /// # Errors
    /// The user: a file is damaged, newer than this program, or can't be read.
    pub(crate) fn open(data: &Path) -> Outcome<Self> {
        let folder = data.join("names");
        let failed = |error| file_problem(Code::FolderUnwritable, "can't use", &folder, &error);
        files::create_private_folder(&folder).map_err(failed)?;
        let mut held = BTreeMap::new();
        for found in fs::read_dir(&folder).map_err(failed)? {
            let path = found.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let (username, name) = read(&path)?;
                held.insert(username, name);
            }
        }
        Ok(Self { folder, held: Mutex::new(held) })
    }

    /// A copy of a name.
    pub(crate) fn find(&self, username: &Username) -> Option<Name> {
        self.held().get(username).cloned()
    }

    /// Copies of all names, in order.
    pub(crate) fn all(&self) -> Vec<(Username, Name)> {
        self.held().iter().map(|(username, name)| (username.clone(), name.clone())).collect()
    }

    /// Keeps a name: on disk first.
    pub(crate) fn keep(&self, username: &Username, name: Name) -> Outcome<()> {
        let path = self.path(username);
        let text = write(username, &name)?;
        files::write_private(&path, text.as_bytes())
            .map_err(|error| file_problem(Code::FolderUnwritable, "can't write", &path, &error))?;
        self.held().insert(username.clone(), name);
        Ok(())
    }

    /// Forgets a name.
    pub(crate) fn forget(&self, username: &Username) -> Outcome<()> {
        let path = self.path(username);
        files::remove_private(&path)
            .map_err(|error| file_problem(Code::FolderUnwritable, "can't remove", &path, &error))?;
        self.held().remove(username);
        Ok(())
    }

    fn path(&self, username: &Username) -> PathBuf {
        self.folder.join(format!("{username}.toml"))
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Username, Name>> {
        // Nobody panics while holding it: the map's own calls are all that happens under it.
        self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A name as it stands in its file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: u32,
    name: String,
    device: String,
    chain: Vec<String>,
    display: String,
    entries: Vec<String>,
    ttl_secs: u64,
    publish: bool,
}

impl Drop for File {
    fn drop(&mut self) {
        self.device.zeroize();
    }
}

fn write(username: &Username, name: &Name) -> Outcome<Zeroizing<String>> {
    let file = File {
        schema: SCHEMA,
        name: username.to_string(),
        device: BASE64.encode(name.device.seed()),
        chain: name.chain.iter().map(|certificate| BASE64.encode(certificate)).collect(),
        display: name.display.clone(),
        entries: name.entries.iter().map(ToString::to_string).collect(),
        ttl_secs: name.ttl.as_secs(),
        publish: name.publish,
    };
    toml::to_string(&file)
        .map(Zeroizing::new)
        .map_err(|error| Problem::new(Code::Internal, format!("a name can't be written: {error}")))
}

fn read(path: &Path) -> Outcome<(Username, Name)> {
    let text = files::read_bounded_text(path, FILE_BYTES_MAX)
        .map_err(|error| file_problem(Code::FileUnreadable, "can't read", path, &error))?;
    let schema = text.parse::<toml::Table>().ok().and_then(|table| table.get("schema")?.as_integer());
    if schema.is_some_and(|schema| schema > i64::from(SCHEMA)) {
        let message = format!("{} was written by a newer callbook", path.display());
        return Err(Problem::new(Code::StoreNewer, message).hint("run that version, or move the file away"));
    }
    let corrupt = |why: String| {
        Problem::new(Code::FileCorrupt, format!("{} is damaged: {why}", path.display()))
            .hint("restore it, or move it away and log in again: callbook login NAME")
    };
    // The error's own text would show the line, and so perhaps the key.
    let file: File = toml::from_str(&text).map_err(|error| corrupt(error.message().to_owned()))?;
    let username = Username::parse(&file.name).map_err(|error| corrupt(error.to_string()))?;
    let bytes = |text: &str| BASE64.decode(text).map_err(|error| corrupt(error.to_string()));
    let seed: Zeroizing<Vec<u8>> = Zeroizing::new(bytes(&file.device)?);
    let seed: [u8; 32] =
        seed.as_slice().try_into().map_err(|_| corrupt("the device key has not 32 bytes".to_owned()))?;
    let chain: Outcome<Vec<Bytes>> = file.chain.iter().map(|text| bytes(text).map(Bytes::from)).collect();
    let entries: Outcome<Vec<Entry>> = file.entries.iter().map(|text| entry::parse(text)).collect();
    let name = Name {
        device: SecretKey::from_seed(seed),
        chain: chain?,
        display: file.display.clone(),
        entries: entries?,
        ttl: Duration::from_secs(file.ttl_secs),
        publish: file.publish,
    };
    Ok((username, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn names_survive_a_restart_in_files_that_only_the_owner_reads() {
        // Goal: nothing is lost, nothing is readable. Method: keep one, open again, compare.
        let folder = tempfile::tempdir().unwrap();
        let alice = Username::parse("alice").unwrap();
        let mut name = Name::new(SecretKey::from_seed([7; 32]), vec![Bytes::from_static(b"certificate")]);
        name.entries = vec![entry::parse("TXT \"x y\"").unwrap()];
        name.display = "Alice \"A\"".into();
        name.publish = true;
        Names::open(folder.path()).unwrap().keep(&alice, name.clone()).unwrap();
        let again = Names::open(folder.path()).unwrap();
        let found = again.find(&alice).unwrap();
        assert_eq!(found.device.seed(), name.device.seed());
        assert_eq!((found.chain, found.display, found.entries), (name.chain, name.display, name.entries));
        assert!(found.publish);
        let mode = fs::metadata(folder.path().join("names/alice.toml")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        again.forget(&alice).unwrap();
        assert!(Names::open(folder.path()).unwrap().all().is_empty());
    }

    #[test]
    fn damaged_and_newer_files_are_reported_and_not_overwritten() {
        // Goal: a key is never thrown away in silence. Method: write such files, open, look again.
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("names")).unwrap();
        let path = folder.path().join("names/alice.toml");
        for (text, code) in
            [("schema = 2\n", Code::StoreNewer), ("schema = 1\nname = \"alice\"", Code::FileCorrupt)]
        {
            fs::write(&path, text).unwrap();
            assert_eq!(Names::open(folder.path()).unwrap_err().code, code);
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
