//! Tasks as files: what is read of them, what is written, and that both agree, among themselves and with others.

mod broken;
mod generated;
pub(crate) mod google;
mod ical;
pub(crate) mod microsoft;
mod oracle;
mod round_trips;
mod table;
pub(crate) mod todoist;
pub(crate) mod vikunja;

use std::io::BufReader;

use jiff::civil::date;
use taskwire::interchange::{Entry, Format, Item, Options, Record, Refused, Writer, read};
use taskwire::pb::{Date, Task, TaskList};

/// Berlin on a Sunday in November, in a project called Home.
fn options() -> Options {
    Options {
        today: date(2026, 11, 29),
        zone: Some("Europe/Berlin".to_owned()),
        project: Some("Home".to_owned()),
    }
}

/// All that a file says, and why it ends if that is not its end.
fn all(format: Format, file: impl AsRef<[u8]>) -> (Vec<Entry>, Option<String>) {
    let (mut entries, mut error) = (Vec::new(), None);
    let options = options();
    for entry in read(format, BufReader::with_capacity(7, file.as_ref()), &options) {
        match entry {
            Ok(entry) => entries.push(entry),
            Err(why) => assert!(error.replace(why.to_string()).is_none(), "there is one end"),
        }
    }
    (entries, error)
}

/// The same of a file that can be read to its end.
fn entries(format: Format, file: impl AsRef<[u8]>) -> Vec<Entry> {
    let (entries, error) = all(format, file);
    assert_eq!(error, None);
    entries
}

fn items(entries: &[Entry]) -> Vec<&Item> {
    entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Item(item) => Some(item),
            _ => None,
        })
        .collect()
}

fn tasks(entries: &[Entry]) -> Vec<&Task> {
    items(entries)
        .into_iter()
        .filter_map(|item| match &item.record {
            Record::Task(task) => Some(&**task),
            Record::TaskList(_) => None,
        })
        .collect()
}

fn lists(entries: &[Entry]) -> Vec<&TaskList> {
    items(entries)
        .into_iter()
        .filter_map(|item| match &item.record {
            Record::TaskList(list) => Some(list),
            Record::Task(_) => None,
        })
        .collect()
}

/// The item with this title.
fn titled<'a>(entries: &'a [Entry], title: &str) -> &'a Item {
    let found = items(entries).into_iter().find(|item| match &item.record {
        Record::Task(task) => task.title == title,
        Record::TaskList(list) => list.title == title,
    });
    found.unwrap_or_else(|| panic!("there is no {title} in {entries:#?}"))
}

/// The task with this title.
fn task<'a>(entries: &'a [Entry], title: &str) -> &'a Task {
    match &titled(entries, title).record {
        Record::Task(task) => task,
        Record::TaskList(_) => panic!("{title} is a list"),
    }
}

/// What was refused, each as its line, its field and its rule.
fn refusals(entries: &[Entry]) -> Vec<String> {
    let refused = |entry: &Entry| match entry {
        Entry::Refused(Refused { line, field, rule }) => Some(format!("{line}: {field}: {rule}")),
        _ => None,
    };
    entries.iter().filter_map(refused).collect()
}

/// What was left out, each with its line.
fn left_out(entries: &[Entry]) -> Vec<String> {
    let left = |entry: &Entry| match entry {
        Entry::LeftOut { line, what } => Some(format!("{line}: {what}")),
        _ => None,
    };
    entries.iter().filter_map(left).collect()
}

const fn day(year: i32, month: i32, day: i32) -> Option<Date> {
    Some(Date { year, month, day })
}

fn time(text: &str) -> Option<prost_types::Timestamp> {
    let time: jiff::Timestamp = text.parse().unwrap();
    Some(prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() })
}

/// Lists and tasks as a file.
fn written(mut writer: impl Writer, lists: &[TaskList], tasks: &[Task]) -> Vec<u8> {
    let mut file = writer.begin();
    lists.iter().for_each(|list| file.extend(writer.list(list)));
    tasks.iter().for_each(|task| file.extend(writer.task(task)));
    file.extend(writer.end());
    file
}
