//! A Unix socket: made so that nobody is let in before its mode is set, removed when it is no longer served.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Owner and group: whoever shares the group may call.
const MODE: u32 = 0o660;

/// A socket's file, which goes when this is dropped.
#[derive(Debug)]
pub(in crate::server) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl SocketFile {
    pub(in crate::server) fn path(&self) -> &Path {
        &self.path
    }
}

/// Listens at `path`. What a process left there that is no more gives way; a socket in use does not.
pub(in crate::server) fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
        }
        _ => {}
    }
    // Under another name first: a socket takes calls from the moment it is bound, and its mode comes after that.
    let mut unready = path.as_os_str().to_owned();
    unready.push(format!(".{}", std::process::id()));
    let unready = PathBuf::from(unready);
    // Left by a process of the same id.
    let _ = std::fs::remove_file(&unready);
    let listener = UnixListener::bind(&unready)?;
    let moved = std::fs::set_permissions(&unready, std::fs::Permissions::from_mode(MODE))
        .and_then(|()| std::fs::rename(&unready, path))
        .and_then(|()| std::fs::symlink_metadata(path));
    match moved {
        Ok(found) => Ok((listener, SocketFile { path: path.to_owned(), inode: found.ino() })),
        Err(error) => {
            let _ = std::fs::remove_file(&unready);
            Err(error)
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A successor's socket may stand there already.
        if std::fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::bind;

    #[test]
    fn a_socket_is_closed_to_others_and_gone_afterwards() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("socket");
        let (listener, file) = bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        assert!(bind(&path).is_err());
        // As a process that was killed leaves it.
        drop(listener);
        let (_listener, _successor) = bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
        drop(_successor);
        assert!(!path.exists());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_socket_stays() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "kept").unwrap();
        assert!(bind(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
    }
}
