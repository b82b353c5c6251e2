//! Rows out of and into PostgreSQL, by `copy` in its binary format.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{SinkExt as _, TryStreamExt as _};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio_postgres::{Client, CopyInSink};
use uuid::Uuid;

use super::catalogue::{Found, Native, Table, tables};
use super::row::{self, Field};
use super::{PIECE_BYTES, Piece, Source, TransferError, expected, misfit};
use crate::domain::HistoryId;
use crate::storage::OpenError;
use crate::storage::engine::distribution::HAS_CITUS;
use crate::storage::engine::postgres::{ConnectFailure, Target};

/// PostgreSQL counts from 2000-01-01T00:00:00Z.
const EPOCH: i64 = 946_684_800_000_000;
/// How a copy begins: what it is, no flags, no extension.
const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// How it ends: a row of -1 fields.
const TAIL: &[u8] = &[0xff, 0xff];
/// The key of the lock under which the schema is changed, so that it stays as it is meanwhile.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"taskwire");

pub(super) async fn connect(target: &Target) -> Result<Client, TransferError> {
    target.bulk().await.map_err(|failure| match failure {
        ConnectFailure::Away(text) => OpenError::Away(text).into(),
        ConnectFailure::Refused(text) => OpenError::Refused(text).into(),
    })
}

/// The tables as they are.
pub(super) async fn catalogue(client: &Client) -> Result<Vec<Table>, TransferError> {
    let sql = "select c.relname::text, a.attname::text, format_type(a.atttypid, -1), \
               coalesce(array_position(i.indkey::int2[], a.attnum), -1)::bigint \
               from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped \
               left join pg_index i on i.indrelid = c.oid and i.indisprimary \
               where c.relkind in ('r', 'p') \
               and c.relnamespace = (select relnamespace from pg_class where oid = to_regclass('users'))";
    let rows = client.query(sql, &[]).await?;
    let found = rows.iter().map(|row| {
        Ok(Found {
            table: row.try_get(0)?,
            column: row.try_get(1)?,
            kind: row.try_get(2)?,
            key: row.try_get(3)?,
        })
    });
    tables(found.collect::<Result<_, tokio_postgres::Error>>()?, false)
}

async fn has_state(client: &Client) -> Result<bool, TransferError> {
    let row = client.query_one("select to_regclass('database_state') is not null", &[]).await?;
    Ok(row.try_get(0)?)
}

pub(super) async fn source(client: &Client) -> Result<Source, TransferError> {
    let sql = format!("select max(version)::text, {HAS_CITUS} from __diesel_schema_migrations");
    let row = client.query_one(&sql, &[]).await?;
    let schema: Option<String> = row.try_get(0)?;
    let has_citus: bool = row.try_get(1)?;
    let mut history = None;
    if has_state(client).await? {
        let row = client.query_one("select history::text from database_state", &[]).await?;
        let text: String = row.try_get(0)?;
        history = Uuid::parse_str(&text).ok().map(HistoryId::from);
    }
    let mut one_moment = true;
    if has_citus {
        let spread = "select exists (select 1 from pg_dist_partition where logicalrelid = 'users'::regclass)";
        one_moment = !client.query_one(spread, &[]).await?.try_get::<_, bool>(0)?;
    }
    Ok(Source { engine: "postgresql", schema: schema.unwrap_or_default(), history, one_moment })
}

pub(super) async fn export(
    target: &Target,
    wanted: impl Fn(&Table) -> bool,
    pieces: &Sender<Piece>,
) -> Result<(), TransferError> {
    let client = connect(target).await?;
    client.batch_execute("begin isolation level repeatable read read only").await?;
    let tables = catalogue(&client).await?;
    send(pieces, Piece::Source(source(&client).await?)).await?;
    for table in tables.into_iter().filter(wanted) {
        let is_keys = table.listed.carried == super::Carried::AsKeys;
        let (name, columns) = (table.name().to_owned(), table.columns.clone());
        send(pieces, Piece::Table { name, columns, is_keys }).await?;
        let select = format!("select {} from {} order by {}", table.names(), table.name(), table.order());
        read(&client, &table, &select, async |count, bytes| send(pieces, Piece::Rows { count, bytes }).await)
            .await?;
    }
    client.batch_execute("commit").await?;
    send(pieces, Piece::End).await
}

async fn send(pieces: &Sender<Piece>, piece: Piece) -> Result<(), TransferError> {
    pieces.send(piece).await.map_err(|_| TransferError::Stopped)
}

/// Reads what a query answers, in the columns of this table, and hands it over in pieces.
pub(super) async fn read(
    client: &Client,
    table: &Table,
    select: &str,
    mut hand_over: impl AsyncFnMut(u64, Vec<u8>) -> Result<(), TransferError>,
) -> Result<(), TransferError> {
    let stream = client.copy_out(&format!("copy ({select}) to stdout (format binary)")).await?;
    let mut stream = std::pin::pin!(stream);
    let mut tuples = Tuples::default();
    let (mut rows, mut count) = (Vec::with_capacity(PIECE_BYTES * 5 / 4), 0);
    while let Some(bytes) = stream.try_next().await? {
        count += tuples.take(&bytes, table, &mut rows)?;
        if rows.len() >= PIECE_BYTES {
            let piece = std::mem::replace(&mut rows, Vec::with_capacity(PIECE_BYTES * 5 / 4));
            hand_over(std::mem::take(&mut count), piece).await?;
        }
    }
    if count > 0 {
        hand_over(count, rows).await?;
    }
    Ok(())
}

/// A copy as it comes, cut anywhere.
#[derive(Default)]
struct Tuples {
    left: Vec<u8>,
    is_begun: bool,
}

impl Tuples {
    /// Adds the rows that are whole; answers how many.
    fn take(&mut self, bytes: &[u8], table: &Table, rows: &mut Vec<u8>) -> Result<u64, TransferError> {
        let mut left = std::mem::take(&mut self.left);
        let mut rest = bytes;
        if !left.is_empty() {
            left.extend_from_slice(bytes);
            rest = &left;
        }
        let mut count = 0;
        loop {
            if !self.is_begun {
                let Some(begun) = rest.strip_prefix(HEAD) else { break };
                (self.is_begun, rest) = (true, begun);
            }
            if rest.starts_with(TAIL) {
                rest = &[];
                break;
            }
            let at = row::begin(rows);
            let mut after = rest;
            match tuple(&mut after, table, rows)? {
                Some(()) => row::end(rows, at),
                None => {
                    rows.truncate(at);
                    break;
                }
            }
            rest = after;
            count += 1;
        }
        self.left = rest.to_vec();
        Ok(count)
    }
}

/// One row; `None` where it is not whole.
fn tuple(rest: &mut &[u8], table: &Table, row: &mut Vec<u8>) -> Result<Option<()>, TransferError> {
    let Some((fields, after)) = rest.split_first_chunk() else { return Ok(None) };
    if usize::try_from(i16::from_be_bytes(*fields)) != Ok(table.natives.len()) {
        return Err(misfit(table));
    }
    *rest = after;
    for native in &table.natives {
        let Some((length, after)) = rest.split_first_chunk() else { return Ok(None) };
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            *rest = after;
            Field::Null.put(row);
            continue;
        };
        let Some((value, after)) = after.split_at_checked(length) else { return Ok(None) };
        *rest = after;
        put(*native, value, row).ok_or_else(|| misfit(table))?;
    }
    Ok(Some(()))
}

/// A value as PostgreSQL sends it; `None` where it is not of its type.
fn put(native: Native, value: &[u8], row: &mut Vec<u8>) -> Option<()> {
    let field = match native {
        Native::Bool => Field::Int((*value.first()?).into()),
        Native::Small => Field::Int(i16::from_be_bytes(value.try_into().ok()?).into()),
        Native::Integer => Field::Int(i32::from_be_bytes(value.try_into().ok()?).into()),
        Native::Big => Field::Int(i64::from_be_bytes(value.try_into().ok()?)),
        Native::Time => Field::Int(i64::from_be_bytes(value.try_into().ok()?).checked_add(EPOCH)?),
        Native::Uuid | Native::Bytes => Field::Bytes(value),
        Native::Text => Field::Text(std::str::from_utf8(value).ok()?),
        Native::Json => {
            let text = std::str::from_utf8(value.strip_prefix(&[1])?).ok()?;
            Field::Text(&row::plain_json(text)).put(row);
            return Some(());
        }
        Native::Sqlite => return None,
    };
    field.put(row);
    Some(())
}

/// A value as PostgreSQL takes it; `None` where it is not of its type.
fn take(native: Native, field: Field<'_>, into: &mut Vec<u8>) -> Option<()> {
    let mut put = |bytes: &[u8]| {
        into.extend(i32::try_from(bytes.len()).ok()?.to_be_bytes());
        into.extend_from_slice(bytes);
        Some(())
    };
    match (native, field) {
        (_, Field::Null) => {
            into.extend((-1_i32).to_be_bytes());
            Some(())
        }
        (Native::Bool, Field::Int(value)) => put(&[u8::try_from(value).ok().filter(|value| *value < 2)?]),
        (Native::Small, Field::Int(value)) => put(&i16::try_from(value).ok()?.to_be_bytes()),
        (Native::Integer, Field::Int(value)) => put(&i32::try_from(value).ok()?.to_be_bytes()),
        (Native::Big, Field::Int(value)) => put(&value.to_be_bytes()),
        (Native::Time, Field::Int(value)) => put(&value.checked_sub(EPOCH)?.to_be_bytes()),
        (Native::Uuid, Field::Bytes(bytes)) if bytes.len() == 16 => put(bytes),
        (Native::Bytes, Field::Bytes(bytes)) => put(bytes),
        (Native::Text, Field::Text(text)) => put(text.as_bytes()),
        (Native::Json, Field::Text(text)) => {
            into.extend(i32::try_from(text.len() + 1).ok()?.to_be_bytes());
            into.push(1);
            into.extend_from_slice(text.as_bytes());
            Some(())
        }
        _ => None,
    }
}

/// A copy into a table.
pub(super) struct Filling {
    table: Table,
    sink: Pin<Box<CopyInSink<Bytes>>>,
}

impl Filling {
    pub(super) async fn begin(client: &Client, table: Table) -> Result<Self, TransferError> {
        let copy = format!("copy {} ({}) from stdin (format binary)", table.name(), table.names());
        let mut sink = Box::pin(client.copy_in(&copy).await?);
        sink.send(Bytes::from_static(HEAD)).await?;
        Ok(Self { table, sink })
    }

    pub(super) async fn add(&mut self, mut rows: &[u8]) -> Result<(), TransferError> {
        let mut out = Vec::with_capacity(rows.len() * 5 / 4);
        let fields = u16::try_from(self.table.natives.len()).unwrap_or(u16::MAX);
        while !rows.is_empty() {
            let (mut row, rest) = row::split(rows).ok_or_else(|| misfit(&self.table))?;
            rows = rest;
            out.extend(fields.to_be_bytes());
            for native in &self.table.natives {
                let taken = row::next_field(&mut row).and_then(|field| take(*native, field, &mut out));
                taken.ok_or_else(|| misfit(&self.table))?;
            }
            if !row.is_empty() {
                return Err(misfit(&self.table));
            }
        }
        Ok(self.sink.send(out.into()).await?)
    }

    pub(super) async fn end(mut self) -> Result<u64, TransferError> {
        self.sink.send(Bytes::from_static(TAIL)).await?;
        Ok(self.sink.as_mut().finish().await?)
    }
}

/// The first table that holds rows, of those that a new database has none in.
async fn first_occupied(client: &Client, tables: &[Table]) -> Result<Option<String>, TransferError> {
    for table in tables.iter().filter(|table| !table.listed.is_seeded) {
        let sql = format!("select exists (select 1 from {})", table.name());
        if client.query_one(&sql, &[]).await?.try_get(0)? {
            return Ok(Some(table.name().to_owned()));
        }
    }
    Ok(None)
}

pub(super) async fn occupied(target: &Target) -> Result<Option<String>, TransferError> {
    let client = connect(target).await?;
    let tables = catalogue(&client).await?;
    first_occupied(&client, &tables).await
}

pub(super) async fn import(
    target: &Target,
    mut pieces: Receiver<Piece>,
    history: HistoryId,
) -> Result<(), TransferError> {
    let client = connect(target).await?;
    client.batch_execute("begin").await?;
    client.batch_execute(&format!("select pg_advisory_xact_lock({LOCK_KEY})")).await?;
    let tables = catalogue(&client).await?;
    // Nobody makes an account before this is done.
    client.batch_execute("lock table users in share row exclusive mode").await?;
    if let Some(table) = first_occupied(&client, &tables).await? {
        return Err(TransferError::NotEmpty(table));
    }
    let mut filling: Option<Filling> = None;
    loop {
        match pieces.recv().await.ok_or(TransferError::Stopped)? {
            Piece::Source(_) => {}
            Piece::Table { name, columns, .. } => {
                end(&mut filling).await?;
                let table = expected(&tables, &name, &columns)?;
                if table.listed.is_seeded {
                    client.batch_execute(&format!("delete from {name}")).await?;
                }
                filling = Some(Filling::begin(&client, table).await?);
            }
            Piece::Rows { bytes, .. } => match &mut filling {
                Some(filling) => filling.add(&bytes).await?,
                None => return Err(TransferError::Unfit("rows of no table".into())),
            },
            Piece::End => break,
        }
    }
    end(&mut filling).await?;
    if has_state(&client).await? {
        let set = format!("update database_state set history = '{}'", history.uuid());
        client.batch_execute(&set).await?;
    }
    Ok(client.batch_execute("commit").await?)
}

async fn end(filling: &mut Option<Filling>) -> Result<(), TransferError> {
    match filling.take() {
        Some(filling) => filling.end().await.map(drop),
        None => Ok(()),
    }
}
