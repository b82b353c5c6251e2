//! Vikunja, as its export gives it: `data.json`, projects with their tasks in them. Projects below others become lists beside them.
//! Times that are not set are those of the year 1.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::document::{Document, said};
use super::ids::{self, Kind};
use super::{Unreadable, html, times};
use crate::pb::recurrence::Basis;
use crate::pb::{Priority, Recurrence, Reminder, Task, TaskList, reminder};

const PRODUCT: &str = "vikunja";
/// Projects deeper than this are those of no export.
const DEEP: usize = 32;

#[derive(Deserialize)]
struct Project<'a> {
    id: Option<i64>,
    title: Option<String>,
    parent_project_id: Option<i64>,
    #[serde(borrow)]
    tasks: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    child_projects: Option<Vec<&'a RawValue>>,
    /// Exports of versions before 0.21 have their projects, called lists then, below namespaces.
    #[serde(borrow)]
    lists: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct VikunjaTask {
    id: Option<i64>,
    title: Option<String>,
    description: Option<String>,
    #[serde(default)]
    done: bool,
    done_at: Option<String>,
    due_date: Option<String>,
    start_date: Option<String>,
    end_date: Option<String>,
    reminders: Option<Vec<VikunjaReminder>>,
    repeat_after: Option<i64>,
    repeat_mode: Option<i64>,
    priority: Option<i64>,
    labels: Option<Vec<Label>>,
    related_tasks: Option<std::collections::HashMap<String, Option<Vec<Related>>>>,
    assignees: Option<Vec<serde_json::Value>>,
    attachments: Option<Vec<serde_json::Value>>,
    comments: Option<Vec<serde_json::Value>>,
    created: Option<String>,
    updated: Option<String>,
}

#[derive(Deserialize)]
struct VikunjaReminder {
    reminder: Option<String>,
    #[serde(default)]
    relative_period: i64,
    relative_to: Option<String>,
}

#[derive(Deserialize)]
struct Label {
    title: Option<String>,
}

#[derive(Deserialize)]
struct Related {
    id: i64,
}

/// Reads the projects and their tasks.
pub(super) fn entries(document: &mut Document<'_>, root: &RawValue) -> Result<(), Unreadable> {
    let projects: Vec<&RawValue> = serde_json::from_str(root.get())
        .map_err(|_| Unreadable::format("is no data.json of Vikunja: it must be an array of projects"))?;
    for (at, piece) in projects.into_iter().enumerate() {
        project(document, &format!("[{at}]"), piece, 0);
    }
    Ok(())
}

fn project(document: &mut Document<'_>, place: &str, piece: &RawValue, depth: usize) {
    let line = document.line(piece);
    if depth > DEEP {
        return document.refuse(line, place, "must not be that deep");
    }
    let Some(read) = document.piece::<Project<'_>>(place, piece) else { return };
    let children = read.child_projects.into_iter().chain(read.lists).flatten();
    let mut name = String::new();
    match read.id {
        // What is below it are its own tasks and those of others.
        None if read.tasks.is_none() => {}
        None => {
            return document.refuse(
                line,
                &format!("{place}.id"),
                "is required: without it the project could not be found again",
            );
        }
        Some(id) => {
            let of_list = ids::name(Kind::List, ids::derived(PRODUCT, Kind::List, &id.to_string()));
            let mut notes = Vec::new();
            if read.parent_project_id.is_some_and(|parent| parent > 0) || depth > 0 {
                notes.push("parent_project_id: left out, since lists stand beside each other".to_owned());
            }
            let list = TaskList {
                name: of_list.clone(),
                title: read.title.unwrap_or_default(),
                ..TaskList::default()
            };
            if document.list(line, place, list, notes) {
                name = of_list;
            }
        }
    }
    for (at, piece) in read.tasks.unwrap_or_default().into_iter().enumerate() {
        task(document, &format!("{place}.tasks[{at}]"), piece, &name);
    }
    for (at, piece) in children.enumerate() {
        project(document, &format!("{place}.child_projects[{at}]"), piece, depth + 1);
    }
}

fn task(document: &mut Document<'_>, place: &str, piece: &RawValue, list: &str) {
    let line = document.line(piece);
    let Some(read) = document.piece::<VikunjaTask>(place, piece) else { return };
    let Some(id) = read.id else {
        return document.refuse(
            line,
            &format!("{place}.id"),
            "is required: without it the task could not be found again",
        );
    };
    let mut notes = Vec::new();
    let zone = document.options.zone.clone().unwrap_or_default();
    match made(read, id, list, zone, &mut notes) {
        Ok(task) => document.task(line, place, task, notes),
        Err(field) => document.refuse(line, &format!("{place}.{field}"), "must be a time of RFC 3339"),
    }
}

/// A time that is set.
///
/// # Errors
/// The field, where it is none.
fn time(field: &'static str, text: Option<&String>) -> Result<Option<prost_types::Timestamp>, &'static str> {
    match text.map(|text| text.trim()) {
        None | Some("") => Ok(None),
        Some(text) if text.starts_with("0001-01-01") => Ok(None),
        Some(text) => times::rfc3339(text).map(Some).ok_or(field),
    }
}

fn made(
    read: VikunjaTask,
    id: i64,
    list: &str,
    zone: String,
    notes: &mut Vec<String>,
) -> Result<Task, &'static str> {
    let due_time = time("due_date", read.due_date.as_ref())?;
    let start_time = time("start_date", read.start_date.as_ref())?;
    let complete_time = time("done_at", read.done_at.as_ref())?.filter(|_| read.done);
    let recurrence = recurrence(&read, notes);
    let description = said(read.description).map(|text| {
        // Texts were Markdown once, and are HTML now.
        if text.trim_start().starts_with('<') { html::text(&text) } else { text }
    });
    let parent = read
        .related_tasks
        .as_ref()
        .and_then(|all| all.get("parenttask")?.as_ref()?.first().map(|one| one.id));
    let others = read.related_tasks.iter().flatten().any(|(kind, all)| {
        kind != "parenttask" && kind != "subtask" && all.as_ref().is_some_and(|all| !all.is_empty())
    });
    let is_there = |all: &Option<Vec<serde_json::Value>>| all.as_ref().is_some_and(|all| !all.is_empty());
    for (field, is_there) in [
        ("related_tasks other than parent and subtasks", others),
        ("assignees", is_there(&read.assignees)),
        ("attachments", is_there(&read.attachments)),
        ("comments", is_there(&read.comments)),
        ("end_date", time("end_date", read.end_date.as_ref())?.is_some()),
    ] {
        if is_there {
            notes.push(format!("{field}: left out"));
        }
    }
    let of_task = |id: i64| ids::name(Kind::Task, ids::derived(PRODUCT, Kind::Task, &id.to_string()));
    Ok(Task {
        name: of_task(id),
        title: read.title.unwrap_or_default(),
        description: said(description),
        completed: read.done,
        complete_time,
        priority: priority(read.priority.unwrap_or_default()).into(),
        due_time,
        start_time,
        time_zone: if due_time.is_some() { zone } else { String::new() },
        labels: read.labels.into_iter().flatten().filter_map(|label| label.title).collect(),
        reminders: read.reminders.into_iter().flatten().filter_map(|one| remind(&one, notes)).collect(),
        recurrence,
        create_time: time("created", read.created.as_ref())?,
        update_time: time("updated", read.updated.as_ref())?,
        task_list: list.to_owned(),
        parent_task: parent.map(of_task).unwrap_or_default(),
        ..Task::default()
    })
}

/// From 1, low, to 5, do it now; 0 says nothing.
const fn priority(number: i64) -> Priority {
    match number {
        1 => Priority::Low,
        2 => Priority::Medium,
        3.. => Priority::High,
        _ => Priority::Unspecified,
    }
}

fn recurrence(read: &VikunjaTask, notes: &mut Vec<String>) -> Option<Recurrence> {
    /// Seconds of a day.
    const DAY: i64 = 24 * 60 * 60;
    let (after, mode) = (read.repeat_after.unwrap_or_default(), read.repeat_mode.unwrap_or_default());
    let basis = if mode == 2 { Basis::Completion } else { Basis::Due };
    let rrule = match (mode, after) {
        (1, _) => "FREQ=MONTHLY".to_owned(),
        (0 | 2, 0) => return None,
        (0 | 2, 1..) if after % DAY == 0 => match after / DAY {
            1 => "FREQ=DAILY".to_owned(),
            7 => "FREQ=WEEKLY".to_owned(),
            days if days % 7 == 0 => format!("FREQ=WEEKLY;INTERVAL={}", days / 7),
            days => format!("FREQ=DAILY;INTERVAL={days}"),
        },
        _ => {
            notes.push("repeat_after: left out, since a task comes again after whole days".to_owned());
            return None;
        }
    };
    Some(Recurrence { rrule, basis: basis.into() })
}

fn remind(given: &VikunjaReminder, notes: &mut Vec<String>) -> Option<Reminder> {
    let when = if given.relative_to.as_deref() == Some("due_date") && given.relative_period <= 0 {
        reminder::When::Offset(prost_types::Duration {
            seconds: given.relative_period.saturating_neg(),
            nanos: 0,
        })
    } else if let Ok(Some(time)) = time("reminder", given.reminder.as_ref()) {
        reminder::When::Time(time)
    } else {
        notes.push("reminders: one without a time was left out".to_owned());
        return None;
    };
    Some(Reminder { when: Some(when) })
}
