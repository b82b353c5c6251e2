//! Statements over sets of rows: one statement for a whole batch, the same on both engines but for how the rows
//! get there. PostgreSQL takes one array per column and `unnest`s them; SQLite takes one JSON document.
//!
//! Their text does not depend on the number of rows, so each is prepared once per connection.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::OnceLock;

use data_encoding::HEXLOWER;
use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Nullable, SmallInt, Text};
use diesel::sqlite::Sqlite;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::types::{DbJson, DbTid, DbTimestamp, DbUuid, Document, Id, Moment, TextList, Tid};

/// The values of one column.
#[derive(Debug, Clone)]
pub(in crate::storage) enum Column<'a> {
    Ids(Vec<Id>),
    MaybeIds(Vec<Option<Id>>),
    Texts(Vec<Cow<'a, str>>),
    MaybeTexts(Vec<Option<Cow<'a, str>>>),
    Bools(Vec<bool>),
    Smalls(Vec<i16>),
    MaybeSmalls(Vec<Option<i16>>),
    Bigs(Vec<i64>),
    Times(Vec<Moment>),
    MaybeTimes(Vec<Option<Moment>>),
    Lists(Vec<TextList>),
    MaybeDocuments(Vec<Option<Document>>),
    Bytes(Vec<&'a [u8]>),
    /// To PostgreSQL alone.
    Places(Vec<Tid>),
}

impl Column<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Ids(values) => values.len(),
            Self::MaybeIds(values) => values.len(),
            Self::Texts(values) => values.len(),
            Self::MaybeTexts(values) => values.len(),
            Self::Bools(values) => values.len(),
            Self::Smalls(values) => values.len(),
            Self::MaybeSmalls(values) => values.len(),
            Self::Bigs(values) => values.len(),
            Self::Times(values) => values.len(),
            Self::MaybeTimes(values) => values.len(),
            Self::Lists(values) => values.len(),
            Self::MaybeDocuments(values) => values.len(),
            Self::Bytes(values) => values.len(),
            Self::Places(values) => values.len(),
        }
    }

    /// Whether there is no value in any row.
    fn is_absent(&self) -> bool {
        match self {
            Self::MaybeIds(values) => values.iter().all(Option::is_none),
            Self::MaybeTexts(values) => values.iter().all(Option::is_none),
            Self::MaybeSmalls(values) => values.iter().all(Option::is_none),
            Self::MaybeTimes(values) => values.iter().all(Option::is_none),
            Self::MaybeDocuments(values) => values.iter().all(Option::is_none),
            _ => false,
        }
    }

    /// Whether SQLite keeps it as a BLOB, which JSON carries in hexadecimal.
    const fn is_blob(&self) -> bool {
        matches!(self, Self::Ids(_) | Self::MaybeIds(_) | Self::Bytes(_))
    }
}

/// The value of a column in one row, as SQLite reads it back out of JSON.
struct Cell<'a>(&'a Column<'a>, usize);

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        fn id<S: Serializer>(id: Id, to: S) -> Result<S::Ok, S::Error> {
            to.serialize_str(id.0.as_simple().encode_lower(&mut Uuid::encode_buffer()))
        }
        let Self(column, row) = *self;
        match column {
            Column::Ids(values) => id(values[row], to),
            Column::MaybeIds(values) => match values[row] {
                Some(value) => id(value, to),
                None => to.serialize_none(),
            },
            Column::Texts(values) => values[row].serialize(to),
            Column::MaybeTexts(values) => values[row].serialize(to),
            Column::Bools(values) => values[row].serialize(to),
            Column::Smalls(values) => values[row].serialize(to),
            Column::MaybeSmalls(values) => values[row].serialize(to),
            Column::Bigs(values) => values[row].serialize(to),
            Column::Times(values) => values[row].serialize(to),
            Column::MaybeTimes(values) => values[row].serialize(to),
            Column::Lists(values) => values[row].serialize(to),
            Column::MaybeDocuments(values) => values[row].as_ref().map(|document| &document.0).serialize(to),
            Column::Bytes(values) => to.serialize_str(&HEXLOWER.encode(values[row])),
            Column::Places(_) => to.serialize_none(),
        }
    }
}

/// All rows, each an array of its cells.
struct Cells<'a>(&'a [(&'static str, Column<'a>)]);

impl Serialize for Cells<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let length = self.0.first().map_or(0, |(_, column)| column.len());
        to.collect_seq((0..length).map(|row| CellsOf(self.0, row)))
    }
}

/// Those of one row.
struct CellsOf<'a>(&'a [(&'static str, Column<'a>)], usize);

impl Serialize for CellsOf<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|(_, column)| Cell(column, self.1)))
    }
}

/// Rows to be written or looked for: named columns of the same length.
#[derive(Debug)]
pub(in crate::storage) struct Rows<'a> {
    columns: Vec<(&'static str, Column<'a>)>,
    json: OnceLock<String>,
    place: Place,
    count: i64,
}

impl<'a> Rows<'a> {
    pub(in crate::storage) fn new(columns: Vec<(&'static str, Column<'a>)>) -> Self {
        debug_assert!(columns.windows(2).all(|pair| pair[0].1.len() == pair[1].1.len()));
        let rows = columns.as_slice().first().map_or(0, |(_, column)| column.len());
        let count = i64::try_from(rows).unwrap_or(i64::MAX);
        Self { columns, json: OnceLock::new(), place: Place::Here, count }
    }

    /// The same without these columns, if no row has a value in any of them. To be inserted, where that is what their absence means:
    /// what hardly any row has, then costs the others nothing. All or none, so that there are two statements and not many.
    pub(in crate::storage) fn unless_absent(mut self, rare: &[&str]) -> Self {
        if self.columns.iter().all(|(name, column)| !rare.contains(name) || column.is_absent()) {
            self.columns.retain(|(name, _)| !rare.contains(name));
        }
        self
    }

    fn as_json(&self) -> &String {
        // Texts and numbers can always be written.
        self.json.get_or_init(|| serde_json::to_string(&Cells(&self.columns)).unwrap_or_default())
    }
}

/// The column of `in_places`.
const PLACE: &str = "place";

/// What is said of rows that are not where they were found.
pub(super) const MOVED: &str = "rows were where they were found";

/// A piece of a statement.
#[derive(Debug, Clone, Copy)]
pub(in crate::storage) enum Piece {
    Sql(&'static str),
    OnPostgres(&'static [Piece]),
    OnSqlite(&'static [Piece]),
    /// The table of rows, called `v`.
    Rows,
    /// On PostgreSQL, the values of the first column of the rows, which are ids.
    First,
    /// The insertion of all rows, with all their columns, into a table.
    Insert(&'static str),
    /// What an update sets: every column of the rows but these.
    Assignments {
        but: &'static [&'static str],
    },
    /// The condition that a row of a table is the one that a row of `v` names: the columns of the table's primary key,
    /// and those of `v`.
    ///
    /// To PostgreSQL the first column is to be any of an array of one. An equality can be turned around: with a small
    /// table its planner would read all of that and look each of its rows up in `v`, and would keep this plan while the
    /// table grows. This can only be followed from `v` to the table, and costs the same there.
    Key(&'static [&'static str], &'static [&'static str]),
    /// The same, of this table, where the rows of `v` may say at which place PostgreSQL has it. Then that is the only way to it: the key
    /// is compared there by an operator that no index knows.
    KeyInPlace(&'static str, &'static [&'static str], &'static [&'static str]),
    /// A change of all rows of `v`. Where their places are said it fails unless it has changed every one of them: what waits for nothing before
    /// it commits cannot look how many there were.
    All(&'static [Piece]),
}

/// A statement made of pieces, with one place for a table of rows.
///
/// `Row` is the SQL type of a row that it answers; `()` when it answers none.
#[derive(Debug)]
pub(in crate::storage) struct SetStatement<'a, Row = ()> {
    pieces: &'static [Piece],
    rows: Rows<'a>,
    answers: PhantomData<Row>,
}

/// Where the rows of one statement are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) enum Place {
    /// On one server.
    Here,
    /// On one of several, by their user.
    OneShard,
}

impl<'a, Row> SetStatement<'a, Row> {
    pub(in crate::storage) const fn new(pieces: &'static [Piece], rows: Rows<'a>) -> Self {
        Self { pieces, rows, answers: PhantomData }
    }

    /// The same where the rows are in this place.
    pub(in crate::storage) fn at(mut self, place: Place) -> Self {
        self.rows.place = place;
        self
    }

    /// The same on PostgreSQL, with the places of the rows that it names, where they are known.
    pub(in crate::storage) fn in_places(mut self, places: Option<Vec<Tid>>) -> Self {
        self.rows.columns.extend(places.map(|places| (PLACE, Column::Places(places))));
        self
    }
}

/// Names in parentheses.
fn push_list<DB: Backend>(out: &mut AstPass<'_, '_, DB>, names: impl Iterator<Item = &'static str>) {
    out.push_sql("(");
    for (at, name) in names.enumerate() {
        out.push_sql(if at > 0 { ", " } else { "" });
        out.push_sql(name);
    }
    out.push_sql(")");
}

impl<Row> QueryFragment<Pg> for SetStatement<'_, Row> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.rows.push_to_postgres(self.pieces, &mut out)
    }
}

impl<Row> QueryFragment<Sqlite> for SetStatement<'_, Row> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.rows.push_to_sqlite(self.pieces, &mut out)
    }
}

impl Rows<'_> {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().map(|(name, _)| *name)
    }

    fn push_insert<DB: Backend>(&self, table: &str, out: &mut AstPass<'_, '_, DB>) {
        out.push_sql("insert into ");
        out.push_sql(table);
        out.push_sql(" ");
        push_list(out, self.names());
        out.push_sql(" select v.* from ");
    }

    fn push_assignments<DB: Backend>(&self, but: &[&str], out: &mut AstPass<'_, '_, DB>) {
        for (at, name) in self.names().filter(|name| !but.contains(name) && *name != PLACE).enumerate() {
            out.push_sql(if at > 0 { ", " } else { "" });
            out.push_sql(name);
            out.push_sql(" = v.");
            out.push_sql(name);
        }
    }

    fn push_to_postgres<'b>(&'b self, pieces: &[Piece], out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        for piece in pieces {
            match piece {
                Piece::Sql(sql) => out.push_sql(sql),
                Piece::OnPostgres(pieces) => self.push_to_postgres(pieces, out)?,
                Piece::OnSqlite(_) => {}
                Piece::Rows => self.push_arrays(out)?,
                Piece::First => {
                    if let Some((_, Column::Ids(ids))) = self.columns.first() {
                        out.push_bind_param::<Array<DbUuid>, _>(ids)?;
                    }
                }
                Piece::Insert(table) => {
                    self.push_insert(table, out);
                    self.push_arrays(out)?;
                }
                Piece::Assignments { but } => self.push_assignments(but, out),
                Piece::KeyInPlace(table, columns, of_rows) if self.names().any(|name| name == PLACE) => {
                    out.push_sql(table);
                    out.push_sql(".ctid = v.");
                    out.push_sql(PLACE);
                    for (column, of_rows) in columns.iter().zip(*of_rows) {
                        out.push_sql(" and ");
                        out.push_sql(column);
                        out.push_sql(" is not distinct from ");
                        out.push_sql(of_rows);
                    }
                }
                Piece::All(pieces) if self.names().any(|name| name == PLACE) => {
                    out.push_sql("with changed as (");
                    self.push_to_postgres(pieces, out)?;
                    out.push_sql(" returning 1) select case when count(*) = ");
                    out.push_bind_param::<BigInt, _>(&self.count)?;
                    // No number, which is how a statement says what is wrong.
                    out.push_sql(" then 0 else (count(*) || ' ");
                    out.push_sql(MOVED);
                    out.push_sql("')::int end from changed");
                }
                Piece::All(pieces) => self.push_to_postgres(pieces, out)?,
                Piece::Key(columns, of_rows) | Piece::KeyInPlace(_, columns, of_rows) => {
                    for (at, (column, of_rows)) in columns.iter().zip(*of_rows).enumerate() {
                        out.push_sql(if at > 0 { " and " } else { "" });
                        out.push_sql(column);
                        out.push_sql(if at > 0 { " = " } else { " = any (array[" });
                        out.push_sql(of_rows);
                        out.push_sql(if at > 0 { "" } else { "])" });
                    }
                    self.push_shard(columns, out)?;
                }
            }
        }
        Ok(())
    }

    /// Says once more of which users the rows are, so that a server that only knows where they are sends the statement there and
    /// nowhere else.
    fn push_shard<'b>(&'b self, columns: &[&str], out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if let (Place::OneShard, [by, ..], Some((_, Column::Ids(users)))) =
            (self.place, columns, self.columns.first())
        {
            out.push_sql(" and ");
            out.push_sql(by);
            out.push_sql(" = any (");
            out.push_bind_param::<Array<DbUuid>, _>(users)?;
            out.push_sql(")");
        }
        Ok(())
    }

    /// Each array as a column of a selection. As one `unnest` of all of them, PostgreSQL would keep every column in a store of its own.
    fn push_arrays<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        for (at, (name, column)) in self.columns.iter().enumerate() {
            out.push_sql(if at > 0 { ", unnest(" } else { "(select unnest(" });
            match column {
                Column::Ids(values) => out.push_bind_param::<Array<DbUuid>, _>(values)?,
                Column::MaybeIds(values) => out.push_bind_param::<Array<Nullable<DbUuid>>, _>(values)?,
                Column::Texts(values) => out.push_bind_param::<Array<Text>, _>(values)?,
                Column::MaybeTexts(values) => out.push_bind_param::<Array<Nullable<Text>>, _>(values)?,
                Column::Bools(values) => out.push_bind_param::<Array<Bool>, _>(values)?,
                Column::Smalls(values) => out.push_bind_param::<Array<SmallInt>, _>(values)?,
                Column::MaybeSmalls(values) => out.push_bind_param::<Array<Nullable<SmallInt>>, _>(values)?,
                Column::Bigs(values) => out.push_bind_param::<Array<BigInt>, _>(values)?,
                Column::Times(values) => out.push_bind_param::<Array<DbTimestamp>, _>(values)?,
                Column::MaybeTimes(values) => {
                    out.push_bind_param::<Array<Nullable<DbTimestamp>>, _>(values)?
                }
                Column::Lists(values) => out.push_bind_param::<Array<DbJson>, _>(values)?,
                Column::MaybeDocuments(values) => {
                    out.push_bind_param::<Array<Nullable<DbJson>>, _>(values)?
                }
                Column::Bytes(values) => out.push_bind_param::<Array<Binary>, _>(values)?,
                Column::Places(values) => out.push_bind_param::<Array<DbTid>, _>(values)?,
            }
            out.push_sql(") as ");
            out.push_sql(name);
        }
        out.push_sql(") as v");
        Ok(())
    }

    fn push_to_sqlite<'b>(&'b self, pieces: &[Piece], out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        for piece in pieces {
            match piece {
                Piece::Sql(sql) => out.push_sql(sql),
                Piece::OnPostgres(_) | Piece::First => {}
                Piece::OnSqlite(pieces) | Piece::All(pieces) => self.push_to_sqlite(pieces, out)?,
                Piece::Rows => self.push_json(out)?,
                Piece::Insert(table) => {
                    self.push_insert(table, out);
                    self.push_json(out)?;
                }
                Piece::Assignments { but } => self.push_assignments(but, out),
                Piece::Key(columns, of_rows) | Piece::KeyInPlace(_, columns, of_rows) => {
                    push_list(out, columns.iter().copied());
                    out.push_sql(" = ");
                    push_list(out, of_rows.iter().copied());
                }
            }
        }
        Ok(())
    }

    fn push_json<'b>(&'b self, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("(select ");
        for (at, (name, column)) in self.columns.iter().enumerate() {
            if at > 0 {
                out.push_sql(", ");
            }
            out.push_sql(if column.is_blob() { "unhex(value->>" } else { "(value->>" });
            out.push_sql(&at.to_string());
            out.push_sql(") as ");
            out.push_sql(name);
        }
        // The one with a `b` hands rows on in SQLite's own form; as text, each column would be looked for anew.
        out.push_sql(" from jsonb_each(");
        out.push_bind_param::<Text, _>(self.as_json())?;
        out.push_sql(")) as v");
        Ok(())
    }
}

/// The text identifies the statement, not the type.
impl<Row> QueryId for SetStatement<'_, Row> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Row> Query for SetStatement<'_, Row> {
    type SqlType = Row;
}

impl<Conn, Row> diesel::RunQueryDsl<Conn> for SetStatement<'_, Row> {}
