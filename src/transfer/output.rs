//! Where a backup is written to: a file that appears whole or not at all, or standard output.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::BackupError;

/// A file that is not there yet. What was written lies beside it, under its name and `.partial`, until `finish`; it goes when
/// this is dropped.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    partial: PathBuf,
    /// Held for its lock.
    file: File,
    is_done: bool,
}

impl Output {
    /// Makes the place to write to, for its owner alone (0600).
    ///
    /// # Errors
    /// `Exists`, unless it may be replaced; `Busy`; `Write`.
    pub fn create(path: &Path, replace: bool) -> Result<Self, BackupError> {
        match fs::symlink_metadata(path) {
            Ok(_) if !replace => return Err(BackupError::Exists),
            Ok(found) if !found.is_file() => {
                let text = "there is something else than a file";
                return Err(BackupError::Write(io::Error::new(io::ErrorKind::AlreadyExists, text)));
            }
            _ => {}
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&partial);
        let file = file.map_err(BackupError::Write)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BackupError::Busy),
            Err(TryLockError::Error(error)) => return Err(BackupError::Write(error)),
        }
        // One that was killed may have left it behind.
        file.set_len(0).map_err(BackupError::Write)?;
        Ok(Self { path: path.to_owned(), partial, file, is_done: false })
    }

    /// Where to write.
    ///
    /// # Errors
    /// `Write`.
    pub fn writer(&self) -> Result<impl Write + Send + 'static, BackupError> {
        let file = self.file.try_clone().map_err(BackupError::Write)?;
        Ok(BufWriter::with_capacity(128 * 1024, file))
    }

    /// Lets the file appear, once all of it is on the disk. `replace` as at the beginning.
    ///
    /// # Errors
    /// `Exists` where it came to be meanwhile; `Write`.
    pub fn finish(mut self, replace: bool) -> Result<(), BackupError> {
        self.file.sync_all().map_err(BackupError::Write)?;
        if replace {
            fs::rename(&self.partial, &self.path).map_err(BackupError::Write)?;
        } else {
            // Unlike a rename, this replaces nothing.
            fs::hard_link(&self.partial, &self.path).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => BackupError::Exists,
                _ => BackupError::Write(error),
            })?;
            fs::remove_file(&self.partial).map_err(BackupError::Write)?;
        }
        self.is_done = true;
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = File::open(directory.unwrap_or(Path::new("."))).map_err(BackupError::Write)?;
        directory.sync_all().map_err(BackupError::Write)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = fs::remove_file(&self.partial);
        }
    }
}
