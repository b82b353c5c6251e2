//! What a database error means: the one place where their texts are read.
//!
//! diesel-async does not hand out SQLSTATE, so what has no kind of its own is told apart by the server's fixed
//! English text (connections ask for `lc_messages=C`). A test provokes each of these errors for real.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use super::set::MOVED;
use crate::domain::{Error, Rule};

impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(kind, information) => {
                by_kind(kind).unwrap_or_else(|| by_message(information.message()))
            }
            DieselError::BrokenTransactionManager => {
                Self::StorageUnavailable("the connection was lost within a transaction".into())
            }
            DieselError::RollbackErrorOnCommit { rollback_error, commit_error } => {
                tracing::warn!(%rollback_error, "a failed commit could not be rolled back");
                Self::from(*commit_error)
            }
            other => Self::Internal(other.to_string()),
        }
    }
}

fn by_kind(kind: DatabaseErrorKind) -> Option<Error> {
    match kind {
        DatabaseErrorKind::SerializationFailure => Some(Error::Conflict),
        DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection => {
            Some(Error::StorageUnavailable("the connection was lost".into()))
        }
        DatabaseErrorKind::ReadOnlyTransaction => {
            Some(Error::StorageUnavailable("the database is read-only".into()))
        }
        _ => None,
    }
}

/// What a text of the server means.
type Meaning = fn(&str) -> Error;

/// How a coordinator of Citus begins what it says of its connections to others.
const REMOTE_NODE: &str = "connection to the remote node";

/// Texts of the servers, and what each means.
const MESSAGES: [(&str, Meaning); 30] = [
    // PostgreSQL, in the order of its SQLSTATEs.
    ("remaining connection slots are reserved", unavailable),
    ("sorry, too many clients already", unavailable),
    ("too many connections for", unavailable),
    ("could not extend file", |_| Error::StorageFull),
    ("No space left on device", |_| Error::StorageFull),
    ("canceling statement due to statement timeout", |_| Error::DeadlineExceeded),
    ("canceling statement due to lock timeout", |_| Error::Conflict),
    ("deadlock detected", |_| Error::Conflict),
    ("terminating connection", unavailable),
    ("the database system is", unavailable),
    ("connection closed", unavailable),
    ("error communicating with the server", unavailable),
    ("cannot execute", unavailable),
    // Our own: somebody changed them without the lock of their user.
    (MOVED, |_| Error::Conflict),
    // Citus: a server with shards is away, or shards are moved.
    ("involved in a distributed deadlock", |_| Error::Conflict),
    ("could not run distributed query with FOR UPDATE", |_| Error::Conflict),
    (REMOTE_NODE, unavailable),
    ("failure on connection marked as essential", unavailable),
    ("could not establish any connections to the node", unavailable),
    ("failed to execute task", unavailable),
    ("postmaster was shut down", unavailable),
    ("server closed the connection unexpectedly", unavailable),
    ("connection not open", unavailable),
    ("could not receive query results", unavailable),
    // SQLite.
    ("database is locked", unavailable),
    ("database table is locked", unavailable),
    ("database or disk is full", |_| Error::StorageFull),
    ("attempt to write a readonly database", unavailable),
    ("disk I/O error", unavailable),
    ("unable to open database file", unavailable),
];

fn unavailable(message: &str) -> Error {
    Error::StorageUnavailable(message.to_owned())
}

fn by_message(message: &str) -> Error {
    MESSAGES
        .iter()
        .find(|(text, _)| message.contains(text))
        .map_or_else(|| Error::Internal(message.to_owned()), |(_, meaning)| meaning(message))
}

/// Whether a cause tells that the server can no longer be written to, or is going away.
pub(in crate::storage) fn tells_of_another_server(cause: &str) -> bool {
    const WORDS: [&str; 5] = [
        "the database is read-only",
        "in a read-only transaction",
        "during recovery",
        "terminating connection due to administrator command",
        "the database system is",
    ];
    // What another server told that one concerns a part of the users, and no connection to it.
    !cause.contains(REMOTE_NODE) && WORDS.iter().any(|words| cause.contains(words))
}

/// A stored value that breaks the rule of its type.
pub(in crate::storage) fn corrupt(what: &str) -> impl FnOnce(Rule) -> Error {
    move |rule| Error::corrupt(what, &rule)
}
