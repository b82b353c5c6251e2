//! An account's data as it is taken out: what is in it, of which moment it is, and who gets it.

use std::collections::BTreeMap;

use prost_reflect::{DescriptorPool, DynamicMessage};
use taskwire::pb;
use taskwire::pb::export_line::Line;
use tonic::{Status, Streaming};
use tonic_types::StatusExt as _;

use super::{Session, alone, full, titled};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::{Answer, Refused as _};
use crate::support::server::{PASSWORD, Setup, TestServer, answer};

both_engines!(
    everything_comes_out_in_lines,
    an_export_is_of_one_moment_whatever_is_written_meanwhile,
    what_is_compacted_is_not_missed,
    one_export_of_a_user_at_once,
    a_reader_who_does_not_read_is_left,
    nobody_exports_the_data_of_others,
);

/// Most bytes of a message.
const CHUNK: usize = 64 * 1024;

/// The lines in the bytes of an export.
pub(crate) fn lines(bytes: &[u8]) -> Vec<Line> {
    let pool = DescriptorPool::decode(pb::DESCRIPTOR_SET).unwrap();
    let message = pool.get_message_by_name("taskwire.v1.ExportLine").unwrap();
    assert_eq!(bytes.last(), Some(&b'\n'));
    let text = std::str::from_utf8(bytes).unwrap();
    let line = |line: &str| {
        let mut json = serde_json::Deserializer::from_str(line);
        let dynamic = DynamicMessage::deserialize(message.clone(), &mut json);
        let dynamic = dynamic.unwrap_or_else(|error| panic!("{error}: {line}"));
        json.end().unwrap();
        dynamic.transcode_to::<pb::ExportLine>().unwrap().line.expect("an empty line")
    };
    text.lines().map(line).collect()
}

/// Reads an export to its end.
pub(super) async fn rest(mut stream: Streaming<pb::HttpBody>) -> Result<Vec<u8>, Status> {
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.message().await? {
        assert_eq!(chunk.content_type, "application/jsonl");
        assert!((1..=CHUNK).contains(&chunk.data.len()), "{}", chunk.data.len());
        bytes.extend(chunk.data);
    }
    Ok(bytes)
}

impl Session {
    async fn open_export(&self, name: &str) -> Answer<Streaming<pb::HttpBody>> {
        let request = pb::ExportUserDataRequest { name: name.to_owned() };
        answer(self.users().export_user_data(request).await)
    }

    /// As `open_export`, once there is a place for it.
    pub(super) async fn open_export_in_turn(&self) -> Streaming<pb::HttpBody> {
        loop {
            match self.open_export("users/me").await {
                Err(refusal) if refusal.reason == "RATE_LIMITED" => tokio::task::yield_now().await,
                opened => return opened.unwrap(),
            }
        }
    }

    /// The lines of one's own data.
    pub(super) async fn export(&self) -> Vec<Line> {
        lines(&rest(self.open_export_in_turn().await).await.unwrap())
    }
}

/// How many lines there are of each kind, in the order in which the kinds come.
fn kinds(lines: &[Line]) -> Vec<(&'static str, usize)> {
    let mut kinds: Vec<(&'static str, usize)> = Vec::new();
    for line in lines {
        let kind = match line {
            Line::Export(_) => "export",
            Line::User(_) => "user",
            Line::Session(_) => "session",
            Line::ApiKey(_) => "api_key",
            Line::Webhook(_) => "webhook",
            Line::TaskList(_) => "task_list",
            Line::Task(_) => "task",
            Line::Change(_) => "change",
            Line::AuditEvent(_) => "audit_event",
            Line::End(_) => "end",
        };
        match kinds.last_mut() {
            Some((last, count)) if *last == kind => *count += 1,
            _ => kinds.push((kind, 1)),
        }
    }
    kinds
}

fn begin(lines: &[Line]) -> &pb::ExportBegin {
    match &lines[0] {
        Line::Export(begin) => begin,
        other => panic!("{other:?}"),
    }
}

fn end(lines: &[Line]) -> pb::ExportEnd {
    match lines.last().unwrap() {
        Line::End(end) => *end,
        other => panic!("{other:?}"),
    }
}

fn changes(lines: &[Line]) -> Vec<&pb::TaskChange> {
    let mut found = Vec::new();
    for line in lines {
        if let Line::Change(change) = line {
            found.push(change);
        }
    }
    found
}

async fn everything_comes_out_in_lines(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    ada.log_in_again(&server).await;
    let key = pb::ApiKey { scopes: vec!["tasks.read".to_owned()], ..Default::default() };
    let key = pb::CreateApiKeyRequest { parent: "users/me".to_owned(), api_key: Some(key) };
    let secret_key = answer(ada.users().create_api_key(key).await).unwrap().secret;
    let webhook = pb::Webhook {
        url: "http://127.0.0.1:9/".to_owned(),
        event_types: vec!["task.created".to_owned()],
        ..Default::default()
    };
    let webhook = pb::CreateWebhookRequest { parent: "users/me".to_owned(), webhook: Some(webhook) };
    let secret_hook = answer(ada.events().create_webhook(webhook).await).unwrap().secret;
    let list = ada.create_list("Groceries").await.unwrap();
    let milk = ada.create(pb::Task { task_list: list.name.clone(), ..full() }).await.unwrap();
    let gone = ada.create(titled("gone")).await.unwrap();
    let gone = ada.delete(&gone.name).await.unwrap();

    let bytes = rest(ada.open_export(&ada.user).await.unwrap()).await.unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let refresh = ada.pair.refresh_token.as_str();
    for secret in [secret_key.as_str(), secret_hook.as_str(), PASSWORD, refresh, &ada.pair.access_token] {
        assert!(!text.contains(secret), "a secret is in the export");
    }
    let lines = lines(&bytes);
    let (sessions, events) = (2, end(&lines).audit_events);
    let expected = [
        ("export", 1),
        ("user", 1),
        ("session", sessions),
        ("api_key", 1),
        ("webhook", 1),
        ("task_list", 1),
        ("task", 2),
        ("change", 4),
        ("audit_event", usize::try_from(events).unwrap()),
        ("end", 1),
    ];
    assert_eq!(kinds(&lines), expected);
    let counted = pb::ExportEnd {
        sessions: 2,
        api_keys: 1,
        webhooks: 1,
        task_lists: 1,
        tasks: 2,
        changes: 4,
        audit_events: events,
        earliest_revision: 0,
    };
    assert_eq!(end(&lines), counted);
    let begin = begin(&lines);
    assert_eq!((begin.format_version, begin.user.as_str(), begin.revision), (1, ada.user.as_str(), 4));
    assert_eq!(begin.history, ada.me().await.history);
    // What stands in the lines is what calls answer.
    assert!(lines.contains(&Line::User(ada.me().await)));
    for task in [milk, gone] {
        assert!(lines.contains(&Line::Task(ada.get(&task.name).await.unwrap())));
    }
    assert!(lines.contains(&Line::TaskList(ada.get_list(&list.name).await.unwrap())));
    let request = pb::ListTaskChangesRequest { parent: "users/me".to_owned(), ..Default::default() };
    let listed = answer(ada.tasks().list_task_changes(request).await).unwrap().changes;
    assert_eq!(changes(&lines), listed.iter().collect::<Vec<_>>());
    let request = pb::ListAuditEventsRequest { parent: "users/me".to_owned(), ..Default::default() };
    let audit = answer(ada.users().list_audit_events(request).await).unwrap().audit_events;
    let exported = |line: &Line| if let Line::AuditEvent(event) = line { Some(event.clone()) } else { None };
    assert_eq!(lines.iter().filter_map(exported).collect::<Vec<_>>(), audit);
    let told = audit.iter().filter(|event| event.r#type() == pb::audit_event::Type::DataExported);
    assert_eq!(told.count(), 1);
}

/// What makes a task large, so that a file of many of them waits for its reader.
pub(super) fn large() -> String {
    "🦀".repeat(1000)
}

/// Makes so many tasks, a multiple of 200, with such a description; answers their names.
pub(super) async fn many(ada: &Session, count: usize, description: &str) -> Vec<String> {
    let mut names = Vec::new();
    let task = pb::Task { description: Some(description.to_owned()), ..titled("before") };
    for _ in 0..count / 200 {
        let one = pb::CreateTaskRequest { task: Some(task.clone()), ..Default::default() };
        let parent = "users/me".to_owned();
        let batch = pb::BatchCreateTasksRequest { parent, requests: vec![one; 200], ..Default::default() };
        let made = answer(ada.tasks().batch_create_tasks(batch).await).unwrap();
        names.extend(made.tasks.into_iter().map(|task| task.name));
    }
    names
}

/// A server that waits for readers as long as a test takes.
async fn patient(database: TestDatabase) -> TestServer {
    let mut setup = Setup::default();
    setup.tasks.watch.stall_timeout = std::time::Duration::from_secs(100);
    Box::pin(TestServer::with(database, setup)).await
}

/// Everything as the log of an export leaves it, by name.
fn replayed(lines: &[Line]) -> (BTreeMap<String, pb::Task>, BTreeMap<String, pb::TaskList>) {
    let (mut tasks, mut lists) = (BTreeMap::new(), BTreeMap::new());
    for change in changes(lines) {
        if let Some(task) = &change.task {
            tasks.insert(task.name.clone(), task.clone());
        }
        if let Some(list) = &change.task_list {
            lists.insert(list.name.clone(), list.clone());
        }
    }
    (tasks, lists)
}

async fn an_export_is_of_one_moment_whatever_is_written_meanwhile(database: TestDatabase) {
    let server = patient(database).await;
    let ada = server.register("ada@example.org").await;
    let names = many(&ada, 1000, &large()).await;
    let mut lists = Vec::new();
    for title in ["one", "two", "three"] {
        lists.push(ada.create_list(title).await.unwrap());
    }
    let revision = ada.me().await.revision;
    let mut stream = ada.open_export("users/me").await.unwrap();
    let first = stream.message().await.unwrap().unwrap();
    // The reader stops here, and takes in less than half of the tasks. The others change, some go, new ones come, a list moves.
    for batch in names[400..].chunks(200) {
        let update = |name: &String| pb::UpdateTaskRequest {
            task: Some(pb::Task { name: name.clone(), ..titled("after") }),
            ..Default::default()
        };
        let requests = batch.iter().map(update).collect();
        let parent = "users/me".to_owned();
        let batch = pb::BatchUpdateTasksRequest { parent, requests, ..Default::default() };
        answer(ada.tasks().batch_update_tasks(batch).await).unwrap();
    }
    for name in names.iter().rev().take(20) {
        ada.update(pb::Task { name: name.clone(), completed: true, ..Default::default() }, &["completed"])
            .await
            .unwrap();
        ada.delete(name).await.unwrap();
    }
    many(&ada, 200, &large()).await;
    let moved = pb::MoveTaskListRequest {
        name: lists[2].name.clone(),
        before: lists[0].name.clone(),
        ..Default::default()
    };
    answer(ada.tasks().move_task_list(moved).await).unwrap();
    let mut bytes = first.data;
    bytes.extend(rest(stream).await.unwrap());
    let lines = lines(&bytes);
    assert_eq!((begin(&lines).revision, changes(&lines).last().unwrap().revision), (revision, revision));
    assert_eq!((end(&lines).tasks, end(&lines).task_lists), (1000, 3));
    // The log that is in it tells of just what is in it.
    let (tasks, logged_lists) = replayed(&lines);
    let exported = |line: &Line| if let Line::Task(task) = line { Some(task.clone()) } else { None };
    assert!(lines.iter().filter_map(exported).eq(tasks.into_values()));
    let exported = |line: &Line| if let Line::TaskList(list) = line { Some(list.clone()) } else { None };
    let exported: Vec<pb::TaskList> = lines.iter().filter_map(exported).collect();
    assert_eq!(exported, lists);
    assert_eq!(logged_lists.len(), 3);
    // The next one has all of it.
    let later = ada.export().await;
    assert_eq!((end(&later).tasks, begin(&later).revision), (1200, ada.me().await.revision));
    server.database.assert_sound().await;
}

async fn what_is_compacted_is_not_missed(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    for title in ["one", "two", "three"] {
        ada.create(titled(title)).await.unwrap();
    }
    server.clock.advance(super::seconds(super::DAY));
    let ada = ada.log_in_again(&server).await;
    let four = ada.create(titled("four")).await.unwrap();
    let cutoff = four.create_time.unwrap();
    let cutoff = taskwire::domain::Timestamp::from_parts(cutoff.seconds, cutoff.nanos).unwrap();
    server.database.storage.changes().compact(cutoff, 100).await.unwrap();
    let lines = ada.export().await;
    assert_eq!(end(&lines).earliest_revision, 3);
    assert_eq!((end(&lines).tasks, end(&lines).changes), (4, 1));
    assert_eq!(changes(&lines)[0].task.as_ref(), Some(&four));
}

async fn one_export_of_a_user_at_once(database: TestDatabase) {
    let server = patient(database).await;
    let (ada, bob) = (server.register("ada@example.org").await, server.register("bob@example.org").await);
    many(&ada, 1000, &large()).await;
    let first = ada.open_export("users/me").await.unwrap();
    ada.open_export("users/me").await.refused("RATE_LIMITED");
    assert_eq!(end(&bob.export().await).tasks, 0);
    // Whoever leaves makes room.
    drop(first);
    assert_eq!(end(&ada.export().await).tasks, 1000);
    assert_eq!(end(&ada.export().await).tasks, 1000);
}

async fn a_reader_who_does_not_read_is_left(database: TestDatabase) {
    let mut setup = Setup::default();
    setup.tasks.watch.stall_timeout = std::time::Duration::from_millis(300);
    let server = Box::pin(TestServer::with(database, setup)).await;
    let ada = server.register("ada@example.org").await;
    many(&ada, 2000, &large()).await;
    let first = ada.open_export("users/me").await.unwrap();
    // The place is free again only when the first one has been given up.
    drop(ada.open_export_in_turn().await);
    let ended = rest(first).await.unwrap_err();
    assert_eq!(ended.get_details_error_info().unwrap().reason, "STREAM_TOO_SLOW");
}

async fn nobody_exports_the_data_of_others(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let bob = server.register("bob@example.org").await;
    let root = server.register_admin("root@example.org").await;
    for caller in [&bob, &root] {
        caller.open_export(&ada.user).await.refused("PARENT_ACCESS_DENIED");
        caller.open_export(super::NOBODY).await.refused("PARENT_ACCESS_DENIED");
    }
    for wrong in ["", "users/", "users/me/tasks", "me"] {
        let refusal = ada.open_export(wrong).await.refused("FIELD_INVALID");
        assert_eq!(refusal.violations[0].0, "name", "{wrong}");
    }
    // Nothing of it was recorded.
    let request = pb::ListAuditEventsRequest { parent: "users/me".to_owned(), ..Default::default() };
    let audit = answer(ada.users().list_audit_events(request).await).unwrap().audit_events;
    assert!(audit.iter().all(|event| event.r#type() != pb::audit_event::Type::DataExported));
    let lines = ada.export().await;
    assert!(!lines.iter().any(|line| format!("{line:?}").contains("bob@example.org")));
}

impl Session {
    /// Another session of the same user.
    async fn log_in_again(&self, server: &TestServer) -> Session {
        server.log_in(&self.email, PASSWORD).await.unwrap()
    }
}
