//! The hand-kept `schema.rs` against both migrated databases, and the two against each other.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use taskwire::domain::{Error, TaskWrite};
use taskwire::storage::Invariant;

use super::{Person, at, task};
use crate::support::database::{Engine, TestDatabase};
use crate::support::{both_engines, one_engine};

both_engines!(
    tables_and_columns_are_as_declared,
    primary_keys_are_as_declared,
    indexes_are_the_same_on_both_engines,
    rows_go_with_their_account,
    rows_without_their_user_are_found,
    a_deletion_under_writes_leaves_nothing,
    checks_refuse_what_the_domain_never_writes,
);

one_engine!(Postgres: the_schema_can_be_spread_by_user);

const DECLARED: &str = include_str!("../../../src/storage/schema.rs");

#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) key: Vec<String>,
    /// Name to type and whether it may be null.
    pub(crate) columns: BTreeMap<String, (String, bool)>,
}

/// Reads the `table!` declarations.
pub(crate) fn declared() -> BTreeMap<String, Table> {
    let mut tables = BTreeMap::new();
    for block in DECLARED.split("diesel::table! {").skip(1) {
        let (mut name, mut table, mut renamed) = (String::new(), Table::default(), None);
        for line in block.lines().map(str::trim) {
            if let Some(text) = line.strip_prefix("#[sql_name = \"") {
                renamed = Some(text.trim_end_matches("\"]").to_owned());
            } else if let Some((column, kind)) = line.split_once(" -> ") {
                let kind = kind.trim_end_matches(',');
                let inner = kind.strip_prefix("Nullable<").map(|inner| inner.trim_end_matches('>'));
                let column = renamed.take().unwrap_or_else(|| column.to_owned());
                table.columns.insert(column, (inner.unwrap_or(kind).to_owned(), inner.is_some()));
            } else if let Some((table_name, rest)) = line.split_once(" (") {
                name = table_name.to_owned();
                let key = rest.split(')').next().unwrap();
                table.key = key.split(", ").map(str::to_owned).collect();
            }
        }
        tables.insert(name, table);
    }
    assert!(tables.contains_key("tasks") && tables.len() > 5, "the declarations are not understood");
    tables
}

/// How a declared type is called by the engine.
fn native(engine: Engine, declared: &str) -> &'static str {
    let (postgres, sqlite) = match declared {
        "DbUuid" => ("uuid", "blob"),
        "DbTimestamp" => ("timestamp with time zone", "integer"),
        "DbJson" => ("jsonb", "text"),
        "Text" => ("text", "text"),
        "Binary" => ("bytea", "blob"),
        "Bool" => ("boolean", "boolean"),
        "SmallInt" => ("smallint", "integer"),
        "Integer" => ("integer", "integer"),
        "BigInt" => ("bigint", "integer"),
        other => panic!("{other} is no type of ours"),
    };
    if engine == Engine::Sqlite { sqlite } else { postgres }
}

async fn table_names(database: &TestDatabase) -> BTreeSet<String> {
    let sql = match database.engine {
        Engine::Sqlite => {
            "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\'"
        }
        Engine::Postgres => {
            "select table_name from information_schema.tables where table_schema = 'public' \
             and table_type = 'BASE TABLE'"
        }
    };
    let mut names: BTreeSet<String> = database.query_texts(sql).await.into_iter().collect();
    assert!(names.remove("__diesel_schema_migrations"));
    names
}

async fn tables_and_columns_are_as_declared(database: TestDatabase) {
    let declared = declared();
    assert_eq!(table_names(&database).await, declared.keys().cloned().collect());
    for (name, table) in declared {
        let sql = match database.engine {
            Engine::Sqlite => {
                format!(
                    "select name || '|' || lower(type) || '|' || (\"notnull\" = 0) from pragma_table_info('{name}')"
                )
            }
            Engine::Postgres => format!(
                "select column_name || '|' || data_type || '|' || (is_nullable = 'YES')::int \
                 from information_schema.columns where table_schema = 'public' and table_name = '{name}'"
            ),
        };
        let found: BTreeSet<String> = database.query_texts(&sql).await.into_iter().collect();
        let expected = table.columns.iter().map(|(column, (kind, nullable))| {
            format!("{column}|{}|{}", native(database.engine, kind), u8::from(*nullable))
        });
        assert_eq!(found, expected.collect(), "{name}");
    }
}

async fn primary_keys_are_as_declared(database: TestDatabase) {
    for (name, table) in declared() {
        let sql = match database.engine {
            Engine::Sqlite => {
                format!("select name from pragma_table_info('{name}') where pk > 0 order by pk")
            }
            Engine::Postgres => format!(
                "select attname from pg_index, unnest(indkey) with ordinality as key (number, place), pg_attribute \
                 where indrelid = '{name}'::regclass and indisprimary and attrelid = indrelid \
                 and attnum = number order by place"
            ),
        };
        assert_eq!(database.query_texts(&sql).await, table.key, "{name}");
    }
}

/// An index as both engines would spell it: which columns, of which rows; not of which kind it is.
fn plain(definition: &str) -> String {
    let words = definition.to_lowercase().replace("public.", "").replace('"', "");
    let words = words.replace("using btree ", "").replace("using brin ", "");
    let words = words.split(" with (").next().unwrap();
    // Of columns that are never null.
    let words = words.replace(" nulls first", "");
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    // PostgreSQL puts conditions into parentheses.
    match words.split_once(" where (") {
        Some((columns, conditions)) => {
            let conditions = conditions.trim_matches(['(', ')']).replace(") and (", " and ");
            format!("{columns} where {conditions}")
        }
        None => words,
    }
}

/// The indexes that the migrations of this engine make.
fn migrated(engine: Engine) -> BTreeSet<String> {
    let mut indexes = BTreeSet::new();
    for source in super::migrations::sources(engine) {
        let text = std::fs::read_to_string(source.join("up.sql")).unwrap();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
        let text = lines.collect::<Vec<_>>().join("\n");
        for statement in text.split(';').map(plain) {
            if let Some(name) = statement.strip_prefix("drop index ") {
                indexes.retain(|index: &String| !index.starts_with(&format!("create index {name} ")));
            } else if let Some(table) = statement.strip_prefix("drop table ") {
                indexes.retain(|index| !index.contains(&format!(" on {table} (")));
            } else if statement.starts_with("create index") {
                indexes.insert(statement);
            }
        }
    }
    indexes
}

async fn indexes_are_the_same_on_both_engines(database: TestDatabase) {
    let sql = match database.engine {
        Engine::Sqlite => "select sql from sqlite_master where type = 'index' and sql is not null",
        Engine::Postgres => {
            "select indexdef from pg_indexes where schemaname = 'public' and indexname not like '%\\_pkey'"
        }
    };
    let found: BTreeSet<String> = database.query_texts(sql).await.iter().map(|sql| plain(sql)).collect();
    // Of an expression, which each engine has in words of its own.
    let is_plain = |index: &String| !index.starts_with("create index tasks_remind_idx ");
    let all = found.len();
    let found: BTreeSet<String> = found.into_iter().filter(is_plain).collect();
    assert_eq!(found.len() + 1, all);
    for list in ["", "completed, priority, "] {
        let name = format!("tasks_live_{}idx", list.replace(", ", "_"));
        let columns = format!("(user_id, {list}create_time, task_id)");
        let index = format!("create index {name} on tasks {columns} where delete_time is null");
        assert!(found.contains(&index), "no {index} in {found:#?}");
    }
    for engine in [Engine::Sqlite, Engine::Postgres] {
        assert_eq!(found, migrated(engine).into_iter().filter(is_plain).collect());
    }
}

async fn rows_go_with_their_account(database: TestDatabase) {
    let (ada, bob) = (Person::new(&database, "ada").await, Person::new(&database, "bob").await);
    for person in [&ada, &bob] {
        person.create(task("one"), at(1)).await;
    }
    database.storage.users().delete(ada.user(), at(2)).await.unwrap();
    for table in ["tasks", "task_changes"] {
        assert_eq!(database.query_i64(&format!("select count(*) from {table}")).await, 1, "{table}");
    }
    bob.check_books(&database).await;
    database.assert_sound().await;
}

/// Nobody's rows, as only hands or a fault could leave them, are found among those of many users.
async fn rows_without_their_user_are_found(database: TestDatabase) {
    let mut people = Vec::new();
    for number in 0..20 {
        people.push(Person::new(&database, &format!("user{number}")).await);
    }
    for person in &people {
        person.create(task("one"), at(1)).await;
        person.create(task("two"), at(2)).await;
    }
    database.assert_sound().await;
    assert_eq!(database.storage.check().await.unwrap().owners, 40);
    let mut raw = database.raw().await;
    let gone = [&people[3], &people[17]].map(Person::user);
    for user in gone {
        raw.execute(&format!("delete from users where id = {}", database.id(user.uuid()))).await;
    }
    raw.execute(&format!("delete from tasks where user_id = {}", database.id(gone[1].uuid()))).await;
    let found = database.storage.check().await.unwrap().found;
    let of_users = found.into_iter().filter(|found| found.invariant == Invariant::Owners);
    let mut found: Vec<(&str, String)> = of_users.map(|found| (found.table, found.key)).collect();
    found.sort();
    let key = |user: taskwire::domain::UserId| format!("users/{}", user.uuid());
    let mut expected: Vec<(&str, String)> = gone.map(|user| ("task_changes", key(user))).into();
    expected.sort();
    expected.push(("tasks", key(gone[0])));
    assert_eq!(found, expected);
}

/// Writers that go on while their account is deleted leave nothing behind, whichever of their writes still succeed.
async fn a_deletion_under_writes_leaves_nothing(database: TestDatabase) {
    for round in 0..5 {
        let person = Person::new(&database, &format!("writer{round}")).await;
        let write = async |number: i64| {
            person.write(TaskWrite::Create(Box::new(task("more"))), at(number)).await.is_ok()
        };
        let writers = join_all((0..40).map(write));
        let users = database.storage.users();
        let (_, deleted) = tokio::join!(writers, users.delete(person.user(), at(1)));
        deleted.unwrap();
        assert_eq!(
            person.write(TaskWrite::Create(Box::new(task("late"))), at(99)).await,
            Err(Error::SessionRevoked)
        );
    }
    database.assert_sound().await;
    assert_eq!(database.storage.check().await.unwrap().owners, 0);
}

async fn checks_refuse_what_the_domain_never_writes(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("sound"), at(1)).await;
    let mut raw = database.raw().await;
    let mut refused = vec![
        "update tasks set priority = 0".to_owned(),
        "update tasks set priority = 4".to_owned(),
        "update tasks set title = null".to_owned(),
        "update tasks set completed = null".to_owned(),
        "update users set role = 3".to_owned(),
        "update users set kind = 3".to_owned(),
        "update task_changes set type = 0".to_owned(),
        "update task_changes set type = 6".to_owned(),
        "insert into emails select email_key, user_id from emails".to_owned(),
    ];
    if database.engine == Engine::Sqlite {
        raw.execute("pragma foreign_keys = on").await;
        refused.push("update tasks set completed = 2".to_owned());
        refused.push("update tasks set task_id = x'00'".to_owned());
        refused.push("update tasks set user_id = x'00'".to_owned());
        refused.push("insert into emails (email_key, user_id) values ('x', 'not a uuid')".to_owned());
    }
    for sql in refused {
        assert!(raw.try_execute(&sql).await.is_err(), "{sql}");
    }
    assert_eq!(ada.find(created.id).await, Ok(created));
}

/// What a Citus asks of tables that are spread: see `storage/engine/distribution.rs`.
async fn the_schema_can_be_spread_by_user(database: TestDatabase) {
    let spread = [
        ("users", "id"),
        ("sessions", "user_id"),
        ("api_keys", "user_id"),
        ("second_factors", "user_id"),
        ("recovery_codes", "user_id"),
        ("login_challenges", "user_id"),
        ("mails", "user_id"),
        ("mail_tokens", "user_id"),
        ("tasks", "user_id"),
        ("task_lists", "user_id"),
        ("task_changes", "user_id"),
        ("requests", "user_id"),
        ("audit_events", "user_id"),
        ("outbox", "user_id"),
        ("events", "user_id"),
        ("webhooks", "user_id"),
        ("webhook_queues", "user_id"),
        ("emails", "email_key"),
        ("identities", "identity_key"),
        ("login_throttles", "throttle_key"),
    ];
    // A table that is new has to be thought about: it is spread, or stays on one server.
    let local = ["database_state", "event_head", "guards", "job_leases", "revocations", "service_secrets"];
    let everywhere = ["event_listeners"];
    let all = spread.iter().map(|(table, _)| *table).chain(local).chain(everywhere);
    let all: BTreeSet<String> = all.map(Into::into).collect();
    assert_eq!(table_names(&database).await, all);
    for (table, by) in spread {
        // What is unique is so among the rows of one server.
        let elsewhere = format!(
            "select indexrelid::regclass::text from pg_index where indrelid = '{table}'::regclass and indisunique \
             and not (select attnum from pg_attribute where attrelid = indrelid and attname = '{by}') = any (indkey)"
        );
        assert_eq!(database.query_texts(&elsewhere).await, [""; 0], "{table}");
        // What is referred to is on the same server: the row of the user, by the user.
        let refers = format!(
            "select pg_get_constraintdef(oid) from pg_constraint where contype = 'f' and conrelid = '{table}'::regclass"
        );
        for definition in database.query_texts(&refers).await {
            assert!(
                definition.starts_with("FOREIGN KEY (user_id) REFERENCES users(id)"),
                "{table}: {definition}"
            );
        }
    }
    for forbidden in [
        // Those of an extension are not ours.
        "select tgname::text from pg_trigger join pg_class on pg_class.oid = tgrelid where not tgisinternal \
         and relnamespace = 'public'::regnamespace",
        "select relname::text from pg_class where relkind = 'S' and relnamespace = 'public'::regnamespace",
    ] {
        assert_eq!(database.query_texts(forbidden).await, [""; 0], "{forbidden}");
    }
}
