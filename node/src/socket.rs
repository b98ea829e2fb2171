//! Where the local API's socket is.
//!
//! Under `$XDG_RUNTIME_DIR/callbook`, named by a hash of the data folder, so that several daemons of
//! one user don't meet; else in the data folder; else, when that path is too long for a socket
//! address, in a folder under `/tmp` that must belong to the data folder's owner. A pointer file in
//! the data folder tells the commands which of them it is.
//!
//! *Not here*: what is said over the socket (`daemon::api`, `cli::client`).

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Longest path of a socket, in bytes.
///
/// Source: `sun_path` is 108 bytes with its closing zero (specification, unix(7)).
const PATH_BYTES_MAX: usize = 107;

/// Name of the pointer file in the data folder.
const POINTER: &str = "socket";

/// The socket of the daemon on a data folder.
///
/// # Shape
/// `folder` is canonical; `runtime` is `$XDG_RUNTIME_DIR`, if it is set and there.
pub(crate) fn socket_path(folder: &Path, runtime: Option<&Path>) -> PathBuf {
    let hash = blake3::hash(folder.as_os_str().as_encoded_bytes()).to_hex();
    let digits = hash.get(..16).unwrap_or_default();
    let choices = [
        runtime.map(|runtime| runtime.join("callbook").join(format!("{digits}.sock"))),
        Some(folder.join("run").join("callbook.sock")),
    ];
    let fits = |path: &PathBuf| path.as_os_str().len() <= PATH_BYTES_MAX;
    let last = || PathBuf::from(format!("/tmp/callbook-{digits}/callbook.sock"));
    choices.into_iter().flatten().find(fits).unwrap_or_else(last)
}

/// Where the daemon of this folder said that it listens; `None` when it never did or is gone.
pub(crate) fn pointed(folder: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read_to_string(folder.join(POINTER)) {
        Ok(text) => Ok(Some(PathBuf::from(text.trim_end()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The socket while the daemon runs; dropping it removes socket and pointer.
#[derive(Debug)]
pub(crate) struct Place {
    /// The socket.
    pub(crate) path: PathBuf,
    pointer: PathBuf,
}

/// Listens on the folder's socket. The caller holds the folder's lock, so what is left of an
/// earlier daemon is removed.
pub(crate) fn listen(folder: &Path) -> io::Result<(UnixListener, Place)> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir());
    let path = socket_path(folder, runtime.as_deref());
    let parent = path.parent().unwrap_or(folder);
    make_folder(parent, folder)?;
    match fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o660))?;
    let pointer = folder.join(POINTER);
    fs::write(&pointer, format!("{}\n", path.display()))?;
    Ok((listener, Place { path, pointer }))
}

fn make_folder(parent: &Path, folder: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o750).create(parent) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    // Somebody else may have made a folder of that name under /tmp, to read along.
    if fs::symlink_metadata(parent)?.uid() != fs::metadata(folder)?.uid() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} belongs to somebody else", parent.display()),
        ));
    }
    fs::set_permissions(parent, fs::Permissions::from_mode(0o750))
}

impl Drop for Place {
    fn drop(&mut self) {
        for path in [&self.path, &self.pointer] {
            if let Err(error) = fs::remove_file(path) {
                tracing::debug!(path = %path.display(), %error, "not removed");
            }
        }
        // The folder under /tmp is for this daemon alone.
        if let Some(parent) = self.path.parent().filter(|parent| parent.parent() == Some(Path::new("/tmp")))
            && let Err(error) = fs::remove_dir(parent)
        {
            tracing::debug!(path = %parent.display(), %error, "not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_folder_comes_first_and_each_data_folder_has_its_own_name() {
        // Goal: two daemons of one user never share a socket. Method: two folders, one runtime folder.
        let runtime = Path::new("/run/user/1000");
        let (a, b) =
            (socket_path(Path::new("/a"), Some(runtime)), socket_path(Path::new("/b"), Some(runtime)));
        assert!(a.starts_with("/run/user/1000/callbook"), "{a:?}");
        assert_eq!(a.extension().and_then(|e| e.to_str()), Some("sock"));
        assert_ne!(a, b);
    }

    #[test]
    fn without_a_runtime_folder_the_socket_lies_in_the_data_folder() {
        // Goal: the second choice. Method: no runtime folder, a short data folder.
        assert_eq!(socket_path(Path::new("/srv/cb"), None), Path::new("/srv/cb/run/callbook.sock"));
    }

    #[tokio::test]
    async fn a_socket_is_for_owner_and_group_and_leaves_nothing_behind() {
        // Goal: modes, pointer, cleaning up, and what a crash left is no hindrance. Method: a data
        // folder with a path too long for a socket, listened on twice.
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("x".repeat(120));
        fs::create_dir(&folder).unwrap();
        let path = {
            let (listener, place) = listen(&folder).unwrap();
            std::mem::forget(place);
            drop(listener);
            pointed(&folder).unwrap().unwrap()
        };
        let (_listener, place) = listen(&folder).unwrap();
        assert_eq!(place.path, path);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o660, 0o750));
        drop(place);
        assert!(!path.exists());
        assert_eq!(pointed(&folder).unwrap(), None);
    }

    #[test]
    fn a_path_too_long_for_a_socket_address_is_never_chosen() {
        // Goal: every choice fits `sun_path`. Method: long folders on both sides.
        let long = PathBuf::from(format!("/{}", "x".repeat(200)));
        let path = socket_path(&long, Some(&long));
        assert!(path.starts_with("/tmp") && path.as_os_str().len() <= PATH_BYTES_MAX, "{path:?}");
        assert_eq!(socket_path(Path::new("/srv/cb"), Some(&long)), Path::new("/srv/cb/run/callbook.sock"));
    }
}
