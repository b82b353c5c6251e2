//! A batch costs as many statements as a single write, however many items it has.

use std::collections::BTreeMap;

use taskwire::storage::Storage;

use super::harness::cluster::Cluster;
use super::harness::replica::{World, rules};
use super::*;
use crate::support::database::{Raw, limits};

/// Only PostgreSQL counts its statements, and only with a library loaded at its start.
#[test]
fn a_large_batch_takes_as_many_statements_as_a_small_one() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        if !Cluster::has_library("pg_stat_statements") {
            println!("skipped: the PostgreSQL server comes without pg_stat_statements");
            return;
        }
        let settings =
            "shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.track_utility = on";
        let Some(cluster) = Cluster::start(settings).await else { return };
        count(&cluster).await;
    });
}

async fn count(cluster: &Cluster) {
    Storage::open(&cluster.url(), limits()).unwrap().migrate().await.unwrap();
    let mut raw = cluster.raw().await;
    raw.execute("create extension pg_stat_statements").await;
    let world = World::on(&cluster.url());
    let replica = world.serve(rules()).await;
    let mut tasks = replica.tasks(&replica.register("one@example.org").await);

    // The jobs have had their first turn, and the next one is minutes away.
    const JOBS: [&str; 4] = ["purge_time", "task_changes", "DELETE FROM \"requests\"", "\"sessions\""];
    for job in JOBS {
        let seen = format!("select count(*) from pg_stat_statements where query like '%{job}%'");
        let at_rest = "select count(*) from pg_stat_activity where state <> 'idle' and pid <> pg_backend_pid() \
                       and datname = current_database()";
        while raw.query_texts(&seen).await[0] == "0" || raw.query_texts(at_rest).await[0] != "0" {
            tokio::task::yield_now().await;
        }
    }

    let mut counts = Vec::new();
    for size in [2_usize, 200] {
        let mut counted = BTreeMap::new();
        raw.execute("select pg_stat_statements_reset()").await;
        let items = (0..size).map(|number| creation(titled(&number.to_string()))).collect();
        let made = tasks.batch_create_tasks(batch_creation(items)).await.unwrap().into_inner().tasks;
        counted.insert("create", statements(&mut raw).await);
        raw.execute("select pg_stat_statements_reset()").await;
        let items = made.iter().map(|task| retitling(&task.name, "changed")).collect();
        tasks.batch_update_tasks(batch_change(items)).await.unwrap();
        counted.insert("update", statements(&mut raw).await);
        raw.execute("select pg_stat_statements_reset()").await;
        let names = made.iter().map(|task| task.name.clone()).collect();
        let request = pb::BatchGetTasksRequest { parent: "users/me".to_owned(), names, ..Default::default() };
        tasks.batch_get_tasks(request).await.unwrap();
        counted.insert("get", statements(&mut raw).await);
        raw.execute("select pg_stat_statements_reset()").await;
        let items = made.iter().map(|task| deletion(&task.name)).collect();
        tasks.batch_delete_tasks(batch_deletion(items)).await.unwrap();
        counted.insert("delete", statements(&mut raw).await);
        let end = revision(&mut tasks).await;
        raw.execute("select pg_stat_statements_reset()").await;
        tasks.undo_changes(undoing(end - size as i64, end)).await.unwrap();
        counted.insert("undo", statements(&mut raw).await);
        counts.push(counted);
    }
    println!("statements by size: {counts:?}");
    assert_eq!(counts[0], counts[1]);
    assert!(counts[1].values().all(|&count| (1..=12).contains(&count)), "{counts:?}");
}

/// How many statements there were, but for those of the jobs in the background, which come at times of their own, and commits,
/// of which the library only counts those that are not prepared yet.
async fn statements(raw: &mut Raw) -> i64 {
    let counted = "select sum(calls) from pg_stat_statements where query ~* \
                   '(tasks|task_changes|users|requests|pg_notify|begin)' \
                   and query !~* '(pg_stat|purge_time\\\" is not null|purge_time is not null)'";
    raw.query_texts(counted).await.remove(0).parse().unwrap_or(0)
}
