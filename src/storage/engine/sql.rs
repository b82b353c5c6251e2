//! Pieces of SQL that diesel's own language does not spell, written once for both engines.
//!
//! Values are always bound, never spliced in. A statement made of pieces is prepared once per connection and
//! kept, unless it says that its shape comes from a caller: those are without number and would fill the cache.

use std::marker::PhantomData;

use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Bool, SmallInt, Text, Untyped};
use diesel::sqlite::Sqlite;

use super::types::{DbTimestamp, DbUuid, Id, Moment};

/// What is bound to a place in a statement.
#[derive(Debug, Clone)]
pub(in crate::storage) enum Value {
    Id(Id),
    Time(Moment),
    Text(String),
    Bool(bool),
    Small(i16),
    Big(i64),
}

#[derive(Debug, Clone)]
enum Piece {
    Sql(&'static str),
    /// Where the engines spell a thing differently.
    Each {
        postgres: &'static str,
        sqlite: &'static str,
    },
    Bind(Value),
    BindOnPostgres(Value),
}

/// A condition made of pieces.
#[derive(Debug, Clone)]
pub(in crate::storage) struct Fragment {
    pieces: Vec<Piece>,
    /// Whether there are only a few shapes of it, so that keeping the prepared statement pays.
    few_shapes: bool,
}

impl Fragment {
    pub(in crate::storage) const fn new() -> Self {
        Self { pieces: Vec::new(), few_shapes: true }
    }

    pub(in crate::storage) fn sql(&mut self, sql: &'static str) -> &mut Self {
        self.pieces.push(Piece::Sql(sql));
        self
    }

    /// Adds what PostgreSQL and SQLite spell differently.
    pub(in crate::storage) fn each(&mut self, postgres: &'static str, sqlite: &'static str) -> &mut Self {
        self.pieces.push(Piece::Each { postgres, sqlite });
        self
    }

    pub(in crate::storage) fn bind(&mut self, value: Value) -> &mut Self {
        self.pieces.push(Piece::Bind(value));
        self
    }

    /// Binds a value where the SQL for PostgreSQL alone has a place for it.
    pub(in crate::storage) fn bind_on_postgres(&mut self, value: Value) -> &mut Self {
        self.pieces.push(Piece::BindOnPostgres(value));
        self
    }

    /// Adds all of another fragment.
    pub(in crate::storage) fn append(&mut self, other: Self) {
        self.pieces.extend(other.pieces);
        self.few_shapes &= other.few_shapes;
    }

    /// Notes that the shape comes from a caller, so that the statement is not kept.
    pub(in crate::storage) const fn shaped_by_caller(&mut self) -> &mut Self {
        self.few_shapes = false;
        self
    }
}

/// An engine whose dialect the pieces know.
pub(in crate::storage) trait Dialect: Backend {
    const POSTGRES: bool;
}

impl Dialect for Pg {
    const POSTGRES: bool = true;
}

impl Dialect for Sqlite {
    const POSTGRES: bool = false;
}

impl<DB> QueryFragment<DB> for Fragment
where
    DB: Dialect
        + diesel::sql_types::HasSqlType<DbUuid>
        + diesel::sql_types::HasSqlType<DbTimestamp>
        + diesel::sql_types::HasSqlType<Bool>
        + diesel::sql_types::HasSqlType<BigInt>,
    Id: ToSql<DbUuid, DB>,
    Moment: ToSql<DbTimestamp, DB>,
    String: ToSql<Text, DB>,
    bool: ToSql<Bool, DB>,
    i16: ToSql<SmallInt, DB>,
    i64: ToSql<BigInt, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        if !self.few_shapes {
            out.unsafe_to_cache_prepared();
        }
        for piece in &self.pieces {
            match piece {
                Piece::Sql(sql) => out.push_sql(sql),
                Piece::Each { postgres, .. } if DB::POSTGRES => out.push_sql(postgres),
                Piece::Each { sqlite, .. } => out.push_sql(sqlite),
                Piece::BindOnPostgres(_) if !DB::POSTGRES => {}
                Piece::Bind(value) | Piece::BindOnPostgres(value) => match value {
                    Value::Id(value) => out.push_bind_param::<DbUuid, _>(value)?,
                    Value::Time(value) => out.push_bind_param::<DbTimestamp, _>(value)?,
                    Value::Text(value) => out.push_bind_param::<Text, _>(value)?,
                    Value::Bool(value) => out.push_bind_param::<Bool, _>(value)?,
                    Value::Small(value) => out.push_bind_param::<SmallInt, _>(value)?,
                    Value::Big(value) => out.push_bind_param::<BigInt, _>(value)?,
                },
            }
        }
        Ok(())
    }
}

/// Two fragments of the same type can spell different SQL, so the type alone identifies no statement.
impl QueryId for Fragment {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Expression for Fragment {
    type SqlType = Bool;
}

impl<Table> AppearsOnTable<Table> for Fragment {}
impl<Table> SelectableExpression<Table> for Fragment {}
impl<Group> ValidGrouping<Group> for Fragment {
    type IsAggregate = is_aggregate::Never;
}

/// A whole statement made of pieces, answering rows of these SQL types.
#[derive(Debug)]
pub(in crate::storage) struct Whole<Row> {
    sql: Fragment,
    answers: PhantomData<Row>,
}

impl<Row> Whole<Row> {
    pub(in crate::storage) const fn new(sql: Fragment) -> Self {
        Self { sql, answers: PhantomData }
    }
}

impl<DB, Row> QueryFragment<DB> for Whole<Row>
where
    DB: Backend,
    Fragment: QueryFragment<DB>,
{
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.sql.walk_ast(out)
    }
}

/// As for `Fragment`.
impl<Row> QueryId for Whole<Row> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Row> Query for Whole<Row> {
    type SqlType = Row;
}

impl<Conn, Row> diesel::RunQueryDsl<Conn> for Whole<Row> {}

/// Asks the engine how it would run a statement.
#[derive(Debug, Clone, Copy, QueryId)]
pub(in crate::storage) struct Explain<Q>(pub(in crate::storage) Q);

impl<Q, DB> QueryFragment<DB> for Explain<Q>
where
    Q: QueryFragment<DB>,
    DB: Dialect,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql(if DB::POSTGRES { "explain (costs off) " } else { "explain query plan " });
        self.0.walk_ast(out.reborrow())
    }
}

impl<Q> Query for Explain<Q> {
    type SqlType = Untyped;
}

/// A number by which what a transaction writes can be told from what was there before, as an expression.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $postgres:literal, $sqlite:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, QueryId)]
        pub(in crate::storage) struct $name;

        impl Expression for $name {
            type SqlType = BigInt;
        }
        impl<QS> AppearsOnTable<QS> for $name {}
        impl<QS> SelectableExpression<QS> for $name {}
        impl<Group> ValidGrouping<Group> for $name {
            type IsAggregate = is_aggregate::Never;
        }
        impl<DB: Dialect> QueryFragment<DB> for $name {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
                out.push_sql(if DB::POSTGRES { $postgres } else { $sqlite });
                Ok(())
            }
        }
    };
}
number! {
    /// Of the transaction that writes a revocation. SQLite has one writer; on PostgreSQL it is the transaction's id.
    ThisNumber,
    "(pg_current_xact_id()::text::bigint)",
    "(select coalesce(max(number), 0) + 1 from revocations)"
}
number! {
    /// What is not seen yet has this number or a higher one: on PostgreSQL that of the oldest transaction under way.
    NextNumber,
    "(pg_snapshot_xmin(pg_current_snapshot())::text::bigint)",
    "(select coalesce(max(number), 0) + 1 from revocations)"
}
