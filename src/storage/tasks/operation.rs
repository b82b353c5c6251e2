//! An operation: what one caller wants done, all or nothing, and what became of it.

use std::sync::Arc;

use crate::domain::{Error, HistoryId, Owner, Result, Write, WriteResult, WriteRules};

/// How a call is recognised when it comes again (its idempotency key), and what it is then answered.
#[derive(Clone)]
pub struct Idempotency {
    /// What the caller gave it as `request_id`.
    pub key: uuid::Uuid,
    /// Hash of method and message.
    pub fingerprint: Vec<u8>,
    /// The answer to be remembered, given what was done.
    pub answer: Arc<Answer>,
}

/// Makes the encoded answer out of what became of each write.
type Answer = dyn Fn(&[WriteResult]) -> Vec<u8> + Send + Sync;

impl std::fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idempotency").field("key", &self.key).finish_non_exhaustive()
    }
}

/// What one caller wants done, all or nothing.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Whose tasks.
    pub owner: Owner,
    /// The writes, in order.
    pub writes: Vec<Write>,
    /// The time, and how long deleted tasks are kept.
    pub rules: WriteRules,
    /// How many live tasks the owner may have.
    pub live_tasks_max: i64,
    /// The history that the caller believes in, where that matters.
    pub history: Option<HistoryId>,
    /// What makes a retry of it safe.
    pub idempotency: Option<Idempotency>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Has a word in it before anything is done.
    pub review: Option<Review>,
}

impl Operation {
    /// Writes by these rules, without anything special about them.
    pub const fn new(owner: Owner, writes: Vec<Write>, rules: WriteRules, live_tasks_max: i64) -> Self {
        Self {
            owner,
            writes,
            rules,
            live_tasks_max,
            history: None,
            idempotency: None,
            dry_run: false,
            review: None,
        }
    }

    /// The same, though the user may have more tasks than are allowed afterwards.
    pub fn beyond_quota(self) -> Self {
        Self { live_tasks_max: i64::MAX, ..self }
    }
}

/// Looks at what would become of an operation, and may refuse it.
#[derive(Clone)]
pub struct Review(pub Arc<Look>);

/// Passes, or says why an operation must not be carried out.
type Look = dyn Fn(&[WriteResult]) -> Result<()> + Send + Sync;

impl std::fmt::Debug for Review {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Review").finish_non_exhaustive()
    }
}

/// What became of an operation.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It was carried out: what became of each write.
    Applied(Vec<WriteResult>),
    /// It had been carried out before: the answer of that time.
    Replayed(Vec<u8>),
}

/// Why an operation was not carried out.
#[derive(Debug, Clone)]
pub struct WriteError {
    /// The write that failed; `None` when it was none of them in particular.
    pub at: Option<usize>,
    /// Why.
    pub error: Error,
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        Self { at: None, error }
    }
}
