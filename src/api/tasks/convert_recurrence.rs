//! Recurrence: from messages to domain values and back.

use super::convert_value::{day, day_to_pb, required, time, time_to_pb};
use crate::api::fields::Fields;
use crate::api::{idempotency, names};
use crate::auth::Principal;
use crate::domain::{
    Basis, DueDay, Etag, InvalidReason, Occurrence, Owner, Recurrence, RecurrenceRule, Result, Rule,
    Schedule, TaskId, TaskWrite, TimeZone,
};
use crate::pb;

/// Most occurrences that are told at once, and how many are where nothing is said.
const PREVIEW: (i32, i32) = (100, 10);

/// How a task comes again, if it does.
pub(in crate::api) fn recurrence(
    fields: &mut Fields<'_>,
    given: Option<pb::Recurrence>,
) -> Option<Option<Box<Recurrence>>> {
    let Some(given) = given else { return Some(None) };
    let rule = fields.check("task.recurrence.rrule", rule(&given.rrule));
    let basis = fields.check("task.recurrence.basis", basis(given.basis));
    Some(Some(Box::new(Recurrence::new(&rule?, basis?))))
}

fn rule(text: &str) -> Result<RecurrenceRule, Rule> {
    if text.is_empty() {
        return Err(Rule::of(InvalidReason::Recurrence, "is required"));
    }
    RecurrenceRule::parse(text)
}

fn basis(number: i32) -> Result<Basis, Rule> {
    match pb::recurrence::Basis::try_from(number) {
        Ok(pb::recurrence::Basis::Unspecified | pb::recurrence::Basis::Due) => Ok(Basis::Due),
        Ok(pb::recurrence::Basis::Completion) => Ok(Basis::Completion),
        Err(_) => Err(Rule::of(InvalidReason::Recurrence, "must be a value of the enum")),
    }
}

/// A recurrence as it is answered.
pub(in crate::api) fn recurrence_to_pb(recurrence: &Recurrence) -> pb::Recurrence {
    let basis = match recurrence.basis {
        Basis::Due => pb::recurrence::Basis::Due,
        Basis::Completion => pb::recurrence::Basis::Completion,
    };
    pb::Recurrence { rrule: recurrence.rrule.to_string(), basis: basis.into() }
}

/// The task that is to be moved to its next occurrence.
pub(in crate::api) fn skip(
    caller: &Principal,
    request: &pb::SkipOccurrenceRequest,
) -> Result<(Owner, TaskWrite)> {
    let mut fields = Fields::new(caller);
    let target: Option<(Owner, TaskId)> = fields.owned("name", names::parse_task(&request.name))?;
    fields.check("request_id", idempotency::parse(&request.request_id));
    let etag = Etag::given(request.etag.clone());
    fields.finish(target.map(|(owner, id)| (owner, TaskWrite::Skip { id, etag })))
}

/// What a task would say of when it is to be done, how it comes again, and how many times are asked for.
pub(in crate::api) fn preview(
    caller: &Principal,
    request: pb::PreviewOccurrencesRequest,
) -> Result<(Schedule, Recurrence, usize)> {
    let mut fields = Fields::new(caller);
    let owner = fields.owner("parent", names::parse_user(&request.parent))?;
    let count = fields.check("count", count(request.count));
    let task = fields.check("task", required(request.task));
    let task = task.and_then(|task| schedule(&mut fields, task));
    let asked = owner.zip(task).zip(count);
    fields.finish(asked.map(|((_, (schedule, recurrence)), count)| (schedule, recurrence, count)))
}

fn count(number: i32) -> Result<usize, Rule> {
    let (most, usual) = PREVIEW;
    match number {
        0 => Ok(usual.unsigned_abs() as usize),
        1.. if number <= most => Ok(number.unsigned_abs() as usize),
        _ => Err(Rule::field(format!("must be from 0 to {most}"))),
    }
}

fn schedule(fields: &mut Fields<'_>, task: pb::Task) -> Option<(Schedule, Recurrence)> {
    let due_time = fields.check("task.due_time", time(task.due_time));
    let due_date = fields.check("task.due_date", day(task.due_date));
    let start_time = fields.check("task.start_time", time(task.start_time));
    let time_zone = fields.check("task.time_zone", TimeZone::parse(&task.time_zone));
    let given = task.recurrence.ok_or_else(|| Rule::of(InvalidReason::Recurrence, "is required"));
    let given = fields.check("task.recurrence", given).map(Some);
    let recurrence = given.and_then(|given| recurrence(fields, given)).flatten();
    let time_zone = time_zone?;
    let due_day = due_date?.map(|day| DueDay { day, end: day.end(time_zone.as_ref()) });
    let schedule = Schedule { due_time: due_time?, due_day, start_time: start_time?, time_zone };
    Some((schedule, *recurrence?))
}

/// An occurrence as it is answered.
pub(in crate::api) fn occurrence_to_pb(occurrence: &Occurrence) -> pb::Occurrence {
    pb::Occurrence {
        due_time: occurrence.due_time.map(time_to_pb),
        due_date: occurrence.due_day.map(|due| day_to_pb(due.day)),
        start_time: occurrence.start_time.map(time_to_pb),
    }
}
