//! What leads to an account by another key than its id: emails, identities, registrations. These rows lie elsewhere than the
//! account, so that both are read one after the other; what does not fit is looked at again, as it may have changed meanwhile.

use std::collections::HashMap;
use std::time::Duration;

use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::RunQueryDsl as _;

use super::{Findings, Invariant};
use crate::domain::{Email, Result};
use crate::storage::Storage;
use crate::storage::engine::pool::with_conn;
use crate::storage::engine::types::Id;
use crate::storage::schema::{emails, identities, requests, users};

/// Rows that are read at once.
const ROWS_AT_ONCE: i64 = 500;
/// How often something that does not fit is looked at again.
const LOOKS: usize = 3;
/// Between two looks: longer than a commit takes to reach all servers.
const BETWEEN_LOOKS: Duration = Duration::from_millis(150);

pub(super) async fn check(storage: &Storage, findings: &mut Findings) -> Result<()> {
    check_accounts(storage, findings).await?;
    check_emails(storage, findings).await?;
    check_identities(storage, findings).await?;
    check_registrations(storage, findings).await
}

/// The emails of these accounts.
async fn addresses(storage: &Storage, ids: &[Id]) -> Result<HashMap<Id, String>> {
    let rows: Vec<(Id, String)> = with_conn!(&storage.pool, |conn| {
        let of_these = users::table.filter(users::id.eq_any(ids.iter().copied()));
        of_these.select((users::id, users::email)).load(conn).await
    })?;
    Ok(rows.into_iter().collect())
}

/// Whose these keys are.
async fn holders(storage: &Storage, keys: &[String]) -> Result<HashMap<String, Id>> {
    let rows: Vec<(String, Id)> = with_conn!(&storage.pool, |conn| {
        let these = emails::table.filter(emails::email_key.eq_any(keys.iter().cloned()));
        these.select((emails::email_key, emails::user_id)).load(conn).await
    })?;
    Ok(rows.into_iter().collect())
}

/// Those of these accounts that are there and do not have their email under its key.
async fn without_key(storage: &Storage, ids: &[Id]) -> Result<Vec<Id>> {
    let addresses = addresses(storage, ids).await?;
    let keys: Vec<String> = addresses.values().map(|address| Email::key_of(address)).collect();
    let holders = holders(storage, &keys).await?;
    let has_key = |(id, address): &(&Id, &String)| holders.get(&Email::key_of(address)) == Some(*id);
    Ok(addresses.iter().filter(|account| !has_key(account)).map(|(id, _)| *id).collect())
}

async fn check_accounts(storage: &Storage, findings: &mut Findings) -> Result<()> {
    let mut after = Id(uuid::Uuid::nil());
    loop {
        let ids: Vec<Id> = with_conn!(&storage.pool, |conn| {
            let next = users::table.filter(users::id.gt(after)).order(users::id.asc());
            next.limit(ROWS_AT_ONCE).select(users::id).load(conn).await
        })?;
        let Some(last) = ids.last().copied() else { return Ok(()) };
        let mut wrong = without_key(storage, &ids).await?;
        for _ in 1..LOOKS {
            if !wrong.is_empty() {
                tokio::time::sleep(BETWEEN_LOOKS).await;
                wrong = without_key(storage, &wrong).await?;
            }
        }
        for id in wrong {
            let problem = "the account's email does not lead to it: nobody can log in with it".to_owned();
            findings.note(Invariant::Emails, "users", format!("users/{}", id.0), problem);
        }
        after = last;
    }
}

/// Those of these keys that are there and lead to no account with such an email.
async fn astray(storage: &Storage, keys: &[String]) -> Result<Vec<(String, Id)>> {
    let holders = holders(storage, keys).await?;
    let ids: Vec<Id> = holders.values().copied().collect();
    let addresses = addresses(storage, &ids).await?;
    let fits =
        |(key, id): &(String, Id)| addresses.get(id).is_some_and(|address| Email::key_of(address) == *key);
    Ok(holders.into_iter().filter(|one| !fits(one)).collect())
}

async fn check_emails(storage: &Storage, findings: &mut Findings) -> Result<()> {
    let mut after = String::new();
    loop {
        let keys: Vec<String> = with_conn!(&storage.pool, |conn| {
            let next = emails::table.filter(emails::email_key.gt(&after)).order(emails::email_key.asc());
            next.limit(ROWS_AT_ONCE).select(emails::email_key).load(conn).await
        })?;
        let Some(last) = keys.last().cloned() else { return Ok(()) };
        let mut wrong = astray(storage, &keys).await?;
        for _ in 1..LOOKS {
            if !wrong.is_empty() {
                tokio::time::sleep(BETWEEN_LOOKS).await;
                let keys: Vec<String> = wrong.into_iter().map(|(key, _)| key).collect();
                wrong = astray(storage, &keys).await?;
            }
        }
        for (_, id) in wrong {
            let problem = "an email leads to an account that does not exist or has another one".to_owned();
            findings.note(Invariant::Emails, "emails", format!("users/{}", id.0), problem);
        }
        after = last;
    }
}

/// Those of these accounts that do not exist.
async fn missing(storage: &Storage, mut ids: Vec<Id>) -> Result<Vec<Id>> {
    ids.sort_unstable();
    ids.dedup();
    let there = addresses(storage, &ids).await?;
    ids.retain(|id| !there.contains_key(id));
    Ok(ids)
}

async fn check_identities(storage: &Storage, findings: &mut Findings) -> Result<()> {
    let mut after = Vec::new();
    loop {
        let rows: Vec<(Vec<u8>, Id)> = with_conn!(&storage.pool, |conn| {
            let next = identities::table.filter(identities::identity_key.gt(&after));
            let next = next.order(identities::identity_key.asc()).limit(ROWS_AT_ONCE);
            next.select((identities::identity_key, identities::user_id)).load(conn).await
        })?;
        let Some((last, _)) = rows.last().cloned() else { return Ok(()) };
        let mut wrong = missing(storage, rows.iter().map(|(_, user)| *user).collect()).await?;
        for _ in 1..LOOKS {
            if !wrong.is_empty() {
                tokio::time::sleep(BETWEEN_LOOKS).await;
                let still: Vec<Id> = with_conn!(&storage.pool, |conn| {
                    let of_these =
                        identities::table.filter(identities::user_id.eq_any(wrong.iter().copied()));
                    of_these.select(identities::user_id).load(conn).await
                })?;
                wrong = missing(storage, still).await?;
            }
        }
        for id in wrong {
            let problem = "an identity leads to an account that does not exist".to_owned();
            findings.note(Invariant::Identities, "identities", format!("users/{}", id.0), problem);
        }
        after = last;
    }
}

/// What a registration was answered goes with the account that it made.
async fn check_registrations(storage: &Storage, findings: &mut Findings) -> Result<()> {
    let mut after = Id(uuid::Uuid::nil());
    loop {
        let made = || {
            let all = requests::table.filter(requests::made_user_id.is_not_null());
            all.select(requests::made_user_id).order(requests::made_user_id.asc())
        };
        let next: Vec<Option<Id>> = with_conn!(&storage.pool, |conn| {
            made().filter(requests::made_user_id.gt(Some(after))).limit(ROWS_AT_ONCE).load(conn).await
        })?;
        let ids: Vec<Id> = next.into_iter().flatten().collect();
        let Some(last) = ids.last().copied() else { return Ok(()) };
        let mut wrong = missing(storage, ids).await?;
        for _ in 1..LOOKS {
            if !wrong.is_empty() {
                tokio::time::sleep(BETWEEN_LOOKS).await;
                let still: Vec<Option<Id>> = with_conn!(&storage.pool, |conn| {
                    let these: Vec<Option<Id>> = wrong.iter().copied().map(Some).collect();
                    made().filter(requests::made_user_id.eq_any(these)).load(conn).await
                })?;
                wrong = missing(storage, still.into_iter().flatten().collect()).await?;
            }
        }
        for id in wrong {
            let problem = "the answer to a registration is kept of an account that does not exist".to_owned();
            findings.note(Invariant::Identities, "requests", format!("users/{}", id.0), problem);
        }
        after = last;
    }
}
