//! `taskwire check`: says nothing of a database that is sound, also while others write, and names whatever is wrong in one
//! that is not.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use taskwire::domain::{Timestamp, UserId};
use taskwire::pb;
use taskwire::pb::delete_task_list_request::Tasks;
use taskwire::storage::{FINDINGS_MAX, Invariant};

use crate::events::receiver::Receiver;
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::process::Sandbox;
use crate::support::server::{PASSWORD, Session, TestServer, answer};

both_engines!(
    a_busy_database_is_sound_all_the_while,
    an_account_that_is_half_deleted_is_sound,
    many_findings_of_a_kind_are_counted,
    the_command_names_what_is_wrong,
);

pub(super) fn titled(title: &str) -> pb::Task {
    pb::Task { title: title.to_owned(), ..pb::Task::default() }
}

pub(super) async fn create(session: &Session, task: pb::Task) -> pb::Task {
    let (parent, task) = ("users/me".to_owned(), Some(task));
    let request = pb::CreateTaskRequest { parent, task, ..pb::CreateTaskRequest::default() };
    answer(session.tasks().create_task(request).await).unwrap()
}

async fn update(session: &Session, task: pb::Task, path: &str) {
    let update_mask = Some(prost_types::FieldMask { paths: vec![path.to_owned()] });
    let task = Some(pb::Task { etag: String::new(), ..task });
    let request = pb::UpdateTaskRequest { task, update_mask, ..pb::UpdateTaskRequest::default() };
    answer(session.tasks().update_task(request).await).unwrap();
}

pub(super) async fn list(session: &Session, title: &str) -> pb::TaskList {
    let task_list = Some(pb::TaskList { title: title.to_owned(), ..pb::TaskList::default() });
    let parent = "users/me".to_owned();
    let request = pb::CreateTaskListRequest { parent, task_list, ..pb::CreateTaskListRequest::default() };
    answer(session.tasks().create_task_list(request).await).unwrap()
}

pub(super) async fn hook(session: &Session, receiver: &Receiver) -> pb::Webhook {
    let event_types = vec!["task.*".to_owned(), "task_list.*".to_owned()];
    let webhook = Some(pb::Webhook { url: receiver.url(), event_types, ..pb::Webhook::default() });
    let request = pb::CreateWebhookRequest { parent: "users/me".to_owned(), webhook };
    answer(session.events().create_webhook(request).await).unwrap().webhook.unwrap()
}

/// A list with more tasks than one operation takes along, with subtasks among them.
async fn large_list(session: &Session) -> pb::TaskList {
    let task_list = list(session, "large").await;
    let in_list = || pb::Task { task_list: task_list.name.clone(), ..titled("one of many") };
    let mut parent = create(session, in_list()).await;
    for round in 0..6 {
        if round == 3 {
            parent = create(session, in_list()).await;
        }
        let below = |at: usize| {
            let parent_task = if at.is_multiple_of(2) { parent.name.clone() } else { String::new() };
            Some(pb::Task { parent_task, ..in_list() })
        };
        let one = |at| pb::CreateTaskRequest { task: below(at), ..pb::CreateTaskRequest::default() };
        let requests = (0..200).map(one).collect();
        let parent = "users/me".to_owned();
        let batch = pb::BatchCreateTasksRequest { parent, requests, request_id: String::new() };
        answer(session.tasks().batch_create_tasks(batch).await).unwrap();
    }
    task_list
}

/// A bit of everything that changes tasks and lists.
async fn work(session: &Session, rounds: usize) {
    for round in 0..rounds {
        let task_list = list(session, &format!("list {round}")).await;
        let parent =
            create(session, pb::Task { task_list: task_list.name.clone(), ..titled("Ä parent") }).await;
        let mut below = Vec::new();
        for number in 0..3 {
            let description = Some(format!("Ö {number}"));
            let task = pb::Task { parent_task: parent.name.clone(), description, ..titled("Straße") };
            below.push(create(session, task).await);
        }
        let alone = create(session, titled("alone")).await;
        update(session, pb::Task { completed: true, ..below[0].clone() }, "completed").await;
        update(session, pb::Task { title: "Renamed ÉCOLE".to_owned(), ..alone.clone() }, "title").await;
        let to = pb::MoveTaskRequest {
            name: alone.name.clone(),
            task_list: Some(task_list.name.clone()),
            before: parent.name.clone(),
            ..pb::MoveTaskRequest::default()
        };
        answer(session.tasks().move_task(to).await).unwrap();
        let delete = pb::DeleteTaskRequest { name: parent.name.clone(), ..pb::DeleteTaskRequest::default() };
        let deleted = answer(session.tasks().delete_task(delete).await).unwrap();
        assert!(deleted.delete_time.is_some());
        if round % 2 == 0 {
            let undelete =
                pb::UndeleteTaskRequest { name: parent.name.clone(), ..pb::UndeleteTaskRequest::default() };
            answer(session.tasks().undelete_task(undelete).await).unwrap();
        }
        let me = pb::GetUserRequest { name: "users/me".to_owned() };
        let revision = answer(session.users().get_user(me).await).unwrap().revision;
        let undo = pb::UndoChangesRequest {
            parent: "users/me".to_owned(),
            start_revision: revision - 5,
            end_revision: revision - 2,
            force: true,
            ..pb::UndoChangesRequest::default()
        };
        answer(session.tasks().undo_changes(undo).await).unwrap();
        let tasks = if round % 3 == 0 { Tasks::Keep } else { Tasks::Delete };
        let delete = pb::DeleteTaskListRequest {
            name: task_list.name,
            tasks: tasks.into(),
            ..pb::DeleteTaskListRequest::default()
        };
        answer(session.tasks().delete_task_list(delete).await).unwrap();
    }
}

/// Writers of all kinds, accounts that come and go, a webhook that listens; and checks all the while.
async fn a_busy_database_is_sound_all_the_while(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let mut receiver = Receiver::start().await;
    let (ada, bob) = (server.register("Ada@example.org").await, server.register("bob@exämple.org").await);
    hook(&ada, &receiver).await;
    let large = large_list(&bob).await;
    let is_over = AtomicBool::new(false);
    let checking = async {
        let mut checks = 0;
        while !is_over.load(Ordering::SeqCst) {
            server.database.assert_sound().await;
            checks += 1;
        }
        checks
    };
    let coming_and_going = async {
        for number in 0..3 {
            let email = format!("{number}@example.org");
            let session = server.register(&email).await;
            work(&session, 1).await;
            let delete = pb::DeleteUserRequest { name: "users/me".to_owned(), password: PASSWORD.to_owned() };
            answer(session.users().delete_user(delete).await).unwrap();
        }
    };
    let large = async {
        let name = || large.name.clone();
        let keep = pb::DeleteTaskListRequest { name: name(), ..pb::DeleteTaskListRequest::default() };
        answer(bob.tasks().delete_task_list(keep).await).unwrap();
        let undelete = pb::UndeleteTaskListRequest { name: name(), ..pb::UndeleteTaskListRequest::default() };
        answer(bob.tasks().undelete_task_list(undelete).await).unwrap();
        let tasks = Tasks::Keep.into();
        let keep = pb::DeleteTaskListRequest { name: name(), tasks, ..pb::DeleteTaskListRequest::default() };
        answer(bob.tasks().delete_task_list(keep).await).unwrap();
    };
    let working = async {
        tokio::join!(join_all([work(&ada, 4), work(&bob, 3)]), coming_and_going, large);
        is_over.store(true, Ordering::SeqCst);
    };
    let taking = async {
        loop {
            receiver.next().await;
        }
    };
    tokio::select! {
        (checks, ()) = async { tokio::join!(checking, working) } => assert!(checks > 1, "{checks} checks"),
        never = taking => never,
    }
    server.database.assert_sound().await;
}

/// A deletion that stopped in the middle, wherever that was, leaves what can be checked and gone on with.
async fn an_account_that_is_half_deleted_is_sound(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let _ = large_list(&ada).await;
    work(&ada, 2).await;
    let user: UserId =
        ada.user.strip_prefix("users/").unwrap().parse::<uuid::Uuid>().map(UserId::from).unwrap();
    let users = || server.database.storage.users();
    let now = Timestamp::from_parts(crate::support::server::START, 0).unwrap();
    users().disable(user, now).await.unwrap();
    let mut steps = 0;
    while users().delete_step(user, 100).await.unwrap() {
        steps += 1;
        if steps % 4 == 0 {
            server.database.assert_sound().await;
        }
    }
    assert!(steps > 20, "{steps} steps");
    users().delete(user, now).await.unwrap();
    server.database.assert_sound().await;
}

async fn many_findings_of_a_kind_are_counted(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    for _ in 0..FINDINGS_MAX + 5 {
        create(&ada, titled("one")).await;
    }
    let database = server.stop().await;
    database.execute("update tasks set title_key = 'another'").await;
    let findings = database.storage.check().await.unwrap();
    assert_eq!(findings.found.len() as u64, FINDINGS_MAX);
    assert_eq!(findings.counts.into_iter().collect::<Vec<_>>(), [(Invariant::Keys, FINDINGS_MAX + 5)]);
}

/// On a terminal and for programs, with the status that a script looks at.
async fn the_command_names_what_is_wrong(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    create(&ada, titled("canary")).await;
    let sandbox = Sandbox::new();
    let check = |flags: &[&str]| {
        let ended = sandbox.run([&["check", "--database-url", &server.database.url], flags].concat());
        assert!(!(ended.stdout.clone() + &ended.stderr).contains("canary"));
        ended
    };
    let json = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let sound = check(&[]);
    assert_eq!((sound.status, sound.complaints()), (Some(0), Vec::<&str>::new()));
    let line = "the database is sound: 1 user, 1 tasks and lists, their changes and events\n";
    assert_eq!(sound.stdout, line);
    let sound = check(&["--json"]);
    assert_eq!(sound.status, Some(0));
    assert_eq!(json(&sound.stdout)["sound"], true);

    server.database.execute("update users set live_tasks = 7").await;
    let wrong = check(&[]);
    assert_eq!((wrong.status, wrong.stdout.as_str()), (Some(1), ""));
    let complaints = wrong.complaints();
    let line = format!("counters: users {}: live_tasks says 7, and there are 1 rows", ada.user);
    assert_eq!(complaints[0], line);
    assert!(complaints[1].starts_with("to mend (counters): update users set live_tasks"), "{complaints:?}");
    assert_eq!(complaints[2], "the database is not sound: 1 finding");
    let wrong = check(&["--json"]);
    assert_eq!((wrong.status, wrong.complaints()), (Some(1), vec!["the database is not sound"]));
    let lines: Vec<serde_json::Value> = wrong.stdout.lines().map(json).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["invariant"], "counters");
    assert_eq!(lines[0]["key"], ada.user.as_str());
    assert_eq!(
        lines[1],
        serde_json::json!({"sound": false, "users": 1, "rows": 1, "findings": {"counters": 1}})
    );
}
