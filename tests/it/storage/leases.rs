//! Jobs of which one run serves all replicas: who may do one, and when.

use std::time::Duration;

use taskwire::domain::Timestamp;
use taskwire::storage::Storage;

use super::at;
use crate::support::both_engines;
use crate::support::database::{TestDatabase, limits};

both_engines!(
    one_of_several_has_a_job,
    a_job_is_due_again_when_its_lease_is_over,
    a_lease_under_a_wrong_clock_counts_for_nothing,
    many_at_once_are_one,
);

const LASTING: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(600);
const JOB: &str = "job";

async fn takes(replica: &Storage, now: Timestamp) -> bool {
    replica.leases().take(JOB, now, LASTING, LONGEST).await.unwrap()
}

async fn keeps(replica: &Storage, until: Timestamp) -> bool {
    replica.leases().keep(JOB, until).await.unwrap()
}

async fn one_of_several_has_a_job(database: TestDatabase) {
    let [one, two, three] = [0; 3].map(|_| database.open(limits()));
    assert!(takes(&one, at(0)).await);
    // Not twice by the same one either.
    for (replica, second) in [(&two, 0), (&one, 1), (&two, 29)] {
        assert!(!takes(replica, at(second)).await);
    }
    // That is one job. Another one is free.
    assert!(two.leases().take("other", at(0), LASTING, LONGEST).await.unwrap());
    // It goes on for longer.
    assert!(keeps(&one, at(60)).await);
    assert!(!takes(&two, at(59)).await);
    // It went away, and somebody else has its job.
    assert!(takes(&two, at(60)).await);
    assert!(!keeps(&one, at(90)).await);
    assert!(!takes(&three, at(89)).await);
}

async fn a_job_is_due_again_when_its_lease_is_over(database: TestDatabase) {
    let [one, two] = [0; 2].map(|_| database.open(limits()));
    assert!(takes(&one, at(0)).await);
    // Done, and due again in ten minutes.
    assert!(keeps(&one, at(600)).await);
    for (replica, second) in [(&one, 1), (&two, 599)] {
        assert!(!takes(replica, at(second)).await);
    }
    assert!(takes(&one, at(600)).await);
    // It failed: anybody may try.
    assert!(keeps(&one, at(601)).await);
    assert!(takes(&two, at(601)).await);
}

async fn a_lease_under_a_wrong_clock_counts_for_nothing(database: TestDatabase) {
    let [one, two] = [0; 2].map(|_| database.open(limits()));
    let year = 365 * 24 * 60 * 60;
    assert!(takes(&one, at(year)).await);
    assert!(keeps(&one, at(year + 600)).await);
    assert!(takes(&two, at(0)).await);
    assert!(!takes(&one, at(1)).await);
    // As long as may be.
    assert!(keeps(&two, at(601)).await);
    assert!(!takes(&one, at(1)).await);
}

async fn many_at_once_are_one(database: TestDatabase) {
    let replicas: Vec<_> = (0..8).map(|_| database.open(limits())).collect();
    for round in 0..20_u64 {
        let taking = replicas
            .iter()
            .map(async |replica| takes(replica, at(i64::try_from(round * LASTING.as_secs()).unwrap())).await);
        let taken = futures_util::future::join_all(taking).await;
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1, "{round}: {taken:?}");
    }
}
