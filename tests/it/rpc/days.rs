//! Days, starts and time zones: what may stand together, what is overdue where, and the orders that go by it.

use taskwire::pb;

use super::{Session, alone, at, filtered, ordered, seconds, titled, titles};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;
use crate::support::server::{PASSWORD, answer};

both_engines!(
    a_day_and_a_zone_are_kept,
    a_task_is_due_on_a_day_or_at_a_time,
    work_begins_before_it_is_due,
    everything_wrong_with_days_is_said_at_once,
    zones_are_those_of_the_database,
    a_day_is_overdue_where_the_person_is,
    orders_go_by_days_and_starts,
    filters_know_days_and_starts,
);

fn date(year: i32, month: i32, day: i32) -> Option<pb::Date> {
    Some(pb::Date { year, month, day })
}

fn due_on(title: &str, due_date: Option<pb::Date>, time_zone: &str) -> pb::Task {
    pb::Task { due_date, time_zone: time_zone.to_owned(), ..titled(title) }
}

async fn a_day_and_a_zone_are_kept(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for (due_date, zone) in [
        (date(1, 1, 1), "Pacific/Kiritimati"),
        (date(2024, 2, 29), ""),
        (date(2026, 3, 29), "Europe/Berlin"),
        (date(9999, 12, 31), "America/New_York"),
        (None, "Asia/Calcutta"),
    ] {
        let created = ada.create(due_on("a", due_date, zone)).await.unwrap();
        assert_eq!((created.due_date, created.time_zone.as_str()), (due_date, zone));
        assert_eq!(ada.get(&created.name).await.unwrap(), created);
        // In the log as well.
        let request = pb::ListTaskChangesRequest {
            parent: "users/me".to_owned(),
            start_revision: created.revision - 1,
            ..pb::ListTaskChangesRequest::default()
        };
        let changes = answer(ada.tasks().list_task_changes(request).await).unwrap().changes;
        assert_eq!(changes[0].task.as_ref(), Some(&created));
    }
}

async fn a_task_is_due_on_a_day_or_at_a_time(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let both = pb::Task { due_time: Some(at(0)), ..due_on("a", date(2026, 3, 1), "") };
    ada.create(both.clone()).await.refused_at("FIELD_INVALID", &["task.due_date"]);
    let timed = ada.create(pb::Task { due_time: Some(at(0)), ..titled("a") }).await.unwrap();
    let with_day = pb::Task { name: timed.name.clone(), due_date: date(2026, 3, 1), ..pb::Task::default() };
    ada.update(with_day.clone(), &[]).await.refused_at("FIELD_INVALID", &["task.due_date"]);
    assert_eq!(ada.get(&timed.name).await.unwrap(), timed);
    // From one to the other in one step, and back.
    let on_day = ada.update(with_day, &["due_date", "due_time"]).await.unwrap();
    assert_eq!((on_day.due_time, on_day.due_date), (None, date(2026, 3, 1)));
    let with_time = pb::Task { name: timed.name.clone(), due_time: Some(at(5)), ..pb::Task::default() };
    ada.update(with_time.clone(), &["due_time"]).await.refused_at("FIELD_INVALID", &["task.due_date"]);
    let at_time = ada.update(with_time, &["due_date", "due_time"]).await.unwrap();
    assert_eq!((at_time.due_time, at_time.due_date), (Some(at(5)), None));

    // Within a batch the path names the item.
    let item = |task| pb::CreateTaskRequest { task: Some(task), ..pb::CreateTaskRequest::default() };
    let request = pb::BatchCreateTasksRequest {
        parent: "users/me".to_owned(),
        requests: vec![item(titled("b")), item(both)],
        ..pb::BatchCreateTasksRequest::default()
    };
    let refused = answer(ada.tasks().batch_create_tasks(request).await);
    refused.refused_at("FIELD_INVALID", &["requests[1].task.due_date"]);
}

async fn work_begins_before_it_is_due(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let started = |start, task| pb::Task { start_time: Some(at(start)), ..task };
    let timed = pb::Task { due_time: Some(at(100)), ..titled("a") };
    ada.create(started(101, timed.clone())).await.refused_at("FIELD_INVALID", &["task.start_time"]);
    let created = ada.create(started(100, timed)).await.unwrap();
    let sooner = pb::Task { name: created.name.clone(), due_time: Some(at(99)), ..pb::Task::default() };
    ada.update(sooner, &[]).await.refused_at("FIELD_INVALID", &["task.start_time"]);
    // The clock of the tests starts with 2026. The first of January is over in Tokyo at three in the afternoon.
    let day = due_on("b", date(2026, 1, 1), "Asia/Tokyo");
    ada.create(started(15 * 3600, day.clone())).await.refused_at("FIELD_INVALID", &["task.start_time"]);
    let created = ada.create(started(15 * 3600 - 1, day)).await.unwrap();
    // Another zone moves the end of the day.
    let east = pb::Task {
        name: created.name.clone(),
        time_zone: "Pacific/Kiritimati".to_owned(),
        ..pb::Task::default()
    };
    ada.update(east, &[]).await.refused_at("FIELD_INVALID", &["task.start_time"]);
    // Alone it may be whenever it wants.
    ada.create(started(1_000_000, titled("c"))).await.unwrap();
}

async fn everything_wrong_with_days_is_said_at_once(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for due_date in [
        date(0, 3, 1),
        date(2026, 0, 0),
        date(2026, 3, 0),
        date(2026, 2, 29),
        date(10_000, 1, 1),
        date(-1, 1, 1),
    ] {
        ada.create(due_on("a", due_date, "")).await.refused_at("FIELD_INVALID", &["task.due_date"]);
    }
    let wrong = pb::Task {
        start_time: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
        annotations: [("K".to_owned(), "v".to_owned())].into(),
        ..due_on("", date(2026, 13, 1), "Mars")
    };
    let fields = ["task.title", "task.due_date", "task.start_time", "task.time_zone", "task.annotations"];
    ada.create(wrong.clone()).await.refused_at("FIELD_INVALID", &fields);
    let task = ada.create(titled("a")).await.unwrap();
    ada.update(pb::Task { name: task.name.clone(), ..wrong }, &["*"])
        .await
        .refused_at("FIELD_INVALID", &fields);
    // Two rules of one task together.
    let both =
        pb::Task { due_time: Some(at(0)), start_time: Some(at(1)), ..due_on("a", date(2026, 3, 1), "") };
    ada.create(both).await.refused_at("FIELD_INVALID", &["task.due_date", "task.start_time"]);
}

async fn zones_are_those_of_the_database(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for zone in ["UTC", "US/Pacific", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "Antarctica/Troll"] {
        assert_eq!(ada.create(due_on("a", None, zone)).await.unwrap().time_zone, zone);
    }
    for zone in [
        "utc",
        "Europe",
        "Europe/Atlantis",
        "+01:00",
        "UTC+1",
        " UTC",
        "../UTC",
        "/etc/localtime",
        "posix/UTC",
    ] {
        ada.create(due_on("a", None, zone)).await.refused_at("TIME_ZONE_INVALID", &["task.time_zone"]);
    }
}

async fn overdue(ada: &Session) -> (String, String, i64) {
    let request = |filter| pb::ListTasksRequest { order_by: "title".to_owned(), ..filtered(filter) };
    let found = titles(&ada.all(request("overdue = true")).await).concat();
    let others = titles(&ada.all(request("overdue != true")).await).concat();
    let count = pb::CountTasksRequest { parent: "users/me".to_owned(), ..pb::CountTasksRequest::default() };
    (found, others, answer(ada.tasks().count_tasks(count).await).unwrap().overdue)
}

async fn a_day_is_overdue_where_the_person_is(database: TestDatabase) {
    let (server, mut ada) = alone(database).await;
    // The first of January, which begins where the tests' clock does in UTC.
    for (title, zone) in [("h", "Pacific/Honolulu"), ("k", "Pacific/Kiritimati"), ("u", "")] {
        ada.create(due_on(title, date(2026, 1, 1), zone)).await.unwrap();
    }
    ada.create(pb::Task { completed: true, ..due_on("c", date(2025, 1, 1), "") }).await.unwrap();
    ada.create(titled("n")).await.unwrap();
    ada.create(pb::Task { due_time: Some(at(12 * 3600)), ..titled("t") }).await.unwrap();
    let hour = seconds(3600);
    let mut steps = Vec::new();
    for step in 0..36 {
        let (found, others, count) = overdue(&ada).await;
        assert_eq!(usize::try_from(count).unwrap(), found.len());
        assert_eq!(found.len() + others.len(), 6);
        if steps.last().is_none_or(|(_, last)| *last != found) {
            steps.push((step, found));
        }
        server.clock.advance(hour);
        ada = server.log_in("ada@example.com", PASSWORD).await.unwrap();
    }
    let expected = [(0, ""), (10, "k"), (13, "kt"), (24, "ktu"), (34, "hktu")];
    assert_eq!(steps, expected.map(|(step, found)| (step, found.to_owned())));
}

async fn orders_go_by_days_and_starts(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for task in [
        pb::Task { due_time: Some(at(40 * 3600)), start_time: Some(at(3)), ..titled("a") },
        due_on("b", date(2026, 1, 1), ""),
        due_on("c", date(2026, 1, 1), "Asia/Tokyo"),
        pb::Task { start_time: Some(at(1)), ..titled("d") },
        pb::Task { start_time: Some(at(2)), ..due_on("e", date(2026, 1, 3), "") },
    ] {
        ada.create(task).await.unwrap();
    }
    for (order_by, expected) in [
        ("due, title", "cbaed"),
        ("due desc, title", "eabcd"),
        ("start_time, title", "deabc"),
        ("start_time desc, title desc", "aedcb"),
        ("start_time, due", "deacb"),
        ("title desc, due, start_time", "edcba"),
    ] {
        assert_eq!(titles(&ada.all(ordered(order_by)).await).concat(), expected, "{order_by}");
        // Page by page as well.
        let (mut paged, mut page_token) = (Vec::new(), String::new());
        loop {
            let page = ada
                .list(pb::ListTasksRequest { page_size: 2, page_token, ..ordered(order_by) })
                .await
                .unwrap();
            paged.extend(page.tasks);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(titles(&paged).concat(), expected, "{order_by}");
    }
}

async fn filters_know_days_and_starts(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    ada.create(due_on("a", date(2026, 1, 1), "Asia/Tokyo")).await.unwrap();
    ada.create(due_on("b", date(2026, 1, 2), "")).await.unwrap();
    ada.create(pb::Task { start_time: Some(at(60)), ..titled("c") }).await.unwrap();
    let gone = ada.create(pb::Task { due_time: Some(at(0)), ..titled("d") }).await.unwrap();
    ada.delete(&gone.name).await.unwrap();
    for (filter, expected) in [
        ("due_date = 2026-01-01", "a"),
        ("due_date = \"2026-01-02\"", "b"),
        ("due_date != 2026-01-01", "bcd"),
        ("due_date < 2026-01-02", "a"),
        ("due_date >= 2026-01-01 AND due_date <= 2026-01-02", "ab"),
        ("due_date > 0001-01-01", "ab"),
        ("due_date:*", "ab"),
        ("NOT due_date:*", "cd"),
        ("due_time:*", "d"),
        ("start_time:*", "c"),
        ("start_time = 2026-01-01T00:01:00Z", "c"),
        ("start_time < 2026-01-01T00:01:00Z", ""),
        ("NOT start_time < 2026-01-01T00:01:00Z", "abcd"),
        ("delete_time:*", "d"),
        ("delete_time > 2025-01-01T00:00:00Z", "d"),
        ("delete_time != 2025-01-01T00:00:00Z", "abcd"),
        // What is deleted is not overdue.
        ("overdue = true", ""),
        ("overdue = false", "abcd"),
    ] {
        let request =
            pb::ListTasksRequest { order_by: "title".to_owned(), show_deleted: true, ..filtered(filter) };
        assert_eq!(titles(&ada.all(request).await).concat(), expected, "{filter}");
    }
    for filter in [
        "due_date = 2026-02-29",
        "due_date = 2026-1-1",
        "due_date:2026-01-01",
        "overdue = 1",
        "overdue > true",
        "overdue:*",
        "start_time = 2026-01-01",
        "due_date = 2026-01-01T00:00:00Z",
    ] {
        ada.list(filtered(filter)).await.refused_at("FILTER_INVALID", &["filter"]);
    }
}
