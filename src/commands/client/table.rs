//! Tasks as people read them: in columns, one by one, and in a line.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use super::output::{Output, Style};
use super::text::{fitted, padded, visible, visible_lines, width};
use crate::cli::remind::length;
use crate::pb::recurrence::Basis;
use crate::pb::reminder::When;
use crate::pb::{Priority, Reminder, Task, TaskList};

/// How many characters of an id are shown: its end, as ids made at the same time begin alike.
const ID_SHOWN: usize = 8;
/// Columns that a title keeps on the narrowest terminal, and labels.
const TITLE_COLUMNS_MIN: usize = 12;
const LABELS_COLUMNS_MIN: usize = 6;
const BETWEEN: &str = "  ";

/// The end of a task's id.
pub(super) fn short_id(name: &str) -> String {
    let id = name.rsplit('/').next().unwrap_or_default();
    let begin = id.char_indices().rev().nth(ID_SHOWN - 1).map_or(0, |(at, _)| at);
    visible(&id[begin..])
}

/// A task in a line.
pub(super) fn line(task: &Task) -> String {
    format!("{}  {}", short_id(&task.name), visible(&task.title))
}

/// The name of a priority in lower case.
pub(super) fn priority(task: &Task) -> &'static str {
    match task.priority() {
        Priority::Unspecified => "",
        Priority::Low => "low",
        Priority::Medium => "medium",
        Priority::High => "high",
    }
}

/// A time where the user is, to the minute; the day alone where the day's end is meant.
pub(super) fn time(time: Option<prost_types::Timestamp>) -> String {
    let Some(time) = zoned(time) else { return String::new() };
    let is_end_of_day = (time.hour(), time.minute(), time.second()) == (23, 59, 59);
    let format = if is_end_of_day { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M" };
    time.strftime(format).to_string()
}

/// A time of day where the user is, to the second.
pub(super) fn time_of_day(time: Option<prost_types::Timestamp>) -> String {
    zoned(time).map(|time| time.strftime("%H:%M:%S").to_string()).unwrap_or_default()
}

fn zoned(time: Option<prost_types::Timestamp>) -> Option<ZonedDateTime> {
    let time = time?;
    Some(Timestamp::new(time.seconds, time.nanos).ok()?.to_zoned_datetime(TimeZone::system()))
}

/// The day on which a task is due, as far as it is one that exists.
fn due_day(task: &Task) -> Option<Date> {
    let date = task.due_date?;
    Date::new(date.year.try_into().ok()?, date.month.try_into().ok()?, date.day.try_into().ok()?).ok()
}

/// When a task is due, to the minute where the user is, or its day where the task is.
pub(super) fn due(task: &Task) -> String {
    due_day(task).map_or_else(|| time(task.due_time), |day| day.to_string())
}

/// How it comes again.
fn repeats(task: &Task) -> String {
    let Some(recurrence) = &task.recurrence else { return String::new() };
    let from = if recurrence.basis() == Basis::Completion { ", from when it is done" } else { "" };
    format!("{}{from}", visible(&recurrence.rrule))
}

/// When it reminds: a time, or a length before it is due.
fn reminder(Reminder { when }: &Reminder) -> String {
    match when {
        Some(When::Offset(offset)) => length(offset.seconds),
        Some(When::Time(at)) => time(Some(*at)),
        None => String::new(),
    }
}

/// The first of its reminders, and how many there are more.
fn reminders_in_short(task: &Task) -> String {
    match task.reminders.as_slice() {
        [] => String::new(),
        [one] => reminder(one),
        [one, more @ ..] => format!("{} +{}", reminder(one), more.len()),
    }
}

/// All of its reminders.
fn reminders(task: &Task) -> String {
    let told = task.reminders.iter().map(|one| match one.when {
        Some(When::Offset(offset)) if offset.seconds == 0 => "when it is due".to_owned(),
        Some(When::Offset(_)) => format!("{} before it is due", reminder(one)),
        _ => reminder(one),
    });
    told.collect::<Vec<_>>().join(", ")
}

fn is_late(task: &Task) -> bool {
    let is_past = match due_day(task) {
        Some(day) => {
            let zone = TimeZone::get(&task.time_zone).unwrap_or(TimeZone::UTC);
            Timestamp::now().to_zoned_datetime(zone).date() > day
        }
        None => {
            let due = task.due_time.and_then(|due| Timestamp::new(due.seconds, due.nanos).ok());
            due.is_some_and(|due| due < Timestamp::now())
        }
    };
    !task.completed && task.delete_time.is_none() && is_past
}

/// Columns that are in every list, and those that are when a task has something in them.
const HEADINGS: [&str; 8] = ["ID", "DONE", "PRIORITY", "DUE", "REMIND", "DELETED", "TITLE", "LABELS"];
const OPTIONAL: [bool; 8] = [false, false, false, true, true, true, false, true];
const ID: usize = 0;
const DONE: usize = 1;
const PRIORITY: usize = 2;
const DUE: usize = 3;
const REMIND: usize = 4;
const DELETED: usize = 5;
const TITLE: usize = 6;
const LABELS: usize = 7;

/// Lists, line by line.
pub(super) fn lists_table(output: &Output, lists: &[TaskList]) -> Vec<String> {
    let rows: Vec<[String; 3]> = lists
        .iter()
        .map(|list| [short_id(&list.name), time(list.delete_time), visible(&list.title)])
        .collect();
    let is_deleted = rows.iter().any(|row| !row[1].is_empty());
    let deleted = rows.iter().map(|row| width(&row[1])).max().unwrap_or_default();
    let row = |[id, time, title]: &[String; 3], style: Style| {
        let mut line = output.styled(style, &padded(id, ID_SHOWN));
        if is_deleted {
            line = format!("{line}{BETWEEN}{}", output.styled(style, &padded(time, deleted)));
        }
        let used = ID_SHOWN + BETWEEN.len() + if is_deleted { deleted + BETWEEN.len() } else { 0 };
        let room = output.columns().map_or(usize::MAX, |columns| columns.saturating_sub(used));
        let title = fitted(title, room.max(TITLE_COLUMNS_MIN));
        let style = if style == Style::Heading { style } else { Style::Plain };
        format!("{line}{BETWEEN}{}", output.styled(style, &title))
    };
    let heading = ["ID".to_owned(), "DELETED".to_owned(), "TITLE".to_owned()];
    std::iter::once(row(&heading, Style::Heading))
        .chain(rows.iter().map(|cells| row(cells, Style::Faint)))
        .collect()
}

/// A list of tasks, line by line.
pub(super) fn table(output: &Output, tasks: &[Task]) -> Vec<String> {
    let rows: Vec<[String; 8]> = tasks.iter().map(cells).collect();
    let mut widths = HEADINGS.map(width);
    for row in &rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(cell));
        }
    }
    let is_shown = |at: usize| !OPTIONAL[at] || rows.iter().any(|row| !row[at].is_empty());
    let shown: Vec<usize> = (0..HEADINGS.len()).filter(|at| is_shown(*at)).collect();
    if let Some(columns) = output.columns() {
        let of_others = shown.iter().filter(|at| ![TITLE, LABELS].contains(at)).map(|at| widths[*at]);
        let between = shown.len().saturating_sub(1) * BETWEEN.len();
        let room = columns.saturating_sub(of_others.sum::<usize>() + between);
        if is_shown(LABELS) {
            // Titles come first, but leave a third of the room.
            let left = room.saturating_sub(widths[TITLE]).max(room / 3).max(LABELS_COLUMNS_MIN);
            widths[LABELS] = widths[LABELS].min(left);
        }
        let labels = if is_shown(LABELS) { widths[LABELS] } else { 0 };
        widths[TITLE] = widths[TITLE].min(room.saturating_sub(labels).max(TITLE_COLUMNS_MIN));
    }
    let row = |cells: [&str; 8], style: &dyn Fn(usize) -> Style| {
        let laid = shown.iter().map(|at| {
            let cell = padded(&fitted(cells[*at], widths[*at]), widths[*at]);
            // The last one needs no blanks behind it.
            let cell = if shown.last() == Some(at) { cell.trim_end().to_owned() } else { cell };
            output.styled(style(*at), &cell)
        });
        laid.collect::<Vec<_>>().join(BETWEEN).trim_end().to_owned()
    };
    let mut lines = vec![row(HEADINGS, &|_| Style::Heading)];
    for (task, cells) in tasks.iter().zip(&rows) {
        lines.push(row(cells.each_ref().map(String::as_str), &|at| style(task, at)));
    }
    lines
}

fn cells(task: &Task) -> [String; 8] {
    let mut cells: [String; 8] = Default::default();
    cells[ID] = short_id(&task.name);
    cells[DONE] = if task.completed { "yes".to_owned() } else { String::new() };
    cells[PRIORITY] = priority(task).to_owned();
    cells[DUE] = due(task);
    cells[REMIND] = reminders_in_short(task);
    cells[DELETED] = time(task.delete_time);
    cells[TITLE] = visible(&task.title);
    cells[LABELS] = visible(&task.labels.join(", "));
    cells
}

fn style(task: &Task, column: usize) -> Style {
    match column {
        _ if task.completed || task.delete_time.is_some() => Style::Faint,
        PRIORITY if task.priority() == Priority::High => Style::Urgent,
        DUE if is_late(task) => Style::Urgent,
        _ => Style::Plain,
    }
}

/// A task with all that is known of it, field by field.
pub(super) fn details(output: &Output, task: &Task, list: Option<&TaskList>) -> Vec<String> {
    const NAME_COLUMNS: usize = 12;
    let mut lines = Vec::new();
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            let name = output.styled(Style::Heading, &padded(&format!("{name}:"), NAME_COLUMNS));
            lines.push(format!("{name} {value}"));
        }
    };
    field("Title", &visible(&task.title));
    let description = task.description.as_deref().map(visible_lines).into_iter().flatten();
    let below = |line: String| if line.is_empty() { line } else { format!("{:NAME_COLUMNS$} {line}", "") };
    field("Description", description.map(below).collect::<Vec<_>>().join("\n").trim_start_matches(' '));
    field("Done", &if task.completed { time(task.complete_time) } else { "no".to_owned() });
    field("Priority", priority(task));
    field("Start", &time(task.start_time));
    field("Due", &due(task));
    field("Reminders", &reminders(task));
    field("Time zone", &visible(&task.time_zone));
    field("Repeats", &repeats(task));
    field("Next", &short_id(&task.next_task));
    field("List", &list.map(|list| visible(&list.title)).unwrap_or_default());
    field("Below", &short_id(&task.parent_task));
    let subtasks = format!("{} of {} done", task.completed_subtask_count, task.subtask_count);
    field("Subtasks", if task.subtask_count > 0 { &subtasks } else { "" });
    field("Labels", &visible(&task.labels.join(", ")));
    let mut annotations: Vec<String> =
        task.annotations.iter().map(|(key, value)| visible(&format!("{key} = {value}"))).collect();
    annotations.sort_unstable();
    field("Annotations", &annotations.join("\n             "));
    field("Created", &time(task.create_time));
    field("Changed", &time(task.update_time));
    field("Deleted", &time(task.delete_time));
    field("Purged", &task.purge_time.map(|at| format!("after {}", time(Some(at)))).unwrap_or_default());
    field("Revision", &task.revision.to_string());
    field("Name", &visible(&task.name));
    lines
}
