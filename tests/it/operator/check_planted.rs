//! Whatever can be wrong in a database, put there by a statement: `taskwire check` finds it, names it without what is in it, and
//! finds nothing once it is taken away again.

use taskwire::domain::Timestamp;
use taskwire::pb;
use taskwire::storage::Invariant::{self, *};

use super::check::{create, hook, list, titled};
use crate::events::receiver::Receiver;
use crate::support::both_engines;
use crate::support::database::{Engine, TestDatabase};
use crate::support::server::TestServer;

both_engines!(whatever_is_planted_is_found_and_named);

/// What does not hold, the table, what the key ends with, a statement that plants it and one that takes it away. Words with a
/// `$` stand for what this engine calls it; `$T` for the columns of a task's key, `$L` for those of a list's.
type Planted = (Invariant, &'static str, &'static str, &'static str, &'static str);

const USERS: [Planted; 10] = [
    (
        Owners,
        "task_changes",
        "#none",
        "insert into task_changes (user_id, revision, type, task_id, fields, create_time) values ($none, 1, 1, $alone, 0, $time)",
        "delete from task_changes where user_id = $none",
    ),
    (
        Revisions,
        "task_changes",
        "#user",
        "update task_changes set revision = 1000 where user_id = $user and revision = 2",
        "update task_changes set revision = 2 where user_id = $user and revision = 1000",
    ),
    (
        Revisions,
        "task_changes",
        "#user",
        "update users set compacted_revision = compacted_revision + 1 where id = $user",
        "update users set compacted_revision = compacted_revision - 1 where id = $user",
    ),
    (
        Revisions,
        "task_changes",
        "#user",
        "update users set revision = revision + 1 where id = $user",
        "update users set revision = revision - 1 where id = $user",
    ),
    (
        Counters,
        "users",
        "#user",
        "update users set live_tasks = live_tasks + 1 where id = $user",
        "update users set live_tasks = live_tasks - 1 where id = $user",
    ),
    (
        Flags,
        "users",
        "#user",
        "update users set listened = not listened where id = $user",
        "update users set listened = not listened where id = $user",
    ),
    (
        Flags,
        "users",
        "#user",
        "update users set totp_enabled = not totp_enabled where id = $user",
        "update users set totp_enabled = not totp_enabled where id = $user",
    ),
    (
        Emails,
        "users",
        "#user",
        "update emails set email_key = 'Ada@example.org' where user_id = $user",
        "update emails set email_key = 'ada@example.org' where user_id = $user",
    ),
    (
        Emails,
        "users",
        "#user",
        "update users set email = 'eve@example.org' where id = $user",
        "update users set email = 'ada@example.org' where id = $user",
    ),
    (
        Emails,
        "emails",
        "#none",
        "insert into emails (email_key, user_id) values ('eve@example.org', $none)",
        "delete from emails where email_key = 'eve@example.org'",
    ),
];

const LOG: [Planted; 7] = [
    (
        Log,
        "tasks",
        "#alone",
        "update tasks set revision = revision - 1 where $T = $alone",
        "update tasks set revision = revision + 1 where $T = $alone",
    ),
    (
        Log,
        "tasks",
        "#alone",
        "update tasks set revision = 1000 where $T = $alone",
        "update tasks set revision = $revision where $T = $alone",
    ),
    (
        Log,
        "tasks",
        "#alone",
        "update tasks set priority = 3 where $T = $alone",
        "update tasks set priority = 2 where $T = $alone",
    ),
    (
        Log,
        "tasks",
        "#alone",
        "update tasks set task_id = $none where $T = $alone",
        "update tasks set task_id = $alone where $T = $none",
    ),
    (
        Log,
        "task_lists",
        "#other",
        "update task_lists set revision = revision - 1 where $L = $other",
        "update task_lists set revision = revision + 1 where $L = $other",
    ),
    (
        Log,
        "task_lists",
        "#other",
        "update task_lists set list_id = $none where $L = $other",
        "update task_lists set list_id = $other where $L = $none",
    ),
    (
        Log,
        "task_lists",
        "#other",
        "update task_lists set title = 'x' where $L = $other",
        "update task_lists set title = 'another' where $L = $other",
    ),
];

const ROWS: [Planted; 18] = [
    (
        Rows,
        "tasks",
        "#alone",
        "update tasks set complete_time = $time where $T = $alone",
        "update tasks set complete_time = null where $T = $alone",
    ),
    (
        Rows,
        "tasks",
        "#alone",
        "update tasks set purge_time = $time where $T = $alone",
        "update tasks set purge_time = null where $T = $alone",
    ),
    (
        Rows,
        "tasks",
        "#alone",
        "update tasks set title = '' where $T = $alone",
        "update tasks set title = 'Secret' where $T = $alone",
    ),
    (
        Rows,
        "tasks",
        "#alone",
        "update tasks set details = '{\"due_day\": \"secret\"}' where $T = $alone",
        "update tasks set details = null where $T = $alone",
    ),
    (
        Rows,
        "task_lists",
        "#list",
        "update task_lists set unfinished = 1 where $L = $list",
        "update task_lists set unfinished = null where $L = $list",
    ),
    (
        Keys,
        "tasks",
        "#alone",
        "update tasks set title_key = 'Secret' where $T = $alone",
        "update tasks set title_key = 'secret' where $T = $alone",
    ),
    (
        Keys,
        "tasks",
        "#alone",
        "update tasks set description_key = null where $T = $alone",
        "update tasks set description_key = 'secret' where $T = $alone",
    ),
    (
        Subtasks,
        "tasks",
        "#parent",
        "update tasks set details = '{\"subtasks\": [1, 1]}' where $T = $parent",
        "update tasks set details = $noted where $T = $parent",
    ),
    (
        Subtasks,
        "tasks",
        "#parent",
        "update tasks set details = null where $T = $parent",
        "update tasks set details = $noted where $T = $parent",
    ),
    (
        Parents,
        "tasks",
        "#child",
        "update tasks set parent_id = $none where $T = $child",
        "update tasks set parent_id = $parent where $T = $child",
    ),
    (
        Parents,
        "tasks",
        "#child",
        "update tasks set list_id = $other where $T = $child",
        "update tasks set list_id = $list where $T = $child",
    ),
    (
        Parents,
        "tasks",
        "#child",
        "update tasks set parent_id = $alone where $T = $parent",
        "update tasks set parent_id = null where $T = $parent",
    ),
    (
        Parents,
        "tasks",
        "#child",
        "update tasks set delete_time = $time where $T = $parent",
        "update tasks set delete_time = null where $T = $parent",
    ),
    (
        Lists,
        "tasks",
        "#alone",
        "update tasks set list_id = $none where $T = $alone",
        "update tasks set list_id = null where $T = $alone",
    ),
    (
        Lists,
        "tasks",
        "#parent",
        "update task_lists set delete_time = $time where $L = $list",
        "update task_lists set delete_time = null where $L = $list",
    ),
    (
        Positions,
        "tasks",
        "#alone",
        "update tasks set position = 'a b' where $T = $alone",
        "update tasks set position = $place where $T = $alone",
    ),
    (
        Positions,
        "task_lists",
        "#list",
        "update task_lists set position = '' where $L = $list",
        "update task_lists set position = $one_place where $L = $list",
    ),
    (
        Positions,
        "task_lists",
        "",
        "update task_lists set position = $one_place where $L = $other",
        "update task_lists set position = $other_place where $L = $other",
    ),
];

const BESIDE: [Planted; 11] = [
    (
        Identities,
        "identities",
        "#none",
        "insert into identities (identity_key, user_id, issuer, subject, create_time) values ($bytes, $none, '', '', $time)",
        "delete from identities",
    ),
    (
        Identities,
        "requests",
        "#none",
        "insert into requests (user_id, request_id, fingerprint, answer, create_time, made_user_id) \
         values ($zero, $alone, $bytes, $bytes, $time, $none)",
        "delete from requests where made_user_id = $none",
    ),
    (
        Events,
        "events",
        "number 2",
        "update events set number = 1000 where number = 2",
        "update events set number = 2 where number = 1000",
    ),
    (
        Events,
        "events",
        "number 1000",
        "update events set number = 1000 where number = 2",
        "update events set number = 2 where number = 1000",
    ),
    (
        Events,
        "event_head",
        "event_head/1",
        "update event_head set swept_number = swept_number + 1000",
        "update event_head set swept_number = swept_number - 1000",
    ),
    (
        Events,
        "events",
        "",
        "update event_head set last_number = last_number + 1",
        "update event_head set last_number = last_number - 1",
    ),
    (
        Events,
        "events",
        "",
        "update events set last_revision = 1000 where number = 1",
        "update events set last_revision = revision where number = 1",
    ),
    (
        Events,
        "outbox",
        "#alone",
        "insert into outbox (user_id, revision, id, last_revision, kind, create_time) \
         values ($user, 1, $alone, 1000000, 1, $time)",
        "delete from outbox where user_id = $user",
    ),
    (
        Queues,
        "webhook_queues",
        "#none",
        "insert into webhook_queues (user_id, webhook_id, owner_id, next_number, last_number, next_revision, attempts) \
         values ($user, $none, $user, 1, 1, 0, 0)",
        "delete from webhook_queues where user_id = $user",
    ),
    (
        Queues,
        "webhook_queues",
        "#hook",
        "insert into webhook_queues (user_id, webhook_id, owner_id, next_number, last_number, next_revision, attempts) \
         values ($user, $hook, $user, 1, 1000, 0, 0)",
        "delete from webhook_queues where user_id = $user",
    ),
    (
        Queues,
        "webhook_queues",
        "#hook",
        "insert into webhook_queues (user_id, webhook_id, owner_id, next_number, last_number, next_revision, attempts) \
         values ($user, $hook, $user, 3, 1, 0, 0)",
        "delete from webhook_queues where user_id = $user",
    ),
];

/// What the words of the statements stand for, and those of the keys.
struct Words {
    sql: Vec<(&'static str, String)>,
    keys: Vec<(&'static str, String)>,
}

impl Words {
    fn write(words: &[(&'static str, String)], mark: char, text: &str) -> String {
        let mut words: Vec<_> = words.iter().collect();
        // The longer ones first, of which others are the beginning.
        words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        words
            .iter()
            .fold(text.to_owned(), |text, (word, value)| text.replace(&format!("{mark}{word}"), value))
    }
}

/// Somebody with a bit of everything, of which all was told.
async fn world(server: &TestServer) -> Words {
    let receiver = Receiver::start().await;
    let ada = server.register("ada@example.org").await;
    let webhook = hook(&ada, &receiver).await;
    let (one, other) = (list(&ada, "secret list").await, list(&ada, "another").await);
    let parent = create(&ada, pb::Task { task_list: one.name.clone(), ..titled("secret parent") }).await;
    let child = create(&ada, pb::Task { parent_task: parent.name.clone(), ..titled("secret child") }).await;
    let alone = pb::Task { description: Some("Secret".to_owned()), ..titled("Secret") };
    let alone = create(&ada, alone).await;
    let database = &server.database;
    crate::storage::eventually("all is told", async || {
        let left = "select (select count(*) from outbox) + (select count(*) from webhook_queues)";
        database.query_i64(left).await == 0
    })
    .await;
    let names = [
        ("user", ada.user.as_str()),
        ("list", &one.name),
        ("other", &other.name),
        ("parent", &parent.name),
        ("child", &child.name),
        ("alone", &alone.name),
        ("hook", &webhook.name),
        ("none", "users/0198c0de-0000-7000-8000-000000000007"),
        ("zero", "users/00000000-0000-0000-0000-000000000000"),
    ];
    let id = |name: &str| name.rsplit('/').next().unwrap().parse::<uuid::Uuid>().unwrap();
    let mut words = Words {
        sql: names.iter().map(|(word, name)| (*word, database.id(id(name)))).collect(),
        keys: names.iter().map(|(word, name)| (*word, id(name).to_string())).collect(),
    };
    let user = database.id(id(&ada.user));
    words.sql.push(("T", format!("user_id = {user} and task_id")));
    words.sql.push(("L", format!("user_id = {user} and list_id")));
    words.sql.push(("time", database.time(Timestamp::from_parts(1, 0).unwrap())));
    let bytes = if database.engine == Engine::Sqlite { "x'01'" } else { "'\\x01'::bytea" };
    words.sql.push(("bytes", bytes.to_owned()));
    for (word, of) in [
        ("revision", "revision from tasks where $T = $alone"),
        ("place", "position from tasks where $T = $alone"),
        ("one_place", "position from task_lists where $L = $list"),
        ("other_place", "position from task_lists where $L = $other"),
        ("noted", "details from tasks where $T = $parent"),
    ] {
        let value = database.query_text(&Words::write(&words.sql, '$', &format!("select {of}"))).await;
        words.sql.push((word, format!("'{value}'")));
    }
    words
}

async fn whatever_is_planted_is_found_and_named(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let words = world(&server).await;
    let database = server.stop().await;
    database.assert_sound().await;
    let mut raw = database.raw().await;
    let all = USERS.iter().chain(&LOG).chain(&ROWS).chain(&BESIDE);
    for (invariant, table, key, plant, mend) in all {
        let key = Words::write(&words.keys, '#', key);
        let (plant, mend) = (Words::write(&words.sql, '$', plant), Words::write(&words.sql, '$', mend));
        raw.execute(&plant).await;
        let findings = database.storage.check().await.unwrap();
        let is_named = findings
            .found
            .iter()
            .any(|found| found.invariant == *invariant && found.table == *table && found.key.ends_with(&key));
        assert!(is_named, "{plant}: {invariant:?} {key}: {:?}", findings.found);
        let said = format!("{findings:?}").to_lowercase();
        assert!(!said.contains("secret") && !said.contains("example.org"), "{plant}: {said}");
        raw.execute(&mend).await;
        let findings = database.storage.check().await.unwrap();
        assert!(findings.is_sound(), "{mend}: {:?}", findings.found);
    }
}
