//! What a call that takes lists and tasks in does: reads all of them, writes them step by step, and tells what became of each.

use prost::Message as _;
use tonic::{Request, Response, Status, Streaming};

use super::import::{self, Import, Item};
use super::task_service::TaskApi;
use crate::api::reason::{Reason, reason};
use crate::api::status::{VIOLATIONS_MAX, public_text};
use crate::api::{Intake, caller};
use crate::domain::{Effect, Error, Owner, Result, Subject, Violation};
use crate::pb;
use crate::storage::{Operation, Outcome as Written};
use pb::import_tasks_response::{ItemResult, Outcome};

/// Bytes up to which a refused call is heard to its end: one that is cut off would not hear why.
const READ_MAX: usize = 32 * 1024 * 1024;
/// Items that are written at once, as in a batch.
const STEP: usize = 200;
/// Most bytes of texts in an answer. All else about as many items as there may be takes less than the rest of it.
const TEXTS_BYTES_MAX: usize = 1792 * 1024;

impl TaskApi {
    pub(super) async fn import(
        &self,
        request: Request<Streaming<pb::ImportTasksRequest>>,
    ) -> Result<Response<pb::ImportTasksResponse>, Status> {
        let intake = request.extensions().get::<Intake>().cloned().unwrap_or_default();
        let (caller, mut messages) = caller(request)?;
        // None at all is refused as one that says nothing.
        let first = messages.message().await?.unwrap_or_default();
        let mut import = Import::begin(&caller, &first)?;
        let _place = self.imports.take(import.owner.user())?;
        let mut read = first.encoded_len();
        let mut added = import.add(first);
        intake.took(read);
        while let Some(message) = messages.message().await? {
            let bytes = message.encoded_len();
            read += bytes;
            if added.is_ok() {
                added = import.add(message);
            } else if read > READ_MAX {
                break;
            }
            intake.took(bytes);
        }
        added?;
        // A caller who has left looks here like one who has said everything. What they leave behind is dropped at the next turn.
        tokio::task::yield_now().await;
        let Import { owner, validate_only, items, .. } = import;
        let order = import::order(&items);
        let mut told = Vec::with_capacity(items.len());
        let mut writes = Vec::with_capacity(items.len());
        for Item { line, subject, write, .. } in items {
            let (write, result) = match write {
                Ok(write) => (Some(write), None),
                Err(error) => (None, Some(Err(error))),
            };
            writes.push(write);
            told.push(Told { line, subject, result });
        }
        // Tried out as a whole: what comes later may need what comes before.
        let step = if validate_only { order.len().max(1) } else { STEP };
        for step in order.chunks(step) {
            let operations = step.iter().filter_map(|at| writes[*at].take());
            let operations = operations.map(|write| self.operation(owner, vec![write])).collect();
            let results = self.written(operations, validate_only).await?;
            for (at, result) in step.iter().zip(results) {
                told[*at].result = Some(result);
            }
        }
        let (revision, _) = self.storage.changes().current_revision(owner).await?;
        Ok(Response::new(answer(owner, told, revision)?))
    }

    /// Writes some of them, or tries them out; what is wrong with one concerns that one alone.
    async fn written(&self, operations: Vec<Operation>, dry_run: bool) -> Result<Vec<Result<Effect>>> {
        let tasks = self.storage.tasks();
        let written = match dry_run {
            true => Box::pin(tasks.rehearse(operations)).await?,
            false => Box::pin(tasks.write_together(operations)).await?,
        };
        let effect = |written: Written| match written {
            Written::Applied(results) => results.first().map_or(Effect::Unchanged, |result| result.effect),
            Written::Replayed(_) => Effect::Unchanged,
        };
        Ok(written.into_iter().map(|one| one.map(effect).map_err(|failed| failed.error)).collect())
    }
}

/// An item, and what became of it.
struct Told {
    line: i64,
    subject: Option<Subject>,
    result: Option<Result<Effect>>,
}

/// Whether something is left alone for this, and not refused: it is there otherwise, or deleted.
const fn is_skipped(subject: Option<Subject>, error: &Error) -> bool {
    match subject {
        Some(Subject::Task(_)) => matches!(error, Error::TaskAlreadyExists | Error::TaskDeleted),
        Some(Subject::List(_)) => matches!(error, Error::TaskListAlreadyExists | Error::TaskListDeleted),
        None => false,
    }
}

/// The answer. What is wrong with the call as a whole, and was only noticed with an item, fails it.
fn answer(owner: Owner, told: Vec<Told>, revision: i64) -> Result<pb::ImportTasksResponse> {
    let mut answer = pb::ImportTasksResponse { revision, ..Default::default() };
    let mut room = TEXTS_BYTES_MAX;
    for Told { line, subject, result } in told {
        let mut one = ItemResult { line, name: import::name(owner, subject), ..ItemResult::default() };
        let result = result.unwrap_or_else(|| Err(Error::Internal("an item was not written".into())));
        let (outcome, count) = match result {
            Ok(Effect::Created) => (Outcome::Created, &mut answer.created_count),
            Ok(Effect::Changed) => (Outcome::Overwritten, &mut answer.overwritten_count),
            Ok(Effect::Unchanged | Effect::Conflict) => (Outcome::Unchanged, &mut answer.unchanged_count),
            Err(error) => {
                say_why(&mut one, &error, &mut room)?;
                match is_skipped(subject, &error) {
                    true => (Outcome::Skipped, &mut answer.skipped_count),
                    false => (Outcome::Refused, &mut answer.refused_count),
                }
            }
        };
        *count += 1;
        one.outcome = outcome.into();
        answer.results.push(one);
    }
    Ok(answer)
}

/// Says why an item was not written, in words as long as there is room.
fn say_why(one: &mut ItemResult, error: &Error, room: &mut usize) -> Result<()> {
    let reason = reason(error);
    if matches!(reason, Reason::SessionRevoked | Reason::Internal) {
        return Err(error.clone());
    }
    let violations: &[Violation] = if let Error::Invalid(violations) = error { violations } else { &[] };
    let violations = violations.iter().take(VIOLATIONS_MAX).map(|violation| {
        let (field, description) = (violation.field.to_string(), violation.rule.text.to_string());
        pb::import_tasks_response::Violation { field, description }
    });
    let words =
        ItemResult { text: public_text(error), violations: violations.collect(), ..Default::default() };
    one.reason = reason.name().to_owned();
    if let Some(left) = room.checked_sub(words.encoded_len()) {
        *room = left;
        (one.text, one.violations) = (words.text, words.violations);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::answer::BYTES_MAX;
    use crate::domain::{Rule, TaskId, TaskListId, UserId, Violations};

    #[test]
    fn an_answer_fits_whatever_is_wrong() {
        let mut violations = Violations::default();
        for _ in 0..2 * VIOLATIONS_MAX {
            violations.add(Rule::field("x".repeat(200)).at("task.recurrence.rrule"));
        }
        let wrong = violations.finish().unwrap_err();
        let owner = crate::auth::owner_for_service(UserId::generate());
        let told = |error: &Error| {
            let subject = Some(Subject::List(TaskListId::generate()));
            (0..import::ITEMS_MAX)
                .map(|_| Told { line: -1, subject, result: Some(Err(error.clone())) })
                .collect()
        };
        for error in [wrong, Error::TaskListAlreadyExists] {
            let answer = answer(owner, told(&error), i64::MAX).unwrap();
            assert!(answer.encoded_len() <= BYTES_MAX, "{}", answer.encoded_len());
            assert_eq!(
                answer.results[0].violations.len() == VIOLATIONS_MAX,
                matches!(error, Error::Invalid(_))
            );
            assert!(!answer.results[0].text.is_empty());
            assert!(answer.results.iter().all(|one| !one.reason.is_empty()));
        }
    }

    #[test]
    fn what_is_wrong_with_the_call_fails_it() {
        let owner = crate::auth::owner_for_service(UserId::generate());
        let told = |result| vec![Told { line: 1, subject: Some(Subject::Task(TaskId::generate())), result }];
        assert!(answer(owner, told(None), 1).is_err());
        assert_eq!(answer(owner, told(Some(Err(Error::SessionRevoked))), 1), Err(Error::SessionRevoked));
    }
}
