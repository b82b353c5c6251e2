//! What every test stands on: a database of its own on either engine, and a runtime to run on.

pub(crate) mod citus;
pub(crate) mod database;
pub(crate) mod process;
pub(crate) mod refusal;
pub(crate) mod server;
pub(crate) mod spool;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use database::{Engine, Schema, TestDatabase};
use taskwire::auth::{Sealer, SecretsKeys};
use taskwire::config::Settings;
use taskwire::domain::Clock;
use taskwire::outbound::{AddressPolicy, Outbound};
use taskwire::storage::Storage;

/// The settings that hold where nothing is set.
pub(crate) fn settings() -> Settings {
    Settings::defaults().unwrap()
}

/// Seals as every replica of a test does.
pub(crate) fn sealer() -> Arc<Sealer> {
    const KEY: &str = "dGhlIHNlY3JldHMgb2YgdGVzdHMgYXJlIGZvciBub24=";
    Sealer::new(Some(SecretsKeys::parse(KEY, "a test").unwrap()))
}

/// This machine is allowed, where the receivers of tests are.
pub(crate) fn addresses() -> AddressPolicy {
    let networks = ["127.0.0.0/8", "::1/128"].map(|network| network.parse().unwrap());
    AddressPolicy { plain_http: true, networks: Arc::new(networks), ..AddressPolicy::default() }
}

/// Sends to this machine.
pub(crate) fn outbound(storage: &Storage, clock: &Clock) -> Outbound {
    Outbound::new(storage.clone(), clock.clone(), sealer(), addresses())
}

/// The code that an app shows for this secret in a step of 30 seconds (RFC 6238).
pub(crate) fn totp(secret: &str, step: i64) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let value = |byte| ALPHABET.iter().position(|one| *one == byte).unwrap();
    let bits: String = secret.bytes().map(|byte| format!("{:05b}", value(byte))).collect();
    let bytes: Vec<u8> =
        (0..bits.len() / 8).map(|at| u8::from_str_radix(&bits[at * 8..at * 8 + 8], 2).unwrap()).collect();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let tag = aws_lc_rs::hmac::sign(&key, &step.to_be_bytes());
    let at = usize::from(tag.as_ref()[19] & 15);
    let number = u32::from_be_bytes(tag.as_ref()[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

/// As `totp`, by this machine's clock: now, or so many steps later.
pub(crate) fn totp_now(secret: &str, steps: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    totp(secret, i64::try_from(now / 30).unwrap() + steps)
}

/// Makes two tests out of each case, `name::sqlite` and `name::postgres`.
///
/// A case is an `async fn name(database: TestDatabase)`. `both_engines!(empty: …)` hands out databases that
/// were never migrated.
macro_rules! both_engines {
    (empty: $($name:ident),+ $(,)?) => {
        $crate::support::both_engines!(@ Empty: $($name),+);
    };
    (@ $schema:ident: $($name:ident),+) => {$(
        mod $name {
            use $crate::support::database::{Engine, Schema};

            #[test]
            fn sqlite() {
                $crate::support::run(Engine::Sqlite, Schema::$schema, super::$name);
            }

            #[test]
            fn postgres() {
                $crate::support::run(Engine::Postgres, Schema::$schema, super::$name);
            }
        }
    )+};
    ($($name:ident),+ $(,)?) => {
        $crate::support::both_engines!(@ Migrated: $($name),+);
    };
}
pub(crate) use both_engines;

/// As `both_engines!`, for cases that only one engine can have: `one_engine!(Sqlite: …)`.
macro_rules! one_engine {
    ($engine:ident: $($name:ident),+ $(,)?) => {$(
        mod $name {
            use $crate::support::database::{Engine, Schema};

            #[test]
            fn alone() {
                $crate::support::run(Engine::$engine, Schema::Migrated, super::$name);
            }
        }
    )+};
}
pub(crate) use one_engine;

/// Longer than any case takes, so that one that hangs fails instead.
const CASE_TIMEOUT: Duration = Duration::from_secs(120);

/// Runs one case on a runtime and a database of its own. Without a server, a case for PostgreSQL is skipped
/// with a word about it, or fails when `TASKWIRE_REQUIRE_POSTGRES=1`.
pub(crate) fn run<Case, Running>(engine: Engine, schema: Schema, case: Case)
where
    Case: FnOnce(TestDatabase) -> Running,
    Running: Future<Output = ()>,
{
    // SQLite's connections need more than a current-thread runtime.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let Some(database) = TestDatabase::create(engine, schema).await else {
            println!("skipped: TASKWIRE_TEST_POSTGRES_URL names no server");
            return;
        };
        // A soak takes as long as it takes.
        let longest =
            if std::env::var_os("TASKWIRE_SOAK").is_some() { 30 * CASE_TIMEOUT } else { CASE_TIMEOUT };
        tokio::time::timeout(longest, case(database)).await.expect("the case hangs");
    });
}
