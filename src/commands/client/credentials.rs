//! The file in which sessions are kept, each under the address of its service, for its owner alone.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::address::ServiceAddress;
use crate::client::Session;
use crate::commands::Failure;

const FILE: &str = "credentials.json";
/// Stands still while the file is replaced, so that it can be locked.
const LOCK: &str = "credentials.lock";
const NEW: &str = "credentials.json.new";

/// What the file holds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct CredentialsFile {
    /// The address that was logged in to last.
    pub(super) current: Option<String>,
    /// The logins, by address.
    #[serde(default)]
    pub(super) services: BTreeMap<String, Login>,
}

/// A login to one service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Login {
    /// Who it is, for people.
    pub(super) email: String,
    /// The authorities by which the service is known, where it is not by those of the system.
    pub(super) ca_file: Option<PathBuf>,
    /// The session.
    pub(super) session: Session,
}

/// Held while what is kept may change.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Where the file lies.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    directory: PathBuf,
}

impl Credentials {
    /// As the directories of the user have it.
    pub(super) fn find() -> Result<Self, Failure> {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || absolute("HOME").map(|home| home.join(".config"));
        absolute("XDG_CONFIG_HOME")
            .or_else(home)
            .map(|directory| Self { directory: directory.join("taskwire") })
            .ok_or_else(|| {
                Failure::new("neither XDG_CONFIG_HOME nor HOME names a directory to keep a login in")
            })
    }

    /// What is kept now.
    pub(super) fn read(&self) -> Result<CredentialsFile, Failure> {
        let path = self.directory.join(FILE);
        let wrong = |text: String| Failure::new(format!("{}: {text}", path.display()));
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(CredentialsFile::default()),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let metadata = file.metadata().map_err(|error| wrong(error.to_string()))?;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(wrong("belongs to another user, so its sessions are not used".to_owned()));
        }
        if metadata.mode() & 0o077 != 0 {
            let command = format!("chmod 600 {}", path.display());
            return Err(wrong(format!("others may read the sessions in it; close it with `{command}`")));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| {
            // The text itself is secret; its place is not.
            let place = format!("line {}, column {}", error.line(), error.column());
            wrong(format!("cannot be understood ({place}); remove it and log in again"))
        })
    }

    /// Keeps every other process from changing what is kept, until this is dropped.
    pub(super) fn lock(&self) -> Result<Lock, Failure> {
        let wrong = |path: &Path, error: std::io::Error| Failure::new(format!("{}: {error}", path.display()));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .map_err(|error| wrong(&self.directory, error))?;
        let lock = self.directory.join(LOCK);
        let locked = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
        let locked = locked.map_err(|error| wrong(&lock, error))?;
        locked.lock().map_err(|error| wrong(&lock, error))?;
        Ok(Lock { _file: locked })
    }

    /// Changes what is kept; nobody sees half of it.
    fn change(&self, _: &Lock, change: impl FnOnce(&mut CredentialsFile)) -> Result<(), Failure> {
        let mut kept = self.read()?;
        change(&mut kept);
        let text = serde_json::to_string_pretty(&kept).map_err(Failure::new)?;
        let new = self.directory.join(NEW);
        let replaced = self.replace(&new, text.as_bytes());
        replaced.map_err(|error| Failure::new(format!("{}: {error}", new.display())))
    }

    fn replace(&self, new: &Path, text: &[u8]) -> std::io::Result<()> {
        // One that a crash has left behind may have any mode.
        match std::fs::remove_file(new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
        file.write_all(text)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(new, self.directory.join(FILE))
    }

    /// Keeps a login and makes its service the one that is called when no other is named.
    pub(super) fn keep(&self, address: &ServiceAddress, login: Login) -> Result<(), Failure> {
        self.change(&self.lock()?, |kept| {
            kept.current = Some(address.as_str().to_owned());
            kept.services.insert(address.as_str().to_owned(), login);
        })
    }

    /// Keeps what a session has become, unless it is no longer the one that is kept.
    pub(super) fn renew(
        &self,
        lock: &Lock,
        address: &ServiceAddress,
        known: &str,
        session: &Session,
    ) -> Result<(), Failure> {
        self.change(lock, |kept| {
            if let Some(login) = kept.services.get_mut(address.as_str())
                && login.session.refresh_token == known
            {
                login.session = session.clone();
            }
        })
    }

    /// Forgets a session that is over, unless it is no longer the one that is kept.
    pub(super) fn end(&self, lock: &Lock, address: &ServiceAddress, known: &str) -> Result<(), Failure> {
        self.change(lock, |kept| {
            let login = kept.services.get(address.as_str());
            if login.is_some_and(|login| login.session.refresh_token == known) {
                kept.services.remove(address.as_str());
            }
        })
    }

    /// Forgets a service. The next command is for the one at the default address again.
    pub(super) fn forget(&self, address: &ServiceAddress) -> Result<(), Failure> {
        self.change(&self.lock()?, |kept| {
            kept.services.remove(address.as_str());
            if kept.current.as_deref() == Some(address.as_str()) {
                kept.current = None;
            }
        })
    }
}
