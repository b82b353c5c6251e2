//! Rules of recurrence: what a preview tells, what clocks that change do, and what is no rule.

use taskwire::pb;
use taskwire::pb::recurrence::Basis;

use super::recurrence::{date, due_at, due_on, every, shown, time};
use super::{Session, alone, listing, titled};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::{Answer, Refused as _};
use crate::support::server::answer;

both_engines!(
    previews_tell_what_comes,
    clocks_that_change_move_one_occurrence,
    what_is_no_rule_is_refused,
    what_does_not_fit_is_refused,
);

impl Session {
    async fn preview(&self, task: pb::Task, count: i32) -> Answer<Vec<pb::Occurrence>> {
        let parent = "users/me".to_owned();
        let request = pb::PreviewOccurrencesRequest { parent, task: Some(task), count };
        answer(self.tasks().preview_occurrences(request).await).map(|answer| answer.occurrences)
    }
}

async fn previews_tell_what_comes(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let days = async |rrule: &str, count: i32| -> Vec<String> {
        let told = ada.preview(due_on("2026-01-30", "Europe/Berlin", rrule), count).await.unwrap();
        let day = |one: &pb::Occurrence| {
            one.due_date.map(|day| format!("{}-{:02}-{:02}", day.year, day.month, day.day))
        };
        told.iter().map(|one| day(one).unwrap()).collect()
    };
    assert_eq!(days("FREQ=MONTHLY", 4).await, ["2026-01-30", "2026-03-30", "2026-04-30", "2026-05-30"]);
    assert_eq!(
        days("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", 4).await,
        ["2026-01-30", "2026-02-27", "2026-03-31", "2026-04-30"]
    );
    assert_eq!(days("FREQ=DAILY;COUNT=3", 10).await, ["2026-01-30", "2026-01-31", "2026-02-01"]);
    // The due as given comes first, whether or not the rule says so.
    assert_eq!(days("FREQ=WEEKLY;BYDAY=SU", 3).await, ["2026-01-30", "2026-02-01", "2026-02-08"]);
    assert_eq!((days("FREQ=DAILY", 0).await.len(), days("FREQ=DAILY", 100).await.len()), (10, 100));
    assert_eq!(days("FREQ=DAILY", 1).await, ["2026-01-30"]);
    let task = pb::Task {
        start_time: time("2026-01-29T07:00:00Z"),
        recurrence: Some(pb::Recurrence { rrule: "FREQ=WEEKLY".to_owned(), basis: Basis::Completion.into() }),
        // Nothing else of the task counts.
        title: String::new(),
        ..due_at("2026-01-30T08:00:00Z", "", "")
    };
    let told = ada.preview(task, 3).await.unwrap();
    let told: Vec<String> =
        told.iter().map(|one| format!("{} {}", shown(one.start_time), shown(one.due_time))).collect();
    assert_eq!(
        told,
        [
            "2026-01-29T07:00:00Z 2026-01-30T08:00:00Z",
            "2026-02-05T07:00:00Z 2026-02-06T08:00:00Z",
            "2026-02-12T07:00:00Z 2026-02-13T08:00:00Z"
        ]
    );
    assert!(ada.all(listing()).await.is_empty());
    for count in [-1, 101, i32::MAX] {
        ada.preview(due_on("2026-01-30", "UTC", "FREQ=DAILY"), count)
            .await
            .refused_at("FIELD_INVALID", &["count"]);
    }
    ada.preview(titled("once"), 3).await.refused_at("RECURRENCE_INVALID", &["task.recurrence"]);
}

/// As people reported it of other programs, in local time.
async fn clocks_that_change_move_one_occurrence(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for (due, zone, rrule, expected) in [
        // Spring in Sydney: at two it is three.
        ("2026-10-02T16:30:00Z", "Australia/Sydney", "FREQ=DAILY", ["03T02:30", "04T03:30", "05T02:30"]),
        // And in Auckland.
        ("2026-09-25T14:30:00Z", "Pacific/Auckland", "FREQ=DAILY", ["26T02:30", "27T03:30", "28T02:30"]),
        // Sundays at one minute to midnight across the autumn.
        (
            "2026-10-18T21:59:00Z",
            "Europe/Berlin",
            "FREQ=WEEKLY;BYDAY=SU",
            ["18T23:59", "25T23:59", "01T23:59"],
        ),
        // An hour that is there twice: the first.
        ("2026-10-24T00:30:00Z", "Europe/Berlin", "FREQ=DAILY", ["24T02:30", "25T02:30", "26T02:30"]),
        // In Chile there is no midnight on that day.
        ("2026-09-05T04:00:00Z", "America/Santiago", "FREQ=DAILY", ["05T00:00", "06T01:00", "07T00:00"]),
        // Half an hour on Lord Howe.
        ("2026-10-02T15:45:00Z", "Australia/Lord_Howe", "FREQ=DAILY", ["03T02:15", "04T02:45", "05T02:15"]),
    ] {
        let local = |time: Option<prost_types::Timestamp>| {
            let time = jiff::Timestamp::from_second(time.unwrap().seconds).unwrap();
            time.in_tz(zone).unwrap().strftime("%dT%H:%M").to_string()
        };
        let told = ada.preview(due_at(due, zone, rrule), 3).await.unwrap();
        let told: Vec<String> = told.into_iter().map(|one| local(one.due_time)).collect();
        assert_eq!(told, expected, "{zone}");
        // What is stored moves no further either.
        let mut task = ada.create(due_at(due, zone, rrule)).await.unwrap();
        for expected in &expected[1..] {
            task = ada.next(&task).await.unwrap();
            assert_eq!(&local(task.due_time), expected, "{zone}");
        }
    }
    let first = ada.preview(due_at("2026-10-24T00:30:00Z", "Europe/Berlin", "FREQ=DAILY"), 2).await.unwrap();
    assert_eq!(shown(first[1].due_time), "2026-10-25T00:30:00Z");
}

async fn what_is_no_rule_is_refused(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let long = format!("FREQ=DAILY;BYMONTHDAY={}", vec!["1"; 40_000].join(","));
    let days = format!("FREQ=MONTHLY;BYMONTHDAY={}", vec!["1"; 63].join(","));
    for rrule in [
        "",
        "FREQ=SECONDLY",
        "FREQ=MINUTELY",
        "FREQ=HOURLY",
        "FREQ=",
        "DAILY",
        "RRULE:FREQ=DAILY",
        "FREQ=DAILY;",
        "FREQ=DAILY;;COUNT=2",
        "FREQ=DAILY;FREQ=DAILY",
        "INTERVAL=2",
        "FREQ=DAILY;COUNT=2147483647",
        "FREQ=DAILY;COUNT=10001",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;COUNT=-1",
        "FREQ=DAILY;COUNT=+1",
        "FREQ=DAILY;COUNT=1.5",
        "FREQ=DAILY;COUNT=99999999999999999999",
        "FREQ=DAILY;COUNT=2;UNTIL=20270101",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=1001",
        "FREQ=MONTHLY;BYDAY=99MO",
        "FREQ=MONTHLY;BYDAY=0MO",
        "FREQ=MONTHLY;BYDAY=6MO",
        "FREQ=MONTHLY;BYDAY=XX",
        "FREQ=MONTHLY;BYDAY=M\u{d6}",
        "FREQ=WEEKLY;BYDAY=1MO",
        "FREQ=WEEKLY;BYMONTHDAY=1",
        "FREQ=MONTHLY;BYYEARDAY=1",
        "FREQ=MONTHLY;BYMONTHDAY=32",
        "FREQ=MONTHLY;BYMONTHDAY=0",
        "FREQ=YEARLY;BYMONTH=13",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=YEARLY;BYYEARDAY=367",
        "FREQ=YEARLY;BYWEEKNO=20",
        "FREQ=DAILY;BYHOUR=9",
        "FREQ=DAILY;BYMINUTE=9",
        "FREQ=DAILY;BYSECOND=9",
        "FREQ=MONTHLY;BYSETPOS=1",
        "FREQ=DAILY;BYDAY=MO;BYSETPOS=2",
        "FREQ=DAILY;WKST=XX",
        "FREQ=DAILY;UNTIL=tomorrow",
        "FREQ=DAILY;UNTIL=20260230",
        "FREQ=DAILY;UNTIL=20251231",
        "FREQ=DAILY;UNTIL=20260105T075959Z",
        "FREQ=DAILY;X-PRIVATE=1",
        "FREQ=DAILY\u{0}",
        &long,
        &days,
    ] {
        let task = due_at("2026-01-05T08:00:00Z", "", rrule);
        ada.create(task.clone()).await.refused_at("RECURRENCE_INVALID", &["task.recurrence.rrule"]);
        ada.preview(task, 3).await.refused_at("RECURRENCE_INVALID", &["task.recurrence.rrule"]);
    }
    let mut basis = due_at("2026-01-05T08:00:00Z", "", "FREQ=DAILY");
    basis.recurrence.as_mut().unwrap().basis = 7;
    ada.create(basis).await.refused_at("RECURRENCE_INVALID", &["task.recurrence.basis"]);
    // The ends of what there is.
    for (seconds, goes_on) in [(253_402_300_799, false), (-62_135_596_800, true)] {
        let due_time = Some(prost_types::Timestamp { seconds, nanos: 0 });
        let task = pb::Task { due_time, ..due_at("2026-01-05T08:00:00Z", "Europe/Berlin", "FREQ=YEARLY") };
        let task = ada.create(task).await.unwrap();
        assert_eq!(ada.next(&task).await.is_some(), goes_on);
    }
}

async fn what_does_not_fit_is_refused(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let rule = || pb::Task { recurrence: every("FREQ=DAILY"), ..titled("a") };
    ada.create(rule()).await.refused_at("RECURRENCE_INVALID", &["task.recurrence"]);
    let no_zone = pb::Task { due_date: date("2026-01-05"), ..rule() };
    ada.create(no_zone).await.refused_at("RECURRENCE_INVALID", &["task.time_zone"]);
    let completed = pb::Task { completed: true, ..due_at("2026-01-05T08:00:00Z", "", "FREQ=DAILY") };
    ada.create(completed).await.refused_at("RECURRENCE_INVALID", &["task.recurrence"]);
    let task = ada.create(due_at("2026-01-05T08:00:00Z", "", "FREQ=DAILY")).await.unwrap();
    let bare = pb::Task { name: task.name.clone(), ..Default::default() };
    ada.update(bare.clone(), &["due_time"]).await.refused_at("RECURRENCE_INVALID", &["task.recurrence"]);
    let on_day = pb::Task { due_date: date("2026-01-05"), ..bare.clone() };
    let refused = ada.update(on_day.clone(), &["due_time", "due_date"]).await;
    refused.refused_at("RECURRENCE_INVALID", &["task.time_zone"]);
    assert_eq!(ada.get(&task.name).await.unwrap(), task);
    // All at once.
    let wrong = pb::Task { due_date: date("2026-01-05"), recurrence: every("FREQ=HOURLY"), ..task.clone() };
    let refused = ada.update(wrong, &["title", "due_date", "recurrence", "time_zone"]).await;
    refused.refused_at("RECURRENCE_INVALID", &["task.recurrence.rrule"]);
    let done = ada.done(&task).await.unwrap();
    let again = pb::Task { recurrence: every("FREQ=DAILY"), ..bare };
    ada.update(again.clone(), &["recurrence"]).await.refused_at("RECURRENCE_INVALID", &["task.recurrence"]);
    let open = ada.update(again, &["recurrence", "completed"]).await.unwrap();
    assert_eq!((open.completed, open.recurrence), (false, every("FREQ=DAILY")));
    assert_eq!(done.recurrence, None);
}
