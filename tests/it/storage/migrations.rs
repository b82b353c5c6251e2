//! Migrations: applied once, by whoever comes first, and compared before anything is served.

use std::path::{Path, PathBuf};

use taskwire::storage::{OpenError, SchemaState, Storage};
use tokio::task::JoinSet;

use super::{Person, at, new_user, task};
use crate::support::database::{Engine, Schema, TestDatabase, limits};
use crate::support::{both_engines, one_engine};

both_engines!(empty:
    fresh_database_is_behind,
    migrating_applies_everything_once,
    replicas_migrate_at_once,
    failed_migration_leaves_nothing_behind,
    down_and_up_again,
);
one_engine!(Postgres: forms_for_clusters_lead_to_the_same_schema);
both_engines!(
    migrated_database_is_current,
    migrated_data_survives_another_migrate,
    newer_database_is_refused,
    newer_database_that_fits_is_used,
    missing_version_is_behind,
    keys_of_emails_are_made_anew,
    tasks_get_places_in_the_order_of_their_creation,
);

/// The migrations of this engine in the source tree, oldest first.
pub(super) fn sources(engine: Engine) -> Vec<PathBuf> {
    let name = if engine == Engine::Sqlite { "sqlite" } else { "postgres" };
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("migrations").join(name);
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut sources: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    sources.sort();
    sources
}

fn pending(state: &SchemaState) -> usize {
    state.migrations.iter().filter(|migration| !migration.applied).count()
}

async fn schema(database: &TestDatabase) -> Vec<String> {
    let sql = match database.engine {
        Engine::Sqlite => {
            "select type || ' ' || name || ' ' || coalesce(sql, '') from sqlite_master \
             where name not like '\\_\\_diesel%' escape '\\' and tbl_name not like '\\_\\_diesel%' escape '\\' \
             order by type, name"
        }
        Engine::Postgres => {
            "select table_name || ' ' || column_name || ' ' || data_type || ' ' || is_nullable \
             from information_schema.columns where table_schema = 'public' and table_name not like '\\_\\_diesel%' \
             and table_name not like 'citus\\_%' \
             union all select indexdef from pg_indexes where schemaname = 'public' \
             and tablename not like '\\_\\_diesel%' \
             union all select conrelid::regclass || ' ' || pg_get_constraintdef(oid) from pg_constraint \
             where connamespace = 'public'::regnamespace and conrelid <> '__diesel_schema_migrations'::regclass \
             order by 1"
        }
    };
    database.query_texts(sql).await
}

async fn check_usable(storage: &Storage) {
    let name = format!("{}@example.org", taskwire::domain::UserId::generate());
    assert!(storage.users().create(new_user(&name), "hash".into(), at(0)).await.is_ok());
}

async fn fresh_database_is_behind(database: TestDatabase) {
    let state = database.storage.schema_state().await.unwrap();
    let count = sources(database.engine).len();
    assert_eq!((state.migrations.len(), pending(&state)), (count, count));
    assert!(state.unknown.is_empty());
    assert_eq!(state.check(), Err(OpenError::SchemaBehind { pending: count }));
    // Asking changes nothing.
    assert_eq!(database.storage.schema_state().await, Ok(state));
}

async fn migrating_applies_everything_once(database: TestDatabase) {
    let expected: Vec<String> = sources(database.engine)
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    let before = database.storage.schema_state().await.unwrap();
    let names: Vec<&String> = before.migrations.iter().map(|migration| &migration.name).collect();
    assert_eq!(names, expected.iter().collect::<Vec<_>>());

    let applied = database.storage.migrate().await.unwrap();
    assert_eq!(applied.len(), expected.len());
    let state = database.storage.schema_state().await.unwrap();
    assert_eq!(state.check(), Ok(()));
    assert_eq!(database.storage.migrate().await, Ok(vec![]), "the second time there is nothing to do");
    assert_eq!(database.storage.schema_state().await, Ok(state));
    check_usable(&database.storage).await;
}

async fn replicas_migrate_at_once(database: TestDatabase) {
    for round in 0..5 {
        let database = TestDatabase::create(database.engine, Schema::Empty).await.unwrap();
        let mut racing = JoinSet::new();
        for _ in 0..4 {
            let replica = database.open(limits());
            racing.spawn(async move {
                let applied = replica.migrate().await;
                (applied, replica.schema_state().await.map(|state| state.check()))
            });
        }
        let mut count = 0;
        for (applied, state) in racing.join_all().await {
            count += applied.unwrap_or_else(|error| panic!("round {round}: {error}")).len();
            assert_eq!(state, Ok(Ok(())), "whoever has migrated finds a current schema");
        }
        assert!(count <= sources(database.engine).len(), "nothing is applied twice");
        check_usable(&database.storage).await;
    }
}

async fn failed_migration_leaves_nothing_behind(database: TestDatabase) {
    // Something of that name is there already, so that the first migration fails in the middle.
    database.execute("create table service_secrets (something_else integer)").await;
    let failed = database.storage.migrate().await;
    assert!(matches!(failed, Err(OpenError::Migration(_))), "{failed:?}");
    assert!(matches!(
        database.storage.schema_state().await.unwrap().check(),
        Err(OpenError::SchemaBehind { .. })
    ));
    database.execute("drop table service_secrets").await;
    assert_eq!(schema(&database).await, Vec::<String>::new());
    assert!(database.storage.migrate().await.is_ok());
    check_usable(&database.storage).await;
}

async fn down_and_up_again(database: TestDatabase) {
    let read = |path: &PathBuf, name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    database.storage.migrate().await.unwrap();
    let migrated = schema(&database).await;
    assert!(!migrated.is_empty());
    check_usable(&database.storage).await;
    for source in sources(database.engine).iter().rev() {
        database.execute(&read(source, "down.sql")).await;
    }
    assert_eq!(schema(&database).await, Vec::<String>::new(), "nothing is left");
    for source in sources(database.engine) {
        database.execute(&read(&source, "up.sql")).await;
    }
    assert_eq!(schema(&database).await, migrated);
    let fresh = database.open(limits());
    assert_eq!(fresh.schema_state().await.unwrap().check(), Ok(()));
    check_usable(&fresh).await;
}

/// The step of this name as it is for tables that are spread over several servers, where that is another one.
fn form_for_clusters(source: &Path) -> Option<PathBuf> {
    let form = source.ancestors().nth(2).unwrap().join("citus").join(source.file_name().unwrap());
    form.exists().then_some(form)
}

async fn forms_for_clusters_lead_to_the_same_schema(database: TestDatabase) {
    let read = |path: &Path, name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    let migrated = schema(&database).await;
    for source in sources(database.engine).iter().rev() {
        database.execute(&read(source, "down.sql")).await;
    }
    let mut forms = 0;
    for source in sources(database.engine) {
        let form = form_for_clusters(&source);
        forms += usize::from(form.is_some());
        database.execute(&read(&form.unwrap_or(source), "up.sql")).await;
    }
    assert!(forms > 0, "the forms are not found");
    assert_eq!(schema(&database).await, migrated);
}

/// Citus refuses it in one command, where the table is spread.
#[test]
fn no_column_comes_together_with_its_constraint_on_clusters() {
    let mut refused = Vec::new();
    for source in sources(Engine::Postgres) {
        let source = form_for_clusters(&source).unwrap_or(source);
        let text = std::fs::read_to_string(source.join("up.sql")).unwrap().to_lowercase();
        let adds_both = |statement: &str| {
            statement.contains("alter table")
                && statement.contains("add column")
                && ["check (", "unique", "primary key", "references"]
                    .iter()
                    .any(|word| statement.contains(word))
        };
        if text.split(';').any(adds_both) {
            refused.push(source.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    assert_eq!(refused, Vec::<String>::new());
}

async fn migrated_database_is_current(database: TestDatabase) {
    let state = database.storage.schema_state().await.unwrap();
    assert_eq!(state.check(), Ok(()));
    assert_eq!(pending(&state), 0);
    assert!(state.unknown.is_empty());
}

async fn migrated_data_survives_another_migrate(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let created = ada.create(task("kept"), at(1)).await;
    assert_eq!(database.storage.migrate().await, Ok(vec![]));
    assert_eq!(ada.find(created.id).await, Ok(created));
}

/// As newer programs would have left it.
async fn plant(database: &TestDatabase, versions: &[&str], compatible_from: &str) {
    for version in versions {
        let plant = format!("insert into __diesel_schema_migrations (version) values ('{version}')");
        database.execute(&plant).await;
    }
    let plant = format!("update database_state set compatible_from = '{compatible_from}'");
    database.execute(&plant).await;
}

async fn newer_database_that_fits_is_used(database: TestDatabase) {
    let own = sources(database.engine).pop().unwrap();
    let own = own.file_name().unwrap().to_str().unwrap().replace('-', "");
    let (own, _) = own.split_once('_').unwrap();
    plant(&database, &["99990101000000"], own).await;
    database.execute("alter table tasks add column of_a_newer_program integer").await;
    let state = database.storage.schema_state().await.unwrap();
    assert_eq!((state.check(), state.unknown.as_slice()), (Ok(()), &["99990101000000".to_owned()][..]));
    assert_eq!(database.storage.migrate().await, Ok(vec![]));
    check_usable(&database.storage).await;

    // One that lacks something of its own is not for this program to mend.
    database.execute(&format!("delete from __diesel_schema_migrations where version = '{own}'")).await;
    let ahead = Err(OpenError::SchemaAhead { version: "99990101000000".into() });
    assert_eq!(database.storage.migrate().await.map(|_| ()), ahead);
}

async fn newer_database_is_refused(database: TestDatabase) {
    let versions = ["99990101000000", "99990102000000"];
    plant(&database, &versions, versions[0]).await;
    let state = database.storage.schema_state().await.unwrap();
    assert_eq!(state.unknown, versions);
    let ahead = Err(OpenError::SchemaAhead { version: versions[1].into() });
    assert_eq!(state.check(), ahead);
    assert_eq!(database.storage.migrate().await.map(|_| ()), ahead);

    // Newer in one respect and older in another: it is not for this program to mend.
    database.execute("delete from __diesel_schema_migrations where version < '9999'").await;
    assert_eq!(database.storage.migrate().await.map(|_| ()), ahead);
}

async fn missing_version_is_behind(database: TestDatabase) {
    database
        .execute("delete from __diesel_schema_migrations where version = (select max(version) from __diesel_schema_migrations)")
        .await;
    let state = database.storage.schema_state().await.unwrap();
    assert_eq!(state.check(), Err(OpenError::SchemaBehind { pending: 1 }));
}

/// As the version before left them: a domain in the spelling of the Domain Name System had a key of its own.
async fn keys_of_emails_are_made_anew(database: TestDatabase) {
    let mut users = Vec::new();
    for (email, key) in [
        ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("bob@example.com", "bob@example.com"),
        ("eva@bücher.example", "eva@bücher.example"),
        ("xn--a@example.com", "xn--a@example.com"),
    ] {
        let user = database.storage.users().create(new_user(email), "hash".into(), at(0)).await.unwrap();
        let id = database.id(user.id.uuid());
        // Taken out and put in: where they are spread, it is by this key.
        database.execute(&format!("delete from emails where user_id = {id}")).await;
        database.execute(&format!("insert into emails (email_key, user_id) values ('{key}', {id})")).await;
        users.push(user);
    }
    take_back(&database, "lists").await;
    let storage = database.open(limits());
    assert!(!storage.migrate().await.unwrap().is_empty());
    let keys = database.query_texts("select email_key from emails order by email_key").await;
    assert_eq!(keys, ["ada@bücher.example", "bob@example.com", "eva@bücher.example", "xn--a@example.com"]);
    for user in users {
        let found = storage.users().find_by_email(&user.email).await.unwrap().unwrap();
        assert_eq!(found.user.id, user.id);
    }
}

async fn tasks_get_places_in_the_order_of_their_creation(database: TestDatabase) {
    use super::{Person, query, task, titles};
    use taskwire::domain::{OrderField, OrderKey, TaskOrder, TaskQuery};
    let (ada, bob) = (Person::new(&database, "ada").await, Person::new(&database, "bob").await);
    for (number, title) in ["a", "b", "c"].into_iter().enumerate() {
        // The last one is the oldest.
        let now = at(if title == "c" { 1 } else { 10 + i64::try_from(number).unwrap() });
        ada.create(task(title), now).await;
        bob.create(task(title), now).await;
    }
    let gone = bob.create(task("gone"), at(2)).await;
    bob.delete(gone.id, at(3)).await.unwrap();
    take_back(&database, "lists").await;
    let storage = database.open(limits());
    storage.migrate().await.unwrap();

    let order = TaskOrder::by(vec![OrderKey { field: OrderField::Position, descending: false }]).unwrap();
    let query = TaskQuery { order, show_deleted: true, ..query() };
    for person in [&ada, &bob] {
        let person = Person { storage: storage.clone(), owner: person.owner };
        let added = person.create(task("new"), at(20)).await;
        let tasks = person.list(&query).await.tasks;
        let expected: &[&str] =
            if tasks.len() == 4 { &["c", "a", "b", "new"] } else { &["c", "gone", "a", "b", "new"] };
        assert_eq!(titles(&tasks), expected);
        assert!(tasks.windows(2).all(|pair| pair[0].position < pair[1].position));
        assert_eq!(tasks.last(), Some(&added));
    }
}

/// Takes the schema back to before the migration of this name.
async fn take_back(database: &TestDatabase, name: &str) {
    for source in sources(database.engine).into_iter().rev() {
        database.execute(&std::fs::read_to_string(source.join("down.sql")).unwrap()).await;
        let undone = "delete from __diesel_schema_migrations where version = \
                      (select max(version) from __diesel_schema_migrations)";
        database.execute(undone).await;
        if source.to_str().unwrap().ends_with(&format!("_{name}")) {
            return;
        }
    }
    panic!("there is no migration {name}");
}
