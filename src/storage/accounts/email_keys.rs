//! Keys of emails that were stored before their rule changed: made anew when the schema is brought up to date.

use diesel::{ExpressionMethods as _, JoinOnDsl as _, QueryDsl as _, TextExpressionMethods as _};
use diesel_async::RunQueryDsl as _;

use crate::domain::{Email, Result};
use crate::storage::engine::pool::{Pool, with_conn, with_write};
use crate::storage::engine::types::Id;
use crate::storage::schema::{emails, users};

/// Gives every domain that is spelled for the Domain Name System the key that its own script has. Where that is taken, two
/// accounts have one address, and only a person can say which is meant: the log names them.
pub(in crate::storage) async fn renew(pool: &Pool) -> Result<()> {
    let old: Vec<(String, Id, String)> = with_conn!(pool, |conn| {
        emails::table
            .inner_join(users::table.on(users::id.eq(emails::user_id)))
            .filter(emails::email_key.like("%xn--%"))
            .select((emails::email_key, emails::user_id, users::email))
            .load(conn)
            .await
    })?;
    for (key, user, email) in old {
        let new = Email::key_of(&email);
        if new == key {
            continue;
        }
        let taken = with_write!(pool, async move |conn| {
            let row = (emails::email_key.eq(&new), emails::user_id.eq(user));
            let made =
                diesel::insert_into(emails::table).values(row).on_conflict_do_nothing().execute(conn).await?;
            if made == 0 {
                let other: Id = emails::table.find(&new).select(emails::user_id).first(conn).await?;
                return Ok(Some(other));
            }
            diesel::delete(emails::table.find(&key)).execute(conn).await?;
            Ok(None)
        })?;
        if let Some(Id(other)) = taken {
            tracing::warn!(user = %user.0, %other, "two accounts have one email address in two spellings");
        }
    }
    Ok(())
}
