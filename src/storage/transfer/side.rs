//! One of two databases that rows go between: pages of rows in the order of the key, and rows that are put, removed or filled in.

use std::cmp::Ordering;
use std::ops::Range;

use data_encoding::HEXLOWER;
use diesel::connection::SimpleConnection as _;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::catalogue::{Native, Table, quoted};
use super::row::{self, Field};
use super::{TransferError, misfit, postgres, sqlite};
use crate::storage::engine::connections::SqliteConn;
use crate::storage::engine::sqlite::Role;
use crate::storage::{Storage, Target};

/// A connection to one of them.
pub(super) enum Side {
    Postgres(Box<Client>),
    Sqlite(SqliteConn),
}

/// Rows in the order of their key.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) bytes: Vec<u8>,
    /// Where each row is, without its length.
    pub(super) rows: Vec<Range<usize>>,
    /// Whether there may be more behind it.
    pub(super) is_full: bool,
}

impl Page {
    fn of(bytes: Vec<u8>, limit: usize, table: &Table) -> Result<Self, TransferError> {
        let mut rows = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let (row, _) = row::split(&bytes[at..]).ok_or_else(|| misfit(table))?;
            rows.push(at + 4..at + 4 + row.len());
            at += 4 + row.len();
        }
        let is_full = rows.len() >= limit;
        Ok(Self { bytes, rows, is_full })
    }

    pub(super) fn row(&self, number: usize) -> Option<&[u8]> {
        self.bytes.get(self.rows.get(number)?.clone())
    }

    pub(super) fn last(&self) -> Option<&[u8]> {
        self.row(self.rows.len().checked_sub(1)?)
    }
}

/// The order of two rows by their first fields, as both engines have it.
pub(super) fn compare(mut one: &[u8], mut other: &[u8], keys: usize) -> Ordering {
    for _ in 0..keys {
        let order = match (row::next_field(&mut one), row::next_field(&mut other)) {
            (Some(Field::Int(one)), Some(Field::Int(other))) => one.cmp(&other),
            (Some(Field::Text(one)), Some(Field::Text(other))) => one.as_bytes().cmp(other.as_bytes()),
            (Some(Field::Bytes(one)), Some(Field::Bytes(other))) => one.cmp(other),
            // A key is never absent, and of one type.
            _ => Ordering::Equal,
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// A value as it is written in a statement.
fn literal(native: Native, field: Field<'_>) -> String {
    let hex = |bytes: &[u8]| HEXLOWER.encode(bytes);
    let quote = |text: &str| format!("'{}'", text.replace('\'', "''"));
    match (native, field) {
        (_, Field::Null) => "null".to_owned(),
        (Native::Sqlite, Field::Bytes(bytes)) => format!("x'{}'", hex(bytes)),
        // A statement ends at such a character.
        (Native::Sqlite, Field::Text(text)) if text.contains('\0') => {
            format!("cast(x'{}' as text)", hex(text.as_bytes()))
        }
        (Native::Bool, Field::Int(value)) => (value != 0).to_string(),
        (Native::Time, Field::Int(value)) => {
            format!("(timestamptz 'epoch' + interval '{value} microseconds')")
        }
        (Native::Uuid, Field::Bytes(bytes)) => format!("'{}'::uuid", hex(bytes)),
        (_, Field::Bytes(bytes)) => format!("'\\x{}'::bytea", hex(bytes)),
        (Native::Json, Field::Text(text)) => format!("{}::jsonb", quote(text)),
        (_, Field::Text(text)) => quote(text),
        (_, Field::Int(value)) => value.to_string(),
    }
}

/// The values of the first fields of a row.
fn literals(table: &Table, mut row: &[u8], count: usize) -> Result<Vec<String>, TransferError> {
    let natives = table.natives.iter().take(count);
    let values = natives.map(|native| row::next_field(&mut row).map(|field| literal(*native, field)));
    values.collect::<Option<_>>().ok_or_else(|| misfit(table))
}

/// What a row's key is, for people: names and values.
pub(super) fn key_of(table: &Table, mut row: &[u8]) -> String {
    let keys = table.columns.iter().take(table.keys());
    let shown = keys.map(|column| match row::next_field(&mut row) {
        Some(field) => format!("{} {field}", column.name),
        None => column.name.clone(),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// The statement that removes the row with this key.
fn removal(table: &Table, row: &[u8]) -> Result<String, TransferError> {
    let values = literals(table, row, table.keys())?;
    let names = table.columns.iter().map(|column| quoted(&column.name));
    let equal: Vec<String> = names.zip(values).map(|(name, value)| format!("{name} = {value}")).collect();
    Ok(format!("delete from {} where {}", table.name(), equal.join(" and ")))
}

/// The statement that puts a row, whether there is one with its key or not.
fn putting(table: &Table, row: &[u8]) -> Result<String, TransferError> {
    let values = literals(table, row, table.columns.len())?;
    let (keys, others) = table.columns.split_at(table.keys());
    let names = |columns: &[super::Column]| {
        columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
    };
    let set: Vec<String> =
        others.iter().map(|column| format!("{0} = excluded.{0}", quoted(&column.name))).collect();
    let then = if set.is_empty() { "nothing".to_owned() } else { format!("update set {}", set.join(", ")) };
    Ok(format!(
        "insert into {} ({}) values ({}) on conflict ({}) do {then}",
        table.name(),
        table.names(),
        values.join(", "),
        names(keys),
    ))
}

impl Side {
    /// Connects; to a database that is written to, or that is only read.
    pub(super) async fn connect(storage: &Storage, role: Role) -> Result<Self, TransferError> {
        Ok(match &storage.target {
            Target::Postgres(target) => {
                let client = postgres::connect(target).await?;
                // Pages are read by the index of the key, however few rows the planner believes in.
                client.batch_execute("set enable_seqscan = off; set jit = off").await?;
                Self::Postgres(Box::new(client))
            }
            Target::Sqlite(target) => Self::Sqlite(sqlite::connect(target, storage.pool.limits, role).await?),
        })
    }

    /// Runs statements.
    pub(super) async fn run(&mut self, sql: String) -> Result<(), TransferError> {
        match self {
            Self::Postgres(client) => Ok(client.batch_execute(&sql).await?),
            Self::Sqlite(conn) => Ok(conn.spawn_blocking(move |conn| conn.batch_execute(&sql)).await?),
        }
    }

    /// The first value of the first row, as text; none where there is no row or no value.
    pub(super) async fn text(&mut self, sql: String) -> Result<Option<String>, TransferError> {
        match self {
            Self::Postgres(client) => {
                let messages = client.simple_query(&sql).await?;
                Ok(messages.into_iter().find_map(|message| match message {
                    SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                    _ => None,
                }))
            }
            Self::Sqlite(conn) => {
                Ok(conn.spawn_blocking(move |conn| Ok(sqlite::first_text(conn, &sql))).await??)
            }
        }
    }

    pub(super) async fn catalogue(&mut self) -> Result<Vec<Table>, TransferError> {
        match self {
            Self::Postgres(client) => postgres::catalogue(client).await,
            Self::Sqlite(conn) => conn.spawn_blocking(|conn| Ok(sqlite::catalogue(conn))).await?,
        }
    }

    pub(super) async fn source(&mut self) -> Result<super::Source, TransferError> {
        match self {
            Self::Postgres(client) => postgres::source(client).await,
            Self::Sqlite(conn) => conn.spawn_blocking(|conn| Ok(sqlite::source(conn))).await?,
        }
    }

    /// Begins to read, all of one moment.
    pub(super) async fn begin_snapshot(&mut self) -> Result<(), TransferError> {
        self.run(match self {
            Self::Postgres(_) => "begin isolation level repeatable read read only".to_owned(),
            Self::Sqlite(_) => "begin".to_owned(),
        })
        .await
    }

    /// The next rows behind a row, of those that a condition lets through.
    pub(super) async fn page(
        &mut self,
        table: &Table,
        condition: Option<&str>,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, TransferError> {
        let mut conditions: Vec<String> = condition.map(str::to_owned).into_iter().collect();
        if let Some(row) = after {
            let values = literals(table, row, table.keys())?;
            conditions.push(format!("({}) > ({})", table.order(), values.join(", ")));
        }
        let conditions = if conditions.is_empty() {
            String::new()
        } else {
            format!(" where {}", conditions.join(" and "))
        };
        let select = format!(
            "select {} from {}{conditions} order by {} limit {limit}",
            table.names(),
            table.name(),
            table.order(),
        );
        let bytes = match self {
            Self::Postgres(client) => {
                let mut bytes = Vec::new();
                postgres::read(client, table, &select, async |_, piece| {
                    bytes.extend_from_slice(&piece);
                    Ok(())
                })
                .await?;
                bytes
            }
            Self::Sqlite(conn) => {
                let of = table.clone();
                let read = conn.spawn_blocking(move |conn| {
                    let mut bytes = Vec::new();
                    let read = sqlite::read(conn, &of, &select, |_, piece| {
                        bytes.extend_from_slice(&piece);
                        Ok(())
                    });
                    Ok(read.map(|()| bytes))
                });
                read.await??
            }
        };
        Page::of(bytes, limit, table)
    }

    /// Adds rows that are not there.
    pub(super) async fn fill(&mut self, table: &Table, rows: Vec<u8>) -> Result<(), TransferError> {
        match self {
            Self::Postgres(client) => {
                let mut filling = postgres::Filling::begin(client, table.clone()).await?;
                filling.add(&rows).await?;
                filling.end().await.map(drop)
            }
            Self::Sqlite(conn) => {
                let filling = sqlite::Filling::of(table.clone());
                conn.spawn_blocking(move |conn| Ok(filling.add(conn, &rows))).await?
            }
        }
    }

    /// Removes the rows with the keys of these, then puts those.
    pub(super) async fn mend(
        &mut self,
        table: &Table,
        gone: &[&[u8]],
        changed: &[&[u8]],
    ) -> Result<(), TransferError> {
        // What is never changed cannot be large at once.
        for rows in gone.chunks(100) {
            let statements: Result<Vec<String>, _> = rows.iter().map(|row| removal(table, row)).collect();
            self.run(statements?.join(";\n")).await?;
        }
        for rows in changed.chunks(100) {
            let statements: Result<Vec<String>, _> = rows.iter().map(|row| putting(table, row)).collect();
            self.run(statements?.join(";\n")).await?;
        }
        Ok(())
    }
}
