//! SQL types that both engines have, each in its own representation, and the values that are bound to them.
//!
//! | here | PostgreSQL | SQLite |
//! |---|---|---|
//! | `DbUuid` | `uuid` | BLOB of 16 bytes |
//! | `DbTimestamp` | `timestamptz` | INTEGER, microseconds since 1970 |
//! | `DbJson` | `jsonb` | TEXT |
//!
//! The OIDs are fixed, so that no connection has to look them up.

use std::io::Write as _;

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::query_builder::QueryId;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{BigInt, SqlType};
use diesel::sqlite::Sqlite;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{
    ApiKeyId, AuditEventId, ChallengeId, HistoryId, MailId, MailTokenId, SessionId, TaskId, TaskListId,
    Timestamp, UserId, WebhookId,
};

/// A UUID.
#[derive(Debug, Clone, Copy, Default, QueryId, SqlType)]
#[diesel(postgres_type(oid = 2950, array_oid = 2951))]
#[diesel(sqlite_type(name = "Binary"))]
pub struct DbUuid;

/// A point in time.
#[derive(Debug, Clone, Copy, Default, QueryId, SqlType)]
#[diesel(postgres_type(oid = 1184, array_oid = 1185))]
#[diesel(sqlite_type(name = "Long"))]
pub struct DbTimestamp;

/// A JSON document.
#[derive(Debug, Clone, Copy, Default, QueryId, SqlType)]
#[diesel(postgres_type(oid = 3802, array_oid = 3807))]
#[diesel(sqlite_type(name = "Text"))]
pub struct DbJson;

/// Where PostgreSQL has a row: block and number. SQLite has no such thing.
#[derive(Debug, Clone, Copy, Default, QueryId, SqlType)]
#[diesel(postgres_type(oid = 27, array_oid = 1010))]
pub struct DbTid;

/// The place of a version of a row, good for as long as nobody else can change the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = DbTid)]
pub struct Tid([u8; 6]);

impl ToSql<DbTid, Pg> for Tid {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(&self.0)?;
        Ok(IsNull::No)
    }
}

impl FromSql<DbTid, Pg> for Tid {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(value.as_bytes().try_into()?))
    }
}

/// Any identifier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = DbUuid)]
pub struct Id(pub Uuid);

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Uuid::parse_str(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

macro_rules! id_of {
    ($($name:ident),*) => {$(
        impl From<$name> for Id {
            fn from(id: $name) -> Self {
                Self(id.uuid())
            }
        }

        impl From<Id> for $name {
            fn from(id: Id) -> Self {
                Self::from(id.0)
            }
        }
    )*};
}
id_of!(
    ChallengeId,
    MailId,
    MailTokenId,
    UserId,
    TaskId,
    TaskListId,
    SessionId,
    ApiKeyId,
    AuditEventId,
    HistoryId,
    WebhookId
);

impl ToSql<DbUuid, Pg> for Id {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(self.0.as_bytes())?;
        Ok(IsNull::No)
    }
}

impl FromSql<DbUuid, Pg> for Id {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(Uuid::from_slice(value.as_bytes())?))
    }
}

impl ToSql<DbUuid, Sqlite> for Id {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.as_bytes().as_slice());
        Ok(IsNull::No)
    }
}

impl FromSql<DbUuid, Sqlite> for Id {
    fn from_sql(mut value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(Uuid::from_slice(value.read_blob())?))
    }
}

/// A time, as microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow, Serialize, Deserialize)]
#[diesel(sql_type = DbTimestamp)]
pub struct Moment(pub i64);

impl Moment {
    /// PostgreSQL counts from 2000-01-01T00:00:00Z.
    const POSTGRES_EPOCH: i64 = 946_684_800_000_000;
}

impl From<Timestamp> for Moment {
    fn from(time: Timestamp) -> Self {
        Self(time.as_micros())
    }
}

impl TryFrom<Moment> for Timestamp {
    type Error = crate::domain::Error;

    fn try_from(moment: Moment) -> Result<Self, Self::Error> {
        Self::from_micros(moment.0).ok_or_else(|| crate::domain::Error::corrupt_time(moment.0))
    }
}

impl ToSql<DbTimestamp, Pg> for Moment {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let micros = self.0 - Self::POSTGRES_EPOCH;
        <i64 as ToSql<BigInt, Pg>>::to_sql(&micros, &mut out.reborrow())
    }
}

impl FromSql<DbTimestamp, Pg> for Moment {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let micros = <i64 as FromSql<BigInt, Pg>>::from_sql(value)?;
        Ok(Self(micros.checked_add(Self::POSTGRES_EPOCH).ok_or("the time is infinite")?))
    }
}

impl ToSql<DbTimestamp, Sqlite> for Moment {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0);
        Ok(IsNull::No)
    }
}

impl FromSql<DbTimestamp, Sqlite> for Moment {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        <i64 as FromSql<BigInt, Sqlite>>::from_sql(value).map(Self)
    }
}

/// A list of texts, stored as a JSON array.
#[derive(Debug, Clone, Default, PartialEq, Eq, AsExpression, FromSqlRow, Serialize, Deserialize)]
#[diesel(sql_type = DbJson)]
pub struct TextList(pub Vec<String>);

/// A JSON document to be written.
#[derive(Debug, Clone, PartialEq, Eq, AsExpression)]
#[diesel(sql_type = DbJson)]
pub struct Document(pub String);

impl ToSql<DbJson, Pg> for Document {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        // `jsonb` on the wire is a version byte and the text.
        out.write_all(&[1])?;
        out.write_all(self.0.as_bytes())?;
        Ok(IsNull::No)
    }
}

impl ToSql<DbJson, Pg> for TextList {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(&[1])?;
        serde_json::to_writer(out, &self.0)?;
        Ok(IsNull::No)
    }
}

impl ToSql<DbJson, Sqlite> for TextList {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(serde_json::to_string(&self.0)?);
        Ok(IsNull::No)
    }
}

/// What is stored as a JSON document.
pub(in crate::storage) trait Json: DeserializeOwned {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with the document.
    fn read(document: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(document)
    }
}

impl Json for TextList {
    fn read(document: &[u8]) -> serde_json::Result<Self> {
        // Most are empty.
        if document == b"[]" { Ok(Self::default()) } else { serde_json::from_slice(document) }
    }
}

/// Reads a type out of a JSON document.
macro_rules! from_json {
    ($type:ty) => {
        impl diesel::deserialize::FromSql<$crate::storage::engine::types::DbJson, diesel::pg::Pg> for $type {
            fn from_sql(value: diesel::pg::PgValue<'_>) -> diesel::deserialize::Result<Self> {
                match value.as_bytes().split_first() {
                    Some((1, text)) => Ok($crate::storage::engine::types::Json::read(text)?),
                    _ => Err("unknown version of jsonb".into()),
                }
            }
        }

        impl diesel::deserialize::FromSql<$crate::storage::engine::types::DbJson, diesel::sqlite::Sqlite>
            for $type
        {
            fn from_sql(
                mut value: <diesel::sqlite::Sqlite as diesel::backend::Backend>::RawValue<'_>,
            ) -> diesel::deserialize::Result<Self> {
                Ok($crate::storage::engine::types::Json::read(value.read_text().as_bytes())?)
            }
        }
    };
}
pub(in crate::storage) use from_json;
from_json!(TextList);
