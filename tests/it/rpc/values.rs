//! Numbers, times and whole requests: what is in range, what is not, and that everything wrong is said at once.

use prost_types::Timestamp;
use taskwire::pb;

use super::{Session, alone, listing, mask, texts, titled};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::{Answer, Refused as _};
use crate::support::server::answer;

both_engines!(
    priorities_out_of_the_enum_are_refused,
    an_unspecified_priority_is_medium,
    times_out_of_range_are_refused,
    times_are_cut_to_microseconds_and_read_back,
    times_are_found_to_the_microsecond,
    everything_wrong_with_a_new_task_is_said_at_once,
    everything_wrong_with_an_update_is_said_at_once,
    everything_wrong_with_a_listing_is_said_at_once,
    everything_wrong_with_a_registration_is_said_at_once,
);

const YEAR_1: i64 = -62_135_596_800;
const YEAR_10000: i64 = 253_402_300_800;

const fn time(seconds: i64, nanos: i32) -> Timestamp {
    Timestamp { seconds, nanos }
}

/// Creates it, and writes it over another with and without a mask; all three agree.
async fn written(session: &Session, task: pb::Task, path: &str) -> Answer<pb::Task> {
    let created = session.create(task.clone()).await;
    let other = session.create(titled("other")).await.unwrap();
    for paths in [&[][..], &[path], &["*"]] {
        let update = pb::Task { name: other.name.clone(), ..task.clone() };
        let updated = session.update_masked(update, mask(paths)).await;
        match (&created, &updated) {
            (Ok(created), Ok(updated)) => {
                assert_eq!(updated.due_time, created.due_time);
                assert_eq!(updated.priority, created.priority);
                assert_eq!(session.get(&updated.name).await.unwrap(), *updated);
            }
            (created, updated) => assert_eq!(created.as_ref().err(), updated.as_ref().err()),
        }
    }
    if let Ok(created) = &created {
        assert_eq!(session.get(&created.name).await.unwrap(), *created);
    }
    created
}

async fn priorities_out_of_the_enum_are_refused(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for priority in [4, 99, -1, i32::MIN, i32::MAX] {
        let task = pb::Task { priority, ..titled("x") };
        written(&ada, task, "priority").await.refused_at("FIELD_INVALID", &["task.priority"]);
    }
}

async fn an_unspecified_priority_is_medium(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let created = ada.create(titled("x")).await.unwrap();
    assert_eq!(created.priority(), pb::Priority::Medium);
    let high =
        pb::Task { priority: pb::Priority::High.into(), name: created.name.clone(), ..pb::Task::default() };
    ada.update(high, &[]).await.unwrap();
    let unspecified = pb::Task { name: created.name.clone(), ..titled("x") };
    for (paths, expected) in [
        (&[][..], pb::Priority::High),
        (&["title"], pb::Priority::High),
        (&["priority"], pb::Priority::Medium),
        (&["*"], pb::Priority::Medium),
    ] {
        let updated = ada.update(unspecified.clone(), paths).await.unwrap();
        assert_eq!(updated.priority(), expected, "{paths:?}");
    }
}

async fn times_out_of_range_are_refused(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for due_time in [
        time(0, -1),
        time(0, 1_000_000_000),
        time(0, i32::MIN),
        time(0, i32::MAX),
        time(-1, -1),
        time(YEAR_1 - 1, 999_999_999),
        time(YEAR_1 - 1, 0),
        time(YEAR_1, -1),
        time(YEAR_10000, 0),
        time(YEAR_10000 - 1, 1_000_000_000),
        time(i64::MIN, 0),
        time(i64::MAX, 0),
        time(i64::MAX / 1_000_000, 999_999_999),
        time(i64::MIN / 1_000_000, 0),
    ] {
        let task = pb::Task { due_time: Some(due_time), ..titled("x") };
        written(&ada, task, "due_time").await.refused_at("FIELD_INVALID", &["task.due_time"]);
    }
}

async fn times_are_cut_to_microseconds_and_read_back(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for (given, kept) in [
        (time(YEAR_10000 - 1, 999_999_999), time(YEAR_10000 - 1, 999_999_000)),
        (time(YEAR_1, 0), time(YEAR_1, 0)),
        (time(YEAR_1, 999), time(YEAR_1, 0)),
        (time(YEAR_1, 1_000), time(YEAR_1, 1_000)),
        (time(0, 0), time(0, 0)),
        (time(0, 999), time(0, 0)),
        (time(0, 999_999_999), time(0, 999_999_000)),
        (time(-1, 999_999_999), time(-1, 999_999_000)),
        (time(-1, 1), time(-1, 0)),
        (time(1_767_225_600, 123_456_789), time(1_767_225_600, 123_456_000)),
        // Julian and Gregorian calendars part here; and the zero of other systems.
        (time(-12_219_292_800, 1_000), time(-12_219_292_800, 1_000)),
        (time(-2_208_988_800, 0), time(-2_208_988_800, 0)),
        (time(946_684_800, 0), time(946_684_800, 0)),
        (time(2_147_483_648, 0), time(2_147_483_648, 0)),
    ] {
        let task = pb::Task { due_time: Some(given), ..titled("x") };
        let task = written(&ada, task, "due_time").await.unwrap();
        assert_eq!(task.due_time, Some(kept), "{given:?}");
    }
}

async fn times_are_found_to_the_microsecond(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for (due_time, text, before, after) in [
        (
            time(YEAR_10000 - 1, 999_999_999),
            "9999-12-31T23:59:59.999999Z",
            "9999-12-31T23:59:59.999998Z",
            None,
        ),
        (time(YEAR_1, 0), "0001-01-01T00:00:00Z", "", Some("0001-01-01T00:00:00.000001Z")),
        (
            time(-1, 999_999_999),
            "1969-12-31T23:59:59.999999Z",
            "1969-12-31T23:59:59.999998Z",
            Some("1970-01-01T00:00:00Z"),
        ),
    ] {
        let task = pb::Task { due_time: Some(due_time), ..titled(text) };
        let task = ada.create(task).await.unwrap();
        let found = async |operator: &str, time: &str| {
            let filter = format!("title = \"{text}\" AND due_time {operator} \"{time}\"");
            !ada.all(super::filtered(&filter)).await.is_empty()
        };
        for operator in ["=", "<=", ">="] {
            assert!(found(operator, text).await, "{task:?}");
        }
        for operator in ["!=", "<", ">"] {
            assert!(!found(operator, text).await, "{task:?}");
        }
        if !before.is_empty() {
            assert!(found(">", before).await && !found("<=", before).await, "{task:?}");
        }
        if let Some(after) = after {
            assert!(found("<", after).await && !found(">=", after).await, "{task:?}");
        }
    }
}

/// A task with nothing right in it.
fn wrong() -> pb::Task {
    pb::Task {
        name: "users/me/tasks/nonsense".to_owned(),
        title: " ".to_owned(),
        description: Some("\0".to_owned()),
        priority: 99,
        due_time: Some(time(0, -1)),
        labels: texts(&["", "\0", ""]),
        ..pb::Task::default()
    }
}

async fn everything_wrong_with_a_new_task_is_said_at_once(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let request = pb::CreateTaskRequest {
        parent: "users/nonsense".to_owned(),
        task: Some(wrong()),
        task_id: "nonsense".to_owned(),
        ..pb::CreateTaskRequest::default()
    };
    let refusal = answer(ada.tasks().create_task(request.clone()).await).refused_at(
        "FIELD_INVALID",
        &[
            "parent",
            "task_id",
            "task.title",
            "task.description",
            "task.priority",
            "task.due_time",
            "task.labels",
        ],
    );
    assert!(refusal.message.contains("parent"), "{refusal:?}");
    assert!(refusal.violations.iter().all(|(_, text)| !text.is_empty()));
    let request = pb::CreateTaskRequest { parent: "users/me".to_owned(), task: None, ..request };
    answer(ada.tasks().create_task(request).await).refused_at("FIELD_INVALID", &["task_id", "task"]);
    assert_eq!(ada.all(listing()).await, []);
}

async fn everything_wrong_with_an_update_is_said_at_once(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let fields = ["task.title", "task.description", "task.priority", "task.due_time", "task.labels"];
    let named: Vec<&str> = std::iter::once("task.name").chain(fields).collect();
    for paths in [&[][..], &["*"]] {
        ada.update(wrong(), paths).await.refused_at("FIELD_INVALID", &named);
    }
    ada.update(wrong(), &["labels", "title"])
        .await
        .refused_at("FIELD_INVALID", &["task.name", "task.title", "task.labels"]);
    let refusal =
        ada.update(wrong(), &["nonsense"]).await.refused_at("FIELD_INVALID", &["task.name", "update_mask"]);
    assert_eq!(refusal.code, tonic::Code::InvalidArgument);
}

async fn everything_wrong_with_a_listing_is_said_at_once(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let request = pb::ListTasksRequest {
        parent: "nonsense".to_owned(),
        page_size: -1,
        filter: "(".to_owned(),
        order_by: "nonsense".to_owned(),
        ..pb::ListTasksRequest::default()
    };
    ada.list(request.clone())
        .await
        .refused_at("FIELD_INVALID", &["parent", "page_size", "filter", "order_by"]);
    let request = pb::ListTasksRequest { parent: "users/me".to_owned(), ..request };
    ada.list(request).await.refused_at("FIELD_INVALID", &["page_size", "filter", "order_by"]);
}

async fn everything_wrong_with_a_registration_is_said_at_once(database: TestDatabase) {
    let (server, _ada) = alone(database).await;
    let request = pb::CreateUserRequest {
        user: Some(pb::User {
            email: "nonsense".to_owned(),
            display_name: "\0".to_owned(),
            ..pb::User::default()
        }),
        password: "short".to_owned(),
        ..pb::CreateUserRequest::default()
    };
    answer(server.anonymous().create_user(request.clone()).await)
        .refused_at("FIELD_INVALID", &["user.email", "user.display_name", "password"]);
    let request = pb::CreateUserRequest { user: None, ..request };
    answer(server.anonymous().create_user(request).await).refused_at("FIELD_INVALID", &["user", "password"]);
}
