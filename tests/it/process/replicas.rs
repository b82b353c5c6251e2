//! Several replicas of the program on one database.

use tonic_health::pb::health_check_response::ServingStatus;

use super::databases::{as_refs, settings};
use crate::operator::{ADMIN, get, value};
use crate::storage::eventually;
use crate::support::database::TestDatabase;
use crate::support::one_engine;
use crate::support::process::Sandbox;

one_engine!(Postgres: a_job_that_serves_all_replicas_runs_on_one);

fn runs(job: &str) -> String {
    format!("taskwire_job_runs_total{{job_name=\"{job}\",outcome=\"ok\"}}")
}

async fn a_job_that_serves_all_replicas_runs_on_one(database: TestDatabase) {
    let sandbox = Sandbox::new();
    let settings = settings(&sandbox, &database);
    let replicas = [0; 3].map(|_| sandbox.serve(&[as_refs(&settings), ADMIN.to_vec()].concat()));
    let metrics = async || {
        let all = replicas.iter().map(|replica| get(replica.admin.unwrap(), "/metrics"));
        futures_util::future::join_all(all).await.into_iter().map(|answer| answer.body).collect::<Vec<_>>()
    };
    for replica in &replicas {
        replica.wait_until(ServingStatus::Serving).await;
    }
    // All jobs have their first turn together, and this one its second when the others are done with theirs.
    eventually("every replica had its turn", async || {
        metrics().await.iter().all(|metrics| value(metrics, &runs("revocations")) > 1.0)
    })
    .await;
    for job in ["sweep events", "sweep accounts", "purge", "finish lists", "compaction", "forget answers"] {
        let all: Vec<f64> = metrics().await.iter().map(|metrics| value(metrics, &runs(job))).collect();
        assert_eq!(all.iter().sum::<f64>(), 1.0, "{job}: {all:?}");
    }
    assert_eq!(database.query_i64("select count(*) from job_leases").await, 6);
}
