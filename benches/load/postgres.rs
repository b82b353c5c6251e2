//! The database on PostgreSQL: made for this run, dropped after it.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::{Client, NoTls};

use crate::Result;
use crate::cpu::{self, Meter};
use crate::world::{FIRST, TASK_PREFIX, USER_PREFIX};

const STATEMENT_MAX: Duration = Duration::from_secs(600);
const SEED_MAX: Duration = Duration::from_secs(3600);

/// A database of its own, through a superuser's connection.
#[derive(Debug)]
pub(crate) struct Postgres {
    client: Client,
    admin: Client,
    name: String,
    /// Where it is.
    pub(crate) url: String,
    /// The directory of the server's programs.
    pub(crate) programs: PathBuf,
    /// The server's processor time; `None` when it does not run here.
    pub(crate) meter: Option<Meter>,
}

impl Postgres {
    /// Makes the database.
    pub(crate) async fn create() -> Result<Self> {
        let missing = |name| move |_| format!("{name} is not set: `make bench` sets it");
        let server = env::var("TASKWIRE_TEST_POSTGRES_URL").map_err(missing("TASKWIRE_TEST_POSTGRES_URL"))?;
        let programs =
            env::var("TASKWIRE_TEST_POSTGRES_BIN").map_err(missing("TASKWIRE_TEST_POSTGRES_BIN"))?;
        let name = format!("taskwire_bench_{}", std::process::id());
        let mut url = url::Url::parse(&server)?;
        url.set_path(&name);
        let url = url.to_string();
        let admin = connect(&server).await?;
        admin.batch_execute(&format!("create database {name}")).await?;
        let client = connect(&url).await?;
        let backend: i32 = client.query_one("select pg_backend_pid()", &[]).await?.get(0);
        let postmaster = cpu::parent_of(u32::try_from(backend)?, "postgres");
        let programs = programs.into();
        Ok(Self { client, admin, name, url, programs, meter: postmaster.map(Meter::Family) })
    }

    async fn execute(&self, sql: &str) -> Result<()> {
        let execution = self.client.batch_execute(sql);
        Ok(tokio::time::timeout(STATEMENT_MAX, execution).await.map_err(|_| format!("too slow: {sql}"))??)
    }

    /// Gives the users ids that `pgbench` can count up. They have no tasks and no sessions yet.
    pub(crate) async fn renumber_users(&self) -> Result<()> {
        let id = format!("('{}' || ({} + n)::text)::uuid", USER_PREFIX, FIRST);
        self.execute(&format!(
            "with numbered as (select id, row_number() over (order by email) - 1 as n from users),
             moved as (update emails set user_id = {id} from numbered where emails.user_id = numbered.id)
             update users set id = {id} from numbered where users.id = numbered.id"
        ))
        .await
    }

    /// Makes users with ids that `pgbench` can count up, without passwords.
    pub(crate) async fn seed_users(&self, count: u32) -> Result<()> {
        let id = format!("('{}' || ({} + n)::text)::uuid", USER_PREFIX, FIRST);
        self.execute(&format!(
            "insert into users (id, email, display_name, role, create_time, update_time, version, revision, live_tasks,
                 compacted_revision)
             select {id}, 'user-' || n || '@example.com', '', 1, now(), now(), 1, 0, 0, 0
             from generate_series(0, {count} - 1) as n"
        ))
        .await
    }

    /// Leaves the tables as the load makes them, until somebody says `vacuum analyze`.
    pub(crate) async fn forbid_autovacuum(&self) -> Result<()> {
        for table in ["users", "tasks", "task_changes"] {
            self.execute(&format!("alter table {table} set (autovacuum_enabled = false)")).await?;
        }
        Ok(())
    }

    /// Gives each user the tasks with these numbers, as the service would have made them.
    pub(crate) async fn seed(&self, numbers: std::ops::Range<u32>) -> Result<()> {
        let task = format!("('{}' || ({} + n)::text)::uuid", TASK_PREFIX, FIRST);
        let new = crate::world::new_task();
        let sql = format!(
            "set synchronous_commit = off;
             insert into tasks (user_id, task_id, title, title_key, description, description_key, completed, priority,
                 due_time, labels, create_time, update_time, complete_time, delete_time, purge_time, revision)
             select id, {task}, '{title}', '{title_key}', '{text}', '{text_key}', n % 3 = 0, 1 + n % 3, null, '[]',
                 now() - n * interval '1 second', now(), null, null, null, 1 + n
             from users, generate_series({from}, {to}) as n;
             set synchronous_commit = on",
            title = new.title,
            title_key = new.title.to_lowercase(),
            text = new.description(),
            text_key = new.description().to_lowercase(),
            from = numbers.start,
            to = i64::from(numbers.end) - 1,
        );
        let seeding = self.client.batch_execute(&sql);
        Ok(tokio::time::timeout(SEED_MAX, seeding).await.map_err(|_| "the seed took too long")??)
    }

    /// After the seed, so that every plan is as it would be later on.
    pub(crate) async fn settle(&self) -> Result<()> {
        self.execute("vacuum analyze").await
    }

    /// Before a round, so that none has to pay for the one before.
    pub(crate) async fn checkpoint(&self) -> Result<()> {
        self.execute("checkpoint").await
    }

    /// The server's version.
    pub(crate) async fn version(&self) -> Result<String> {
        Ok(self.client.query_one("show server_version", &[]).await?.get(0))
    }

    /// The settings that decide how long a commit takes.
    pub(crate) async fn settings(&self) -> Result<Vec<(String, String)>> {
        let sql = "select name, current_setting(name) from pg_settings where name in ('fsync', \
                   'synchronous_commit', 'full_page_writes', 'shared_buffers', 'wal_sync_method') order by name";
        Ok(self.client.query(sql, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Drops the database.
    pub(crate) async fn drop_database(self) -> Result<()> {
        drop(self.client);
        Ok(self.admin.batch_execute(&format!("drop database {} with (force)", self.name)).await?)
    }
}

pub(crate) async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
