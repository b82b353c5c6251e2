//! The same load spread over few, some and many users, on tables that nobody has analysed yet and after `vacuum analyze`.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use taskwire::auth::{SigningKey, TokenConfig, Tokens};
use taskwire::domain::{Clock, Role, SessionId, UserId};

use crate::load::{self, Callers, Meters, Sample};
use crate::plan::Work;
use crate::postgres::Postgres;
use crate::stand::Stand;
use crate::world::{Account, FIRST, USER_PREFIX, World};
use crate::{Options, Result, pgbench};

const USERS: [u32; 3] = [8, 200, 10_000];
/// Tasks of all users together.
const TASKS: u32 = 50_000;
const SECONDS: u32 = 2;

/// One measurement of the service, and of `pgbench` right after it.
#[derive(Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) work: Work,
    pub(crate) users: u32,
    /// After `vacuum analyze`.
    pub(crate) analysed: bool,
    pub(crate) service: Sample,
    pub(crate) pgbench: Sample,
}

/// Measures all of it, each number of users on a database of its own.
pub(crate) async fn measure(options: &Options, directory: &Path) -> Result<Vec<Spread>> {
    let mut found = Vec::new();
    for users in USERS {
        let postgres = Postgres::create().await?;
        let options = Options { users, tasks: (TASKS / users).max(5), seconds: SECONDS, ..options.clone() };
        let directory = directory.join(format!("spread-{users}"));
        std::fs::create_dir(&directory)?;
        let outcome = on_database(&options, &postgres, &directory, &mut found).await;
        let dropped = postgres.drop_database().await;
        outcome?;
        dropped?;
    }
    Ok(found)
}

async fn on_database(
    options: &Options,
    postgres: &Postgres,
    directory: &Path,
    found: &mut Vec<Spread>,
) -> Result<()> {
    let stand = Stand::build_empty(options, directory, postgres).await?;
    postgres.forbid_autovacuum().await?;
    postgres.seed_users(options.users).await?;
    postgres.seed(0..options.tasks).await?;
    let world = Arc::new(World::of(accounts(options.users, &directory.join("key.pem"))?, options.tasks));
    let mut run = 0;
    for analysed in [false, true] {
        if analysed {
            postgres.settle().await?;
        }
        for work in [Work::Get, Work::Create] {
            let server = stand.serve(options, true).await?;
            let callers = Callers {
                server: server.address,
                count: options.callers,
                connections: options.channels.into(),
            };
            let meters =
                Meters { service: Some(server.meter()), database: postgres.meter, standbys: [None; 2] };
            let service = load::measure(options, work, &world, callers, meters).await?;
            server.stop().await?;
            run += 1;
            let pgbench = pgbench::measure(options, postgres, directory, work, options.users + run).await?;
            let users = options.users;
            let ratio = service.calls_per_second / pgbench.calls_per_second;
            eprintln!(
                "bench: {} with {users} users, analysed: {analysed}: {ratio:.2} × pgbench",
                work.method()
            );
            found.push(Spread { work, users, analysed, service, pgbench });
        }
    }
    Ok(())
}

/// Users as `Postgres::seed_users` makes them, each with a token signed here: so many passwords would take minutes.
fn accounts(users: u32, key: &Path) -> Result<Vec<Account>> {
    let key = SigningKey::from_pem(&std::fs::read(key)?, "the bench's key")?;
    let config = TokenConfig {
        issuer: "taskwire".to_owned(),
        audience: "taskwire".to_owned(),
        access_ttl: std::time::Duration::from_secs(86_400),
    };
    let tokens = Tokens::new(key, config, Clock::system());
    let account = |number: u32| {
        let digits = format!("{}{}", USER_PREFIX, FIRST + u64::from(number));
        let user = UserId::from(uuid::Uuid::try_parse(&digits)?);
        let token = tokens.issue(user, SessionId::generate(), Role::User, Clock::system().now())?;
        Account::with(format!("users/{user}"), &token)
    };
    (0..users).map(account).collect()
}

/// What a reader gets.
pub(crate) fn table(found: &[Spread]) -> String {
    if found.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\nBy number of users, PostgreSQL: calls/s, × pgbench, service and database µs a call\n",
    );
    for one in found {
        let (service, pgbench) = (&one.service, &one.pgbench);
        text.push_str(&format!(
            "{:<12} {:>6} users, {:<22} {:>8.0} {:>6.2}× {:>7.1} {:>7.1}\n",
            one.work.method(),
            one.users,
            if one.analysed { "after vacuum analyze" } else { "never analysed" },
            service.calls_per_second,
            service.calls_per_second / pgbench.calls_per_second,
            service.service_cpu_us.unwrap_or(f64::NAN),
            service.database_cpu_us.unwrap_or(f64::NAN),
        ));
    }
    text
}
