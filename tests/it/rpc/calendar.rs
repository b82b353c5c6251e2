//! The calendar of a user's tasks: what is in it, whose it is, and the keys that are for it alone.

use taskwire::pb;
use tonic::Streaming;

use super::exports::{large, many};
use super::{alone, at, full, titled};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::{Answer, Refusal, Refused as _};
use crate::support::server::{Setup, TasksOf, TestServer, answer};

both_engines!(
    every_task_is_in_the_calendar,
    a_filter_says_which,
    a_key_for_the_calendar_does_nothing_else,
    so_many_at_once,
);

async fn open(tasks: &mut TasksOf, parent: &str, filter: &str) -> Answer<Streaming<pb::HttpBody>> {
    let request = pb::GetCalendarRequest { parent: parent.to_owned(), filter: filter.to_owned() };
    answer(tasks.get_calendar(request).await)
}

async fn rest(mut stream: Streaming<pb::HttpBody>) -> Answer<String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.message().await.map_err(Refusal::from)? {
        assert_eq!(chunk.content_type, "text/calendar; charset=utf-8");
        assert!((1..=64 * 1024).contains(&chunk.data.len()), "{}", chunk.data.len());
        bytes.extend(chunk.data);
    }
    Ok(String::from_utf8(bytes).unwrap())
}

/// The lines of a calendar, unfolded.
async fn lines(tasks: &mut TasksOf, filter: &str) -> Vec<String> {
    let text = rest(open(tasks, "users/me", filter).await.unwrap()).await.unwrap();
    assert!(text.split("\r\n").all(|line| line.len() <= 75), "{text}");
    text.replace("\r\n ", "").lines().map(str::to_owned).collect()
}

fn count(lines: &[String], line: &str) -> usize {
    lines.iter().filter(|found| *found == line).count()
}

async fn every_task_is_in_the_calendar(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let nothing = lines(&mut ada.tasks(), "").await;
    assert_eq!((nothing[0].as_str(), nothing.last().unwrap().as_str()), ("BEGIN:VCALENDAR", "END:VCALENDAR"));
    assert_eq!(count(&nothing, "BEGIN:VTODO"), 0);

    let list = ada.create_list("Groceries").await.unwrap();
    let milk = ada.create(pb::Task { task_list: list.name.clone(), ..full() }).await.unwrap();
    let recurrence = pb::Recurrence { rrule: "FREQ=WEEKLY;BYDAY=MO".to_owned(), ..Default::default() };
    let bins = pb::Task {
        due_time: Some(at(1000)),
        time_zone: "Europe/Berlin".to_owned(),
        recurrence: Some(recurrence),
        ..titled("Put the bins out")
    };
    ada.create(bins).await.unwrap();
    let gone = ada.create(titled("gone")).await.unwrap();
    ada.delete(&gone.name).await.unwrap();
    let found = lines(&mut ada.tasks(), "").await;
    let id = milk.name.rsplit('/').next().unwrap();
    for line in [
        &format!("UID:{id}"),
        "SUMMARY:Buy milk",
        "DESCRIPTION:two litres",
        "STATUS:COMPLETED",
        "PRIORITY:1",
        "CATEGORIES:home,shop",
        "SUMMARY:Put the bins out",
        "STATUS:NEEDS-ACTION",
        "RRULE:FREQ=WEEKLY;BYDAY=MO",
        "TZID:Europe/Berlin",
    ] {
        assert_eq!(count(&found, line), 1, "{line}: {found:#?}");
    }
    assert!(found.iter().any(|line| line.ends_with(":Groceries")), "{found:#?}");
    assert_eq!((count(&found, "BEGIN:VTODO"), count(&found, "END:VTODO")), (2, 2));
    assert_eq!(found.last().unwrap(), "END:VCALENDAR");
}

async fn a_filter_says_which(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    // More than are read at once.
    many(&ada, 600, "short").await;
    ada.create(pb::Task { completed: true, ..titled("done") }).await.unwrap();
    let found = lines(&mut ada.tasks(), "").await;
    assert_eq!(count(&found, "BEGIN:VTODO"), 601);
    let uids: std::collections::BTreeSet<_> = found.iter().filter(|line| line.starts_with("UID:")).collect();
    assert_eq!(uids.len(), 601);
    let found = lines(&mut ada.tasks(), "completed = true").await;
    assert_eq!((count(&found, "BEGIN:VTODO"), count(&found, "SUMMARY:done")), (1, 1));
    let refusal = open(&mut ada.tasks(), "users/me", "colour = 3").await.refused("FILTER_INVALID");
    assert_eq!(refusal.violations[0].0, "filter");
}

async fn a_key_for_the_calendar_does_nothing_else(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let bob = server.register("bob@example.org").await;
    ada.create(titled("mine")).await.unwrap();
    let key = |scopes: &[&str]| {
        let scopes = scopes.iter().map(ToString::to_string).collect();
        let api_key = Some(pb::ApiKey { scopes, ..Default::default() });
        pb::CreateApiKeyRequest { parent: "users/me".to_owned(), api_key }
    };
    for more in ["tasks.read", "tasks.write", "webhooks.manage"] {
        let refused = answer(ada.users().create_api_key(key(&["calendar.read", more])).await);
        let refusal = refused.refused("FIELD_INVALID");
        assert_eq!(refusal.violations[0].0, "api_key.scopes");
        assert!(refusal.violations[0].1.contains("only alone"), "{refusal:?}");
    }
    let made = answer(ada.users().create_api_key(key(&["calendar.read"])).await).unwrap();
    assert_eq!(made.api_key.as_ref().unwrap().scopes, ["calendar.read"]);
    let mut by_key = ada.tasks_with(&made.secret);
    assert_eq!(count(&lines(&mut by_key, "").await, "SUMMARY:mine"), 1);
    let request = pb::ListTasksRequest { parent: "users/me".to_owned(), ..Default::default() };
    answer(by_key.list_tasks(request).await).refused("SCOPE_INSUFFICIENT");
    open(&mut by_key, &bob.user, "").await.refused("PARENT_ACCESS_DENIED");
    for scope in ["tasks.read", "tasks.write"] {
        let other = answer(ada.users().create_api_key(key(&[scope])).await).unwrap();
        open(&mut ada.tasks_with(&other.secret), "users/me", "").await.refused("SCOPE_INSUFFICIENT");
    }
    let name = made.api_key.unwrap().name;
    answer(ada.users().revoke_api_key(pb::RevokeApiKeyRequest { name }).await).unwrap();
    open(&mut by_key, "users/me", "").await.refused("API_KEY_INVALID");
}

async fn so_many_at_once(database: TestDatabase) {
    let mut setup = Setup::default();
    setup.tasks.watch.stall_timeout = std::time::Duration::from_secs(100);
    let server = Box::pin(TestServer::with(database, setup)).await;
    let (ada, bob) = (server.register("ada@example.org").await, server.register("bob@example.org").await);
    // More than fits between the two, so that each stream waits for its reader.
    let ada = ada.narrow(&server).await;
    many(&ada, 400, &large()).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(open(&mut ada.tasks(), "users/me", "").await.unwrap());
    }
    open(&mut ada.tasks(), "users/me", "").await.refused("RATE_LIMITED");
    assert_eq!(count(&lines(&mut bob.tasks(), "").await, "BEGIN:VTODO"), 0);
    // Whoever leaves makes room.
    drop(held.pop());
    loop {
        match open(&mut ada.tasks(), "users/me", "").await {
            Err(refusal) if refusal.reason == "RATE_LIMITED" => tokio::task::yield_now().await,
            opened => break drop(opened.unwrap()),
        }
    }
}
