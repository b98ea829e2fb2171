//! Private files and the lock of a data folder.
//!
//! A private file is readable by its owner only (0600), and replaced as a whole: written beside its
//! name, forced to disk, renamed, and the folder forced to disk too, so a crash leaves the old or the
//! new content. A data folder belongs to one process: the kernel frees its lock when the holder dies,
//! however it dies; the process id in it is for people.
//!
//! *Not here*: what the files hold ([`crate::key_file`] for keys).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Replaces a file's content atomically; afterwards only its owner may read it.
///
/// # Errors
/// The user: the folder can't be written, or the disk is full.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = write_whole(&beside, content).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        drop(fs::remove_file(&beside));
        return written;
    }
    sync_folder(path)
}

/// Removes a file for good: a crash afterwards doesn't bring it back.
///
/// # Errors
/// The user: it isn't there, or the folder can't be written.
pub fn remove_private(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    sync_folder(path)
}

/// Reads a file of at most so many bytes, whatever length it claims to have (a device claims 0).
///
/// # Errors
/// The user: it can't be read, or it is longer ([`io::ErrorKind::FileTooLarge`]).
pub fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    // Its length at once: a buffer that grows would leave copies of a secret behind.
    let claimed = file.metadata()?.len();
    let room = usize::try_from(claimed.min(bytes_max)).unwrap_or_default() + 1;
    let mut content = Zeroizing::new(Vec::with_capacity(room));
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {bytes_max} bytes")));
    }
    Ok(content)
}

/// The same for text.
///
/// # Errors
/// As [`read_bounded`], or it is not UTF-8 ([`io::ErrorKind::InvalidData`]).
pub fn read_bounded_text(path: &Path, bytes_max: u64) -> io::Result<Zeroizing<String>> {
    let content = read_bounded(path, bytes_max)?;
    let text =
        std::str::from_utf8(&content).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Creates a folder, with its parents, that only its owner may enter; an existing one is left as it is.
///
/// # Errors
/// The user: it can't be created there.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Whether others than the owner may read a file (never on systems without such modes).
///
/// # Errors
/// The user: the file is not there or can't be examined.
pub fn readable_by_others(path: &Path) -> io::Result<bool> {
    let metadata = fs::metadata(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        Ok(metadata.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    {
        drop(metadata);
        Ok(false)
    }
}

fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

/// The right to use a data folder, held until dropped.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// Why a data folder could not be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// The user: another process works on this folder.
    #[error("{} is in use by another process{}", folder.display(), pid.map(|pid| format!(" (process id {pid})")).unwrap_or_default())]
    Held {
        /// The folder.
        folder: PathBuf,
        /// Who holds it, if it could be read.
        pid: Option<u32>,
    },
    /// The user: the lock file can't be created or locked.
    #[error("cannot lock {}: {source}", folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl FolderLock {
    /// Name of the lock file in its folder.
    pub const FILE: &'static str = "lock";

    /// Takes the lock of a folder and leaves this process's id in it.
    ///
    /// # Errors
    /// The user: see [`LockError`].
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { folder: folder.to_owned(), source };
        let path = folder.join(Self::FILE);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { folder: folder.to_owned(), pid: holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_replaced_whole_and_only_its_owner_reads_it() {
        // Goal: content and mode after a first and a second write. Method: a temporary folder.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write_private(&path, b"first, and longer").unwrap();
        write_private(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert!(!readable_by_others(&path).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_without_an_end_is_refused_and_not_read_into_memory() {
        // Goal: `/dev/zero` is an error, as is a file one byte too long. Method: both, and one that fits.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(*read_bounded_text(&path, 5).unwrap(), "12345");
        let kind = |path: &Path, bytes_max| read_bounded(path, bytes_max).unwrap_err().kind();
        assert_eq!(kind(&path, 4), io::ErrorKind::FileTooLarge);
        assert_eq!(kind(Path::new("/dev/zero"), 4), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_second_lock_on_a_folder_is_refused_and_names_the_holder() {
        // Goal: one process per folder. Method: two locks from this process, then one after release.
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::take(folder.path()).unwrap();
        match FolderLock::take(folder.path()) {
            Err(LockError::Held { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("expected Held, got {other:?}"),
        }
        drop(first);
        drop(FolderLock::take(folder.path()).unwrap());
    }
}
