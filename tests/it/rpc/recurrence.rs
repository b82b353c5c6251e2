//! Tasks that come again: what completing makes, and what skipping moves.

use taskwire::pb;
use taskwire::pb::recurrence::Basis;

use super::{NO_TASK, Session, alone, filtered, listing, mask, seconds, titled, titles};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::{Answer, Refused as _};
use crate::support::server::{PASSWORD, Setup, TestServer, answer};

both_engines!(
    completing_makes_the_next,
    what_is_overdue_is_not_made_up_for,
    a_day_comes_again_where_the_person_is,
    from_the_completion_it_goes_on_from_there,
    a_rule_that_has_ended_makes_none,
    a_new_due_begins_anew_and_counts_on,
    an_occurrence_is_skipped,
    a_repetition_makes_no_second_one,
    an_undo_takes_the_next_one_back,
    subtasks_come_again_below_their_parent,
    a_batch_completes_many,
    a_quota_keeps_the_next_from_being_made,
    recurring_tasks_are_found,
);

pub(super) fn every(rrule: &str) -> Option<pb::Recurrence> {
    Some(pb::Recurrence { rrule: rrule.to_owned(), basis: Basis::Due.into() })
}

pub(super) fn time(text: &str) -> Option<prost_types::Timestamp> {
    let time: jiff::Timestamp = text.parse().unwrap();
    Some(prost_types::Timestamp { seconds: time.as_second(), nanos: 0 })
}

pub(super) fn shown(time: Option<prost_types::Timestamp>) -> String {
    time.map_or_else(String::new, |time| jiff::Timestamp::from_second(time.seconds).unwrap().to_string())
}

pub(super) fn date(text: &str) -> Option<pb::Date> {
    let date: jiff::civil::Date = text.parse().unwrap();
    Some(pb::Date { year: date.year().into(), month: date.month().into(), day: date.day().into() })
}

pub(super) fn due_at(due: &str, zone: &str, rrule: &str) -> pb::Task {
    let (due_time, time_zone) = (time(due), zone.to_owned());
    pb::Task { due_time, time_zone, recurrence: every(rrule), ..titled("water the plants") }
}

pub(super) fn due_on(due: &str, zone: &str, rrule: &str) -> pb::Task {
    let (due_date, time_zone) = (date(due), zone.to_owned());
    pb::Task { due_date, time_zone, recurrence: every(rrule), ..titled("water the plants") }
}

/// The same person, hours later.
async fn later(server: &TestServer, hours: u64) -> Session {
    server.clock.advance(seconds(hours * 60 * 60));
    server.log_in("ada@example.com", PASSWORD).await.unwrap()
}

impl Session {
    pub(super) async fn done(&self, task: &pb::Task) -> Answer<pb::Task> {
        let done = pb::Task { name: task.name.clone(), completed: true, ..pb::Task::default() };
        self.update(done, &["completed"]).await
    }

    /// Completes a task; answers the one that follows.
    pub(super) async fn next(&self, task: &pb::Task) -> Option<pb::Task> {
        let done = self.done(task).await.unwrap();
        assert_eq!((done.recurrence, done.completed), (None, true));
        if done.next_task.is_empty() { None } else { Some(self.get(&done.next_task).await.unwrap()) }
    }

    pub(super) async fn skip(&self, name: &str, etag: &str) -> Answer<pb::Task> {
        let (name, etag) = (name.to_owned(), etag.to_owned());
        let request = pb::SkipOccurrenceRequest { name, etag, ..Default::default() };
        answer(self.tasks().skip_occurrence(request).await)
    }

    async fn changes_after(&self, start_revision: i64) -> Vec<pb::TaskChange> {
        let parent = "users/me".to_owned();
        let request = pb::ListTaskChangesRequest { parent, start_revision, ..Default::default() };
        answer(self.tasks().list_task_changes(request).await).unwrap().changes
    }
}

async fn completing_makes_the_next(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let task = pb::Task {
        description: Some("all of them".to_owned()),
        priority: pb::Priority::High.into(),
        labels: vec!["home".to_owned()],
        annotations: [("crm/id".to_owned(), "4711".to_owned())].into(),
        start_time: time("2026-01-04T18:00:00Z"),
        ..due_at("2026-01-05T08:00:00Z", "Europe/Berlin", "FREQ=WEEKLY;BYDAY=MO,TH")
    };
    let task = ada.create(task).await.unwrap();
    assert_eq!(ada.get(&task.name).await.unwrap(), task);
    server.clock.advance(seconds(60));
    let done = ada.done(&task).await.unwrap();
    let next = ada.get(&done.next_task).await.unwrap();
    assert_eq!((done.due_time, &done.recurrence, done.revision), (task.due_time, &None, task.revision + 1));
    let expected = pb::Task {
        name: done.next_task.clone(),
        due_time: time("2026-01-08T08:00:00Z"),
        start_time: time("2026-01-07T18:00:00Z"),
        create_time: done.update_time,
        update_time: done.update_time,
        position: next.position.clone(),
        etag: next.etag.clone(),
        revision: done.revision + 1,
        ..task.clone()
    };
    assert_eq!(next, expected);
    assert!(next.position > done.position);
    // Two changes, of one moment.
    let changes = ada.changes_after(task.revision).await;
    let told: Vec<_> = changes.iter().map(|change| (change.r#type(), change.task.clone().unwrap())).collect();
    let updated = pb::task_change::Type::Updated;
    assert_eq!(told, [(updated, done.clone()), (pb::task_change::Type::Created, next.clone())]);
    assert_eq!(changes[0].changed_fields, ["completed", "recurrence"]);
    assert_eq!(changes[0].create_time, changes[1].create_time);
    // What is open again stays as it is, and makes no other one.
    let open = pb::Task { name: task.name.clone(), ..pb::Task::default() };
    let open = ada.update(open, &["completed"]).await.unwrap();
    assert_eq!((open.next_task.as_str(), &open.recurrence), (next.name.as_str(), &None));
    assert_eq!(ada.done(&open).await.unwrap().next_task, next.name);
    assert_eq!(ada.all(listing()).await.len(), 2);
}

async fn what_is_overdue_is_not_made_up_for(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let task = ada.create(due_at("2025-12-01T09:00:00Z", "", "FREQ=DAILY")).await.unwrap();
    let ada = later(&server, 9).await;
    // One that falls on this very moment is not past.
    let next = ada.next(&task).await.unwrap();
    assert_eq!(shown(next.due_time), "2026-01-01T09:00:00Z");
    // What is done before it is due makes the one after it.
    let next = ada.next(&next).await.unwrap();
    let next = ada.next(&next).await.unwrap();
    assert_eq!(shown(next.due_time), "2026-01-03T09:00:00Z");
}

async fn a_day_comes_again_where_the_person_is(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let task = ada.create(due_on("2025-12-31", "Pacific/Kiritimati", "FREQ=DAILY")).await.unwrap();
    // There it is two in the afternoon of the first of January already, and that day is not over.
    let next = ada.next(&task).await.unwrap();
    assert_eq!((next.due_date, next.due_time), (date("2026-01-01"), None));
    let ada = later(&server, 10).await;
    let late = ada.create(due_on("2025-12-31", "Pacific/Kiritimati", "FREQ=DAILY")).await.unwrap();
    assert_eq!(ada.next(&late).await.unwrap().due_date, date("2026-01-02"));
    let leap = ada.create(due_on("2028-02-29", "Europe/Berlin", "FREQ=YEARLY")).await.unwrap();
    assert_eq!(ada.next(&leap).await.unwrap().due_date, date("2032-02-29"));
    let last = ada.create(due_on("2026-01-31", "Europe/Berlin", "FREQ=MONTHLY;BYMONTHDAY=-1")).await.unwrap();
    assert_eq!(ada.next(&last).await.unwrap().due_date, date("2026-02-28"));
}

async fn from_the_completion_it_goes_on_from_there(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let from_completion =
        |rrule: &str| Some(pb::Recurrence { rrule: rrule.to_owned(), basis: Basis::Completion.into() });
    let task = pb::Task {
        recurrence: from_completion("FREQ=DAILY;INTERVAL=3;COUNT=3"),
        ..due_at("2025-12-20T23:30:00Z", "America/New_York", "")
    };
    let task = ada.create(task).await.unwrap();
    let ada = later(&server, 3).await;
    // It is the last of December there, at ten in the evening.
    let next = ada.next(&task).await.unwrap();
    assert_eq!(
        (shown(next.due_time), next.recurrence.clone()),
        ("2026-01-03T23:30:00Z".to_owned(), task.recurrence)
    );
    // Skipped before it is due: from that day on. That is the third, and the last.
    let skipped = ada.skip(&next.name, "").await.unwrap();
    assert_eq!(shown(skipped.due_time), "2026-01-06T23:30:00Z");
    ada.skip(&next.name, "").await.refused_at("RECURRENCE_ENDED", &[]);
    assert_eq!(ada.next(&skipped).await, None);
}

async fn a_rule_that_has_ended_makes_none(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for rrule in [
        "FREQ=DAILY;COUNT=3",
        "FREQ=DAILY;UNTIL=20260303",
        "FREQ=DAILY;UNTIL=20260303T090000",
        "FREQ=DAILY;UNTIL=20260303T080000Z",
    ] {
        let task = ada.create(due_at("2026-03-01T08:00:00Z", "Europe/Berlin", rrule)).await.unwrap();
        let second = ada.next(&task).await.unwrap();
        assert_eq!(second.recurrence.as_ref().unwrap().rrule, rrule);
        let third = ada.next(&second).await.unwrap();
        assert_eq!(shown(third.due_time), "2026-03-03T08:00:00Z", "{rrule}");
        ada.skip(&third.name, "").await.refused_at("RECURRENCE_ENDED", &[]);
        assert_eq!(ada.next(&third).await, None, "{rrule}");
    }
    let day =
        ada.create(due_on("2026-03-02", "Europe/Berlin", "FREQ=DAILY;UNTIL=20260302T230000Z")).await.unwrap();
    let last = ada.next(&day).await.unwrap();
    assert_eq!((last.due_date, ada.next(&last).await), (date("2026-03-03"), None));
}

async fn a_new_due_begins_anew_and_counts_on(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(due_on("2026-01-10", "Europe/Berlin", "FREQ=MONTHLY;COUNT=3")).await.unwrap();
    let second = ada.next(&task).await.unwrap();
    assert_eq!(second.due_date, date("2026-02-10"));
    // Put off by two days: so are those that follow, of which there is one.
    let later = pb::Task { name: second.name.clone(), due_date: date("2026-02-12"), ..Default::default() };
    let second = ada.update(later, &["due_date"]).await.unwrap();
    assert_eq!(ada.changes_after(second.revision - 1).await[0].changed_fields, ["due_date"]);
    let third = ada.next(&second).await.unwrap();
    assert_eq!((third.due_date, ada.next(&third).await), (date("2026-03-12"), None));
    // The same rule written once more changes nothing.
    let task = ada.create(due_on("2026-01-10", "Europe/Berlin", "FREQ=MONTHLY")).await.unwrap();
    assert_eq!(ada.update(task.clone(), &["recurrence"]).await.unwrap(), task);
    // And it can be taken away.
    let once = pb::Task { name: task.name.clone(), ..Default::default() };
    assert_eq!(ada.update(once, &["recurrence"]).await.unwrap().recurrence, None);
    assert_eq!(ada.next(&task).await, None);
}

async fn an_occurrence_is_skipped(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task =
        ada.create(due_at("2026-01-05T08:00:00Z", "", "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR")).await.unwrap();
    let mut dues = Vec::new();
    for _ in 0..4 {
        dues.push(shown(ada.skip(&task.name, "").await.unwrap().due_time)[..10].to_owned());
    }
    assert_eq!(dues, ["2026-01-09", "2026-01-19", "2026-01-23", "2026-02-02"]);
    let changes = ada.changes_after(task.revision).await;
    assert_eq!(
        (changes.len(), changes[0].changed_fields.as_slice()),
        (4, ["due_time".to_owned()].as_slice())
    );
    let request =
        pb::SkipOccurrenceRequest { name: task.name.clone(), etag: task.etag, ..Default::default() };
    answer(ada.tasks().skip_occurrence(request).await).refused_at("ETAG_MISMATCH", &[]);
    ada.delete(&task.name).await.unwrap();
    ada.skip(&task.name, "").await.refused_at("TASK_DELETED", &[]);
    ada.skip(NO_TASK, "").await.refused_at("TASK_NOT_FOUND", &[]);
    let once = ada.create(titled("once")).await.unwrap();
    ada.skip(&once.name, "").await.refused_at("TASK_NOT_RECURRING", &[]);
}

async fn a_repetition_makes_no_second_one(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(due_at("2026-01-05T08:00:00Z", "", "FREQ=DAILY")).await.unwrap();
    let request = pb::UpdateTaskRequest {
        task: Some(pb::Task { name: task.name.clone(), completed: true, ..Default::default() }),
        update_mask: mask(&["completed"]),
        request_id: uuid::Uuid::now_v7().to_string(),
        ..Default::default()
    };
    let done = answer(ada.tasks().update_task(request.clone()).await).unwrap();
    let next = ada.get(&done.next_task).await.unwrap();
    ada.skip(&next.name, "").await.unwrap();
    assert_eq!(answer(ada.tasks().update_task(request).await).unwrap(), done);
    // Without the id it is done already, and nothing follows either.
    assert_eq!(ada.done(&task).await.unwrap(), done);
    let request = pb::SkipOccurrenceRequest {
        name: next.name.clone(),
        request_id: uuid::Uuid::now_v7().to_string(),
        ..Default::default()
    };
    let skipped = answer(ada.tasks().skip_occurrence(request.clone()).await).unwrap();
    assert_eq!(answer(ada.tasks().skip_occurrence(request).await).unwrap(), skipped);
    assert_eq!(shown(skipped.due_time), "2026-01-08T08:00:00Z");
    assert_eq!(ada.all(listing()).await.len(), 2);
}

async fn an_undo_takes_the_next_one_back(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let bare = |task: pb::Task| pb::Task { revision: 0, etag: String::new(), update_time: None, ..task };
    let undo = async |start_revision: i64| {
        let request = pb::UndoChangesRequest {
            parent: "users/me".to_owned(),
            start_revision,
            end_revision: ada.me().await.revision,
            ..Default::default()
        };
        answer(ada.tasks().undo_changes(request).await).unwrap()
    };
    let task = ada.create(due_at("2026-01-31T08:00:00Z", "", "FREQ=MONTHLY;COUNT=4")).await.unwrap();
    let next = ada.next(&task).await.unwrap();
    let undone = undo(task.revision).await;
    assert_eq!((undone.tasks.len(), undone.conflicts.len()), (2, 0));
    let open = ada.get(&task.name).await.unwrap();
    assert_eq!(bare(open.clone()), bare(task.clone()));
    assert!(ada.get(&next.name).await.unwrap().delete_time.is_some());
    // It goes on from there as it did before.
    let again = ada.next(&open).await.unwrap();
    assert_eq!((again.due_time, again.name == next.name), (next.due_time, false));
    let before = ada.me().await.revision;
    ada.skip(&again.name, "").await.unwrap();
    undo(before).await;
    assert_eq!(bare(ada.get(&again.name).await.unwrap()), bare(again.clone()));
    let last = ada.next(&ada.next(&again).await.unwrap()).await.unwrap();
    assert_eq!((shown(last.due_time), ada.next(&last).await), ("2026-07-31T08:00:00Z".to_owned(), None));
}

async fn subtasks_come_again_below_their_parent(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let parent = ada.create(titled("garden")).await.unwrap();
    let task =
        pb::Task { parent_task: parent.name.clone(), ..due_at("2026-01-05T08:00:00Z", "", "FREQ=DAILY") };
    let task = ada.create(task).await.unwrap();
    let next = ada.next(&task).await.unwrap();
    assert_eq!(next.parent_task, parent.name);
    let counted = ada.get(&parent.name).await.unwrap();
    assert_eq!((counted.subtask_count, counted.completed_subtask_count), (2, 1));
    // With its parent it is over.
    let request = pb::UpdateTaskRequest {
        task: Some(pb::Task { name: parent.name.clone(), completed: true, ..Default::default() }),
        update_mask: mask(&["completed"]),
        complete_subtasks: true,
        ..Default::default()
    };
    let done = answer(ada.tasks().update_task(request).await).unwrap();
    assert_eq!((done.subtask_count, done.completed_subtask_count), (2, 2));
    let over = ada.get(&next.name).await.unwrap();
    assert_eq!((over.completed, over.recurrence, over.next_task.as_str()), (true, None, ""));
    // Subtasks of what comes again stay with what is done.
    let parent = ada.create(due_at("2026-01-05T08:00:00Z", "", "FREQ=DAILY")).await.unwrap();
    let below = pb::Task { parent_task: parent.name.clone(), ..titled("below") };
    ada.create(below).await.unwrap();
    let next = ada.next(&parent).await.unwrap();
    assert_eq!((next.subtask_count, ada.get(&parent.name).await.unwrap().subtask_count), (0, 1));
}

async fn a_batch_completes_many(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let one = ada.create(due_at("2026-01-05T08:00:00Z", "", "FREQ=DAILY")).await.unwrap();
    let two = ada.create(due_at("2026-01-05T08:00:00Z", "", "FREQ=WEEKLY")).await.unwrap();
    let item = |task: &pb::Task| pb::UpdateTaskRequest {
        task: Some(pb::Task { name: task.name.clone(), completed: true, ..Default::default() }),
        update_mask: mask(&["completed"]),
        ..Default::default()
    };
    let request = pb::BatchUpdateTasksRequest {
        parent: "users/me".to_owned(),
        requests: vec![item(&one), item(&two), item(&one)],
        ..Default::default()
    };
    let done = answer(ada.tasks().batch_update_tasks(request).await).unwrap().tasks;
    assert_eq!(done[0], done[2]);
    let open = ada.all(filtered("completed = false")).await;
    let dues: Vec<String> = open.iter().map(|task| shown(task.due_time)).collect();
    assert_eq!(dues.len(), 2);
    assert!(dues.contains(&"2026-01-06T08:00:00Z".to_owned()), "{dues:?}");
    assert!(dues.contains(&"2026-01-12T08:00:00Z".to_owned()), "{dues:?}");
}

async fn a_quota_keeps_the_next_from_being_made(database: TestDatabase) {
    let mut setup = Setup::default();
    setup.tasks.live_tasks_max = 2;
    let server = TestServer::with(database, setup).await;
    let ada = server.register("ada@example.com").await;
    let task = ada.create(due_at("2026-01-05T08:00:00Z", "", "FREQ=DAILY")).await.unwrap();
    let other = ada.create(titled("other")).await.unwrap();
    ada.done(&task).await.refused_at("QUOTA_EXCEEDED", &[]);
    assert_eq!(ada.get(&task.name).await.unwrap(), task);
    ada.delete(&other.name).await.unwrap();
    assert!(ada.next(&task).await.is_some());
}

async fn recurring_tasks_are_found(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    ada.create(due_at("2026-01-05T08:00:00Z", "", "FREQ=DAILY")).await.unwrap();
    ada.create(titled("once")).await.unwrap();
    let again =
        ada.create(pb::Task { start_time: time("2026-01-05T08:00:00Z"), ..titled("starts") }).await.unwrap();
    for (filter, found) in [
        ("recurring = true", vec!["water the plants"]),
        ("recurring != false", vec!["water the plants"]),
        ("recurring = false", vec!["once", "starts"]),
        ("NOT recurring = true AND start_time:*", vec!["starts"]),
    ] {
        let mut tasks = ada.all(filtered(filter)).await;
        tasks.sort_by(|one, other| one.title.cmp(&other.title));
        assert_eq!(titles(&tasks), found, "{filter}");
    }
    assert_eq!(again.recurrence, None);
    for wrong in ["recurring = yes", "recurring:*", "recurring > true"] {
        ada.list(filtered(wrong)).await.refused_at("FILTER_INVALID", &["filter"]);
    }
}
