//! iCalendar as other programs write it, and as it is broken.

use taskwire::interchange::{Calendar, Format};
use taskwire::pb::{Priority, Reminder, Task, reminder};

use super::{day, entries, items, left_out, lists, refusals, task, time, titled};

fn calendar(inside: &str) -> String {
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Other//EN\r\n{inside}END:VCALENDAR\r\n")
        .replace("\n\r\n", "\r\n")
}

/// A `VTODO` with this in it.
fn todo(inside: &str) -> String {
    let inside = inside.replace('\n', "\r\n");
    format!("BEGIN:VTODO\r\nUID:one@example.com\r\nSUMMARY:T\r\n{inside}\r\nEND:VTODO\r\n")
}

fn only(inside: &str) -> (Task, Vec<String>) {
    let found = entries(Format::Ical, calendar(&todo(inside)));
    assert!(refusals(&found).is_empty(), "{found:?}");
    (task(&found, "T").clone(), titled(&found, "T").notes.clone())
}

fn remind(when: reminder::When) -> Reminder {
    Reminder { when: Some(when) }
}

fn before(seconds: i64) -> Reminder {
    remind(reminder::When::Offset(prost_types::Duration { seconds, nanos: 0 }))
}

#[test]
fn times_are_days_points_or_of_a_zone() {
    let (one, _) = only("DUE;VALUE=DATE:20261224");
    assert_eq!((one.due_date, one.time_zone.as_str()), (day(2026, 12, 24), "Europe/Berlin"));
    let (one, _) = only("DUE:20261224T180000Z");
    assert_eq!((one.due_time, one.time_zone.as_str()), (time("2026-12-24T18:00:00Z"), ""));
    let (one, _) = only("DUE;TZID=America/New_York:20261224T180000");
    assert_eq!((one.due_time, one.time_zone.as_str()), (time("2026-12-24T23:00:00Z"), "America/New_York"));
    let (one, _) = only("DUE;TZID=\"/freeassociation.sourceforge.net/Europe/Paris\":20261224T180000");
    assert_eq!((one.due_time, one.time_zone.as_str()), (time("2026-12-24T17:00:00Z"), "Europe/Paris"));
    let (one, _) = only("due;tzid=Pacific Standard Time:20261224T180000");
    assert_eq!((one.due_time, one.time_zone.as_str()), (time("2026-12-25T02:00:00Z"), "America/Los_Angeles"));
    // Nobody says where.
    let (one, _) = only("DUE:20261224T180000");
    assert_eq!((one.due_time, one.time_zone.as_str()), (time("2026-12-24T17:00:00Z"), "Europe/Berlin"));
    let (one, notes) = only("DUE;TZID=Moon/Sea:20261224T180000");
    assert_eq!(one.due_time, time("2026-12-24T17:00:00Z"));
    assert_eq!(notes, ["DUE: the time zone \"Moon/Sea\" is not known, and Europe/Berlin was taken"]);
    let (one, _) = only("DTSTART:20261224T180000Z\nDURATION:P1DT2H");
    assert_eq!((one.start_time, one.due_time), (time("2026-12-24T18:00:00Z"), time("2026-12-25T20:00:00Z")));
    // A beginning after the due is no reason to lose a task.
    let (one, notes) = only("DTSTART:20261225T180000Z\nDUE:20261224T180000Z");
    assert_eq!(
        (one.start_time, notes.as_slice()),
        (None, &["start_time: left out, since it is after the due".to_owned()][..])
    );
}

#[test]
fn rules_begin_with_the_due() {
    let (one, _) = only("DTSTART;VALUE=DATE:20261224\nDUE;VALUE=DATE:20261224\nRRULE:FREQ=WEEKLY;BYDAY=TH");
    assert_eq!((one.due_date, one.start_time), (day(2026, 12, 24), None));
    assert_eq!(one.recurrence.unwrap().rrule, "FREQ=WEEKLY;BYDAY=TH");
    // One that only begins is due then.
    let (one, _) =
        only("DTSTART;TZID=Europe/Paris:20261224T180000\nRRULE:FREQ=DAILY\nEXDATE:20261225T170000Z");
    assert_eq!((one.due_time, one.start_time), (time("2026-12-24T17:00:00Z"), None));
    let (one, notes) = only("RRULE:FREQ=DAILY");
    assert_eq!(
        (one.recurrence, notes),
        (None, vec!["recurrence: left out, since the task is not due".to_owned()])
    );
    let (one, notes) = only("DUE:20261224T180000Z\nRRULE:FREQ=HOURLY");
    assert_eq!(one.recurrence, None);
    assert_eq!(
        notes,
        ["recurrence: left out, since the rule must have FREQ=DAILY, WEEKLY, MONTHLY or YEARLY"]
    );
    let found =
        entries(Format::Ical, calendar(&todo("DUE:20261224T180000Z\nRECURRENCE-ID:20261224T180000Z")));
    assert_eq!(left_out(&found), ["4: a time of a task that comes again, changed by itself"]);
}

#[test]
fn states_priorities_and_what_has_no_place() {
    for (status, completed) in [
        ("STATUS:NEEDS-ACTION", false),
        ("STATUS:IN-PROCESS\nPERCENT-COMPLETE:100", false),
        ("STATUS:COMPLETED", true),
        ("status:cancelled", true),
        ("PERCENT-COMPLETE:100", true),
        ("COMPLETED:20261101T100000Z", true),
        ("PERCENT-COMPLETE:50", false),
    ] {
        assert_eq!(only(status).0.completed, completed, "{status}");
    }
    assert_eq!(only("COMPLETED:20261101T100000Z").0.complete_time, time("2026-11-01T10:00:00Z"));
    for (number, priority) in [
        ("0", Priority::Unspecified),
        ("1", Priority::High),
        ("4", Priority::High),
        ("5", Priority::Medium),
        ("6", Priority::Low),
        ("9", Priority::Low),
        ("12", Priority::Unspecified),
    ] {
        assert_eq!(only(&format!("PRIORITY:{number}")).0.priority(), priority, "{number}");
    }
    let (one, notes) = only(
        "LOCATION:Here\nURL:https://example.com\nATTACH:https://example.com/a\nCATEGORIES:a\\,b,c\nCATEGORIES:d",
    );
    assert_eq!(one.labels, ["a,b", "c", "d"]);
    assert_eq!(notes, ["ATTACH, LOCATION, URL: left out"]);
    let (one, _) = only("DESCRIPTION:One\\nTwo\\, three\\;\\\\n and a line that is\n  folded");
    assert_eq!(one.description.as_deref(), Some("One\nTwo, three;\\n and a line that is folded"));
}

#[test]
fn alarms_are_reminders() {
    let alarm = |trigger: &str| format!("BEGIN:VALARM\nACTION:DISPLAY\n{trigger}\nEND:VALARM");
    let due = "DUE:20261224T180000Z";
    assert_eq!(only(&format!("{due}\n{}", alarm("TRIGGER:-PT15M"))).0.reminders, [before(900)]);
    assert_eq!(only(&format!("{due}\n{}", alarm("TRIGGER;RELATED=END:-P1W"))).0.reminders, [before(604_800)]);
    let at = |text| remind(reminder::When::Time(time(text).unwrap()));
    assert_eq!(
        only(&alarm("TRIGGER;VALUE=DATE-TIME:20261224T100000Z")).0.reminders,
        [at("2026-12-24T10:00:00Z")]
    );
    let started = format!("DTSTART:20261224T100000Z\n{due}\n{}", alarm("TRIGGER:-PT1H"));
    assert_eq!(only(&started).0.reminders, [at("2026-12-24T09:00:00Z")]);
    let (one, notes) = only(&format!("{due}\n{}\n{}", alarm("TRIGGER:PT1H"), alarm("ACTION:AUDIO")));
    assert_eq!(one.reminders, []);
    assert_eq!(
        notes,
        ["VALARM: left out, since it is after the due", "VALARM: left out, since it has no TRIGGER"]
    );
    // What is due on a day is due at its end.
    assert_eq!(
        only(&format!("DUE;VALUE=DATE:20261224\n{}", alarm("TRIGGER;RELATED=END:PT9H"))).0.reminders,
        [before(54_000)]
    );
}

#[test]
fn a_calendar_with_a_name_is_a_list() {
    let file = "BEGIN:VCALENDAR\nPRODID:-//Other//EN\nX-WR-CALNAME:Garden\nBEGIN:VTODO\nUID:a\nSUMMARY:Dig\nEND:VTODO\n\
                BEGIN:VEVENT\nUID:b\nSUMMARY:Party\nEND:VEVENT\nBEGIN:VTODO\nUID:c\nSUMMARY:Sow\nRELATED-TO:a\nEND:VTODO\nEND:VCALENDAR\n";
    let found = entries(Format::Ical, file);
    assert_eq!(lists(&found).len(), 1);
    assert_eq!(lists(&found)[0].title, "Garden");
    assert_eq!(task(&found, "Dig").task_list, lists(&found)[0].name);
    assert_eq!(task(&found, "Sow").parent_task, task(&found, "Dig").name);
    assert_eq!(left_out(&found), ["8: \"VEVENT\""]);
    assert_eq!(found, entries(Format::Ical, file));
    // What this program calls a calendar is no list.
    let own = Calendar::new(Some("Tasks")).head() + "END:VCALENDAR\r\n";
    let (found, error) = super::all(Format::Ical, own);
    assert_eq!((found.len(), error.is_some()), (0, true));
}

#[test]
fn a_broken_task_does_not_break_the_rest() {
    let good = |name: &str| format!("BEGIN:VTODO\nUID:{name}\nSUMMARY:{name}\nEND:VTODO\n");
    let broken = [
        (
            "BEGIN:VTODO\nUID:1\nSUMMARY:x\nDUE:yesterday\nEND:VTODO\n",
            "DUE: must be a date such as 20261231 or a time such as 20261231T225959Z",
        ),
        ("BEGIN:VTODO\nUID:1\nSUMMARY:x\nNO COLON\nEND:VTODO\n", ": must be NAME:VALUE"),
        ("BEGIN:VTODO\nSUMMARY:x\nEND:VTODO\n", "UID: is required"),
        ("BEGIN:VTODO\nUID:1\nEND:VTODO\n", "SUMMARY: must not be empty or only white space"),
        ("BEGIN:VTODO\nUID:1\nSUMMARY:\0\nEND:VTODO\n", ": must not hold NUL bytes"),
        ("BEGIN:VTODO\nUID:1\nSUMMARY:x\n", "END: must end a VTODO before another one begins"),
        ("BEGIN:VTODO\nUID:1\nSUMMARY:x\nBEGIN:VALARM\nEND:VTODO\n", "END: must end what began last"),
        (
            "BEGIN:VTODO\nUID:1\nSUMMARY:x\nDUE:20260230\nEND:VTODO\n",
            "DUE: must be a date such as 20261231 or a time such as 20261231T225959Z",
        ),
    ];
    for (text, rule) in broken {
        let file = format!("BEGIN:VCALENDAR\n{}{text}{}END:VCALENDAR\n", good("First"), good("Last"));
        let found = entries(Format::Ical, file);
        assert_eq!(items(&found).len(), 2, "{text}: {found:#?}");
        let refused = refusals(&found);
        assert_eq!(refused.len(), 1, "{text}: {refused:?}");
        assert!(refused[0].ends_with(rule), "{text}: {refused:?}");
    }
    let cut = format!("BEGIN:VCALENDAR\n{}BEGIN:VTODO\nUID:1\nSUMMARY:x\n", good("First"));
    let found = entries(Format::Ical, cut);
    assert_eq!((items(&found).len(), refusals(&found).len()), (1, 1));
    let found = entries(Format::Ical, good("Alone"));
    assert_eq!(items(&found).len(), 1);
}

#[test]
fn a_task_of_endless_lines_is_refused() {
    let inside = "COMMENT:again\n".repeat(20_000);
    let file = format!(
        "BEGIN:VCALENDAR\nBEGIN:VTODO\nUID:1\nSUMMARY:x\n{inside}END:VTODO\nBEGIN:VTODO\nUID:2\nSUMMARY:y\nEND:VTODO\nEND:VCALENDAR\n"
    );
    let found = entries(Format::Ical, file);
    assert_eq!(items(&found).len(), 1);
    assert_eq!(refusals(&found).len(), 1);
}
