//! On PostgreSQL: what `auto_explain` writes down while the service works.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::Value;
use taskwire::storage::Storage;

use super::expected::{self, Class};
use super::nodes::{Planned, READY, kind, nodes, planned, scans};
use super::workload;
use crate::revisions::harness::cluster::Cluster;
use crate::revisions::harness::replica::{User, World, rules};
use crate::storage::eventually;
use crate::support::database::{Raw, limits};

const SETTINGS: &str = "shared_preload_libraries = 'auto_explain'\nauto_explain.log_min_duration = 0\n\
                        auto_explain.log_format = json\nauto_explain.log_analyze = on\n\
                        auto_explain.log_buffers = on\nauto_explain.log_timing = off\nlog_line_prefix = '%a %d|'\nautovacuum = off";

/// How the tables are when the service comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Just made, never analysed.
    Empty,
    /// A row or two, which the statistics know.
    Tiny,
    /// Thousands of dead rows beside a few, which the statistics do not know.
    Bloated,
    /// Thousands of rows, which the statistics know.
    Large,
}

const STATES: [State; 4] = [State::Empty, State::Tiny, State::Bloated, State::Large];
/// Whether a prepared statement is planned with its values or without.
const MODES: [&str; 2] = ["force_custom_plan", "force_generic_plan"];

#[test]
fn statements_have_the_plans_that_they_are_written_for() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        if !Cluster::has_library("auto_explain") {
            println!("skipped: the PostgreSQL server comes without auto_explain");
            return;
        }
        let Some(cluster) = Cluster::start(SETTINGS).await else { return };
        let standby = cluster.standby();
        let mut cases = Vec::new();
        for mode in MODES {
            for state in STATES {
                cases.push((format!("{mode}_{state:?}").to_lowercase(), mode, state));
            }
        }
        let worked =
            cases.iter().map(|(database, mode, state)| work(&cluster, &standby, database, mode, *state));
        join_all(worked).await;
        // With the servers the logs end.
        standby.halt();
        cluster.halt();
        let logs = [cluster.log(), standby.log()];
        let (mut unknown, mut at_large) = (BTreeSet::new(), BTreeSet::new());
        for (database, mode, state) in &cases {
            let mut seen = BTreeSet::new();
            let [on_primary, on_standby] = logs.each_ref().map(|log| planned(log, database));
            assert!(on_primary.len() > 100, "{database}: {}", on_primary.len());
            assert!(on_standby.len() > 20, "{database}: {}", on_standby.len());
            // Users log in again when they are late, which is none of this.
            let is_login = |one: &Planned| one.statement.contains("password_hash");
            let statements: Vec<_> =
                on_primary.into_iter().chain(on_standby).filter(|one| !is_login(one)).collect();
            // Where tables are spread, nobody knows the places of rows.
            for Planned { statement, .. } in statements.iter().filter(|one| !is_in_place(&one.statement)) {
                let notifies = statement.contains("pg_notify") && statement.contains(" from ");
                if !expected::finds_its_server(statement) || expected::locks_at_large(statement) || notifies {
                    at_large.insert(statement.clone());
                }
            }
            for one in statements.iter().filter(|one| expected::is_on_the_path(&one.statement)) {
                match expected::class_of(&one.statement) {
                    Some(at) => {
                        check(one, expected::class(at), *state, mode);
                        seen.insert(at);
                    }
                    None => drop(unknown.insert(one.statement.clone())),
                }
            }
            assert_eq!(expected::unseen(&seen, true), Vec::<&str>::new(), "{database}");
        }
        // A Citus carries a notification out where the rows are, and it is heard there alone.
        assert!(
            at_large.is_empty(),
            "asks or locks on all servers of a Citus, or notifies there: {at_large:#?}"
        );
        assert!(unknown.is_empty(), "no plan is asserted of: {unknown:#?}");
    });
}

/// Makes a database, brings its tables into a state, and lets the service work there.
async fn work(cluster: &Cluster, standby: &Cluster, database: &str, mode: &str, state: State) {
    cluster.raw().await.execute(&format!("create database {database}")).await;
    let url = format!("{}/{database}", cluster.url().trim_end_matches("/postgres"));
    Storage::open(&url, limits()).unwrap().migrate().await.unwrap();
    let mut raw = cluster.raw_in(database).await;
    let world = World::on(&url);
    let replica = world.serve(rules()).await;
    let mut users = Vec::new();
    for name in ["one", "two", "three"] {
        users.push(replica.register(&format!("{name}@example.org")).await);
    }
    replica.stop().await;
    bring_into(&mut raw, state).await;
    raw.execute(&format!("alter database {database} set plan_cache_mode = {mode}")).await;
    raw.execute(&format!("do $$ begin raise log '{READY}'; end $$")).await;
    // New connections: the plans that are looked at are made now.
    let replica = world.serve(rules()).await;
    workload::run(&world, &replica, &users).await;
    replica.stop().await;
    read_on_standby(cluster, standby, database, &world, &users).await;
}

/// Has the service read from the standby, which knows the tables as the primary does.
async fn read_on_standby(
    cluster: &Cluster,
    standby: &Cluster,
    database: &str,
    world: &World,
    users: &[User],
) {
    let url = |server: &Cluster| format!("{}/{database}", server.url().trim_end_matches("/postgres"));
    let storage = Storage::open(&url(cluster), limits()).unwrap().with_standbys(&url(standby)).unwrap();
    let replica = world.serve_on(storage, rules()).await;
    cluster.caught_up(standby).await;
    eventually("the standby is asked", async || replica.services.storage.standby_states()[0].is_used).await;
    workload::read(&replica, users).await;
    replica.stop().await;
}

async fn bring_into(raw: &mut Raw, state: State) {
    // Also of people who are not there, so that no user has a large part of it.
    let plant = |count: u32, others: u32| {
        format!(
            "create temp table owners as select id from users \
             union all select gen_random_uuid() from generate_series(1, {others});
             insert into tasks (user_id, task_id, title, title_key, completed, priority, labels, create_time, \
             update_time, revision) select id, gen_random_uuid(), 'planted', 'planted', number % 4 = 0, 1 + number % 3, \
             '[]', now() + number * interval '1 second', now(), 1000 + number from owners, \
             generate_series(1, {count}) as number;
             insert into task_changes (user_id, revision, type, task_id, fields, create_time) select id, \
             1000000 + number, 1, gen_random_uuid(), 0, now() from owners, generate_series(1, {count}) as number;
             insert into task_lists (user_id, list_id, title, position, create_time, update_time, revision) select id, \
             gen_random_uuid(), 'planted', '0' || number, now(), now(), 1 from owners, \
             generate_series(1, least(300, {count})) as number;"
        )
    };
    match state {
        State::Empty => {}
        State::Tiny | State::Large => {
            raw.execute(&if state == State::Tiny { plant(1, 0) } else { plant(1000, 40) }).await;
            raw.execute("vacuum analyze").await;
        }
        State::Bloated => {
            raw.execute("vacuum analyze").await;
            let waste = "do $$ begin for turn in 1 .. 2000 loop update users set revision = revision; end loop; end $$;";
            raw.execute(&format!(
                "{} {waste} delete from tasks; delete from task_lists; delete from task_changes",
                plant(2000, 0)
            ))
            .await;
        }
    }
}

/// Whether a statement says where its rows are: they are reached there, whatever index it could go down.
fn is_in_place(statement: &str) -> bool {
    statement.contains(".ctid = v.place")
}

fn check(one: &Planned, class: Class, state: State, mode: &str) {
    let said = || format!("{state:?}, {mode}: {}\n{:#}", one.statement, one.root);
    let is_large = state == State::Large;
    match class {
        Class::InPlace => {
            for scan in scans(&one.root) {
                assert_eq!((kind(scan), scan["TID Cond"].is_string()), ("Tid Scan", true), "{}", said());
            }
            assert!(nodes(&one.root).iter().all(|node| is_from_values(node)), "{}", said());
        }
        Class::Keyed(index) => {
            check_reach(&one.root, index, &said);
            // A condition that the index knows may still be one for which it reads everything.
            let is_wasteful =
                |scan: &&Value| blocks(scan) > BLOCKS_PER_ROW * scan["Actual Loops"].as_u64().unwrap();
            assert!(!is_large || !scans(&one.root).iter().any(is_wasteful), "{}", said());
            assert!(nodes(&one.root).iter().all(|node| is_from_values(node)), "{}", said());
        }
        Class::Found(index) => {
            for scan in scans(&one.root) {
                assert_eq!(scan["Index Name"], index, "{}", said());
                assert!(
                    scan["Index Cond"].as_str().is_some_and(|cond| cond.contains("parent_id")),
                    "{}",
                    said()
                );
            }
            assert!(nodes(&one.root).iter().all(|node| is_from_values(node)), "{}", said());
        }
        Class::Adds => assert!(scans(&one.root).is_empty(), "{}", said()),
        Class::AddsIfHeard => {
            let is_of_listeners = |scan: &&Value| scan["Relation Name"] == "event_listeners";
            assert!(scans(&one.root).iter().all(is_of_listeners), "{}", said());
        }
        Class::InPlaces if is_large => {
            let index = match one.statement.contains("list_id is null") {
                true => "tasks_unlisted_position_idx",
                false => "tasks_list_position_idx",
            };
            check_reach(&one.root, index, &said);
            assert!(!nodes(&one.root).iter().any(throws_away), "{}", said());
        }
        Class::InOrder(index) => {
            check_reach(&one.root, index, &said);
            // Else this would look at plans of the other mode.
            let knows_no_values = one.root.to_string().contains("$1");
            assert_eq!(knows_no_values, mode == "force_generic_plan", "{}", said());
            assert!(!nodes(&one.root).iter().any(throws_away), "{}", said());
        }
        Class::Beside(index) => {
            for scan in scans(&one.root) {
                let index = if scan["Relation Name"] == "users" { "users_pkey" } else { index };
                assert!(matches!(kind(scan), "Index Scan" | "Index Only Scan"), "{}", said());
                assert_eq!(scan["Index Name"], index, "{}", said());
                assert!(scan["Index Cond"].is_string() && !scan["Filter"].is_string(), "{}", said());
            }
            let may_be =
                |node: &&Value| !["Sort", "Join", "Materialize"].iter().any(|not| kind(node).contains(not));
            assert!(nodes(&one.root).iter().all(may_be), "{}", said());
        }
        Class::Bounded if is_large => {
            let is_bounded =
                |node: &&Value| node["Index Cond"].is_string() || node["Recheck Cond"].is_string();
            // There are three users here.
            let large = scans(&one.root).into_iter().filter(|scan| scan["Relation Name"] != "users");
            assert!(large.into_iter().all(|scan| is_bounded(&scan)), "{}", said());
        }
        Class::InPlaces | Class::Bounded | Class::Job => {}
    }
}

/// Whether a node sorts, or leaves out some of what it reads.
fn throws_away(node: &&Value) -> bool {
    node["Filter"].is_string() || kind(node).contains("Sort")
}

/// The way down an index, and the row.
const BLOCKS_PER_ROW: u64 = 8;

/// How many blocks a node looked at.
fn blocks(node: &Value) -> u64 {
    node["Shared Hit Blocks"].as_u64().unwrap() + node["Shared Read Blocks"].as_u64().unwrap()
}

/// Each table is read by conditions on this index.
fn check_reach(root: &Value, index: &str, said: &dyn Fn() -> String) {
    let scans = scans(root);
    assert!(!scans.is_empty(), "{}", said());
    for scan in scans {
        assert!(matches!(kind(scan), "Index Scan" | "Index Only Scan"), "{}", said());
        assert_eq!(scan["Index Name"], index, "{}", said());
        assert!(scan["Index Cond"].is_string() && !scan["Filter"].is_string(), "{}", said());
    }
}

/// A join goes from the values that were sent to the table, never from the table; and what is sorted are those values.
fn is_from_values(node: &Value) -> bool {
    let below = node["Plans"].as_array().map_or(&[][..], Vec::as_slice);
    match kind(node) {
        "Nested Loop" => match kind(&below[0]) {
            "Sort" => are_values(&below[0]["Plans"][0]),
            _ => are_values(&below[0]),
        },
        "Sort" => node["Sort Key"] == serde_json::json!(["v.user_id"]),
        other => !other.contains("Join") && other != "Materialize" && other != "Memoize",
    }
}

/// Whether these are the rows that the statement was given, and not those of a table.
fn are_values(node: &Value) -> bool {
    match kind(node) {
        "Subquery Scan" => kind(&node["Plans"][0]) == "ProjectSet",
        other => other == "ProjectSet",
    }
}
