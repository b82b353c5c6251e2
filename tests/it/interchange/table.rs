//! CSV: what a spreadsheet makes of it, and what people write by hand.

use taskwire::interchange::{Csv, Format, detect};
use taskwire::pb::{Priority, Reminder, Task, TaskList, reminder};

use super::{all, day, entries, items, lists, refusals, task, time, titled, written};

#[test]
fn no_cell_is_a_formula() {
    let id = "0198c5a4-7d3e-7c41-9b1f-2f6d8a5e4c10";
    for (title, cell) in [
        ("=HYPERLINK(\"x\")", "'=HYPERLINK(\"\"x\"\")"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM", "'@SUM"),
        ("'=1", "''=1"),
        ("'tis", "'tis"),
        ("1-1", "1-1"),
    ] {
        let task = Task { name: format!("users/me/tasks/{id}"), title: title.to_owned(), ..Task::default() };
        let file = written(Csv::new(), &[], &[task]);
        let text = String::from_utf8(file.clone()).unwrap();
        assert!(text.contains(cell), "{text}");
        let row = text.lines().nth(1).unwrap();
        let is_formula = |cell: &str| cell.trim_matches('"').starts_with(['=', '+', '-', '@']);
        assert!(!row.split(',').any(is_formula), "{row}");
        assert_eq!(super::tasks(&entries(Format::Csv, file))[0].title, title);
    }
}

#[test]
fn an_absent_description_is_not_an_empty_one() {
    for description in [None, Some(""), Some("'"), Some("''"), Some("'x")] {
        let task = Task {
            name: "users/me/tasks/0198c5a4-7d3e-7c41-9b1f-2f6d8a5e4c10".to_owned(),
            title: "T".to_owned(),
            description: description.map(str::to_owned),
            ..Task::default()
        };
        let found = entries(Format::Csv, written(Csv::new(), &[], &[task]));
        assert_eq!(super::tasks(&found)[0].description.as_deref(), description);
    }
}

/// As people and spreadsheets write it: columns in any order, other separators, no ids.
const BY_HAND: &str = "\u{feff}title;due_date;labels;priority;list;completed;recurrence;reminders\r
Milk;2026-12-01;home, shop\\, near;High;Groceries;no;;3600s 2026-11-30T10:00:00Z\r
Milk;2026-12-01;home, shop\\, near;High;Groceries;no;;3600s 2026-11-30T10:00:00Z\r
Milk;2027-01-01;;;Groceries;;;\r
Bread;;;;Groceries;YES;;\r
;;;;;;;\r
Plants;2026-12-01;;;;;FREQ=DAILY;\r
Rent;2026-13-01;;;;;;\r
Sleep;;;urgent;;;;\r
Walk;;;;;perhaps;;\r
Talk;;;;;;;soon\r
Sing;2026-12-01;;;;;FREQ=HOURLY;\r
";

#[test]
fn a_table_written_by_hand_is_taken() {
    assert_eq!(detect(BY_HAND.as_bytes()).unwrap(), Format::Csv);
    let found = entries(Format::Csv, BY_HAND);
    assert_eq!(lists(&found).iter().map(|list| &list.title).collect::<Vec<_>>(), ["Groceries"]);
    let milk = task(&found, "Milk");
    assert_eq!((milk.due_date, milk.priority()), (day(2026, 12, 1), Priority::High));
    assert_eq!(milk.labels, ["home", "shop, near"]);
    assert_eq!(milk.time_zone, "Europe/Berlin");
    let before = prost_types::Duration { seconds: 3600, nanos: 0 };
    let whens =
        [Some(reminder::When::Offset(before)), time("2026-11-30T10:00:00Z").map(reminder::When::Time)];
    assert_eq!(milk.reminders, whens.map(|when| Reminder { when }));
    assert!(task(&found, "Bread").completed);
    assert_eq!(task(&found, "Bread").task_list, milk.task_list);
    assert_eq!(task(&found, "Plants").recurrence.as_ref().unwrap().rrule, "FREQ=DAILY");
    // Three that are called the same are three, and the same three each time.
    let milks: Vec<&str> = super::tasks(&found)
        .into_iter()
        .filter(|one| one.title == "Milk")
        .map(|one| one.name.as_str())
        .collect();
    assert!(milks.len() == 3 && milks[0] != milks[1] && milks[0] != milks[2] && milks[1] != milks[2]);
    assert_eq!(found, entries(Format::Csv, BY_HAND));
    assert!(
        titled(&found, "Sing").notes[0].starts_with("recurrence: left out, since the rule must have FREQ=")
    );
    assert_eq!(
        refusals(&found),
        [
            "8: due_date: must be a day such as 2026-12-31",
            "9: priority: must be low, medium or high",
            "10: completed: must be true or false",
            "11: reminders: must be times, or seconds before the due such as 3600s",
        ]
    );
}

#[test]
fn rows_that_are_broken_do_not_break_the_rest() {
    let mut file =
        b"kind,id,title,annotations\ntask,a,One,\nrow,b,Two,\ntask,c,Three,{\ntask,d,Four,,more\n".to_vec();
    file.extend(b"task,e,\xffFive,\ntask,f,Si\0x,\ntask,g,\"Seven\nand more\",\nlist,h,Eight,\n");
    let found = entries(Format::Csv, file);
    assert_eq!(
        refusals(&found),
        [
            "3: kind: must be task or list",
            "4: annotations: must be a JSON object of texts",
            "5: : must have at most the 4 cells that have a column: quote texts with commas",
            "6: : must be UTF-8: save the file as that",
            "7: : must not hold NUL bytes",
        ]
    );
    assert_eq!(titled(&found, "Seven and more").notes, ["title: control characters became blanks"]);
    assert_eq!(titled(&found, "Eight").line, 10);
    assert_eq!(items(&found).len(), 3);
}

#[test]
fn a_quote_that_does_not_end_is_told() {
    let file = format!("title\nOne\n\"Two{}", "\nmore".repeat(400_000));
    let (found, error) = all(Format::Csv, file);
    assert_eq!(items(&found).len(), 1);
    let error = error.unwrap();
    assert!(error.ends_with("must be a row of at most 1 MiB; a quote may be missing before it"), "{error}");
}

#[test]
fn a_table_without_titles_is_none() {
    let (_, error) = all(Format::Csv, "name,when\nMilk,today\n");
    assert_eq!(
        error.unwrap(),
        "must begin with a row of column names, with `title` among them: it is no CSV of tasks"
    );
    let list = TaskList {
        title: "Empty".to_owned(),
        name: "users/me/taskLists/0198c5a4-7d3e-7c41-9b1f-2f6d8a5e4c10".to_owned(),
        ..TaskList::default()
    };
    assert_eq!(lists(&entries(Format::Csv, written(Csv::new(), &[list], &[])))[0].title, "Empty");
}
