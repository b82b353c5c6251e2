//! Erasure: of a user who deletes the account, or whom the operator erases, nothing that was planted is left in any table, file
//! or line of the log; of everybody else all is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use data_encoding::HEXLOWER;
use taskwire::pb;
use taskwire::pb::event_service_client::EventServiceClient;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{PASSWORD, authorised};
use crate::support::both_engines;
use crate::support::database::{Engine, TestDatabase};
use crate::support::process::{Sandbox, Service};

both_engines!(
    nothing_is_left_of_who_was_erased,
    every_table_says_what_becomes_of_its_rows,
    who_cannot_be_erased_is_said,
);

/// Tables that hold something of users, from which a deletion takes all of it.
const ERASED: [&str; 16] = [
    "api_keys",
    "emails",
    "identities",
    "login_challenges",
    "mail_tokens",
    "mails",
    "recovery_codes",
    "requests",
    "second_factors",
    "sessions",
    "task_changes",
    "task_lists",
    "tasks",
    "users",
    "webhook_queues",
    "webhooks",
];

/// Tables that go on naming a user by the id, and hold nothing that the user wrote.
const KEPT: [&str; 4] = [
    // For the days that the operator sets.
    "audit_events",
    // That something happened, and at which revision; as long as changes are kept.
    "events",
    "outbox",
    // That tokens are no longer good; two days.
    "revocations",
];

/// Tables that know no users.
const OF_NOBODY: [&str; 8] = [
    "database_state",
    "event_head",
    "event_listeners",
    "guards",
    "job_leases",
    // By hashes with a key; a day.
    "login_throttles",
    "service_secrets",
    // Which migrations were applied.
    "__diesel_schema_migrations",
];

/// What was planted for somebody.
#[derive(Default)]
struct Planted {
    values: Vec<String>,
}

impl Planted {
    /// A value that is found nowhere else, in lower case as it lies in the keys.
    fn plant(&mut self, kind: &str) -> String {
        let value = format!("planted{}x{kind}", uuid::Uuid::new_v4().simple());
        self.values.push(value.clone());
        value
    }
}

fn settings(sandbox: &Sandbox, database: &TestDatabase) -> Vec<String> {
    assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
    assert_eq!(sandbox.run(["keys", "generate-secrets-key", "--out", "secrets.key"]).status, Some(0));
    let flags = [
        ["--database-url", database.url.as_str()],
        ["--signing-key-file", "key.pem"],
        ["--secrets-key-file", "secrets.key"],
        ["--webhook-http", "true"],
        ["--webhook-networks", "127.0.0.0/8"],
    ];
    flags.as_flattened().iter().map(ToString::to_string).collect()
}

/// Somebody who leaves a value wherever a caller can leave one; answers the session and the email that it has in the end.
async fn fill(service: &Service, planted: &mut Planted) -> (pb::TokenPair, String) {
    let email = format!("{}@example.org", planted.plant("email"));
    let user = pb::User { email: email.clone(), display_name: planted.plant("name"), ..pb::User::default() };
    let create = pb::CreateUserRequest {
        user: Some(user),
        password: PASSWORD.to_owned(),
        request_id: uuid::Uuid::new_v4().to_string(),
    };
    service.users().await.create_user(create).await.unwrap();
    let mut pair = pb::TokenPair::default();
    for _ in 0..3 {
        let device = planted.plant("device");
        let login = pb::LoginRequest { email: email.clone(), password: PASSWORD.to_owned(), device };
        pair = service.users().await.login(login).await.unwrap().into_inner();
    }
    for _ in 0..3 {
        let display_name = planted.plant("key");
        let scopes = vec!["tasks.read".to_owned()];
        let api_key = Some(pb::ApiKey { display_name, scopes, ..pb::ApiKey::default() });
        let create = pb::CreateApiKeyRequest { parent: "users/me".to_owned(), api_key };
        service.users().await.create_api_key(authorised(create, &pair)).await.unwrap();
        // Nobody listens there, so that it stays in the queue.
        let url = format!("http://127.0.0.1:9/{}", planted.plant("webhook"));
        let webhook =
            Some(pb::Webhook { url, event_types: vec!["task.*".to_owned()], ..pb::Webhook::default() });
        let create = pb::CreateWebhookRequest { parent: "users/me".to_owned(), webhook };
        let mut events = EventServiceClient::new(service.connect().await);
        events.create_webhook(authorised(create, &pair)).await.unwrap();
    }
    tasks(service, planted, &pair).await;
    let another = format!("{}@example.org", planted.plant("email"));
    let user = pb::User { name: "users/me".to_owned(), email: another.clone(), ..pb::User::default() };
    let update_mask = Some(prost_types::FieldMask { paths: vec!["email".to_owned()] });
    let update = pb::UpdateUserRequest { user: Some(user), update_mask };
    service.users().await.update_user(authorised(update, &pair)).await.unwrap();
    (pair, another)
}

/// Lists and tasks, with texts so long that they fill pages of their own, changed and deleted again.
async fn tasks(service: &Service, planted: &mut Planted, pair: &pb::TokenPair) {
    let mut tasks = service.tasks().await;
    let task_list = Some(pb::TaskList { title: planted.plant("list"), ..pb::TaskList::default() });
    let create = pb::CreateTaskListRequest {
        parent: "users/me".to_owned(),
        task_list,
        ..pb::CreateTaskListRequest::default()
    };
    let task_list = tasks.create_task_list(authorised(create, pair)).await.unwrap().into_inner();
    for number in 0..34 {
        let filling = "\u{1F4DD}".repeat(if number % 3 == 0 { 900 } else { 10 });
        let task = pb::Task {
            title: planted.plant("title"),
            description: Some(format!("{}{filling}", planted.plant("description"))),
            labels: vec![planted.plant("label")],
            annotations: [("note".to_owned(), planted.plant("annotation"))].into(),
            task_list: task_list.name.clone(),
            ..pb::Task::default()
        };
        let create = pb::CreateTaskRequest {
            parent: "users/me".to_owned(),
            task: Some(task),
            request_id: uuid::Uuid::new_v4().to_string(),
            ..pb::CreateTaskRequest::default()
        };
        let made = tasks.create_task(authorised(create, pair)).await.unwrap().into_inner();
        let description = Some(planted.plant("later"));
        let task =
            pb::Task { title: planted.plant("renamed"), description, etag: String::new(), ..made.clone() };
        let paths = vec!["title".to_owned(), "description".to_owned()];
        let update = pb::UpdateTaskRequest {
            task: Some(task),
            update_mask: Some(prost_types::FieldMask { paths }),
            ..pb::UpdateTaskRequest::default()
        };
        tasks.update_task(authorised(update, pair)).await.unwrap();
        if number % 4 == 0 {
            let delete = pb::DeleteTaskRequest { name: made.name, ..pb::DeleteTaskRequest::default() };
            tasks.delete_task(authorised(delete, pair)).await.unwrap();
        }
    }
}

async fn tables(database: &TestDatabase) -> Vec<String> {
    let sql = match database.engine {
        Engine::Sqlite => "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'",
        Engine::Postgres => "select tablename::text from pg_tables where schemaname = 'public'",
    };
    database.query_texts(sql).await
}

/// All columns of all tables: texts as they are, and bytes in hexadecimal digits, in lower case.
async fn dump(database: &TestDatabase) -> BTreeMap<String, String> {
    let mut dump = BTreeMap::new();
    for table in tables(database).await {
        let columns = match database.engine {
            Engine::Sqlite => {
                database.query_texts(&format!("select name from pragma_table_info('{table}')")).await
            }
            Engine::Postgres => vec![format!("{table}::text")],
        };
        let mut text = String::new();
        for column in columns {
            let column = match database.engine {
                Engine::Sqlite => format!("hex({column})"),
                Engine::Postgres => column,
            };
            text += &database.query_texts(&format!("select {column} from {table}")).await.join("\n");
        }
        dump.insert(table, text.to_lowercase());
    }
    dump
}

/// The tables that hold a value, as it is or as bytes.
fn holders<'a>(dump: &'a BTreeMap<String, String>, value: &str) -> Vec<&'a str> {
    let hex = HEXLOWER.encode(value.as_bytes());
    let holds = |(_, text): &(&String, &String)| text.contains(value) || text.contains(&hex);
    dump.iter().filter(holds).map(|(table, _)| table.as_str()).collect()
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if path.is_file() {
            all.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    all
}

/// The values of these that a file holds.
fn found<'a>(file: &[u8], values: &'a [String]) -> Vec<&'a String> {
    let known: BTreeSet<&[u8]> = values.iter().map(|value| &value.as_bytes()[..39]).collect();
    let beginning = b"planted";
    let mut seen = BTreeSet::new();
    for at in 0..file.len().saturating_sub(39) {
        if file[at..].starts_with(beginning) && known.contains(&file[at..at + 39]) {
            seen.insert(file[at..at + 39].to_vec());
        }
    }
    values.iter().filter(|value| seen.contains(&value.as_bytes()[..39])).collect()
}

async fn nothing_is_left_of_who_was_erased(database: TestDatabase) {
    let sandbox = Sandbox::new();
    let settings = settings(&sandbox, &database);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let service = sandbox.serve(&[&settings[..], &["--log", "debug"]].concat());
    service.wait_until(ServingStatus::Serving).await;
    let (mut of_ada, mut of_eve, mut of_bob) = (Planted::default(), Planted::default(), Planted::default());
    let (ada, _) = fill(&service, &mut of_ada).await;
    let (_, eve_email) = fill(&service, &mut of_eve).await;
    fill(&service, &mut of_bob).await;
    assert!(of_ada.values.len() >= 200, "{}", of_ada.values.len());
    // All that lies there is found where it lies; an email that was replaced lies nowhere.
    let before = dump(&database).await;
    for planted in [&of_ada, &of_eve, &of_bob] {
        let missing = planted.values.iter().filter(|value| holders(&before, value).is_empty());
        assert!(missing.count() <= 1);
    }
    let directory = (database.engine == Engine::Sqlite).then(|| database.file().parent().unwrap().to_owned());
    if let Some(directory) = &directory {
        let lie = files(directory).iter().map(|(_, file)| found(file, &of_ada.values).len()).max().unwrap();
        assert!(lie >= 200, "{lie}");
    }

    let user = ada.user.clone().unwrap().name;
    let delete = pb::DeleteUserRequest { name: "users/me".to_owned(), password: PASSWORD.to_owned() };
    service.users().await.delete_user(authorised(delete, &ada)).await.unwrap();
    let erase = [&["user", "erase", &eve_email, "--yes"][..], &settings].concat();
    let erased = sandbox.run(&erase);
    assert_eq!((erased.status, erased.complaints()), (Some(0), Vec::<&str>::new()));
    assert!(erased.stdout.starts_with("erased users/"), "{}", erased.stdout);
    assert!(erased.stdout.ends_with("its audit events are kept for 90 days\n"), "{}", erased.stdout);

    let gone: Vec<String> = of_ada.values.iter().chain(&of_eve.values).cloned().collect();
    let after = dump(&database).await;
    for value in &gone {
        assert_eq!(holders(&after, value), Vec::<&str>::new(), "{value}");
    }
    let lost = of_bob.values.iter().filter(|value| holders(&after, value).is_empty());
    assert!(lost.count() <= 1);
    let id = uuid::Uuid::parse_str(user.strip_prefix("users/").unwrap()).unwrap();
    for spelling in [id.hyphenated().to_string(), HEXLOWER.encode(id.as_bytes())] {
        for (table, text) in &after {
            assert!(KEPT.contains(&table.as_str()) || !text.contains(&spelling), "{table} names the user");
        }
    }
    let trail = format!("select count(*) from audit_events where user_id = {}", database.id(id));
    assert!(database.query_i64(&trail).await > 3);
    database.assert_sound().await;

    if let Some(directory) = &directory {
        // What was read meanwhile does not matter: the log was emptied, and whatever came since is of nobody who went.
        for (name, file) in files(directory) {
            assert_eq!(found(&file, &gone), Vec::<&String>::new(), "{name}");
        }
        let mut bob = files(directory).into_iter().map(|(_, file)| found(&file, &of_bob.values).len());
        assert!(bob.any(|count| count >= 200));
    }
    for (name, file) in files(&sandbox.path("")) {
        assert_eq!(found(&file, &gone), Vec::<&String>::new(), "{name}");
    }
    let ended = service.stop();
    assert_eq!(found((ended.stderr + &ended.stdout).as_bytes(), &gone), Vec::<&String>::new());
}

/// A table that is new fails this, until somebody has thought of whose rows are in it and what becomes of them.
async fn every_table_says_what_becomes_of_its_rows(database: TestDatabase) {
    let mut known: Vec<&str> = [&ERASED[..], &KEPT, &OF_NOBODY].concat();
    known.sort_unstable();
    let mut there = tables(&database).await;
    there.sort_unstable();
    assert_eq!(there, known);
}

async fn who_cannot_be_erased_is_said(database: TestDatabase) {
    let sandbox = Sandbox::new();
    let run = |arguments: &[&str]| {
        sandbox.run([&["user", "erase"], arguments, &["--database-url", &database.url]].concat())
    };
    let nobody = "users/0198c5a4-7d3e-7c41-9b1f-2f6d8a5e4c10";
    for (arguments, status, said) in [
        (&["no address", "--yes"][..], 64, "EMAIL|users/ID: must be an email address, or users/ID"),
        (&["users/7", "--yes"], 64, "EMAIL|users/ID: must be an email address, or users/ID"),
        (&["ada@example.org"], 64, "--yes: must be given where there is no terminal to ask on"),
        (&["ada@example.org", "--yes"], 1, "there is no such user"),
        (&[nobody, "--yes"], 1, "there is no such user"),
    ] {
        let ended = run(arguments);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(status), ""), "{arguments:?}");
        assert_eq!(ended.complaints(), [said], "{arguments:?}");
    }
    let create =
        ["user", "create", "--admin", "--email", "root@example.org", "--database-url", &database.url];
    let made = sandbox.run_with_input(&create, PASSWORD);
    assert_eq!(made.status, Some(0), "{}", made.stderr);
    let kept = run(&["root@example.org", "--yes"]);
    assert_eq!(kept.status, Some(1));
    assert_eq!(kept.complaints().len(), 1, "{}", kept.stderr);
    let name = made.stdout.trim();
    assert_eq!(database.query_i64("select count(*) from users").await, 1, "{name}");
}
