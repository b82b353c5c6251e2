//! Vikunja as its export gives it.

use taskwire::interchange::{Format, detect};
use taskwire::pb::recurrence::Basis;
use taskwire::pb::{Priority, Reminder, reminder};

use super::{all, entries, items, lists, refusals, task, time, titled};

/// `data.json`, after the models of its interface.
pub(crate) const FILE: &str = r##"[
  {
    "id": 4, "title": "House", "description": "", "identifier": "", "hex_color": "", "parent_project_id": 0,
    "is_archived": false, "created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
    "tasks": [
      {
        "id": 11, "title": "Water the plants", "description": "<p>All of <em>them</em></p><ul><li>Fern</li><li>Basil</li></ul>",
        "done": false, "done_at": "0001-01-01T00:00:00Z", "due_date": "2026-12-01T18:00:00+01:00",
        "reminders": [
          {"reminder": "2026-12-01T16:00:00Z", "relative_period": -3600, "relative_to": "due_date"},
          {"reminder": "2026-11-30T16:00:00Z", "relative_period": 0, "relative_to": ""}
        ],
        "project_id": 4, "repeat_after": 259200, "repeat_mode": 2, "priority": 4,
        "start_date": "0001-01-01T00:00:00Z", "end_date": "0001-01-01T00:00:00Z",
        "assignees": [{"id": 1, "username": "ada"}], "labels": [{"id": 1, "title": "garden", "hex_color": "e8e8e8"}],
        "percent_done": 0, "identifier": "#1", "index": 1,
        "related_tasks": {"subtask": [{"id": 12, "title": "Fern"}]},
        "attachments": null, "created": "2026-11-01T10:00:00Z", "updated": "2026-11-01T10:00:00Z", "comments": []
      },
      {
        "id": 12, "title": "Fern", "description": "", "done": true, "done_at": "2026-11-20T10:00:00Z",
        "due_date": "0001-01-01T00:00:00Z", "priority": 0, "related_tasks": {"parenttask": [{"id": 11}]}
      },
      {
        "id": 13, "title": "Leaf", "related_tasks": {"parenttask": [{"id": 12}]}
      },
      {"id": 14, "title": "Bad", "due_date": "never"},
      {"title": "Nameless"},
      {"id": 15, "title": "Hourly", "due_date": "2026-12-01T18:00:00Z", "repeat_after": 3600},
      {"id": 16, "title": "Rent", "due_date": "2026-12-01T18:00:00Z", "repeat_mode": 1, "priority": 1},
      {"id": "x", "title": "Wrong"}
    ]
  },
  {"id": 5, "title": "Cellar", "parent_project_id": 4, "tasks": null},
  {"title": "No id", "tasks": []}
]"##;

#[test]
fn projects_tasks_and_subtasks_are_taken() {
    assert_eq!(detect(FILE.as_bytes()).unwrap(), Format::Vikunja);
    let found = entries(Format::Vikunja, FILE);
    assert_eq!(lists(&found).iter().map(|list| &list.title).collect::<Vec<_>>(), ["House", "Cellar"]);
    let plants = task(&found, "Water the plants");
    assert_eq!(plants.task_list, lists(&found)[0].name);
    assert_eq!(plants.description.as_deref(), Some("All of them\n- Fern\n- Basil"));
    assert_eq!((plants.due_time, plants.priority()), (time("2026-12-01T17:00:00Z"), Priority::High));
    let recurrence = plants.recurrence.as_ref().unwrap();
    assert_eq!((recurrence.rrule.as_str(), recurrence.basis()), ("FREQ=DAILY;INTERVAL=3", Basis::Completion));
    assert_eq!(plants.labels, ["garden"]);
    let before = prost_types::Duration { seconds: 3600, nanos: 0 };
    let whens =
        [Some(reminder::When::Offset(before)), time("2026-11-30T16:00:00Z").map(reminder::When::Time)];
    assert_eq!(plants.reminders, whens.map(|when| Reminder { when }));
    assert_eq!(titled(&found, "Water the plants").notes, ["assignees: left out"]);
    let fern = task(&found, "Fern");
    assert_eq!(
        (fern.parent_task.as_str(), fern.complete_time),
        (plants.name.as_str(), time("2026-11-20T10:00:00Z"))
    );
    let leaf = titled(&found, "Leaf");
    assert_eq!(task(&found, "Leaf").parent_task, plants.name);
    assert_eq!(leaf.notes, ["parent_task: subtasks are one level deep; it is below the task at the top"]);
    assert_eq!(task(&found, "Rent").recurrence.as_ref().unwrap().rrule, "FREQ=MONTHLY");
    assert_eq!(task(&found, "Rent").priority(), Priority::Low);
    assert_eq!(found, entries(Format::Vikunja, FILE));
}

#[test]
fn what_does_not_fit_is_told() {
    let found = entries(Format::Vikunja, FILE);
    assert_eq!(
        titled(&found, "Hourly").notes,
        ["repeat_after: left out, since a task comes again after whole days"]
    );
    assert_eq!(
        titled(&found, "Cellar").notes,
        ["parent_project_id: left out, since lists stand beside each other"]
    );
    assert_eq!(
        refusals(&found),
        [
            "27: [0].tasks[3].due_date: must be a time of RFC 3339",
            "28: [0].tasks[4].id: is required: without it the task could not be found again",
            "31: [0].tasks[7]: invalid type: string \"x\", expected i64",
            "35: [2].id: is required: without it the project could not be found again",
        ]
    );
}

#[test]
fn old_exports_have_their_projects_below_namespaces() {
    let file = r#"[{"id": 1, "title": "Space", "hex_color": "", "lists": [
        {"id": 2, "title": "Old", "tasks": [{"id": 3, "title": "Older"}]}]}]"#;
    let found = entries(Format::Vikunja, file);
    assert_eq!(items(&found).len(), 3);
    assert_eq!(task(&found, "Older").task_list, lists(&found)[1].name);
    let (_, error) = all(Format::Vikunja, "{}");
    assert!(error.unwrap().starts_with("is no data.json of Vikunja"));
}
