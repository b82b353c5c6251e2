//! Microsoft To Do as Microsoft Graph answers it.

use taskwire::interchange::{Format, detect};
use taskwire::pb::{Priority, Reminder, reminder};

use super::{all, day, entries, items, lists, refusals, task, time, titled};

/// Lists with their tasks, after the resources todoTaskList, todoTask, checklistItem and patternedRecurrence.
pub(crate) const FILE: &str = r##"{
  "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users('ada')/todo/lists",
  "value": [{
    "id": "AAMkAGI1=",
    "displayName": "Tasks",
    "isOwner": true,
    "wellknownListName": "defaultList",
    "tasks": [{
      "id": "AlMKXwbQ=",
      "title": "Pay the rent",
      "body": {"content": "<html><body><p>By <b>bank</b></p><p>5 &amp; 6</p></body></html>", "contentType": "html"},
      "importance": "high",
      "status": "notStarted",
      "categories": ["Home", "Money"],
      "isReminderOn": true,
      "reminderDateTime": {"dateTime": "2026-12-30T08:00:00.0000000", "timeZone": "W. Europe Standard Time"},
      "dueDateTime": {"dateTime": "2026-12-31T00:00:00.0000000", "timeZone": "UTC"},
      "createdDateTime": "2026-11-01T10:00:00.1234567Z",
      "lastModifiedDateTime": "2026-11-02T10:00:00Z",
      "hasAttachments": true,
      "recurrence": {
        "pattern": {"type": "relativeMonthly", "interval": 2, "daysOfWeek": ["thursday", "friday"], "index": "last",
          "month": 0, "dayOfMonth": 0, "firstDayOfWeek": "sunday"},
        "range": {"type": "endDate", "startDate": "2026-12-31", "endDate": "2028-01-01", "recurrenceTimeZone": "UTC",
          "numberOfOccurrences": 0}
      },
      "linkedResources": [{"id": "1", "applicationName": "Mail"}],
      "checklistItems": [
        {"id": "51d8a471", "displayName": "Look up the number", "isChecked": true,
          "createdDateTime": "2026-11-01T10:01:00Z", "checkedDateTime": "2026-11-02T10:00:00Z"},
        {"displayName": "Without an id"}
      ]
    }, {
      "id": "done=",
      "title": "Call",
      "body": {"content": "", "contentType": "text"},
      "importance": "normal",
      "status": "completed",
      "dueDateTime": {"dateTime": "2026-12-01T15:30:00.0000000", "timeZone": "Pacific Standard Time"},
      "completedDateTime": {"dateTime": "2026-11-30T00:00:00.0000000", "timeZone": "UTC"}
    }, {
      "id": "broken=",
      "title": "Broken",
      "dueDateTime": {"dateTime": "soon", "timeZone": "UTC"}
    }, {
      "id": "odd=",
      "title": "Odd",
      "importance": "extreme",
      "dueDateTime": {"dateTime": "2026-12-01T15:30:00", "timeZone": "Moon Standard Time"},
      "recurrence": {"pattern": {"type": "hourly", "interval": 1}, "range": {"type": "noEnd"}}
    }, {
      "id": "state=",
      "title": "State",
      "status": "lost"
    }]
  }]
}"##;

#[test]
fn lists_tasks_and_steps_are_taken() {
    assert_eq!(detect(FILE.as_bytes()).unwrap(), Format::Microsoft);
    let found = entries(Format::Microsoft, FILE);
    assert_eq!(lists(&found)[0].title, "Tasks");
    let rent = task(&found, "Pay the rent");
    assert_eq!(rent.description.as_deref(), Some("By bank\n5 & 6"));
    assert_eq!(rent.priority(), Priority::High);
    assert_eq!(rent.labels, ["Home", "Money"]);
    assert_eq!((rent.due_date, rent.time_zone.as_str()), (day(2026, 12, 31), "Europe/Berlin"));
    let remind = Reminder { when: time("2026-12-30T07:00:00Z").map(reminder::When::Time) };
    assert_eq!(rent.reminders, [remind]);
    assert_eq!(
        rent.recurrence.as_ref().unwrap().rrule,
        "FREQ=MONTHLY;INTERVAL=2;BYDAY=TH,FR;BYSETPOS=-1;UNTIL=20280101"
    );
    assert_eq!(titled(&found, "Pay the rent").notes, ["linkedResources: left out", "attachments: left out"]);
    let step = task(&found, "Look up the number");
    assert_eq!((step.parent_task.as_str(), step.completed), (rent.name.as_str(), true));
    assert_eq!(step.complete_time, time("2026-11-02T10:00:00Z"));
    let call = task(&found, "Call");
    assert_eq!(
        (call.due_time, call.time_zone.as_str()),
        (time("2026-12-01T23:30:00Z"), "America/Los_Angeles")
    );
    assert_eq!(
        (call.completed, call.complete_time, &call.description),
        (true, time("2026-11-30T00:00:00Z"), &None)
    );
    assert_eq!(found, entries(Format::Microsoft, FILE));
}

#[test]
fn what_does_not_fit_is_told() {
    let found = entries(Format::Microsoft, FILE);
    assert_eq!(
        titled(&found, "Odd").notes,
        [
            "importance: \"extreme\" is none of low, normal and high, and was left out",
            "dueDateTime: the time zone \"Moon Standard Time\" is not known, and Europe/Berlin was taken",
            "recurrence: left out, since its type \"hourly\" is none that is known",
        ]
    );
    assert_eq!(
        refusals(&found),
        [
            "31: value[0].tasks[0].checklistItems[1].id: is required: without it the item could not be found again",
            "41: value[0].tasks[2].dueDateTime: must have a dateTime such as 2026-12-31T00:00:00.0000000",
            "51: value[0].tasks[4].status: must be notStarted, inProgress, completed, waitingOnOthers or deferred",
        ]
    );
}

#[test]
fn every_pattern_becomes_a_rule() {
    for (pattern, rule) in [
        (r#""type": "daily", "interval": 3"#, "FREQ=DAILY;INTERVAL=3"),
        (
            r#""type": "weekly", "interval": 1, "daysOfWeek": ["monday"], "firstDayOfWeek": "monday""#,
            "FREQ=WEEKLY;BYDAY=MO;WKST=MO",
        ),
        (
            r#""type": "weekly", "interval": 2, "daysOfWeek": ["monday", "tuesday"]"#,
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TU;WKST=SU",
        ),
        (
            r#""type": "absoluteMonthly", "interval": 3, "dayOfMonth": 15"#,
            "FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=15",
        ),
        (
            r#""type": "relativeMonthly", "interval": 1, "daysOfWeek": ["friday"], "index": "second""#,
            "FREQ=MONTHLY;BYDAY=2FR",
        ),
        (
            r#""type": "absoluteYearly", "interval": 1, "dayOfMonth": 15, "month": 3"#,
            "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=15",
        ),
        (
            r#""type": "relativeYearly", "interval": 3, "daysOfWeek": ["thursday"], "index": "first", "month": 11"#,
            "FREQ=YEARLY;INTERVAL=3;BYMONTH=11;BYDAY=1TH",
        ),
    ] {
        let file = format!(
            r#"[{{"id": "a", "title": "T", "dueDateTime": {{"dateTime": "2026-12-31T00:00:00", "timeZone": "UTC"}},
                "recurrence": {{"pattern": {{{pattern}}}, "range": {{"type": "numbered", "numberOfOccurrences": 4}}}}}}]"#
        );
        let found = entries(Format::Microsoft, file);
        assert_eq!(task(&found, "T").recurrence.as_ref().unwrap().rrule, format!("{rule};COUNT=4"));
    }
}

#[test]
fn a_page_that_goes_on_elsewhere_says_so() {
    let page =
        r#"{"@odata.nextLink": "https://graph.microsoft.com/next", "value": [{"id": "a", "title": "One"}]}"#;
    let found = entries(Format::Microsoft, page);
    assert_eq!(items(&found).len(), 1);
    assert_eq!(
        refusals(&found),
        ["1: @odata.nextLink: names another page: what is on it stands in another file"]
    );
    let (_, error) = all(Format::Microsoft, "7");
    assert!(error.unwrap().starts_with("is no answer of Microsoft Graph"));
}
