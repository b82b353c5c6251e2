//! Tasks that come by chance, each of them one that the service takes.

use jiff::ToSpan as _;
use jiff::civil;
use jiff::tz::TimeZone;
use taskwire::pb::{Date, Priority, Recurrence, Reminder, Task, TaskList, recurrence, reminder};

use crate::revisions::harness::random::Random;

const ZONES: [&str; 8] = [
    "",
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Pacific/Apia",
];

/// Pieces of which texts are made: what formats use for themselves, and what is more than a byte.
const PIECES: [&str; 30] = [
    "milk",
    "a",
    " ",
    ",",
    ";",
    ":",
    "\\",
    "\"",
    "'",
    "=",
    "+1",
    "-",
    "@",
    "\\n",
    "ä",
    "日本",
    "👩‍👩‍👧",
    "e\u{301}",
    "\u{2028}",
    "\u{feff}",
    "{",
    "}",
    "[",
    "BEGIN:VTODO",
    "END:VCALENDAR",
    "%",
    "&amp;",
    "<b>",
    "==",
    "0123456789",
];

fn text(random: &mut Random, most: usize, breaks: &[&'static str]) -> String {
    let mut text = String::new();
    for _ in 0..=random.below(most) {
        let piece = if !breaks.is_empty() && random.percent(15) {
            random.pick(breaks).unwrap()
        } else {
            random.pick(&PIECES).unwrap()
        };
        text.push_str(piece);
    }
    text
}

/// A text with a beginning and an end that nobody trims.
fn trimmed(random: &mut Random, most: usize) -> String {
    let text = text(random, most, &[]);
    let text: String = text.trim().chars().take(200).collect();
    let text = text.trim();
    if text.is_empty() { "x".to_owned() } else { text.to_owned() }
}

fn seconds(random: &mut Random) -> i64 {
    match random.below(8) {
        0 => -62_135_596_800 + i64::try_from(random.below(1_000_000)).unwrap(),
        // Around what the clocks do in autumn and spring.
        1 => 1_793_300_400 + i64::try_from(random.below(40)).unwrap() * 900,
        2 => 1_774_738_800 + i64::try_from(random.below(40)).unwrap() * 900,
        _ => 1_000_000_000 + i64::try_from(random.below(1_500_000_000)).unwrap(),
    }
}

/// A time, to the second or to the microsecond.
fn time(random: &mut Random, is_fine: bool) -> prost_types::Timestamp {
    let nanos = if is_fine && random.percent(50) { random.below(1_000_000) * 1000 } else { 0 };
    prost_types::Timestamp { seconds: seconds(random), nanos: i32::try_from(nanos).unwrap() }
}

fn day(random: &mut Random) -> Date {
    let day =
        civil::date(1990, 1, 1).checked_add(i32::try_from(random.below(30_000)).unwrap().days()).unwrap();
    Date { year: day.year().into(), month: day.month().into(), day: day.day().into() }
}

/// A name of a task or list of the caller.
pub(super) fn name(random: &mut Random, collection: &str) -> String {
    format!("users/me/{collection}/{}", random.uuid())
}

pub(super) fn list(random: &mut Random, is_fine: bool) -> TaskList {
    TaskList {
        name: name(random, "taskLists"),
        title: trimmed(random, 12),
        create_time: Some(time(random, is_fine)),
        update_time: Some(time(random, is_fine)),
        ..TaskList::default()
    }
}

/// A task. `is_fine` gives it times to the microsecond.
pub(super) fn task(random: &mut Random, is_fine: bool) -> Task {
    let mut task = Task {
        name: name(random, "tasks"),
        title: trimmed(random, 20),
        completed: random.percent(25),
        priority: [Priority::Low, Priority::Medium, Priority::High][random.below(3)].into(),
        create_time: Some(time(random, is_fine)),
        update_time: Some(time(random, is_fine)),
        time_zone: random.pick(&ZONES).unwrap().to_string(),
        ..Task::default()
    };
    if random.percent(60) {
        let text = if random.percent(10) { String::new() } else { text(random, 60, &["\n", "\t", "\n\n"]) };
        task.description = Some(text.chars().take(1000).collect());
    }
    for _ in 0..random.below(5) {
        let label: String = text(random, 5, &[]).chars().take(50).collect();
        if !task.labels.contains(&label) {
            task.labels.push(label);
        }
    }
    for at in 0..random.below(4) {
        let value: String = text(random, 10, &["\n"]).chars().take(256).collect();
        task.annotations.insert(format!("crm.io/id_{at}"), value);
    }
    if task.completed {
        task.complete_time = Some(time(random, is_fine));
    }
    when(random, &mut task, is_fine);
    task
}

fn when(random: &mut Random, task: &mut Task, is_fine: bool) {
    match random.below(3) {
        0 => task.due_time = Some(time(random, is_fine)),
        1 => task.due_date = Some(day(random)),
        _ => {}
    }
    let due = task.due_time.or_else(|| {
        // The beginning of the day is before its end, wherever the task is.
        let day = task.due_date?;
        let date = civil::date(
            day.year.try_into().unwrap(),
            day.month.try_into().unwrap(),
            day.day.try_into().unwrap(),
        );
        let at = date.at(0, 0, 0, 0).to_zoned_datetime(TimeZone::UTC).unwrap().timestamp().as_second();
        Some(prost_types::Timestamp { seconds: at - 50_000, nanos: 0 })
    });
    if random.percent(30) {
        let back = if random.percent(20) { 0 } else { i64::try_from(random.below(500_000)).unwrap() };
        let earliest = |due: prost_types::Timestamp| (due.seconds - back).max(-62_135_596_800);
        task.start_time = Some(match due {
            Some(due) => prost_types::Timestamp {
                seconds: earliest(due),
                nanos: if back == 0 { due.nanos } else { 0 },
            },
            None => time(random, is_fine),
        });
    }
    if due.is_some() && !task.completed && random.percent(40) {
        let rrule = [
            "FREQ=DAILY",
            "FREQ=WEEKLY;BYDAY=MO,TH",
            "FREQ=MONTHLY;BYMONTHDAY=-1;INTERVAL=2",
            "FREQ=YEARLY;COUNT=5",
        ][random.below(4)];
        let basis = if random.percent(30) { recurrence::Basis::Completion } else { recurrence::Basis::Due };
        task.recurrence = Some(Recurrence { rrule: rrule.to_owned(), basis: basis.into() });
        if task.time_zone.is_empty() {
            "Europe/Berlin".clone_into(&mut task.time_zone);
        }
    }
    for _ in 0..random.below(3) {
        let when = if due.is_some() && random.percent(60) {
            let seconds = i64::try_from(random.below(400_000)).unwrap();
            reminder::When::Offset(prost_types::Duration { seconds, nanos: 0 })
        } else {
            reminder::When::Time(time(random, is_fine))
        };
        task.reminders.push(Reminder { when: Some(when) });
    }
}

/// Lists, and tasks in them or in none, some below others.
pub(super) fn account(random: &mut Random, count: usize, is_fine: bool) -> (Vec<TaskList>, Vec<Task>) {
    let lists: Vec<TaskList> = (0..3).map(|_| list(random, is_fine)).collect();
    let mut tasks: Vec<Task> = Vec::new();
    for _ in 0..count {
        let mut task = task(random, is_fine);
        let above: Vec<(String, String)> = tasks
            .iter()
            .filter(|one| one.parent_task.is_empty())
            .map(|one| (one.name.clone(), one.task_list.clone()))
            .collect();
        if random.percent(20)
            && let Some((parent, list)) = random.pick(&above)
        {
            (task.parent_task, task.task_list) = (parent.clone(), list.clone());
        } else if random.percent(60) {
            task.task_list = random.pick(&lists).unwrap().name.clone();
        }
        tasks.push(task);
    }
    (lists, tasks)
}
