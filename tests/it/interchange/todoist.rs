//! Todoist's projects as CSV.

use taskwire::interchange::{Format, detect};
use taskwire::pb::Priority;
use taskwire::pb::recurrence::Basis;

use super::{all, day, entries, items, left_out, lists, refusals, task, time, titled};

/// As "Import or export a project as a CSV file in Todoist" describes it, and with what it has had since.
pub(crate) const FILE: &str = "\u{feff}TYPE,CONTENT,DESCRIPTION,PRIORITY,INDENT,AUTHOR,RESPONSIBLE,DATE,DATE_LANG,TIMEZONE,DURATION,DURATION_UNIT,DEADLINE,DEADLINE_LANG\r
meta,view_style=list,,,,,,,,,,,,\r
task,Repot the basil @garden @weekend,From the shed,1,1,Ada (48151623),,Oct 5 2027,en,Africa/Cairo,30,minute,,\r
task,Buy compost,,4,2,Ada (48151623),,,en,Africa/Cairo,,None,,\r
note,Get the peat-free one,,,,Ada (48151623),,,,,,,,\r
task,Ask the neighbour,,3,3,Ada (48151623),Bob (7),,en,,,None,,\r
,,,,,,,,,,,,,\r
section,Weekly,,,,,,,,,,,,\r
task,Water the ferns,,2,1,Ada (48151623),,every monday at 9am,en,Africa/Cairo,,None,,\r
task,Check the tray,,3,1,Ada (48151623),,every! 3 days,en,,,None,,\r
task,\"Order seeds, \"\"heirloom\"\"\",,4,1,Ada (48151623),,tomorrow 18:00,en,America/New_York,,None,Dec 9 2026,en\r
task,Water the ferns,,9,1,Ada (48151623),,,en,,,None,,\r
task,Water the ferns,,4,1,Ada (48151623),,,en,,,None,,\r
task,Think,,4,x,Ada (48151623),,,en,,,None,,\r
task,Wonder,,4,1,Ada (48151623),,when the moon is full,en,,,None,,\r
idea,What,,,,,,,,,,,,\r
task,   ,,4,1,,,,,,,,,\r
";

#[test]
fn a_project_is_taken_with_its_sections_and_notes() {
    assert_eq!(detect(FILE.as_bytes()).unwrap(), Format::Todoist);
    let found = entries(Format::Todoist, FILE);
    assert_eq!(lists(&found)[0].title, "Home");
    let basil = task(&found, "Repot the basil");
    assert_eq!(basil.labels, ["garden", "weekend"]);
    assert_eq!((basil.due_date, basil.time_zone.as_str()), (day(2027, 10, 5), "Africa/Cairo"));
    assert_eq!((basil.priority(), basil.description.as_deref()), (Priority::High, Some("From the shed")));
    assert_eq!(basil.task_list, lists(&found)[0].name);
    assert_eq!(
        (titled(&found, "Repot the basil").line, &titled(&found, "Repot the basil").notes[..]),
        (3, &["DURATION: left out".to_owned()][..])
    );
    let compost = task(&found, "Buy compost");
    assert_eq!(
        (compost.parent_task.as_str(), compost.description.as_deref()),
        (basil.name.as_str(), Some("Get the peat-free one"))
    );
    let ask = titled(&found, "Ask the neighbour");
    assert_eq!(task(&found, "Ask the neighbour").parent_task, basil.name);
    assert_eq!(
        ask.notes,
        [
            "PRIORITY: 3 became medium",
            "RESPONSIBLE: left out",
            "parent_task: subtasks are one level deep; it is below the task at the top",
        ]
    );
    let ferns = task(&found, "Water the ferns");
    assert_eq!(ferns.annotations["todoist/section"], "Weekly");
    // The next Monday after Sunday, the 29th of November.
    assert_eq!(ferns.due_time, time("2026-11-30T07:00:00Z"));
    assert_eq!(ferns.recurrence.as_ref().unwrap().rrule, "FREQ=WEEKLY;BYDAY=MO");
    let tray = task(&found, "Check the tray");
    let recurrence = tray.recurrence.as_ref().unwrap();
    assert_eq!((recurrence.rrule.as_str(), recurrence.basis()), ("FREQ=DAILY;INTERVAL=3", Basis::Completion));
    assert_eq!((tray.due_date, tray.time_zone.as_str()), (day(2026, 11, 29), "Europe/Berlin"));
    let seeds = task(&found, "Order seeds, \"heirloom\"");
    assert_eq!(seeds.due_time, time("2026-11-30T23:00:00Z"));
    assert_eq!(seeds.annotations["todoist/deadline"], "Dec 9 2026");
}

#[test]
fn what_does_not_fit_is_told() {
    let found = entries(Format::Todoist, FILE);
    assert_eq!(
        titled(&found, "Wonder").notes,
        ["DATE: \"when the moon is full\" is not understood, and was left out"]
    );
    assert_eq!(
        refusals(&found),
        [
            "12: PRIORITY: must be a number from 1 to 4",
            "14: INDENT: must be a number from 1",
            "16: TYPE: must be task, section or note",
            "17: CONTENT: must not be empty or only white space",
        ]
    );
    assert_eq!(
        left_out(&found),
        ["8: the section \"Weekly\": its tasks have it as the annotation todoist/section"]
    );
}

#[test]
fn equal_tasks_are_told_apart_by_their_number() {
    let found = entries(Format::Todoist, FILE);
    let mut names: Vec<&str> = super::tasks(&found).into_iter().map(|task| task.name.as_str()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert_eq!(found, entries(Format::Todoist, FILE));
    assert_eq!(items(&found).len(), count + 1);
}

#[test]
fn dates_are_read_as_people_write_them() {
    for (text, expected) in [
        ("2026-12-24", (day(2026, 12, 24), None)),
        ("2026-12-24 15:30", (None, time("2026-12-24T14:30:00Z"))),
        ("2026-12-24T15:30", (None, time("2026-12-24T14:30:00Z"))),
        ("today", (day(2026, 11, 29), None)),
        ("Tomorrow at 9am", (None, time("2026-11-30T08:00:00Z"))),
        ("dec 24", (day(2026, 12, 24), None)),
        ("24 Jan", (day(2027, 1, 24), None)),
        ("24th of nothing", (None, None)),
        ("Oct 5, 2026", (day(2026, 10, 5), None)),
        ("friday", (day(2026, 12, 4), None)),
        ("next sunday", (day(2026, 12, 6), None)),
        ("in 3 days", (day(2026, 12, 2), None)),
        ("Feb 29", (day(2028, 2, 29), None)),
        ("Feb 30", (None, None)),
        ("noon", (None, None)),
    ] {
        let file = format!("TYPE,CONTENT,DATE\ntask,T,\"{text}\"\n");
        let found = entries(Format::Todoist, file);
        let task = task(&found, "T");
        assert_eq!((task.due_date, task.due_time), expected, "{text}");
    }
    for (text, rrule, expected) in [
        ("every day", "FREQ=DAILY", day(2026, 11, 29)),
        ("every 2 weeks on monday and friday", "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR", day(2026, 11, 30)),
        ("every month on the 15th starting dec 20", "FREQ=MONTHLY;BYMONTHDAY=15", day(2027, 1, 15)),
        ("every day until 2026-12-24", "FREQ=DAILY;UNTIL=20261224", day(2026, 11, 29)),
    ] {
        let found = entries(Format::Todoist, format!("TYPE,CONTENT,DATE\ntask,T,\"{text}\"\n"));
        let task = task(&found, "T");
        assert_eq!(task.recurrence.as_ref().map(|one| one.rrule.as_str()), Some(rrule), "{text}");
        assert_eq!(task.due_date, expected, "{text}");
    }
}

#[test]
fn another_table_is_refused_as_a_whole() {
    let (found, error) = all(Format::Todoist, "a,b\n1,2\n");
    assert!(found.is_empty());
    assert!(error.unwrap().starts_with("is no project of Todoist"));
}
