//! Rows out of and into SQLite, on the thread that blocks for it.

use diesel::connection::{DefaultLoadingMode, SimpleConnection as _};
use diesel::deserialize::{self, FromSqlRow};
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::row::{Field as _, Row};
use diesel::sql_types::{BigInt, Binary, Integer, Nullable, Text, Untyped};
use diesel::sqlite::{Sqlite, SqliteType};
use diesel::{QueryResult, QueryableByName, RunQueryDsl, SqliteConnection, sql_query};
use tokio::sync::mpsc::{Receiver, Sender};

use super::catalogue::{Class, Found, Table, tables};
use super::row::{self, Field};
use super::{PIECE_BYTES, Piece, Source, TransferError, expected, misfit};
use crate::domain::HistoryId;
use crate::storage::OpenError;
use crate::storage::engine::connections::SqliteConn;
use crate::storage::engine::limits::Limits;
use crate::storage::engine::sqlite::{Role, Target};
use crate::storage::engine::types::{DbUuid, Id};

/// Rows that one statement inserts. Others come one by one.
const ROWS_AT_ONCE: usize = 50;

pub(super) async fn connect(
    target: &Target,
    limits: Limits,
    role: Role,
) -> Result<SqliteConn, TransferError> {
    if !target.path().exists() {
        return Err(TransferError::NoFile(target.path().display().to_string()));
    }
    let connected = target.connect(role, limits).await;
    connected.map_err(|error| OpenError::Refused(format!("{}: {error}", target.path().display())).into())
}

/// Does something on the thread that blocks for the connection.
pub(super) async fn on_thread<T: Send + 'static>(
    mut connection: SqliteConn,
    work: impl FnOnce(&mut SqliteConnection) -> Result<T, TransferError> + Send + 'static,
) -> Result<T, TransferError> {
    // In a task of its own: whoever is interrupted does not wait for the end of what is to be given up.
    let done = tokio::spawn(async move { connection.spawn_blocking(move |conn| Ok(work(conn))).await });
    done.await.map_err(|stopped| TransferError::Database(stopped.to_string()))??
}

#[derive(QueryableByName)]
struct FoundRow {
    #[diesel(sql_type = Text)]
    table_name: String,
    #[diesel(sql_type = Text)]
    column_name: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = BigInt)]
    key: i64,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = Integer)]
    count: i32,
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Nullable<Text>)]
    version: Option<String>,
}

#[derive(QueryableByName)]
struct History {
    #[diesel(sql_type = DbUuid)]
    history: Id,
}

/// The first value of the first row, which SQLite turns into text.
struct FirstText(Option<String>);

impl FromSqlRow<Untyped, Sqlite> for FirstText {
    fn build_from_row<'a>(row: &impl Row<'a, Sqlite>) -> deserialize::Result<Self> {
        let field = row.get(0).ok_or("no column")?;
        Ok(Self(field.value().map(|mut value| value.read_text().to_owned())))
    }
}

/// The first value of the first row, as text; none where there is no row or no value.
pub(super) fn first_text(conn: &mut SqliteConnection, sql: &str) -> Result<Option<String>, TransferError> {
    let rows: Vec<FirstText> = sql_query(sql).load(conn)?;
    Ok(rows.into_iter().next().and_then(|row| row.0))
}

/// The tables as they are.
pub(super) fn catalogue(conn: &mut SqliteConnection) -> Result<Vec<Table>, TransferError> {
    let sql = "select m.name as table_name, p.name as column_name, lower(p.type) as kind, p.pk - 1 as key \
               from sqlite_master m, pragma_table_info(m.name) p \
               where m.type = 'table' and m.name not like 'sqlite\\_%' escape '\\'";
    let rows: Vec<FoundRow> = sql_query(sql).load(conn)?;
    let found = rows.into_iter().map(|row| Found {
        table: row.table_name,
        column: row.column_name,
        kind: row.kind,
        key: row.key,
    });
    tables(found.collect(), true)
}

fn has_state(conn: &mut SqliteConnection) -> Result<bool, TransferError> {
    let sql = "select count(*) as count from sqlite_master where name = 'database_state'";
    Ok(sql_query(sql).get_result::<Count>(conn)?.count > 0)
}

pub(super) fn source(conn: &mut SqliteConnection) -> Result<Source, TransferError> {
    let sql = "select max(version) as version from __diesel_schema_migrations";
    let schema = sql_query(sql).get_result::<Version>(conn)?.version.unwrap_or_default();
    let mut history = None;
    if has_state(conn)? {
        let row: History = sql_query("select history from database_state").get_result(conn)?;
        history = Some(HistoryId::from(row.history));
    }
    Ok(Source { engine: "sqlite", schema, history, one_moment: true })
}

pub(super) async fn export(
    target: &Target,
    limits: Limits,
    wanted: impl Fn(&Table) -> bool + Send + 'static,
    pieces: Sender<Piece>,
) -> Result<(), TransferError> {
    let connection = connect(target, limits, Role::Reader).await?;
    on_thread(connection, move |conn| {
        // From the first row that is read, all that is read is of that moment. Whoever writes does not wait for this.
        conn.batch_execute("begin")?;
        let tables = catalogue(conn)?;
        send(&pieces, Piece::Source(source(conn)?))?;
        for table in tables.into_iter().filter(wanted) {
            let is_keys = table.listed.carried == super::Carried::AsKeys;
            let (name, columns) = (table.name().to_owned(), table.columns.clone());
            send(&pieces, Piece::Table { name, columns, is_keys })?;
            let select = format!("select {} from {} order by {}", table.names(), table.name(), table.order());
            read(conn, &table, &select, |count, bytes| send(&pieces, Piece::Rows { count, bytes }))?;
        }
        conn.batch_execute("commit")?;
        send(&pieces, Piece::End)
    })
    .await
}

fn send(pieces: &Sender<Piece>, piece: Piece) -> Result<(), TransferError> {
    pieces.blocking_send(piece).map_err(|_| TransferError::Stopped)
}

/// A row as its bytes.
struct Encoded(Vec<u8>);

impl FromSqlRow<Untyped, Sqlite> for Encoded {
    fn build_from_row<'a>(source: &impl Row<'a, Sqlite>) -> deserialize::Result<Self> {
        let mut row = Vec::with_capacity(512);
        let at = row::begin(&mut row);
        for number in 0..source.field_count() {
            let field = source.get(number).ok_or("a column is missing")?;
            let Some(mut value) = field.value() else {
                Field::Null.put(&mut row);
                continue;
            };
            match value.value_type() {
                None => Field::Null.put(&mut row),
                Some(SqliteType::SmallInt | SqliteType::Integer | SqliteType::Long) => {
                    Field::Int(value.read_long()).put(&mut row);
                }
                Some(SqliteType::Text) => Field::Text(value.read_text()).put(&mut row),
                Some(SqliteType::Binary) => Field::Bytes(value.read_blob()).put(&mut row),
                Some(_) => return Err("a value is of a type that no column has".into()),
            }
        }
        row::end(&mut row, at);
        Ok(Self(row))
    }
}

/// Reads what a query answers, in the columns of this table, and hands it over in pieces.
pub(super) fn read(
    conn: &mut SqliteConnection,
    table: &Table,
    select: &str,
    mut hand_over: impl FnMut(u64, Vec<u8>) -> Result<(), TransferError>,
) -> Result<(), TransferError> {
    let (mut rows, mut count) = (Vec::with_capacity(PIECE_BYTES * 5 / 4), 0);
    for encoded in sql_query(select).load_iter::<Encoded, DefaultLoadingMode>(conn)? {
        let Encoded(row) = encoded?;
        if table.json.is_empty() {
            rows.extend_from_slice(&row);
        } else {
            put_plain(&row, table, &mut rows)?;
        }
        count += 1;
        if rows.len() >= PIECE_BYTES {
            let piece = std::mem::replace(&mut rows, Vec::with_capacity(PIECE_BYTES * 5 / 4));
            hand_over(std::mem::take(&mut count), piece)?;
        }
    }
    if count > 0 {
        hand_over(count, rows)?;
    }
    Ok(())
}

/// Adds a row, with its JSON in the one form that it has in rows.
fn put_plain(row: &[u8], table: &Table, rows: &mut Vec<u8>) -> Result<(), TransferError> {
    let (mut row, _) = row::split(row).ok_or_else(|| misfit(table))?;
    let at = row::begin(rows);
    for number in 0..table.columns.len() {
        match row::next_field(&mut row).ok_or_else(|| misfit(table))? {
            Field::Text(text) if table.json.contains(&number) => {
                Field::Text(&row::plain_json(text)).put(rows);
            }
            field => field.put(rows),
        }
    }
    row::end(rows, at);
    Ok(())
}

/// A value to be bound. Always of the type of its column, also where it is absent: a statement is kept by its types.
enum Cell<'a> {
    Int(Option<i64>),
    Text(Option<&'a str>),
    Bytes(Option<&'a [u8]>),
}

impl<'a> Cell<'a> {
    fn of(class: Class, field: Field<'a>) -> Option<Self> {
        Some(match (class, field) {
            (Class::Integer, Field::Null) => Self::Int(None),
            (Class::Integer, Field::Int(value)) => Self::Int(Some(value)),
            (Class::Text, Field::Null) => Self::Text(None),
            (Class::Text, Field::Text(text)) => Self::Text(Some(text)),
            (Class::Bytes, Field::Null) => Self::Bytes(None),
            (Class::Bytes, Field::Bytes(bytes)) => Self::Bytes(Some(bytes)),
            _ => return None,
        })
    }
}

/// An insert of some rows.
struct Insert<'a> {
    /// As far as `values`.
    head: &'a str,
    width: usize,
    cells: Vec<Cell<'a>>,
}

impl QueryId for Insert<'_> {
    type QueryId = ();
    // Kept by its text.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl RunQueryDsl<SqliteConnection> for Insert<'_> {}

impl QueryFragment<Sqlite> for Insert<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(self.head);
        for (number, cell) in self.cells.iter().enumerate() {
            out.push_sql(match (number, number % self.width) {
                (0, _) => "(",
                (_, 0) => "), (",
                _ => ", ",
            });
            match cell {
                Cell::Int(value) => out.push_bind_param::<Nullable<BigInt>, Option<i64>>(value)?,
                Cell::Text(text) => out.push_bind_param::<Nullable<Text>, Option<&str>>(text)?,
                Cell::Bytes(bytes) => out.push_bind_param::<Nullable<Binary>, Option<&[u8]>>(bytes)?,
            }
        }
        out.push_sql(")");
        Ok(())
    }
}

/// What is inserted into a table.
pub(super) struct Filling {
    table: Table,
    head: String,
}

impl Filling {
    pub(super) fn of(table: Table) -> Self {
        let head = format!("insert into {} ({}) values ", table.name(), table.names());
        Self { table, head }
    }

    /// Inserts rows.
    pub(super) fn add(&self, conn: &mut SqliteConnection, rows: &[u8]) -> Result<(), TransferError> {
        let width = self.table.columns.len();
        let mut split = Vec::new();
        let mut rest = rows;
        while !rest.is_empty() {
            let (row, after) = row::split(rest).ok_or_else(|| misfit(&self.table))?;
            rest = after;
            split.push(row);
        }
        let (many, few) = split.split_at(split.len() - split.len() % ROWS_AT_ONCE);
        for rows in many.chunks(ROWS_AT_ONCE).chain(few.chunks(1)) {
            let mut cells = Vec::with_capacity(width * rows.len());
            for mut row in rows.iter().copied() {
                for column in &self.table.columns {
                    let cell = row::next_field(&mut row).and_then(|field| Cell::of(column.class, field));
                    cells.push(cell.ok_or_else(|| misfit(&self.table))?);
                }
                if !row.is_empty() {
                    return Err(misfit(&self.table));
                }
            }
            Insert { head: &self.head, width, cells }.execute(conn)?;
        }
        Ok(())
    }
}

/// The first table that holds rows, of those that a new database has none in.
fn first_occupied(conn: &mut SqliteConnection, tables: &[Table]) -> Result<Option<String>, TransferError> {
    for table in tables.iter().filter(|table| !table.listed.is_seeded) {
        let sql = format!("select exists (select 1 from {}) as count", table.name());
        if sql_query(sql).get_result::<Count>(conn)?.count > 0 {
            return Ok(Some(table.name().to_owned()));
        }
    }
    Ok(None)
}

pub(super) async fn occupied(target: &Target, limits: Limits) -> Result<Option<String>, TransferError> {
    let connection = connect(target, limits, Role::Reader).await?;
    on_thread(connection, |conn| {
        let tables = catalogue(conn)?;
        first_occupied(conn, &tables)
    })
    .await
}

pub(super) async fn import(
    target: &Target,
    limits: Limits,
    mut pieces: Receiver<Piece>,
    history: HistoryId,
) -> Result<(), TransferError> {
    let connection = connect(target, limits, Role::Writer).await?;
    on_thread(connection, move |conn| {
        // Pages that do not fit go to the log before the commit: memory is bounded, whatever comes.
        conn.batch_execute("pragma cache_size = -32768; begin immediate")?;
        let tables = catalogue(conn)?;
        if let Some(table) = first_occupied(conn, &tables)? {
            return Err(TransferError::NotEmpty(table));
        }
        fill(conn, &tables, &mut pieces)?;
        if has_state(conn)? {
            // As if it was never seen with the file beside it, which may tell of another one that was in this place.
            let set = "update database_state set seen_on = null, history = ";
            sql_query(format!("{set} x'{}'", history.uuid().simple())).execute(conn)?;
        }
        conn.batch_execute("commit")?;
        // All of it lies in the log. Where somebody reads, they or the next one bring the file up to date.
        let _ = conn.batch_execute("pragma wal_checkpoint(truncate)");
        Ok(())
    })
    .await
}

fn fill(
    conn: &mut SqliteConnection,
    tables: &[Table],
    pieces: &mut Receiver<Piece>,
) -> Result<(), TransferError> {
    let mut filling: Option<Filling> = None;
    loop {
        match pieces.blocking_recv().ok_or(TransferError::Stopped)? {
            Piece::Source(_) => {}
            Piece::Table { name, columns, .. } => {
                let table = expected(tables, &name, &columns)?;
                if table.listed.is_seeded {
                    conn.batch_execute(&format!("delete from {name}"))?;
                }
                filling = Some(Filling::of(table));
            }
            Piece::Rows { bytes, .. } => match &filling {
                Some(filling) => filling.add(conn, &bytes)?,
                None => return Err(TransferError::Unfit("rows of no table".into())),
            },
            Piece::End => return Ok(()),
        }
    }
}
