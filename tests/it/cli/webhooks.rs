//! Webhooks and the stream of all events, as a person and as a script use them.

use serde_json::{Value, json};
use tonic_health::pb::health_check_response::ServingStatus;

use super::watch::Printing;
use super::{EMAIL, PASSWORD, World, short};
use crate::events::receiver::{Answer, Receiver};
use crate::support::database::TestDatabase;
use crate::support::process::Sandbox;
use crate::support::{both_engines, one_engine};

both_engines!(webhooks_are_added_tried_changed_and_deleted, all_events_are_printed);
one_engine!(Sqlite: webhooks_are_told_in_words, administrators_have_webhooks_of_their_own, what_is_no_webhook_is_said);

const ADMIN: &str = "root@example.com";

/// A service that sends to this machine, and Ada logged in there.
async fn world(database: TestDatabase) -> World {
    let sandbox = Sandbox::new();
    for keys in [["generate", "--out", "key.pem"], ["generate-secrets-key", "--out", "secrets.key"]] {
        let made = sandbox.run(["keys"].into_iter().chain(keys));
        assert_eq!(made.status, Some(0), "{}", made.stderr);
    }
    let settings = ["--database-url", &database.url, "--signing-key-file", "key.pem"];
    let create = [&["user", "create", "--admin", "--email", ADMIN][..], &settings].concat();
    let made = sandbox.run_with_input(&create, PASSWORD);
    assert_eq!(made.status, Some(0), "{}", made.stderr);
    let webhooks =
        ["--webhook-http", "--webhook-networks", "127.0.0.0/8", "--secrets-key-file", "secrets.key"];
    let service = sandbox.serve(&[&settings[..], &webhooks].concat());
    service.wait_until(ServingStatus::Serving).await;
    let world = World { sandbox, service, database };
    world.register(EMAIL);
    world
}

impl World {
    /// Goes on as somebody else.
    fn log_in(&self, email: &str) {
        let password = self.sandbox.write("password", PASSWORD);
        let ended = self.run(["login", email, "--password-file", &password]);
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    }
}

async fn webhooks_are_added_tried_changed_and_deleted(database: TestDatabase) {
    let world = world(database).await;
    let mut receiver = Receiver::start().await;
    let url = receiver.url();
    let added = world.answer(&["webhook", "add", &url, "--event", "task.created", "-e", "task.completed"]);
    let secret = added["secret"].as_str().unwrap();
    let webhook = &added["webhook"];
    assert_eq!(webhook["eventTypes"], json!(["task.created", "task.completed"]));
    assert_eq!((&webhook["url"], &webhook["state"]), (&json!(url), &json!("STATE_ENABLED")));
    let id = short(webhook);
    assert_eq!(world.answer(&["webhook", "show", &id]), *webhook);
    assert_eq!(world.answers(&["webhook", "ls"]), [webhook.clone()]);

    assert_eq!(world.answer(&["webhook", "test", &id]), json!({"delivered": true}));
    let message = receiver.next().await;
    assert_eq!(message.kind(), "webhook.test");
    assert!(message.is_signed_with(secret));
    receiver.will([Answer::status(404)]);
    let failed = world.run(["webhook", "test", &id]);
    assert_eq!(failed.status, Some(1));
    let told = format!("{url} did not take the event: the receiver answered 404");
    assert_eq!(failed.complaints(), [told]);
    assert_eq!(serde_json::from_str::<Value>(&failed.stdout).unwrap()["failure"]["code"], 404);
    receiver.next().await;

    world.add("one");
    assert_eq!(receiver.next().await.title(), "one");
    let rotated = world.answer(&["webhook", "rotate", &id]);
    world.add("two");
    let message = receiver.next().await;
    assert!(message.is_signed_with(rotated["secret"].as_str().unwrap()) && message.is_signed_with(secret));
    assert_eq!(world.answer(&["webhook", "replay", &id, "--from", "1"]), json!({"changeCount": "1"}));
    assert_eq!(receiver.next().await.title(), "two");

    receiver.will([Answer::status(500)]);
    world.add("three");
    receiver.next().await;
    crate::storage::eventually("the attempt is noted", async || {
        world.answers(&["webhook", "queues", &id]).first().is_some_and(|queue| queue["attempts"] == 1)
    })
    .await;
    let disabled = world.answer(&["webhook", "disable", &id]);
    assert_eq!(disabled["disableReason"], "DISABLE_REASON_ASKED");
    assert_eq!(world.answer(&["webhook", "enable", &id])["state"], "STATE_ENABLED");
    assert_eq!(receiver.next().await.title(), "three");
    let other = format!("{url}/other");
    let edited = world.answer(&["webhook", "edit", &id, "--url", &other]);
    assert_eq!((&edited["url"], &edited["eventTypes"]), (&json!(other), &webhook["eventTypes"]));
    let edited = world.answer(&["webhook", "edit", &id, "--event", "reminder.due"]);
    assert_eq!(edited["eventTypes"], json!(["reminder.due"]));
    assert_eq!(world.answer(&["webhook", "rm", &id])["name"], webhook["name"]);
    assert!(world.answers(&["webhook", "list"]).is_empty());
    assert!(receiver.is_silent());
}

async fn webhooks_are_told_in_words(database: TestDatabase) {
    let world = world(database).await;
    let mut receiver = Receiver::start().await;
    let url = receiver.url();
    let none = world.run(["webhook", "list", "--table"]);
    assert_eq!((none.status, none.complaints()), (Some(0), vec!["no webhooks"]));
    let added = world.told(&["webhook", "add", &url]);
    let lines: Vec<&str> = added.lines().collect();
    let id = lines[0].split_whitespace().nth(1).unwrap();
    assert_eq!(lines[0], format!("Added {id}  {url}"));
    assert!(lines[1].starts_with("Secret, shown this once: whsec_") && lines.len() == 2, "{added}");
    // All that a user can ask for.
    let types = world.answer(&["webhook", "show", id])["eventTypes"].clone();
    assert_eq!(types.as_array().unwrap().len(), 12, "{types}");

    let paused =
        short(&world.answer(&["webhook", "add", &url, "-e", "task.purged", "--disabled"])["webhook"]);
    let table = world.told(&["webhook", "list"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["ID", "STATE", "LAST", "TAKEN", "URL"]);
    assert_eq!(rows[1..], [vec![id, "enabled", &url], vec![&paused, "disabled", &url]]);

    assert_eq!(world.told(&["webhook", "test", id]).trim_end(), format!("Delivered to {url}"));
    receiver.next().await;
    let everything = world.run(["webhook", "queues", id, "--table"]);
    assert_eq!((everything.status, everything.complaints()), (Some(0), vec!["everything was told"]));
    receiver.will([Answer::status(410)]);
    world.add("one");
    receiver.next().await;
    crate::storage::eventually("it is disabled", async || {
        world.told(&["webhook", "list"]).contains("disabled: the receiver is gone")
    })
    .await;
    let queues = world.told(&["webhook", "queues", id]);
    let row: Vec<&str> = queues.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..3], ["1", "given", "up"], "{queues}");
    let shown = world.told(&["webhook", "show", id]);
    assert!(shown.contains("State:        disabled: the receiver is gone"), "{shown}");
    assert!(shown.contains("the receiver answered 410"), "{shown}");
    assert_eq!(world.told(&["webhook", "enable", id]).trim_end(), format!("Enabled {id}  {url}"));
    assert_eq!(receiver.next().await.title(), "one");
    let replayed = world.told(&["webhook", "replay", id, "--from", "0"]);
    assert_eq!(replayed.trim_end(), format!("1 change is told once more to {id}  {url}"));
    assert_eq!(receiver.next().await.title(), "one");
    let rotated = world.told(&["webhook", "rotate", id]);
    assert!(rotated.contains("Secret, shown this once: whsec_") && rotated.contains("24 hours"), "{rotated}");
    assert_eq!(world.told(&["webhook", "rm", id, &paused]).lines().count(), 2);
}

async fn administrators_have_webhooks_of_their_own(database: TestDatabase) {
    let world = world(database).await;
    let mut receiver = Receiver::start().await;
    let ada = world.answer(&["whoami"])["name"].as_str().unwrap().to_owned();
    let refused = world.run(["webhook", "list", "--admin"]);
    assert_eq!(refused.status, Some(1));
    assert!(refused.complaints()[0].contains("ADMIN_REQUIRED"), "{}", refused.stderr);
    assert!(refused.complaints()[0].ends_with("it takes a login as an administrator"), "{}", refused.stderr);
    world.log_in(ADMIN);
    let added = world.answer(&["webhook", "add", "--admin", &receiver.url()]);
    let name = added["webhook"]["name"].as_str().unwrap();
    assert!(name.starts_with("webhooks/"), "{name}");
    assert_eq!(added["webhook"]["eventTypes"].as_array().unwrap().len(), 15);
    assert!(world.answers(&["webhook", "list"]).is_empty());
    let id = short(&added["webhook"]);
    assert_eq!(world.answer(&["webhook", "--admin", "list"]), added["webhook"]);
    // By its whole name it is found without the word.
    assert_eq!(world.answer(&["webhook", "show", name]), added["webhook"]);
    world.log_in(EMAIL);
    world.add("of Ada");
    assert_eq!(receiver.next().await.title(), "of Ada");
    world.log_in(ADMIN);
    let missing = world.run(["webhook", "replay", &id, "--admin", "--from", "0"]);
    assert_eq!((missing.status, missing.complaints().len()), (Some(64), 1), "{}", missing.stderr);
    assert!(missing.complaints()[0].starts_with("--user is missing"), "{}", missing.stderr);
    for user in [ada.as_str(), ada.trim_start_matches("users/")] {
        world.answer(&["webhook", "replay", &id, "--admin", "--from", "0", "--user", user]);
        assert_eq!(receiver.next().await.title(), "of Ada");
    }
    world.answer(&["webhook", "rm", "--admin", &id]);
    assert!(world.answers(&["webhook", "list", "--admin"]).is_empty());
}

async fn what_is_no_webhook_is_said(database: TestDatabase) {
    let world = world(database).await;
    for (given, status, told) in [
        ("5e4c10", 1, "no webhook is called 5e4c10; `taskwire webhook list` shows them"),
        ("abc", 64, "abc is no piece of an id, of 4 characters at least"),
        ("nonsense", 64, "nonsense is no piece of an id, of 4 characters at least"),
    ] {
        for command in ["show", "test", "rotate", "enable", "disable", "rm", "queues"] {
            let ended = world.run(["webhook", command, given]);
            assert_eq!((ended.status, ended.complaints()), (Some(status), vec![told]), "{command}");
        }
    }
    let admin = world.run(["webhook", "show", "users/me/webhooks/x"]);
    assert_eq!(admin.status, Some(64), "{}", admin.stderr);
    let inside = world.run(["webhook", "add", "https://10.0.0.1/"]);
    assert_eq!(inside.status, Some(64));
    assert!(inside.stderr.contains("webhook.url: must not lead to an address"), "{}", inside.stderr);
    let kind = world.run(["webhook", "add", "http://127.0.0.1:9/", "--event", "user.created"]);
    assert_eq!(kind.status, Some(64), "{}", kind.stderr);
    assert!(kind.stderr.contains("webhook.event_types"), "{}", kind.stderr);
    for arguments in [
        &["webhook", "replay", "5e4c10"][..],
        &["webhook", "replay", "5e4c10", "--from", "-1"],
        &["webhook", "edit", "5e4c10"],
        &["webhook", "add"],
    ] {
        assert_eq!(world.run(arguments).status, Some(64), "{arguments:?}");
    }
    // Two of the same beginning.
    let ids: Vec<String> = (0..2)
        .map(|_| world.answer(&["webhook", "add", "http://127.0.0.1:9/"])["webhook"].clone())
        .map(|webhook| webhook["name"].as_str().unwrap().rsplit('/').next().unwrap().to_owned())
        .collect();
    let several = world.run(["webhook", "show", &ids[0][..8]]);
    assert_eq!((several.status, several.complaints().len()), (Some(1), 3), "{}", several.stderr);
}

async fn all_events_are_printed(database: TestDatabase) {
    let world = world(database).await;
    let refused = world.run(["events", "watch"]);
    assert_eq!(refused.status, Some(1));
    assert!(refused.stderr.contains("SCOPE_INSUFFICIENT"), "{}", refused.stderr);
    let secret = events_key(&world).await;
    let watching = |arguments: &[&str]| Printing::with(&world, arguments, &[("TASKWIRE_API_KEY", &secret)]);
    let mut watch = watching(&["events", "watch", "--event", "task.*", "--json"]);
    let mut answer = || serde_json::from_str::<Value>(&watch.line()).unwrap();
    // Where the stream begins, and what happens from then on.
    assert_eq!(answer()["event"], Value::Null);
    world.add("begin");
    let first = answer();
    assert_eq!(
        (&first["event"]["type"], &first["event"]["change"]["type"]),
        (&json!("task.created"), &json!("TYPE_CREATED"))
    );
    drop(watch);
    let id = world.add("Buy milk");
    world.answer(&["task", "done", &id]);
    // From its cursor on, in words.
    let cursor = first["cursor"].as_str().unwrap();
    let mut watch = watching(&["events", "watch", "--from", cursor, "--event", "task.completed", "--table"]);
    let line = watch.line();
    let ada = world.answer(&["whoami"])["name"].as_str().unwrap().to_owned();
    assert!(line.starts_with(&ada) && line.ends_with(&format!("done  {id}  Buy milk")), "{line}");
    let wrong = world.run_with(&["events", "watch", "--from", "made up"], &[("TASKWIRE_API_KEY", &secret)]);
    assert_eq!(wrong.status, Some(64), "{}", wrong.stderr);
}

/// The secret of a service's key to all events.
async fn events_key(world: &World) -> String {
    use taskwire::pb;
    let mut users = world.service.users().await;
    let login = pb::LoginRequest { email: ADMIN.into(), password: PASSWORD.into(), ..Default::default() };
    let pair = users.login(login).await.unwrap().into_inner();
    let bearer: tonic::metadata::MetadataValue<_> = format!("Bearer {}", pair.access_token).parse().unwrap();
    let user = Some(pb::User { email: "index@services.example.org".to_owned(), ..pb::User::default() });
    let mut request = tonic::Request::new(pb::CreateServiceAccountRequest { user });
    request.metadata_mut().insert("authorization", bearer.clone());
    let parent = users.create_service_account(request).await.unwrap().into_inner().name;
    let api_key = Some(pb::ApiKey { scopes: vec!["events.read".to_owned()], ..pb::ApiKey::default() });
    let mut request = tonic::Request::new(pb::CreateApiKeyRequest { parent, api_key });
    request.metadata_mut().insert("authorization", bearer);
    users.create_api_key(request).await.unwrap().into_inner().secret
}
