//! On SQLite: every statement that the service sends, explained by the engine, before and after it has statistics.

use std::collections::BTreeSet;
use std::sync::Mutex;

use diesel::connection::{
    Instrumentation, InstrumentationEvent, SimpleConnection as _, set_default_instrumentation,
};
use diesel::sql_types::Text;
use diesel::{Connection as _, QueryableByName, RunQueryDsl as _, SqliteConnection};
use taskwire::storage::Storage;

use super::expected::{self, Class};
use super::workload;
use crate::auth::served::run;
use crate::revisions::harness::replica::{World, rules};
use crate::support::database::limits;

/// By this, connections to this test's file are told from those of others in the process.
const MARK: &str = "taskwire-plans.";

/// Many people with a task each, and statistics of them. The service makes none itself.
const PLANT_AND_ANALYZE: &str = "with recursive numbers (number) as \
    (select 1 union all select number + 1 from numbers where number < 20000) \
    insert into tasks (user_id, task_id, title, title_key, completed, priority, labels, create_time, update_time, revision) \
    select randomblob(16), randomblob(16), 'planted', 'planted', number % 4 = 0, 1 + number % 3, '[]', number, \
    number, number from numbers; \
    insert into task_changes (user_id, revision, type, task_id, fields, create_time) \
    select user_id, revision, 1, task_id, 0, create_time from tasks where title = 'planted'; \
    insert into task_lists (user_id, list_id, title, position, create_time, update_time, revision) \
    select user_id, task_id, 'planted', '0', 0, 0, 1 from tasks where title = 'planted'; \
    insert into users (id, email, display_name, role, create_time, update_time, version, revision, live_tasks, compacted_revision) \
    select user_id, 'planted', 'planted', 1, 0, 0, 1, 1, 1, 0 from tasks where title = 'planted'; analyze";

static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Writes down the statements of one connection, if it is to this test's file.
struct Recorder {
    is_ours: bool,
}

impl Instrumentation for Recorder {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartEstablishConnection { url, .. } => self.is_ours = url.contains(MARK),
            InstrumentationEvent::StartQuery { query, .. } if self.is_ours => {
                let text = query.to_string();
                let statement = text.split(" -- binds").next().unwrap_or_default().to_owned();
                SEEN.lock().unwrap().insert(statement);
            }
            _ => {}
        }
    }
}

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

#[test]
fn statements_search_and_never_scan() {
    run(async {
        set_default_instrumentation(|| Some(Box::new(Recorder { is_ours: false }))).unwrap();
        let directory = tempfile::Builder::new().prefix(MARK).tempdir().unwrap();
        let path = directory.path().join("plans.db").to_str().unwrap().to_owned();
        let url = format!("sqlite:{path}");
        Storage::open(&url, limits()).unwrap().migrate().await.unwrap();
        let world = World::on(&url);
        let replica = world.serve(rules()).await;
        let mut users = Vec::new();
        for name in ["one", "two", "three"] {
            users.push(replica.register(&format!("{name}@example.org")).await);
        }
        // Neither the migrations nor accounts are what this is about.
        SEEN.lock().unwrap().clear();
        workload::run(&world, &replica, &users).await;
        replica.stop().await;

        let seen = std::mem::take(&mut *SEEN.lock().unwrap());
        let plain = |statement: &String| statement.replace('`', "");
        let on_the_path = |statement: &&String| expected::is_on_the_path(&plain(statement));
        let statements: Vec<&String> = seen.iter().filter(on_the_path).collect();
        let classes = statements.iter().map(|statement| match expected::class_of(&plain(statement)) {
            Some(class) => class,
            None => panic!("no plan is asserted of: {statement}"),
        });
        assert_eq!(expected::unseen(&classes.collect(), false), Vec::<&str>::new());
        // The statistics are read as a connection is made.
        for command in ["select 1", PLANT_AND_ANALYZE] {
            let mut raw = SqliteConnection::establish(&path).unwrap();
            raw.batch_execute(&format!("pragma busy_timeout = 20000; {command}")).unwrap();
            let mut raw = SqliteConnection::establish(&path).unwrap();
            statements.iter().for_each(|statement| check(&mut raw, statement));
        }
    });
}

/// The tables that grow are searched by a key or an index, and what is to come in an index's order needs no sorting.
fn check(raw: &mut SqliteConnection, statement: &str) {
    let steps: Vec<Step> = diesel::sql_query(format!("explain query plan {statement}")).load(raw).unwrap();
    let steps = steps.into_iter().map(|step| step.detail);
    // All of what is in this index is to be done.
    let steps = steps.filter(|step| !step.contains("task_lists_unfinished_idx"));
    let plan = steps.collect::<Vec<_>>().join("\n");
    for table in ["users", "tasks", "task_lists", "task_changes", "requests"] {
        assert!(!plan.lines().any(|line| line == format!("SCAN {table}")), "{statement}\n{plan}");
        assert!(!plan.contains(&format!("SCAN {table} ")), "{statement}\n{plan}");
    }
    let class = expected::class_of(&statement.replace('`', "")).map(expected::class);
    if matches!(class, Some(Class::InOrder(_) | Class::InPlaces)) {
        assert!(!plan.contains("TEMP B-TREE"), "{statement}\n{plan}");
    }
}
