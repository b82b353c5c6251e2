//! Google Tasks as Google Takeout gives them.

use taskwire::interchange::{Format, detect};

use super::{all, day, entries, items, left_out, lists, refusals, task, time, titled};

/// After the resources of the Tasks API, with things that are broken among those that are not.
pub(crate) const FILE: &str = r##"{
  "kind": "tasks#taskLists",
  "items": [{
    "kind": "tasks#taskList",
    "id": "MDEzMTQ2ODk4NDc2ODkyOTIyMTE6MDow",
    "title": "My Tasks",
    "updated": "2026-09-18T06:12:59.468Z",
    "items": [{
      "kind": "tasks#task",
      "id": "aaaaBBBB",
      "title": "Plan the party",
      "task_type": "PERSONAL_TASK",
      "notes": "Cake\r\nCandles",
      "status": "needsAction",
      "due": "2026-12-24T00:00:00.000Z",
      "created": "2026-09-01T10:00:00.000Z",
      "updated": "2026-09-18T06:12:59.468Z",
      "links": [{"type": "email", "description": "About it", "link": "https://mail.google.com/1"}],
      "selfLink": "https://www.googleapis.com/tasks/v1/lists/MDE/tasks/aaaaBBBB"
    }, {
      "kind": "tasks#task",
      "id": "ccccDDDD",
      "parent": "aaaaBBBB",
      "title": "Buy candles",
      "status": "completed",
      "completed": "2026-09-02T18:30:00.000Z",
      "hidden": true
    }, {
      "kind": "tasks#task",
      "id": "eeeeFFFF",
      "title": "",
      "status": "needsAction"
    }, {
      "kind": "tasks#task",
      "id": "gone",
      "title": "Gone",
      "deleted": true
    }, {
      "kind": "tasks#task",
      "title": "Nameless"
    }, {
      "kind": "tasks#task",
      "id": "late",
      "title": "Bad due",
      "due": "tomorrow"
    }, {
      "kind": "tasks#task",
      "id": "odd",
      "title": "Odd",
      "status": "perhaps"
    }, {
      "kind": "tasks#task",
      "id": 7,
      "title": "A number"
    }, "no task at all"]
  }, {
    "kind": "tasks#taskList",
    "id": "c2hvcHBpbmc",
    "title": "Shopping"
  }]
}
"##;

#[test]
fn lists_tasks_and_subtasks_are_taken() {
    assert_eq!(detect(FILE.as_bytes()).unwrap(), Format::Google);
    let found = entries(Format::Google, FILE);
    assert_eq!(lists(&found).iter().map(|list| &list.title).collect::<Vec<_>>(), ["My Tasks", "Shopping"]);
    let party = task(&found, "Plan the party");
    assert_eq!(party.task_list, lists(&found)[0].name);
    assert_eq!(party.description.as_deref(), Some("Cake\nCandles"));
    assert_eq!((party.due_date, party.due_time, party.completed), (day(2026, 12, 24), None, false));
    assert_eq!(party.create_time, time("2026-09-01T10:00:00Z"));
    assert_eq!(titled(&found, "Plan the party").notes, ["links: left out"]);
    let candles = task(&found, "Buy candles");
    assert_eq!(candles.parent_task, party.name);
    assert_eq!((candles.completed, candles.complete_time), (true, time("2026-09-02T18:30:00Z")));
    assert_eq!(titled(&found, "Plan the party").line, 8);
    assert_eq!(items(&found).len(), 4);
}

#[test]
fn what_is_broken_is_told_and_the_rest_goes_on() {
    let found = entries(Format::Google, FILE);
    assert_eq!(
        refusals(&found),
        [
            "28: items[0].items[2].title: must not be empty or only white space",
            "38: items[0].items[4].id: is required: without it the task could not be found again",
            "41: items[0].items[5].due: must be a time of RFC 3339",
            "46: items[0].items[6].status: must be needsAction or completed",
            "51: items[0].items[7]: invalid type: integer `7`, expected a string",
            "55: items[0].items[8]: invalid type: string \"no task at all\", expected struct GoogleTask",
        ]
    );
    assert_eq!(left_out(&found), ["33: a deleted task"]);
}

#[test]
fn the_same_file_gives_the_same_ids() {
    assert_eq!(entries(Format::Google, FILE), entries(Format::Google, FILE));
    // Fixed for ever: with another id it would be imported a second time.
    let found = entries(Format::Google, FILE);
    assert_eq!(task(&found, "Plan the party").name, PARTY);
}

const PARTY: &str = "users/me/tasks/17be0760-c9f2-55bc-8631-75ec83a32b2b";

#[test]
fn another_document_is_refused_as_a_whole() {
    let (found, error) = all(Format::Google, r#"{"kind": "drive#fileList", "items": []}"#);
    assert!(found.is_empty());
    assert!(error.unwrap().starts_with("is no Tasks.json of Google Takeout"));
    // A list alone is one too.
    let list =
        r#"{"kind": "tasks#taskList", "id": "a", "title": "Alone", "items": [{"id": "b", "title": "One"}]}"#;
    assert_eq!(items(&entries(Format::Google, list)).len(), 2);
}
