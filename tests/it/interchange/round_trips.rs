//! What is written is read again as it was.

use taskwire::interchange::{Calendar, Csv, Entry, Format, JsonLines, detect};
use taskwire::pb::{Task, TaskList};

use super::generated::account;
use super::{all, entries, items, lists, tasks, written};
use crate::revisions::harness::random::Random;

const COUNT: usize = 400;

fn check(format: Format, file: &[u8], expected: (&[TaskList], &[Task])) {
    assert_eq!(detect(file).unwrap(), format);
    let found = entries(format, file);
    let notes: Vec<_> = items(&found).into_iter().filter(|item| !item.notes.is_empty()).collect();
    assert!(notes.is_empty(), "{notes:#?}");
    assert!(found.iter().all(|entry| matches!(entry, Entry::Item(_))), "{found:#?}");
    let found_tasks = tasks(&found);
    assert_eq!(found_tasks.len(), expected.1.len());
    for (found, expected) in found_tasks.into_iter().zip(expected.1) {
        assert_eq!(found, expected);
    }
    let found_lists: Vec<TaskList> = lists(&found).into_iter().cloned().collect();
    assert_eq!(found_lists, expected.0);
}

#[test]
fn json_lines_keep_all() {
    let mut random = Random::seeded();
    let (lists, mut tasks) = account(&mut random, COUNT, true);
    // And what only the service writes.
    for task in &mut tasks {
        task.position = "b1A".to_owned();
        task.revision = 7;
        task.etag = "7-ab".to_owned();
        task.subtask_count = 2;
    }
    let file = written(JsonLines::new(), &lists, &tasks);
    check(Format::JsonLines, &file, (&lists, &tasks));
}

#[test]
fn csv_keeps_what_a_caller_writes() {
    let mut random = Random::seeded();
    let (lists, tasks) = account(&mut random, COUNT, true);
    let file = written(Csv::new(), &lists, &tasks);
    check(Format::Csv, &file, (&lists, &tasks));
}

#[test]
fn icalendar_keeps_what_a_caller_writes_to_the_second() {
    let mut random = Random::seeded();
    let (lists, tasks) = account(&mut random, COUNT, false);
    let file = written(Calendar::new(Some("Tasks")), &lists, &tasks);
    let text = String::from_utf8(file.clone()).unwrap();
    for line in text.split("\r\n") {
        assert!(line.len() <= 75, "{line}");
        assert!(!line.contains('\n'), "{line:?}");
    }
    let found = entries(Format::Ical, &file);
    for (found, expected) in super::tasks(&found).into_iter().zip(&tasks) {
        assert_eq!(found, expected);
    }
    assert_eq!(super::tasks(&found).len(), tasks.len());
    // A list stands before the first task in it, and has no times.
    let mut titles: Vec<&str> = super::lists(&found).into_iter().map(|list| list.title.as_str()).collect();
    let mut expected: Vec<&str> = lists.iter().map(|list| list.title.as_str()).collect();
    titles.sort_unstable();
    expected.sort_unstable();
    assert_eq!(titles, expected);
    assert!(items(&found).iter().all(|item| item.notes.is_empty()), "{found:#?}");
}

#[test]
fn what_is_of_another_account_becomes_the_callers() {
    let id = "0198c5a4-7d3e-7c41-9b1f-2f6d8a5e4c10";
    let (task, list) = (format!("users/{id}/tasks/{id}"), format!("users/{id}/taskLists/{id}"));
    let file = format!(
        "{{\"task\":{{\"name\":\"{task}\",\"title\":\"Milk\",\"taskList\":\"{list}\"}}}}\n\
         {{\"name\":\"{task}\",\"title\":\"Milk\",\"task_list\":\"{list}\"}}\n"
    );
    let found = entries(Format::JsonLines, file);
    for task in tasks(&found) {
        assert_eq!(task.name, format!("users/me/tasks/{id}"));
        assert_eq!(task.task_list, format!("users/me/taskLists/{id}"));
    }
    assert_eq!(tasks(&found).len(), 2);
}

#[test]
fn an_export_that_is_cut_says_so() {
    let mut random = Random::new(1);
    let (lists, tasks) = account(&mut random, 3, true);
    let file = written(JsonLines::new(), &lists, &tasks);
    let text = String::from_utf8(file).unwrap();
    let cut: String = text.lines().take(5).map(|line| format!("{line}\n")).collect();
    let (found, _) = all(Format::JsonLines, cut);
    assert_eq!(
        super::refusals(&found),
        ["6: end: must stand at the end: the file is cut, and what is missing was not read"]
    );
    assert_eq!(items(&found).len(), 4);
}

#[test]
fn lists_and_parents_come_first_wherever_they_stand() {
    let mut random = Random::new(2);
    let (lists, mut tasks) = account(&mut random, 60, true);
    tasks.reverse();
    let found = entries(Format::JsonLines, written(JsonLines::new(), &lists, &tasks));
    let mut seen = std::collections::HashSet::new();
    for task in super::tasks(&found) {
        assert!(task.parent_task.is_empty() || seen.contains(&task.parent_task), "{task:?}");
        seen.insert(task.name.clone());
    }
    assert_eq!(seen.len(), tasks.len());
}
