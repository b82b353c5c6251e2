//! The schema's versions: embedded in the program, applied under a lock, compared before anything is served.

use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::sql_types::Text;
use diesel::sqlite::Sqlite;
use diesel::{QueryDsl as _, QueryableByName, sql_query};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::connections::SqliteConn;
use super::distribution::{Distribution, has_citus};
use super::postgres::{ConnectFailure, Planner};
use super::sqlite;
use crate::storage::accounts::email_keys;
use crate::storage::schema::database_state;
use crate::storage::{OpenError, Storage, Target};

const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");
/// Steps that take another form where the tables are spread already, under the same names.
const CITUS: EmbeddedMigrations = embed_migrations!("migrations/citus");
const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// The key of the advisory lock that lets one replica migrate at a time: "taskwire" in ASCII.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"taskwire");

/// A migration and whether the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedMigration {
    /// Its name, which begins with its version.
    pub name: String,
    /// Whether it was applied.
    pub applied: bool,
}

/// How the schema of the database stands to the one this program wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaState {
    /// The migrations of this program, oldest first.
    pub migrations: Vec<AppliedMigration>,
    /// Versions that the database has and this program does not know.
    pub unknown: Vec<String>,
    /// The version that a program has to know at least to work on this schema; `None` where the schema does not say.
    pub compatible_from: Option<String>,
}

impl SchemaState {
    /// Whether this program can work on the database: it has all that this program wants, and nothing newer that this
    /// program cannot live with.
    ///
    /// # Errors
    /// `SchemaBehind` or `SchemaAhead`.
    pub fn check(&self) -> Result<(), OpenError> {
        if let Some(version) = self.unknown.last()
            && !self.is_compatible()
        {
            return Err(OpenError::SchemaAhead { version: version.clone() });
        }
        match self.migrations.iter().filter(|migration| !migration.applied).count() {
            0 => Ok(()),
            pending => Err(OpenError::SchemaBehind { pending }),
        }
    }
}

/// A name begins with the version, which has no dashes: `2026-11-28-000000_replicas`, `20261128000000`.
fn version(migration: &AppliedMigration) -> String {
    migration.name.split('_').next().unwrap_or_default().replace('-', "")
}

impl SchemaState {
    /// The versions that this program knows, oldest first.
    pub fn versions(&self) -> Vec<String> {
        self.migrations.iter().map(version).collect()
    }

    /// Whether what is newer was made so that this program can live with it. One that lacks something of its own is not
    /// followed by something newer.
    fn is_compatible(&self) -> bool {
        self.migrations.iter().all(|migration| migration.applied)
            && self.compatible_from.as_deref().is_some_and(|oldest| {
                self.migrations.last().is_some_and(|newest| version(newest).as_str() >= oldest)
            })
    }
}

/// A connection of its own for migrations, outside the pool.
enum Connection {
    Postgres(Box<AsyncPgConnection>),
    Sqlite(Box<SqliteConn>),
}

#[derive(QueryableByName)]
struct VersionRow {
    #[diesel(sql_type = Text)]
    version: String,
}

impl Storage {
    /// Connects once, outside the pool, and reads how the schema stands.
    ///
    /// # Errors
    /// `Away` or `Refused` when the database cannot be asked.
    pub async fn schema_state(&self) -> Result<SchemaState, OpenError> {
        let mut connection = self.connect().await?;
        schema_state(&mut connection).await
    }

    /// Applies what is missing; answers the names of what was applied.
    ///
    /// Replicas that start together take turns: on PostgreSQL by an advisory lock, on SQLite by its own lock.
    ///
    /// # Errors
    /// `SchemaAhead` when the database is newer than this program, `Migration` when a step fails.
    pub async fn migrate(&self) -> Result<Vec<String>, OpenError> {
        let mut connection = self.connect().await?;
        if let Connection::Postgres(conn) = &mut connection {
            lock(conn).await?;
        }
        let state = schema_state(&mut connection).await?;
        let pending = match state.check() {
            Ok(()) => {
                // Lets its lock go, which spreading takes.
                drop(connection);
                self.spread_new_tables().await?;
                return Ok(Vec::new());
            }
            Err(OpenError::SchemaBehind { pending }) => pending,
            Err(error) => return Err(error),
        };
        match run_pending(connection, self.distribution().await? != Distribution::None) {
            Ok(applied) => {
                self.spread_new_tables().await?;
                let renewed = email_keys::renew(&self.pool).await;
                renewed.map_err(|error| OpenError::Migration(error.to_string()))?;
                Ok(applied)
            }
            // On SQLite another process may have been faster; what counts is where the schema stands now.
            Err(failed) => match self.schema_state().await?.check() {
                Ok(()) => Ok(Vec::new()),
                // It has done a step and goes on to the next; whoever is first there does it.
                Err(OpenError::SchemaBehind { pending: left }) if left < pending => {
                    Box::pin(self.migrate()).await
                }
                Err(_) => Err(failed),
            },
        }
    }

    /// Brings a database without any tables as far as this version, for rows that are of it. `migrate` brings it on.
    ///
    /// # Errors
    /// `Migration`, also where the database is further already.
    pub async fn migrate_to(&self, version: &str) -> Result<(), OpenError> {
        let mut connection = self.connect().await?;
        if let Connection::Postgres(conn) = &mut connection {
            lock(conn).await?;
        }
        let applied = applied_versions(&mut connection).await?;
        if applied.last().is_some_and(|newest| newest.as_str() > version) {
            let text =
                "the tables are newer than what they are to hold: begin with a database without tables";
            return Err(OpenError::Migration(text.to_owned()));
        }
        run_until(connection, version)?;
        self.spread_new_tables().await
    }

    /// Spreads over the servers of a Citus what is not spread yet; answers what was done. With no number of shards, Citus
    /// says how many.
    ///
    /// # Errors
    /// `SchemaBehind`, `SchemaAhead`; `Refused` where there is no Citus, or it refuses.
    pub async fn distribute(&self, shards: Option<u16>) -> Result<Vec<String>, OpenError> {
        self.schema_state().await?.check()?;
        let refused = |text: &str| Err(OpenError::Refused(text.to_owned()));
        let Connection::Postgres(mut conn) = self.connect().await? else {
            return refused("SQLite is one file, which cannot be spread over servers");
        };
        let has_citus = has_citus(&mut conn).await.map_err(|error| OpenError::Refused(error.to_string()))?;
        if !has_citus {
            return refused(
                "there is no Citus in this database: `create extension citus` makes it, on a server that has it",
            );
        }
        lock(&mut conn).await?;
        let done = Distribution::complete(&mut conn, shards).await;
        done.map_err(|error| OpenError::Migration(error.to_string()))
    }

    /// Keeps tables that a migration has made in line with the others.
    async fn spread_new_tables(&self) -> Result<(), OpenError> {
        if let Distribution::Half(_) = self.distribution().await? {
            self.distribute(None).await?;
        }
        Ok(())
    }

    /// How far the tables are spread over several servers.
    async fn distribution(&self) -> Result<Distribution, OpenError> {
        if self.is_embedded() {
            return Ok(Distribution::None);
        }
        match self.connect().await? {
            Connection::Postgres(mut conn) => {
                let seen = match has_citus(&mut conn).await {
                    Ok(true) => Distribution::of(&mut conn).await,
                    Ok(false) => Ok(Distribution::None),
                    Err(error) => Err(error),
                };
                seen.map_err(|error| OpenError::Refused(error.to_string()))
            }
            Connection::Sqlite(_) => Ok(Distribution::None),
        }
    }

    /// Whether the tables are where they have to be: all on one server, or all that can be spread over the servers of a Citus.
    ///
    /// # Errors
    /// `HalfDistributed`, or `Away` or `Refused` when the database cannot be asked.
    pub async fn check_distribution(&self) -> Result<(), OpenError> {
        match self.distribution().await? {
            Distribution::None | Distribution::Whole => Ok(()),
            Distribution::Half(missing) => Err(OpenError::HalfDistributed { missing: missing.join(", ") }),
        }
    }

    async fn connect(&self) -> Result<Connection, OpenError> {
        match &self.target {
            Target::Postgres(target) => {
                let connecting = tokio::time::timeout(target.patience(), target.connect(Planner::Free));
                match connecting.await {
                    Ok(Ok(connection)) => Ok(Connection::Postgres(Box::new(connection))),
                    Ok(Err(ConnectFailure::Away(text))) => Err(OpenError::Away(text)),
                    Ok(Err(ConnectFailure::Refused(text))) => Err(OpenError::Refused(text)),
                    Err(_) => Err(OpenError::Away("connecting took too long".into())),
                }
            }
            Target::Sqlite(target) => {
                let refused = |error: &dyn std::fmt::Display| {
                    OpenError::Refused(format!("{}: {error}", target.path().display()))
                };
                target.prepare().map_err(|error| refused(&error))?;
                let connection = target.connect(sqlite::Role::Writer, self.pool.limits).await;
                let connection = connection.map(|connection| Connection::Sqlite(Box::new(connection)));
                connection.map_err(|error| match refused(&error) {
                    OpenError::Refused(text) if text.contains(sqlite::LOCKED) => OpenError::Away(text),
                    refused => refused,
                })
            }
        }
    }
}

/// Lets one replica at a time change the schema. The lock goes with the connection.
async fn lock(conn: &mut AsyncPgConnection) -> Result<(), OpenError> {
    // Waiting for the other replica and rewriting a large table may both take longer than a statement may.
    let lock =
        format!("set statement_timeout to 0; set lock_timeout to 0; select pg_advisory_lock({LOCK_KEY})");
    conn.batch_execute(&lock).await.map_err(|error| OpenError::Migration(error.to_string()))
}

async fn schema_state(connection: &mut Connection) -> Result<SchemaState, OpenError> {
    let applied = applied_versions(connection).await?;
    let ours: Vec<(String, String)> = match connection {
        Connection::Postgres(_) => names::<Pg>(&POSTGRES),
        Connection::Sqlite(_) => names::<Sqlite>(&SQLITE),
    }?;
    let unknown: Vec<String> =
        applied.iter().filter(|version| !ours.iter().any(|(known, _)| known == *version)).cloned().collect();
    let migrations = ours
        .into_iter()
        .map(|(version, name)| AppliedMigration { name, applied: applied.contains(&version) })
        .collect();
    // What is not newer need not be asked for.
    let compatible_from = if unknown.is_empty() { None } else { compatible_from(connection).await };
    Ok(SchemaState { migrations, unknown, compatible_from })
}

/// The version that a program has to know at least; `None` where the schema does not say.
async fn compatible_from(connection: &mut Connection) -> Option<String> {
    let read = database_state::table.select(database_state::compatible_from);
    let read = match connection {
        Connection::Postgres(conn) => read.first(conn).await,
        Connection::Sqlite(conn) => read.first(conn).await,
    };
    read.ok()
}

/// Version and name of each embedded migration, oldest first.
fn names<DB: diesel::backend::Backend>(
    source: &EmbeddedMigrations,
) -> Result<Vec<(String, String)>, OpenError>
where
    EmbeddedMigrations: diesel::migration::MigrationSource<DB>,
{
    let mut all: Vec<Box<dyn Migration<DB>>> =
        source.migrations().map_err(|error| OpenError::Migration(error.to_string()))?;
    all.sort_by_key(|migration| migration.name().version().as_owned());
    Ok(all
        .iter()
        .map(|migration| (migration.name().version().to_string(), migration.name().to_string()))
        .collect())
}

/// The versions that the database has, oldest first; none when it was never migrated.
async fn applied_versions(connection: &mut Connection) -> Result<Vec<String>, OpenError> {
    // Asked for by hand: the library would first create the table, for which a service's role needs no right.
    const QUERY: &str = "select version from __diesel_schema_migrations order by version";
    let rows = match connection {
        Connection::Postgres(conn) => sql_query(QUERY).load::<VersionRow>(conn).await,
        Connection::Sqlite(conn) => sql_query(QUERY).load::<VersionRow>(conn).await,
    };
    match rows {
        Ok(rows) => Ok(rows.into_iter().map(|row| row.version).collect()),
        Err(error) => match error.to_string() {
            text if text.contains("does not exist") || text.contains("no such table") => Ok(Vec::new()),
            text => Err(OpenError::Refused(text)),
        },
    }
}

fn run_until(connection: Connection, version: &str) -> Result<(), OpenError> {
    fn run<DB: diesel::backend::Backend>(
        mut harness: impl MigrationHarness<DB>,
        source: EmbeddedMigrations,
        version: &str,
    ) -> diesel::migration::Result<()>
    where
        EmbeddedMigrations: diesel::migration::MigrationSource<DB>,
    {
        let mut pending = harness.pending_migrations(source)?;
        pending.retain(|migration| migration.name().version().to_string().as_str() <= version);
        harness.run_migrations(&pending).map(drop)
    }
    let run = match connection {
        Connection::Postgres(conn) => run(AsyncMigrationHarness::new(*conn), POSTGRES, version),
        Connection::Sqlite(conn) => run(AsyncMigrationHarness::new(*conn), SQLITE, version),
    };
    run.map_err(|error| OpenError::Migration(error.to_string()))
}

/// The steps of PostgreSQL as those tables need them that are spread over several servers.
struct Spread;

impl MigrationSource<Pg> for Spread {
    fn migrations(&self) -> diesel::migration::Result<Vec<Box<dyn Migration<Pg>>>> {
        let mut all: Vec<Box<dyn Migration<Pg>>> = POSTGRES.migrations()?;
        for form in MigrationSource::<Pg>::migrations(&CITUS)? {
            let name = form.name().to_string();
            let step = all.iter_mut().find(|step| step.name().to_string() == name);
            *step.ok_or_else(|| format!("{name} is a form of no step"))? = form;
        }
        Ok(all)
    }
}

fn run_pending(connection: Connection, is_spread: bool) -> Result<Vec<String>, OpenError> {
    fn run<DB: diesel::backend::Backend>(
        mut harness: impl MigrationHarness<DB>,
        source: impl MigrationSource<DB>,
    ) -> diesel::migration::Result<Vec<String>> {
        let applied = harness.run_pending_migrations(source)?;
        Ok(applied.iter().map(ToString::to_string).collect())
    }
    let applied = match connection {
        Connection::Postgres(conn) if is_spread => run(AsyncMigrationHarness::new(*conn), Spread),
        Connection::Postgres(conn) => run(AsyncMigrationHarness::new(*conn), POSTGRES),
        Connection::Sqlite(conn) => run(AsyncMigrationHarness::new(*conn), SQLITE),
    };
    applied.map_err(|error| OpenError::Migration(error.to_string()))
}
