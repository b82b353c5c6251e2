//! Microsoft To Do, as Microsoft Graph answers it: `todoTaskList`s with their `todoTask`s in them, or the tasks of one list. Items
//! of a checklist are subtasks. A due at midnight of its zone is a day, which is all that To Do lets people choose.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::document::{Document, said};
use super::every::WEEKDAYS;
use super::fit::shown;
use super::ids::{self, Kind};
use super::{Unreadable, html, times};
use crate::pb::{Priority, Recurrence, Reminder, Task, TaskList, reminder};

const PRODUCT: &str = "microsoft";

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    value: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    lists: Option<Vec<&'a RawValue>>,
    #[serde(rename = "@odata.nextLink")]
    next_link: Option<String>,
}

/// Whatever is inside: a list by its name and its tasks, else a task.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    id: Option<String>,
    display_name: Option<String>,
    #[serde(borrow)]
    tasks: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TodoTask<'a> {
    id: Option<String>,
    title: Option<String>,
    body: Option<Body>,
    status: Option<String>,
    importance: Option<String>,
    categories: Option<Vec<String>>,
    due_date_time: Option<Moment>,
    start_date_time: Option<Moment>,
    completed_date_time: Option<Moment>,
    reminder_date_time: Option<Moment>,
    is_reminder_on: Option<bool>,
    created_date_time: Option<String>,
    last_modified_date_time: Option<String>,
    recurrence: Option<Patterned>,
    #[serde(borrow)]
    checklist_items: Option<Vec<&'a RawValue>>,
    linked_resources: Option<Vec<serde_json::Value>>,
    attachments: Option<Vec<serde_json::Value>>,
    has_attachments: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    content: Option<String>,
    content_type: Option<String>,
}

/// A `dateTimeTimeZone`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Moment {
    date_time: String,
    time_zone: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChecklistItem {
    id: Option<String>,
    display_name: Option<String>,
    is_checked: Option<bool>,
    checked_date_time: Option<String>,
    created_date_time: Option<String>,
}

#[derive(Deserialize)]
struct Patterned {
    pattern: Option<Pattern>,
    range: Option<Range>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Pattern {
    #[serde(rename = "type")]
    kind: String,
    interval: u32,
    month: u32,
    day_of_month: u32,
    days_of_week: Vec<String>,
    first_day_of_week: Option<String>,
    index: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Range {
    #[serde(rename = "type")]
    kind: String,
    end_date: Option<String>,
    number_of_occurrences: u32,
}

/// Reads the lists and their tasks.
pub(super) fn entries(document: &mut Document<'_>, root: &RawValue) -> Result<(), Unreadable> {
    let not = || {
        Unreadable::format(
            "is no answer of Microsoft Graph: it must be lists or tasks of To Do, an array or an object with \"value\"",
        )
    };
    let items = values(document, root).ok_or_else(not)?;
    let mut places: Vec<(String, &RawValue)> = Vec::new();
    for (at, piece) in items.into_iter().enumerate() {
        places.push((format!("value[{at}]"), piece));
    }
    for (place, piece) in places {
        item(document, &place, piece);
    }
    Ok(())
}

/// The array that a page is, or has in it.
fn values<'a>(document: &mut Document<'_>, piece: &'a RawValue) -> Option<Vec<&'a RawValue>> {
    if piece.get().starts_with('[') {
        return serde_json::from_str(piece.get()).ok();
    }
    let page: Page<'a> = serde_json::from_str(piece.get()).ok()?;
    if page.next_link.is_some() {
        let rule = "names another page: what is on it stands in another file";
        document.refuse(document.line(piece), "@odata.nextLink", rule);
    }
    // A list or a task alone.
    page.value.or(page.lists).or_else(|| Some(vec![piece]))
}

fn item(document: &mut Document<'_>, place: &str, piece: &RawValue) {
    let line = document.line(piece);
    let Some(list) = document.piece::<List<'_>>(place, piece) else { return };
    let Some(title) = list.display_name else { return task(document, place, piece, "") };
    let Some(id) = said(list.id) else {
        return document.refuse(
            line,
            &format!("{place}.id"),
            "is required: without it the list could not be found again",
        );
    };
    let name = ids::name(Kind::List, ids::derived(PRODUCT, Kind::List, &id));
    let list_of = TaskList { name: name.clone(), title, ..TaskList::default() };
    let name = if document.list(line, place, list_of, Vec::new()) { name } else { String::new() };
    let Some(tasks) = list.tasks else { return };
    let Some(tasks) = values(document, tasks) else {
        return document.refuse(line, &format!("{place}.tasks"), "must be an array");
    };
    for (at, piece) in tasks.into_iter().enumerate() {
        task(document, &format!("{place}.tasks[{at}]"), piece, &name);
    }
}

fn task(document: &mut Document<'_>, place: &str, piece: &RawValue, list: &str) {
    let line = document.line(piece);
    let Some(read) = document.piece::<TodoTask<'_>>(place, piece) else { return };
    let Some(id) = said(read.id.clone()) else {
        return document.refuse(
            line,
            &format!("{place}.id"),
            "is required: without it the task could not be found again",
        );
    };
    let mut notes = Vec::new();
    let name = ids::name(Kind::Task, ids::derived(PRODUCT, Kind::Task, &id));
    match made(&read, name.clone(), list, document.options.zone.as_deref(), &mut notes) {
        Ok(task) => document.task(line, place, task, notes),
        Err((field, rule)) => return document.refuse(line, &format!("{place}.{field}"), &rule),
    }
    for (at, piece) in read.checklist_items.unwrap_or_default().into_iter().enumerate() {
        step(document, &format!("{place}.checklistItems[{at}]"), piece, list, (&name, &id));
    }
}

fn step(
    document: &mut Document<'_>,
    place: &str,
    piece: &RawValue,
    list: &str,
    (parent, parent_id): (&str, &str),
) {
    let line = document.line(piece);
    let Some(item) = document.piece::<ChecklistItem>(place, piece) else { return };
    let Some(id) = said(item.id) else {
        return document.refuse(
            line,
            &format!("{place}.id"),
            "is required: without it the item could not be found again",
        );
    };
    let time = |text: Option<String>| said(text).and_then(|text| times::rfc3339(&text));
    let completed = item.is_checked == Some(true);
    let task = Task {
        name: ids::name(Kind::Task, ids::derived(PRODUCT, Kind::Task, &format!("{parent_id}/{id}"))),
        title: item.display_name.unwrap_or_default(),
        completed,
        complete_time: time(item.checked_date_time).filter(|_| completed),
        create_time: time(item.created_date_time),
        task_list: list.to_owned(),
        parent_task: parent.to_owned(),
        ..Task::default()
    };
    document.task(line, place, task, Vec::new());
}

/// A field and the rule that it breaks.
type Broken = (&'static str, String);

fn made(
    read: &TodoTask<'_>,
    name: String,
    list: &str,
    zone: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<Task, Broken> {
    let completed = match read.status.as_deref() {
        Some("completed") => true,
        Some("notStarted" | "inProgress" | "waitingOnOthers" | "deferred") | None => false,
        Some(_) => {
            return Err((
                "status",
                "must be notStarted, inProgress, completed, waitingOnOthers or deferred".to_owned(),
            ));
        }
    };
    let priority = match read.importance.as_deref() {
        Some("high") => Priority::High,
        Some("low") => Priority::Low,
        Some("normal") | None => Priority::Unspecified,
        Some(other) => {
            notes.push(format!(
                "importance: {} is none of low, normal and high, and was left out",
                shown(other)
            ));
            Priority::Unspecified
        }
    };
    let body = read.body.as_ref().and_then(|body| {
        let text = said(body.content.clone())?;
        let is_html = body.content_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("html"));
        said(Some(if is_html { html::text(&text) } else { text }))
    });
    let mut task = Task {
        name,
        title: read.title.clone().unwrap_or_default(),
        description: body,
        completed,
        priority: priority.into(),
        labels: read.categories.clone().unwrap_or_default(),
        create_time: read.created_date_time.as_deref().and_then(times::rfc3339),
        update_time: read.last_modified_date_time.as_deref().and_then(times::rfc3339),
        task_list: list.to_owned(),
        ..Task::default()
    };
    when(read, &mut task, zone, notes)?;
    if let Some(patterned) = &read.recurrence {
        match rule(patterned, notes) {
            Ok(rrule) => task.recurrence = Some(Recurrence { rrule, ..Recurrence::default() }),
            Err(why) => notes.push(format!("recurrence: left out, since {why}")),
        }
    }
    for (field, is_there) in [
        ("linkedResources", read.linked_resources.as_ref().is_some_and(|all| !all.is_empty())),
        (
            "attachments",
            read.has_attachments == Some(true)
                || read.attachments.as_ref().is_some_and(|all| !all.is_empty()),
        ),
    ] {
        if is_there {
            notes.push(format!("{field}: left out"));
        }
    }
    Ok(task)
}

/// When it is to be done, was done and is to be remembered.
fn when(
    read: &TodoTask<'_>,
    task: &mut Task,
    zone: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<(), Broken> {
    if let Some(due) = &read.due_date_time {
        let (local, named) = moment("dueDateTime", due, zone, notes)?;
        if local.time() == jiff::civil::Time::midnight() {
            task.due_date = Some(times::day(local.date()));
        } else {
            task.due_time = times::at(local, &named);
        }
        // Midnight in UTC is what Graph makes of a day, wherever that is.
        let is_here = named == "UTC" && task.due_date.is_some();
        task.time_zone = if is_here { zone.unwrap_or_default().to_owned() } else { named };
    }
    let mut at = |field: &'static str, given: &Option<Moment>| -> Result<_, Broken> {
        let Some(given) = given else { return Ok(None) };
        let (local, named) = moment(field, given, zone, notes)?;
        Ok(times::at(local, &named))
    };
    task.start_time = at("startDateTime", &read.start_date_time)?;
    if task.completed {
        task.complete_time = at("completedDateTime", &read.completed_date_time)?;
    }
    if read.is_reminder_on == Some(true)
        && let Some(time) = at("reminderDateTime", &read.reminder_date_time)?
    {
        task.reminders.push(Reminder { when: Some(reminder::When::Time(time)) });
    }
    Ok(())
}

/// What the clocks show, and in which zone.
fn moment(
    field: &'static str,
    given: &Moment,
    here: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<(jiff::civil::DateTime, String), Broken> {
    let text = given.date_time.trim().trim_end_matches(['Z', 'z']);
    let local = text.parse::<jiff::civil::DateTime>().ok().filter(|local| local.year() >= 1);
    let local = local
        .ok_or_else(|| (field, "must have a dateTime such as 2026-12-31T00:00:00.0000000".to_owned()))?;
    let named = given.time_zone.as_deref().filter(|zone| !zone.is_empty()).unwrap_or("UTC");
    let zone = times::zone_named(named).unwrap_or_else(|| {
        let instead = here.unwrap_or("UTC").to_owned();
        notes.push(format!("{field}: the time zone {} is not known, and {instead} was taken", shown(named)));
        instead
    });
    Ok((local, zone))
}

/// The rule of a `patternedRecurrence`.
fn rule(patterned: &Patterned, notes: &mut Vec<String>) -> Result<String, String> {
    let pattern = patterned.pattern.as_ref().ok_or("it has no pattern")?;
    let interval =
        if pattern.interval > 1 { format!(";INTERVAL={}", pattern.interval) } else { String::new() };
    let days: Option<Vec<&str>> = pattern.days_of_week.iter().map(|day| weekday(day)).collect();
    let days = days.ok_or("it names a day of the week that does not exist")?;
    let relative = || {
        let nth = match pattern.index.as_deref() {
            Some("first") | None => 1,
            Some("second") => 2,
            Some("third") => 3,
            Some("fourth") => 4,
            Some("last") => -1,
            Some(_) => return Err("its index is none"),
        };
        match days.as_slice() {
            [] => Err("it names no day of the week"),
            [day] => Ok(format!("BYDAY={nth}{day}")),
            several => Ok(format!("BYDAY={};BYSETPOS={nth}", several.join(","))),
        }
    };
    if pattern.kind.starts_with("absolute") && pattern.day_of_month > 28 {
        notes.push(format!("recurrence: months without a day {} are passed over", pattern.day_of_month));
    }
    let day = pattern.day_of_month;
    let mut rule = match pattern.kind.as_str() {
        "daily" => format!("FREQ=DAILY{interval}"),
        "weekly" => {
            let first = pattern.first_day_of_week.as_deref().and_then(weekday).unwrap_or("SU");
            let days = if days.is_empty() { String::new() } else { format!(";BYDAY={}", days.join(",")) };
            format!("FREQ=WEEKLY{interval}{days};WKST={first}")
        }
        "absoluteMonthly" => format!("FREQ=MONTHLY{interval};BYMONTHDAY={day}"),
        "relativeMonthly" => format!("FREQ=MONTHLY{interval};{}", relative()?),
        "absoluteYearly" => format!("FREQ=YEARLY{interval};BYMONTH={};BYMONTHDAY={day}", pattern.month),
        "relativeYearly" => format!("FREQ=YEARLY{interval};BYMONTH={};{}", pattern.month, relative()?),
        other => return Err(format!("its type {} is none that is known", shown(other))),
    };
    if let Some(range) = &patterned.range {
        match range.kind.as_str() {
            "endDate" => {
                let end = range.end_date.as_deref().and_then(|date| times::iso(date.get(..10)?));
                let end = end.ok_or("its endDate is none")?;
                rule.push_str(&format!(";UNTIL={:04}{:02}{:02}", end.year, end.month, end.day));
            }
            "numbered" => rule.push_str(&format!(";COUNT={}", range.number_of_occurrences)),
            _ => {}
        }
    }
    Ok(rule)
}

fn weekday(name: &str) -> Option<&'static str> {
    WEEKDAYS.iter().find(|(day, _)| day.eq_ignore_ascii_case(name)).map(|(_, short)| *short)
}
