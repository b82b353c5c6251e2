//! A fresh database per test, a copy of one that this process migrates once, and a way to it past the storage.

use std::future::poll_fn;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::deserialize::{FromSql, FromSqlRow};
use diesel::row::{Field as _, Row};
use diesel::sql_types::{Text, Untyped};
use diesel::sqlite::Sqlite;
use diesel::{Connection as _, RunQueryDsl as _, SqliteConnection};
use taskwire::domain::Timestamp;
use taskwire::storage::{Limits, Storage};
use tempfile::TempDir;
use tokio_postgres::{AsyncMessage, Client, NoTls, SimpleQueryMessage};
use uuid::Uuid;

use super::citus::{self, Cluster};

/// Where the data lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// What a new database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    /// Nothing.
    Empty,
    /// Every table, no row.
    Migrated,
}

/// A database that one test has for itself. It goes when this is dropped.
#[derive(Debug)]
pub(crate) struct TestDatabase {
    pub(crate) engine: Engine,
    pub(crate) url: String,
    pub(crate) storage: Storage,
    place: Place,
}

#[derive(Debug)]
enum Place {
    File(TempDir),
    Server(#[expect(dead_code, reason = "held for its Drop")] ServerDatabase),
}

/// Few connections, as hundreds of tests share one server, and long patience, as they share two cores.
pub(crate) fn limits() -> Limits {
    Limits {
        postgres_connections_max: 7,
        sqlite_readers_max: 2,
        connect_timeout: Duration::from_secs(20),
        checkout_timeout: Duration::from_secs(20),
        statement_timeout: Duration::from_secs(30),
        lock_timeout: Duration::from_secs(20),
        standby_timeout: Duration::from_secs(20),
        lanes: 1,
    }
}

impl TestDatabase {
    /// A new database; `None` when there is no server to make it on.
    pub(crate) async fn create(engine: Engine, schema: Schema) -> Option<Self> {
        let (url, place) = match engine {
            Engine::Sqlite => {
                let directory = TempDir::new().unwrap();
                let path = directory.path().join("taskwire.db");
                if schema == Schema::Migrated {
                    let mut file = std::fs::OpenOptions::new()
                        .write(true)
                        .create_new(true)
                        .mode(0o600)
                        .open(&path)
                        .unwrap();
                    file.write_all(sqlite_template()).unwrap();
                }
                (format!("sqlite:{}", path.display()), Place::File(directory))
            }
            Engine::Postgres => {
                let database = Server::shared()?.create(schema).await;
                (database.url(), Place::Server(database))
            }
        };
        let mut storage = Storage::open(&url, limits()).unwrap();
        if schema == Schema::Migrated && engine == Engine::Postgres && citus::is_direct() {
            storage = storage.with_direct_workers().unwrap();
            storage.probe().await.unwrap();
            storage.probe_workers().await.unwrap();
        }
        Some(Self { engine, url, storage, place })
    }

    /// The same database through connections of their own.
    pub(crate) fn open(&self, limits: Limits) -> Storage {
        Storage::open(&self.url, limits).unwrap()
    }

    /// The file of a SQLite database.
    pub(crate) fn file(&self) -> PathBuf {
        match &self.place {
            Place::File(directory) => directory.path().join("taskwire.db"),
            Place::Server(_) => panic!("a database on a server has no file"),
        }
    }

    /// A connection past the storage, as another program would have it.
    pub(crate) async fn raw(&self) -> Raw {
        match self.engine {
            Engine::Sqlite => Raw::sqlite(&self.file()),
            Engine::Postgres => Raw::Postgres(connect(&self.url).await),
        }
    }

    /// Checks that what has to hold in the database does; how a test of kills and faults ends.
    pub(crate) async fn assert_sound(&self) {
        assert_sound(&self.storage).await;
    }

    /// Has every write of this kind to this table fail as on a full disk, with the words that the engine has for that: file systems of
    /// their own the tests may not make.
    pub(crate) async fn fill_up(&self, table: &str, write: &str) {
        let trigger = format!("create trigger full_{table} before {write} on {table}");
        let sql = match self.engine {
            Engine::Sqlite => {
                format!("{trigger} begin select raise(abort, 'database or disk is full'); end")
            }
            Engine::Postgres => format!(
                "create or replace function is_full() returns trigger language plpgsql as $$ begin raise exception \
                 'could not extend file \"base/1/1\": No space left on device' using errcode = '53100'; end $$; \
                 {trigger} for each row execute function is_full()"
            ),
        };
        self.execute(&sql).await;
    }

    /// Takes away what `fill_up` did.
    pub(crate) async fn make_room(&self, table: &str) {
        let on = if self.engine == Engine::Postgres { format!(" on {table}") } else { String::new() };
        self.execute(&format!("drop trigger full_{table}{on}")).await;
    }

    /// Runs statements past the storage.
    pub(crate) async fn execute(&self, sql: &str) {
        self.raw().await.execute(sql).await;
    }

    /// The first column of every row, as text.
    pub(crate) async fn query_texts(&self, sql: &str) -> Vec<String> {
        self.raw().await.query_texts(sql).await
    }

    /// The first column of the only row, as text.
    pub(crate) async fn query_text(&self, sql: &str) -> String {
        let mut rows = self.query_texts(sql).await;
        assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
        rows.remove(0)
    }

    /// The first column of the only row, as a number.
    pub(crate) async fn query_i64(&self, sql: &str) -> i64 {
        self.query_text(sql).await.parse().unwrap()
    }

    /// An id as it is written in this engine's SQL.
    pub(crate) fn id(&self, id: impl Into<Uuid>) -> String {
        let id = id.into();
        match self.engine {
            Engine::Sqlite => format!("x'{}'", id.simple()),
            Engine::Postgres => format!("'{id}'::uuid"),
        }
    }

    /// A time as it is written in this engine's SQL.
    pub(crate) fn time(&self, time: Timestamp) -> String {
        match self.engine {
            Engine::Sqlite => time.as_micros().to_string(),
            Engine::Postgres => {
                format!("(timestamptz 'epoch' + interval '1 microsecond' * {})", time.as_micros())
            }
        }
    }
}

/// Checks that what has to hold in this database does.
pub(crate) async fn assert_sound(storage: &Storage) {
    let findings = storage.check().await.unwrap();
    assert!(findings.is_sound(), "{:#?}", findings.found);
}

/// A connection past the storage.
pub(crate) enum Raw {
    Sqlite(Box<SqliteConnection>),
    Postgres(Client),
}

impl Raw {
    fn sqlite(path: &Path) -> Self {
        let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        connection.batch_execute("pragma busy_timeout = 20000").unwrap();
        Self::Sqlite(Box::new(connection))
    }

    /// Runs statements.
    pub(crate) async fn execute(&mut self, sql: &str) {
        if let Err(error) = self.try_execute(sql).await {
            panic!("{sql}: {error}");
        }
    }

    /// Runs statements; the database's own words when it refuses.
    pub(crate) async fn try_execute(&mut self, sql: &str) -> Result<(), String> {
        match self {
            Self::Sqlite(connection) => connection.batch_execute(sql).map_err(|error| error.to_string()),
            Self::Postgres(client) => client.batch_execute(sql).await.map_err(|error| format!("{error:?}")),
        }
    }

    /// The first column of every row, as text; an absent value is `null`.
    pub(crate) async fn query_texts(&mut self, sql: &str) -> Vec<String> {
        let texts: Vec<Option<String>> = match self {
            Self::Sqlite(connection) => {
                let rows: Vec<FirstColumn> = diesel::sql_query(sql).load(&mut **connection).unwrap();
                rows.into_iter().map(|row| row.0).collect()
            }
            Self::Postgres(client) => {
                let messages = client.simple_query(sql).await.unwrap();
                let rows = messages.into_iter().filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
                    _ => None,
                });
                rows.collect()
            }
        };
        texts.into_iter().map(|text| text.unwrap_or_else(|| "null".into())).collect()
    }
}

/// SQLite turns whatever stands in the column into text.
struct FirstColumn(Option<String>);

impl FromSqlRow<Untyped, Sqlite> for FirstColumn {
    fn build_from_row<'a>(row: &impl Row<'a, Sqlite>) -> diesel::deserialize::Result<Self> {
        let field = row.get(0).ok_or("no column")?;
        let value = field.value().map(<String as FromSql<Text, Sqlite>>::from_sql);
        Ok(Self(value.transpose()?))
    }
}

/// A migrated database file as bytes: a test's own file is one write.
fn sqlite_template() -> &'static [u8] {
    static TEMPLATE: OnceLock<Vec<u8>> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        // On a thread with a runtime of its own, as this is asked for from within another runtime.
        let thread = std::thread::spawn(|| runtime().block_on(migrated_file()));
        thread.join().unwrap()
    })
}

async fn migrated_file() -> Vec<u8> {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("template.db");
    let storage = Storage::open(&format!("sqlite:{}", path.display()), limits()).unwrap();
    storage.migrate().await.unwrap();
    drop(storage);
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    connection.batch_execute("pragma wal_checkpoint(truncate)").unwrap();
    drop(connection);
    std::fs::read(path).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// What is told on a channel from now on.
pub(crate) async fn listen(url: &str, channel: &str) -> tokio::sync::mpsc::UnboundedReceiver<String> {
    let (client, mut connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(notification) = message {
                let _ = sender.send(notification.payload().to_owned());
            }
        }
    });
    client.batch_execute(&format!("listen {channel}")).await.unwrap();
    // It listens as long as there is a client.
    tokio::spawn(async move {
        let _client = client;
        std::future::pending::<()>().await;
    });
    receiver
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The server that `TASKWIRE_TEST_POSTGRES_URL` names, and the migrated database on it that others copy.
///
/// The template stays behind when the process ends; `scripts/with-postgres` removes the whole server.
struct Server {
    url: url::Url,
    template: String,
    /// Where the server is the coordinator of a cluster.
    cluster: Option<std::sync::Arc<Cluster>>,
    admin: std::sync::Arc<Client>,
    /// Drives `admin`, whichever test's runtime ends.
    runtime: tokio::runtime::Runtime,
}

impl Server {
    /// The one server of this process; `None` when there is none and none is required.
    fn shared() -> Option<&'static Self> {
        static SERVER: OnceLock<Option<Server>> = OnceLock::new();
        let server = SERVER.get_or_init(|| {
            let given = std::env::var("TASKWIRE_TEST_POSTGRES_URL").ok().filter(|url| !url.is_empty());
            let url = citus::coordinator().or(given)?;
            let thread = std::thread::spawn(move || Self::start(&url));
            Some(thread.join().expect("the PostgreSQL server cannot be used"))
        });
        let required = std::env::var("TASKWIRE_REQUIRE_POSTGRES").is_ok_and(|value| value == "1");
        assert!(
            server.is_some() || !required,
            "TASKWIRE_TEST_POSTGRES_URL names no server, but one is required"
        );
        server.as_ref()
    }

    fn start(url: &str) -> Self {
        let url = url::Url::parse(url).unwrap();
        let runtime = runtime();
        let template = format!("taskwire_test_{}_template", std::process::id());
        let (admin, cluster) = runtime.block_on(async {
            let admin = connect(url.as_str()).await;
            if citus::coordinator().is_some() {
                let cluster = Cluster::of(&url).await;
                cluster.make_template(&template).await;
                return (admin, Some(std::sync::Arc::new(cluster)));
            }
            // A process of the same id may have left one behind.
            let fresh = [
                format!("drop database if exists {template} with (force)"),
                format!("create database {template}"),
            ];
            for sql in fresh {
                admin.batch_execute(&sql).await.unwrap();
            }
            let storage = Storage::open(at(&url, &template).as_str(), limits()).unwrap();
            storage.migrate().await.unwrap();
            // Nobody may be connected to what is copied.
            admin.batch_execute(&format!("alter database {template} allow_connections false")).await.unwrap();
            (admin, None)
        });
        Self { url, template, cluster, admin: std::sync::Arc::new(admin), runtime }
    }

    async fn create(&'static self, schema: Schema) -> ServerDatabase {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("taskwire_test_{}_{number}", std::process::id());
        match (&self.cluster, schema) {
            (Some(cluster), Schema::Empty) => cluster.create(&name).await,
            (Some(cluster), Schema::Migrated) => cluster.copy(&self.template, &name).await,
            (None, _) => {
                let template = if schema == Schema::Empty { "template0" } else { self.template.as_str() };
                // The server itself waits some seconds for whoever still stands in the template.
                let create = format!("create database {name} template {template}");
                self.admin.batch_execute(&create).await.unwrap();
            }
        }
        ServerDatabase { server: self, name }
    }
}

pub(crate) fn at(url: &url::Url, database: &str) -> url::Url {
    let mut url = url.clone();
    url.set_path(database);
    url
}

/// A database on the server, dropped with this.
struct ServerDatabase {
    server: &'static Server,
    name: String,
}

impl std::fmt::Debug for ServerDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ServerDatabase").field(&self.name).finish()
    }
}

impl ServerDatabase {
    fn url(&self) -> String {
        at(&self.server.url, &self.name).into()
    }
}

impl Drop for ServerDatabase {
    fn drop(&mut self) {
        let (admin, cluster) = (std::sync::Arc::clone(&self.server.admin), self.server.cluster.clone());
        let name = self.name.clone();
        let (done, wait) = std::sync::mpsc::channel();
        self.server.runtime.spawn(async move {
            match cluster {
                Some(cluster) => cluster.remove(&name).await,
                None => {
                    let _ = admin.batch_execute(&format!("drop database {name} with (force)")).await;
                }
            }
            let _ = done.send(());
        });
        // Best effort: a test that is over does not fail for its remains.
        let _ = wait.recv_timeout(Duration::from_secs(10));
    }
}
