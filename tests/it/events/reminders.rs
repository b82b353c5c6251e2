//! Reminders: what a task says of them, and what is told when their time comes.

use std::time::Duration;

use taskwire::pb;
use taskwire::pb::reminder::When;

use super::receiver::Receiver;
use super::{add, change, hook};
use crate::storage::eventually;
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::server::{START, Session, TestServer, answer};

both_engines!(
    a_due_reminder_is_told_once,
    what_comes_due_while_nobody_is_there_is_told_late,
    a_task_that_is_done_or_gone_reminds_of_nothing,
    reminders_follow_the_due,
    the_next_occurrence_is_remembered_as_well,
    wrong_reminders_are_refused,
    nobody_listens_and_nothing_waits,
);

const HOUR: i64 = 3600;

fn at(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: START + seconds, nanos: 0 }
}

fn before(seconds: i64) -> pb::Reminder {
    pb::Reminder { when: Some(When::Offset(prost_types::Duration { seconds, nanos: 0 })) }
}

fn then(seconds: i64) -> pb::Reminder {
    pb::Reminder { when: Some(When::Time(at(seconds))) }
}

/// A task that is due so many seconds from the start, with these reminders.
async fn remember(session: &Session, due: Option<i64>, reminders: &[pb::Reminder]) -> pb::Task {
    try_remember(session, due, reminders).await.unwrap()
}

async fn try_remember(
    session: &Session,
    due: Option<i64>,
    reminders: &[pb::Reminder],
) -> crate::support::refusal::Answer<pb::Task> {
    let task = pb::Task {
        title: "to be remembered".to_owned(),
        due_time: due.map(at),
        reminders: reminders.to_vec(),
        ..pb::Task::default()
    };
    let request = pb::CreateTaskRequest {
        parent: "users/me".to_owned(),
        task: Some(task),
        ..pb::CreateTaskRequest::default()
    };
    answer(session.tasks().create_task(request).await)
}

async fn a_due_reminder_is_told_once(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let mut receiver = Receiver::start().await;
    hook(&ada, &receiver, &["reminder.due"]).await;
    let task = remember(&ada, Some(600), &[before(300), then(60)]).await;
    assert_eq!(task.reminders, [before(300), then(60)]);
    let get = pb::GetTaskRequest { name: task.name.clone(), ..pb::GetTaskRequest::default() };
    assert_eq!(answer(ada.tasks().get_task(get).await).unwrap(), task);

    server.clock.advance(Duration::from_secs(60));
    let message = receiver.next().await;
    assert_eq!(message.kind(), "reminder.due");
    let data = &message.json()["data"];
    assert_eq!((&data["task"]["name"], &data["late"]), (&task.name.clone().into(), &false.into()));
    assert_eq!(data["remindTime"], "2026-01-01T00:01:00Z");
    server.clock.advance(Duration::from_secs(240));
    assert_eq!(receiver.next().await.json()["data"]["remindTime"], "2026-01-01T00:05:00Z");
    server.clock.advance(Duration::from_secs(600));
    // It is no change of the task, and nothing is left to be told.
    let sql = "select count(*) from tasks where (details->>'remind_time') is not null";
    eventually("no reminder is left", async || server.database.query_i64(sql).await == 0).await;
    let get = pb::GetTaskRequest { name: task.name.clone(), ..pb::GetTaskRequest::default() };
    assert_eq!(answer(ada.tasks().get_task(get).await).unwrap(), task);
    assert!(receiver.is_silent());
}

async fn what_comes_due_while_nobody_is_there_is_told_late(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let mut receiver = Receiver::start().await;
    hook(&ada, &receiver, &["reminder.due"]).await;
    remember(&ada, None, &[then(60), then(120), then(2 * HOUR)]).await;
    server.clock.advance(Duration::from_secs(130));
    let messages = receiver.some(2).await;
    let told: Vec<(String, bool)> = messages
        .iter()
        .map(|message| {
            let data = &message.json()["data"];
            (data["remindTime"].as_str().unwrap().to_owned(), data["late"].as_bool().unwrap())
        })
        .collect();
    let expected = [("2026-01-01T00:01:00Z", true), ("2026-01-01T00:02:00Z", true)];
    assert_eq!(told, expected.map(|(time, late)| (time.to_owned(), late)));
    assert!(receiver.is_silent());
}

async fn a_task_that_is_done_or_gone_reminds_of_nothing(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let mut receiver = Receiver::start().await;
    hook(&ada, &receiver, &["reminder.due"]).await;
    let done = remember(&ada, None, &[then(60), then(180)]).await;
    change(&ada, pb::Task { completed: true, ..done.clone() }, &["completed"]).await;
    let gone = remember(&ada, None, &[then(60), then(180)]).await;
    let name = gone.name.clone();
    let delete = pb::DeleteTaskRequest { name: name.clone(), ..pb::DeleteTaskRequest::default() };
    answer(ada.tasks().delete_task(delete).await).unwrap();
    let open = remember(&ada, None, &[then(60)]).await;
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(receiver.next().await.json()["data"]["task"]["name"], open.name);
    assert!(receiver.is_silent());
    // What comes back is remembered from then on.
    change(&ada, pb::Task { completed: false, ..done.clone() }, &["completed"]).await;
    let undelete = pb::UndeleteTaskRequest { name, ..pb::UndeleteTaskRequest::default() };
    answer(ada.tasks().undelete_task(undelete).await).unwrap();
    server.clock.advance(Duration::from_secs(120));
    let told: std::collections::BTreeSet<String> =
        receiver.some(2).await.iter().map(|one| one.json()["data"]["task"]["name"].to_string()).collect();
    assert_eq!(told, [done.name, gone.name].map(|name| format!("\"{name}\"")).into());
    assert!(receiver.is_silent());
}

async fn reminders_follow_the_due(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let mut receiver = Receiver::start().await;
    hook(&ada, &receiver, &["reminder.due"]).await;
    let task = remember(&ada, Some(600), &[before(540)]).await;
    let task = change(&ada, pb::Task { due_time: Some(at(1200)), ..task }, &["due_time"]).await;
    server.clock.advance(Duration::from_secs(60));
    // By the end of the day where the task is: UTC + 1 has it an hour earlier.
    let day = pb::Date { year: 2026, month: 1, day: 1 };
    let on_day = pb::Task {
        due_time: None,
        due_date: Some(day),
        time_zone: "Europe/Berlin".into(),
        reminders: vec![before(22 * HOUR)],
        ..task
    };
    change(&ada, on_day, &["due_time", "due_date", "time_zone", "reminders"]).await;
    server.clock.advance(Duration::from_secs(1140));
    assert!(receiver.is_silent());
    server.clock.advance(Duration::from_secs(2400));
    let data = receiver.next().await.json()["data"].clone();
    assert_eq!(data["remindTime"], "2026-01-01T00:59:59.999999Z");
    assert!(receiver.is_silent());
}

async fn the_next_occurrence_is_remembered_as_well(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let recurrence = Some(pb::Recurrence { rrule: "FREQ=DAILY".into(), ..pb::Recurrence::default() });
    let task = remember(&ada, Some(600), &[before(60), then(30)]).await;
    let task = pb::Task { recurrence, time_zone: "UTC".into(), ..task };
    let task = change(&ada, task, &["recurrence", "time_zone"]).await;
    let done = change(&ada, pb::Task { completed: true, ..task }, &["completed"]).await;
    let get = pb::GetTaskRequest { name: done.next_task, ..pb::GetTaskRequest::default() };
    let next = answer(ada.tasks().get_task(get).await).unwrap();
    // What was said of one day is not meant for the next.
    assert_eq!(next.reminders, [before(60)]);
    let sql = "select count(*) from tasks where (details->>'remind_time') is not null";
    assert_eq!(server.database.query_i64(sql).await, 1);
}

async fn wrong_reminders_are_refused(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let nothing = pb::Reminder { when: None };
    let year = 366 * 24 * HOUR;
    let nanos = pb::Reminder { when: Some(When::Offset(prost_types::Duration { seconds: 1, nanos: -1 })) };
    let far = pb::Reminder {
        when: Some(When::Time(prost_types::Timestamp { seconds: 253_402_300_800, nanos: 0 })),
    };
    for wrong in [
        vec![before(60); 6],
        vec![before(60); 5000],
        vec![nothing],
        vec![before(-1)],
        vec![before(year + 1)],
        vec![before(i64::MAX)],
        vec![nanos],
        vec![far],
    ] {
        let refused = try_remember(&ada, Some(600), &wrong).await.unwrap_err();
        assert_eq!(
            (refused.reason.as_str(), refused.violations[0].0.as_str()),
            ("FIELD_INVALID", "task.reminders")
        );
    }
    // Before a due that is not there.
    let refused = try_remember(&ada, None, &[before(60)]).await.unwrap_err();
    assert_eq!(refused.violations[0].0, "task.reminders");
    let task = remember(&ada, Some(600), &[before(60)]).await;
    let mask = prost_types::FieldMask { paths: vec!["due_time".to_owned()] };
    let request = pb::UpdateTaskRequest {
        task: Some(pb::Task { due_time: None, etag: String::new(), ..task }),
        update_mask: Some(mask),
        ..pb::UpdateTaskRequest::default()
    };
    let refused = answer(ada.tasks().update_task(request).await).unwrap_err();
    assert_eq!(refused.violations[0].0, "task.reminders");
    // The most there can be, and the longest.
    remember(&ada, Some(600), &[before(0), before(year), then(1), then(-9), then(2)]).await;
}

async fn nobody_listens_and_nothing_waits(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    remember(&ada, None, &[then(60)]).await;
    add(&ada, "without").await;
    server.clock.advance(Duration::from_secs(61));
    let sql = "select count(*) from tasks where (details->>'remind_time') is not null";
    eventually("the reminder is over", async || server.database.query_i64(sql).await == 0).await;
    assert_eq!(server.database.query_i64("select count(*) from outbox").await, 0);
}
