//! Shared keys: whoever comes first makes one, everybody gets the same.

use tokio::task::JoinSet;

use super::at;
use crate::support::both_engines;
use crate::support::database::{TestDatabase, limits};

both_engines!(
    first_candidate_becomes_the_key,
    keys_of_different_names_are_apart,
    racing_replicas_agree_on_one_key
);

async fn first_candidate_becomes_the_key(database: TestDatabase) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let secrets = database.storage.secrets();
    assert_eq!(secrets.find_or_create("tokens", every_byte.clone(), at(0)).await, Ok(every_byte.clone()));
    assert_eq!(secrets.find_or_create("tokens", b"another".to_vec(), at(1)).await, Ok(every_byte.clone()));
    let elsewhere = database.open(limits());
    assert_eq!(elsewhere.secrets().find_or_create("tokens", vec![], at(2)).await, Ok(every_byte));
}

async fn keys_of_different_names_are_apart(database: TestDatabase) {
    let secrets = database.storage.secrets();
    assert_eq!(secrets.find_or_create("one", vec![1], at(0)).await, Ok(vec![1]));
    assert_eq!(secrets.find_or_create("other", vec![2], at(0)).await, Ok(vec![2]));
    assert_eq!(secrets.find_or_create("ONE", vec![3], at(0)).await, Ok(vec![3]));
    assert_eq!(secrets.find_or_create("one", vec![4], at(0)).await, Ok(vec![1]));
}

async fn racing_replicas_agree_on_one_key(database: TestDatabase) {
    let replicas = [database.open(limits()), database.open(limits())];
    let mut racing = JoinSet::new();
    for number in 0..20_u8 {
        let replica = replicas[usize::from(number % 2)].clone();
        racing.spawn(async move {
            replica.secrets().find_or_create("tokens", vec![number; 32], at(0)).await.unwrap()
        });
    }
    let keys = racing.join_all().await;
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert_eq!(keys[0].len(), 32);
}
