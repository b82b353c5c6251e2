//! `VTODO`s that come by chance, as the Python package icalendar reads and writes them. It is there under `make test-gateway`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use taskwire::interchange::{Calendar, Format};
use taskwire::pb::{Priority, Task, reminder};

use super::generated::account;
use super::{entries, items, written};
use crate::revisions::harness::random::Random;

const COUNT: usize = 1000;

/// Asks Python one thing.
fn ask(question: &Value) -> Option<Value> {
    let Ok(python) = std::env::var("TASKWIRE_TEST_PYTHON") else {
        println!("LEFT OUT: TASKWIRE_TEST_PYTHON names no Python with icalendar");
        return None;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/interchange/oracle.py");
    let mut oracle =
        Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let text = format!("{question}\n");
    let mut stdin = oracle.stdin.take().unwrap();
    let asking = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let answer = oracle.wait_with_output().unwrap();
    asking.join().unwrap();
    assert!(answer.status.success());
    Some(serde_json::from_slice(&answer.stdout).unwrap())
}

fn id(name: &str) -> &str {
    name.rsplit('/').next().unwrap()
}

fn seconds(time: Option<&prost_types::Timestamp>) -> Value {
    time.map_or(Value::Null, |time| json!(time.seconds))
}

fn due(task: &Task) -> Value {
    match (&task.due_time, &task.due_date) {
        (Some(time), _) => json!(time.seconds),
        (None, Some(day)) => json!(format!("{:04}-{:02}-{:02}", day.year, day.month, day.day)),
        (None, None) => Value::Null,
    }
}

#[test]
fn what_is_written_is_what_python_reads() {
    let mut random = Random::seeded();
    let (lists, tasks) = account(&mut random, COUNT, false);
    let text = String::from_utf8(written(Calendar::new(Some("Tasks")), &lists, &tasks)).unwrap();
    let Some(answer) = ask(&json!({"read": text})) else { return };
    let todos = answer["todos"].as_array().unwrap();
    assert_eq!(todos.len(), COUNT);
    for (todo, task) in todos.iter().zip(&tasks) {
        let priority = match task.priority() {
            Priority::High => 1,
            Priority::Medium => 5,
            _ => 9,
        };
        let parent = (!task.parent_task.is_empty()).then(|| id(&task.parent_task));
        let alarms: Vec<Value> = task
            .reminders
            .iter()
            .map(|one| match one.when.as_ref().unwrap() {
                reminder::When::Time(time) => json!(time.seconds),
                reminder::When::Offset(offset) if task.due_time.is_some() => {
                    json!(format!("{}s", -offset.seconds))
                }
                reminder::When::Offset(offset) => json!(format!("{}s", 86_400 - offset.seconds)),
            })
            .collect();
        for (name, expected) in [
            ("uid", json!(id(&task.name))),
            ("summary", json!(task.title)),
            ("description", json!(task.description)),
            ("due", due(task)),
            ("priority", json!(priority)),
            ("status", json!(if task.completed { "COMPLETED" } else { "NEEDS-ACTION" })),
            ("completed", seconds(task.complete_time.as_ref())),
            ("categories", json!(task.labels)),
            ("parent", json!(parent)),
            ("alarms", json!(alarms)),
        ] {
            assert_eq!(todo[name], expected, "{name} of {task:#?}");
        }
        let rule = task.recurrence.as_ref().map(|one| sorted(&one.rrule));
        assert_eq!(todo["rrule"].as_str().map(sorted), rule, "{task:#?}");
        if let (Some(start), None) = (&task.start_time, &task.due_date) {
            assert_eq!(todo["start"], json!(start.seconds), "{task:#?}");
        }
        assert_eq!(todo["start"].is_null(), task.start_time.is_none() && task.recurrence.is_none());
    }
}

/// The parts of a rule, in an order of their own: Python's is another.
fn sorted(rule: &str) -> Vec<String> {
    let mut parts: Vec<String> = rule.split(';').map(str::to_owned).collect();
    parts.sort_unstable();
    parts
}

#[test]
fn what_python_writes_is_what_is_read() {
    let mut random = Random::seeded();
    let (_, mut tasks) = account(&mut random, COUNT, false);
    for task in &mut tasks {
        // Python takes the mark of a byte order off every text that begins with it.
        let unmarked = |text: &str| text.replace('\u{feff}', "b");
        task.title = unmarked(&task.title);
        task.description = task.description.as_deref().map(unmarked);
        task.labels = task.labels.iter().map(|label| unmarked(label)).collect();
        let mut seen = std::collections::HashSet::new();
        task.labels.retain(|label| seen.insert(label.clone()));
        // What iCalendar has no property for, and what only this service's own say.
        task.annotations.clear();
        task.task_list.clear();
        task.reminders
            .retain(|one| task.due_time.is_some() && matches!(one.when, Some(reminder::When::Offset(_))));
        (task.create_time, task.update_time) = (None, None);
        if task.due_date.is_some() || task.due_time.is_none() || task.recurrence.is_some() {
            task.start_time = None;
        }
        if task.description.as_deref() == Some("") {
            task.description = None;
        }
    }
    let fields: Vec<Value> = tasks.iter().map(fields).collect();
    let Some(answer) = ask(&json!({"write": fields})) else { return };
    let found = entries(Format::Ical, answer["text"].as_str().unwrap());
    let notes: Vec<_> = items(&found).into_iter().filter(|item| !item.notes.is_empty()).collect();
    assert!(notes.is_empty(), "{notes:#?}");
    let read = super::tasks(&found);
    assert_eq!(read.len(), COUNT);
    for (read, task) in read.into_iter().zip(&tasks) {
        let mut expected = task.clone();
        // Without a property of its own a zone is where a time says it, and a day is where the reader is.
        expected.time_zone = read.time_zone.clone();
        if let Some(recurrence) = &mut expected.recurrence {
            recurrence.basis = 1;
            let rrule = read.recurrence.as_ref().map(|one| one.rrule.clone()).unwrap_or_default();
            assert_eq!(sorted(&rrule), sorted(&recurrence.rrule));
            recurrence.rrule = rrule;
        }
        if expected.start_time.is_some() && expected.start_time == expected.due_time {
            expected.start_time = read.start_time;
        }
        assert_eq!(*read, expected);
        let zone = task.time_zone.as_str();
        if task.due_time.as_ref().is_some_and(|due| !["", "UTC"].contains(&zone_for(task, due))) {
            assert_eq!(read.time_zone, zone);
        }
    }
}

/// The zone by whose clocks Python writes a time, if they show it once.
fn zone_for<'a>(task: &'a Task, time: &prost_types::Timestamp) -> &'a str {
    let zone = task.time_zone.as_str();
    let Ok(rules) = jiff::tz::TimeZone::get(if zone.is_empty() { "UTC" } else { zone }) else { return "" };
    let at = jiff::Timestamp::from_second(time.seconds).unwrap();
    let local = rules.to_datetime(at);
    let first = rules.to_ambiguous_zoned_datetime(local).compatible().unwrap().timestamp();
    // Clocks of before there were zones differ by seconds.
    if first == at && time.seconds > 0 { zone } else { "" }
}

fn fields(task: &Task) -> Value {
    let at = |time: Option<&prost_types::Timestamp>| {
        time.map_or(Value::Null, |time| json!([time.seconds, zone_for(task, time)]))
    };
    let priority = match task.priority() {
        Priority::High => 2,
        Priority::Medium => 5,
        _ => 8,
    };
    let offset = |one: &taskwire::pb::Reminder| match one.when.as_ref() {
        Some(reminder::When::Offset(offset)) => Some(offset.seconds),
        _ => None,
    };
    json!({
        "uid": id(&task.name),
        "summary": task.title,
        "description": task.description,
        "priority": priority,
        "status": if task.completed { "COMPLETED" } else { "NEEDS-ACTION" },
        "due": if task.due_time.is_some() { at(task.due_time.as_ref()) } else { due(task) },
        "start": at(task.start_time.as_ref()),
        "completed": task.complete_time.as_ref().map_or(Value::Null, |time| json!([time.seconds, ""])),
        "rrule": task.recurrence.as_ref().map(|one| &one.rrule),
        "categories": task.labels,
        "parent": if task.parent_task.is_empty() { Value::Null } else { json!(id(&task.parent_task)) },
        "alarms": task.reminders.iter().filter_map(offset).collect::<Vec<_>>(),
    })
}
