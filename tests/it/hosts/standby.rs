//! That the primaries and standbys of the tests do what real ones do.

use super::run;
use crate::revisions::harness::cluster::Cluster;
use crate::storage::eventually;

const IN_RECOVERY: &str = "select pg_is_in_recovery()";

#[test]
fn what_a_synchronous_primary_acknowledged_outlives_it() {
    run(async {
        let Some(primary) = Cluster::start("").await else { return };
        primary.raw().await.execute("create table written (number int)").await;
        let standby = primary.standby();
        primary.configure("synchronous_commit = on\nsynchronous_standby_names = '*'");
        primary.reload();
        let mut asked = primary.raw().await;
        let synchronous = "select sync_state from pg_stat_replication";
        eventually("it is synchronous", async || asked.query_texts(synchronous).await == ["sync"]).await;
        let mut writer = primary.raw().await;
        let (acknowledged, mut seen) = tokio::sync::watch::channel(0);
        let writing = tokio::spawn(async move {
            while writer
                .try_execute(&format!("insert into written values ({})", *acknowledged.borrow() + 1))
                .await
                .is_ok()
            {
                acknowledged.send_modify(|count| *count += 1);
            }
        });
        seen.wait_for(|count| *count >= 100).await.unwrap();
        primary.kill().await;
        writing.await.unwrap();
        let acknowledged = *seen.borrow();
        standby.promote();
        let mut promoted = standby.raw().await;
        let kept = format!("select count(*) from written where number <= {acknowledged}");
        assert_eq!(promoted.query_texts(&kept).await, [acknowledged.to_string()]);
        promoted.execute("insert into written values (0)").await;
    });
}

#[test]
fn a_demoted_primary_follows_the_promoted_one() {
    run(async {
        let Some(first) = Cluster::start("").await else { return };
        let second = first.standby();
        assert_eq!(second.raw().await.query_texts(IN_RECOVERY).await, ["t"]);
        let mut kept = second.raw().await;
        first.halt();
        second.promote();
        first.follow(&second);
        assert_eq!(first.raw().await.query_texts(IN_RECOVERY).await, ["t"]);
        // The connection is of before.
        kept.execute("create table since (number int)").await;
        second.caught_up(&first).await;
        assert_eq!(first.raw().await.query_texts("select count(*) from since").await, ["0"]);
        let refused = first.raw().await.try_execute("drop table since").await.unwrap_err();
        assert!(refused.contains("read-only"), "{refused}");
    });
}

#[test]
fn a_primary_turns_read_only_with_its_connections_open() {
    run(async {
        let Some(cluster) = Cluster::start("").await else { return };
        let mut kept = cluster.raw().await;
        kept.execute("create table written (number int)").await;
        cluster.set_read_only(true).await;
        eventually("the open connection is read-only", async || {
            kept.try_execute("insert into written values (1)").await.is_err()
        })
        .await;
        cluster.set_read_only(false).await;
        eventually("it is not any more", async || {
            kept.try_execute("insert into written values (1)").await.is_ok()
        })
        .await;
    });
}
