//! A database with its world, and the service started on it as often as need be.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::plan::Engine;
use crate::postgres::Postgres;
use crate::process::{self, Server};
use crate::world::{self, World};
use crate::{Options, Result};

const SERVICE: &str = env!("CARGO_BIN_EXE_taskwire");

/// One engine, ready for load.
#[derive(Debug)]
pub(crate) struct Stand {
    directory: PathBuf,
    url: String,
    pub(crate) world: Arc<World>,
}

impl Stand {
    /// Makes the database, the users and their tasks.
    pub(crate) async fn build(
        options: &Options,
        engine: Engine,
        directory: &Path,
        postgres: Option<&Postgres>,
    ) -> Result<Self> {
        let directory = match engine {
            Engine::Postgres => directory.join("postgres"),
            Engine::Sqlite => directory.join("sqlite"),
        };
        std::fs::create_dir(&directory)?;
        make_key(&directory).await?;
        let url = match (engine, postgres) {
            (Engine::Postgres, Some(postgres)) => postgres.url.clone(),
            (Engine::Postgres, None) => return Err("no PostgreSQL".into()),
            (Engine::Sqlite, _) => format!("sqlite:{}", directory.join("taskwire.db").display()),
        };
        let server = serve(options, &directory, &url, true, &[]).await?;
        let channel = server.channel().await?;
        world::register(options, &channel).await?;
        if let (Engine::Postgres, Some(postgres)) = (engine, postgres) {
            postgres.renumber_users().await?;
        }
        let world = Arc::new(World::enter(options, &channel).await?);
        drop(channel);
        server.stop().await?;
        if let (Engine::Postgres, Some(postgres)) = (engine, postgres) {
            postgres.settle().await?;
        }
        Ok(Self { directory, url, world })
    }

    /// Makes tables that are spread over a cluster of Citus, the users and their tasks.
    pub(crate) async fn build_spread(options: &Options, directory: &Path, url: &str) -> Result<Self> {
        std::fs::create_dir(directory)?;
        make_key(directory).await?;
        for arguments in [["migrate", "up"].as_slice(), &["migrate", "distribute"]] {
            let mut command = Command::new(SERVICE);
            command.env_clear().args(arguments).args(["--database-url", url]);
            process::run(&mut command, Duration::from_secs(60)).await?;
        }
        let server = serve(options, directory, url, true, &[]).await?;
        let channel = server.channel().await?;
        world::register(options, &channel).await?;
        let world = Arc::new(World::enter(options, &channel).await?);
        drop(channel);
        server.stop().await?;
        Ok(Self { directory: directory.to_owned(), url: url.to_owned(), world })
    }

    /// Makes the tables in PostgreSQL, and nobody in them.
    pub(crate) async fn build_empty(
        options: &Options,
        directory: &Path,
        postgres: &Postgres,
    ) -> Result<Self> {
        make_key(directory).await?;
        let (directory, url) = (directory.to_owned(), postgres.url.clone());
        serve(options, &directory, &url, true, &[]).await?.stop().await?;
        Ok(Self { directory, url, world: Arc::new(World::of(Vec::new(), 0)) })
    }

    /// Starts the service.
    pub(crate) async fn serve(&self, options: &Options, lanes: bool) -> Result<Server> {
        serve(options, &self.directory, &self.url, lanes, &[]).await
    }

    /// Starts the service with more settings.
    pub(crate) async fn serve_with(&self, options: &Options, settings: &[&str]) -> Result<Server> {
        serve(options, &self.directory, &self.url, true, settings).await
    }
}

async fn make_key(directory: &Path) -> Result<()> {
    let mut make_key = Command::new(SERVICE);
    make_key.env_clear().args(["keys", "generate", "--out"]).arg(directory.join("key.pem"));
    process::run(&mut make_key, Duration::from_secs(10)).await?;
    Ok(())
}

/// As it is delivered, but for limits that a benchmark would run into.
async fn serve(
    options: &Options,
    directory: &Path,
    url: &str,
    lanes: bool,
    settings: &[&str],
) -> Result<Server> {
    let mut command = Command::new(SERVICE);
    command
        .env_clear()
        .args(["serve", "--listen", "127.0.0.1:0", "--migrate", "--log-format", "json"])
        .args(["--log", &format!("{},taskwire::commands=info", options.log)])
        .args(["--database-url", url, "--data-dir"])
        .arg(directory)
        .arg("--signing-key-file")
        .arg(directory.join("key.pem"))
        // The run takes some minutes; a user gets many tasks; and where every call commits by itself, they queue.
        .args(["--access-token-seconds", "86400", "--tasks-per-user-max", "4000000000"])
        .args(["--checkout-timeout-ms", "20000"]);
    if let (true, Some(count)) = (lanes, options.lanes) {
        command.args(["--lanes", &count.to_string()]);
    }
    if !lanes {
        command.args(["--lanes", "off"]);
    }
    command.args(settings);
    Server::start(&mut command, &directory.join("service.log")).await
}
