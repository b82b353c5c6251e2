//! What other programs wrote, made to fit the rules of the service: what is too long is cut, what is unknown is left out, and each of
//! it is told.

use crate::domain::TimeZone;
use crate::domain::{
    Annotations, Day, Description, Labels, RecurrenceRule, Reminder, Reminders, Timestamp, Title,
};
use crate::pb::{self, Task, reminder};

/// A field and the rule that it breaks, where nothing can be made of it.
pub(super) type Broken = (&'static str, String);

/// Makes a task fit, and tells what was changed.
///
/// # Errors
/// The field without which there is no task, and its rule.
pub(super) fn task(mut task: Task, notes: &mut Vec<String>) -> Result<Task, Broken> {
    let (title, whole) = title(&task.title, notes)?;
    task.title = title;
    if let Some(whole) = whole {
        let more = task.description.take().filter(|text| !text.is_empty());
        task.description = Some(more.map_or_else(|| whole.clone(), |more| format!("{whole}\n\n{more}")));
    }
    task.description = task.description.map(|text| description(&text, notes));
    task.labels = labels(task.labels, notes);
    task.annotations = task
        .annotations
        .into_iter()
        .filter(|(key, value)| Annotations::check_key(key).is_ok() && !value.is_empty())
        .map(|(key, value)| {
            let value = cut(&lines(&value), Annotations::VALUE_MAX_CODE_POINTS);
            (key, value)
        })
        .collect();
    schedule(&mut task, notes);
    recurrence(&mut task, notes);
    reminders(&mut task, notes);
    Ok(task)
}

/// Makes a list fit.
///
/// # Errors
/// The rule of its title, where it has none.
pub(super) fn list(mut list: pb::TaskList, notes: &mut Vec<String>) -> Result<pb::TaskList, Broken> {
    (list.title, _) = title(&list.title, notes)?;
    Ok(list)
}

/// A title, and the whole of it where it had to be cut.
fn title(given: &str, notes: &mut Vec<String>) -> Result<(String, Option<String>), Broken> {
    let most = Title::MAX_CODE_POINTS;
    let given = given.trim();
    let plain: String = given.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    if plain != given {
        notes.push("title: control characters became blanks".to_owned());
    }
    let plain = plain.trim();
    if plain.is_empty() {
        return Err(("title", "must not be empty or only white space".to_owned()));
    }
    let short = cut(plain, most);
    if short.len() == plain.len() {
        return Ok((short, None));
    }
    notes.push(format!("title: cut to {most} characters"));
    Ok((short, Some(plain.to_owned())))
}

fn description(given: &str, notes: &mut Vec<String>) -> String {
    let plain = lines(given);
    let short = cut(&plain, Description::MAX_CODE_POINTS);
    if short.len() < plain.len() {
        notes.push(format!("description: cut to {} characters", Description::MAX_CODE_POINTS));
    }
    short
}

/// The text with line feeds between its lines, and no control characters but those and tabs.
fn lines(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.chars().filter(|char| !char.is_control() || matches!(char, '\n' | '\t')).collect()
}

/// So many code points of the text, without white space at the end where something was cut.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((at, _)) => text.get(..at).unwrap_or_default().trim_end().to_owned(),
    }
}

fn labels(given: Vec<String>, notes: &mut Vec<String>) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for label in given {
        let plain: String = label.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
        let short = cut(&plain, Labels::MAX_CODE_POINTS);
        if short != label {
            notes.push(format!("labels: one was cut to {} characters", Labels::MAX_CODE_POINTS));
        }
        if !short.is_empty() && !labels.contains(&short) {
            labels.push(short);
        }
    }
    if labels.len() > Labels::MAX {
        notes.push(format!("labels: only the first {} of {} were taken", Labels::MAX, labels.len()));
        labels.truncate(Labels::MAX);
    }
    labels
}

/// What is due at a point in time is not due on a day too, and begins before.
fn schedule(task: &mut Task, notes: &mut Vec<String>) {
    if TimeZone::parse(&task.time_zone).is_err() {
        notes.push(format!("time_zone: {} is not known, and UTC was taken", shown(&task.time_zone)));
        task.time_zone.clear();
    }
    if task.due_time.is_some() {
        task.due_date = None;
    }
    let is_late = match (&task.start_time, due(task)) {
        (Some(start), Some(due)) => (start.seconds, start.nanos) > (due.seconds, due.nanos),
        _ => false,
    };
    if is_late {
        notes.push("start_time: left out, since it is after the due".to_owned());
        task.start_time = None;
    }
}

/// When the task is due at the latest.
fn due(task: &Task) -> Option<prost_types::Timestamp> {
    if task.due_time.is_some() {
        return task.due_time;
    }
    let day = task.due_date?;
    let day = Day::from_parts(day.year, day.month, day.day).ok()?;
    let zone = TimeZone::parse(&task.time_zone).ok().flatten();
    let (seconds, nanos) = Timestamp::to_parts(day.end(zone.as_ref()));
    Some(prost_types::Timestamp { seconds, nanos })
}

fn recurrence(task: &mut Task, notes: &mut Vec<String>) {
    let Some(recurrence) = &mut task.recurrence else { return };
    let rrule = recurrence.rrule.trim();
    let is_rrule = rrule.get(..6).is_some_and(|name| name.eq_ignore_ascii_case("RRULE:"));
    let rrule = if is_rrule { rrule.get(6..).unwrap_or_default() } else { rrule };
    let why = if task.completed {
        Some("a completed task does not come again".to_owned())
    } else if task.due_time.is_none() && task.due_date.is_none() {
        Some("the task is not due".to_owned())
    } else {
        RecurrenceRule::parse(rrule).err().map(|rule| format!("the rule {}", rule.text))
    };
    recurrence.rrule = rrule.to_owned();
    if let Some(why) = why {
        notes.push(format!("recurrence: left out, since {why}"));
        task.recurrence = None;
    } else if task.due_date.is_some() && task.time_zone.is_empty() {
        "UTC".clone_into(&mut task.time_zone);
    }
}

fn reminders(task: &mut Task, notes: &mut Vec<String>) {
    let is_due = due(task).is_some();
    let before = task.reminders.len();
    task.reminders.retain(|one| match &one.when {
        Some(reminder::When::Offset(offset)) => {
            is_due && Reminder::before(offset.seconds, offset.nanos).is_ok()
        }
        Some(reminder::When::Time(_)) => true,
        None => false,
    });
    task.reminders.truncate(Reminders::MAX);
    if task.reminders.len() < before {
        notes.push(format!("reminders: {} of {before} were taken", task.reminders.len()));
    }
}

/// A piece of a file as a note may repeat it.
pub(super) fn shown(text: &str) -> String {
    /// Longer ones are no help.
    const SHOWN_MAX: usize = 60;
    let short: String =
        text.chars().take(SHOWN_MAX).map(|char| if char.is_control() { ' ' } else { char }).collect();
    if short.len() < text.len() { format!("\"{short}…\"") } else { format!("\"{short}\"") }
}
