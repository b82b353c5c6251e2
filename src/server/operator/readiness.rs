//! Whether the service is ready, and why not: one value that the health checks and the admin port both read.

use tokio::sync::watch;

/// Why the service is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum NotReady {
    /// The storage has not been asked yet.
    Starting,
    /// The storage does not answer.
    StorageUnavailable,
    /// The storage answers and can only be read.
    StorageReadOnly,
    /// The schema is not the one of this program.
    SchemaMismatch,
    /// The service was told to stop.
    Draining,
}

impl NotReady {
    /// The name for machines.
    pub(in crate::server) const fn reason(self) -> &'static str {
        match self {
            Self::Starting => "STARTING",
            Self::StorageUnavailable => "STORAGE_UNAVAILABLE",
            Self::StorageReadOnly => "STORAGE_READ_ONLY",
            Self::SchemaMismatch => "SCHEMA_MISMATCH",
            Self::Draining => "DRAINING",
        }
    }

    /// The same for people.
    pub(in crate::server) const fn text(self) -> &'static str {
        match self {
            Self::Starting => "the storage has not answered yet",
            Self::StorageUnavailable => "the storage does not answer",
            Self::StorageReadOnly => "the database can only be read: a standby, or a primary of before",
            Self::SchemaMismatch => "the schema of the database is not the one of this program",
            Self::Draining => "the service is shutting down",
        }
    }
}

/// What those who ask get to see.
#[derive(Debug, Clone)]
pub(in crate::server) struct Readiness(watch::Receiver<Option<NotReady>>);

impl Readiness {
    /// Not ready yet; the sender changes that.
    pub(in crate::server) fn begin() -> (watch::Sender<Option<NotReady>>, Self) {
        let (sender, receiver) = watch::channel(Some(NotReady::Starting));
        (sender, Self(receiver))
    }

    /// Why the service is not ready; `None` when it is.
    pub(in crate::server) fn why_not(&self) -> Option<NotReady> {
        *self.0.borrow()
    }
}
