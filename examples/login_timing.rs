//! Measures whether a login tells by its time that an account exists: 200 wrong passwords for known accounts and 200 for
//! unknown ones, taken in turns, with the real cost of a hash.
//!
//! `cargo run --release --example login_timing [DATABASE_URL]`, on a SQLite file of its own unless an empty database is
//! named. Prints both medians and how far they are apart; ends with status 1 when that is more than 5 %. Not a test: a
//! busy machine decides.

use std::sync::Arc;
use std::time::Instant;

use taskwire::accounts::{Accounts, PasswordPolicy, Passwords};
use taskwire::auth::{Revocations, Sealer, SigningKey, Tokens};
use taskwire::config::Settings;
use taskwire::domain::{Clock, Device, DisplayName, Email, Role, Trace};
use taskwire::storage::Storage;

const ROUNDS: usize = 200;
/// How far apart the medians may be.
const APART_MAX: f64 = 0.05;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<std::process::ExitCode, Failure> {
    let directory = tempfile::TempDir::new()?;
    let own = format!("sqlite:{}", directory.path().join("taskwire.db").display());
    let url = std::env::args().nth(1).unwrap_or(own);
    let settings = Settings::defaults()?;
    let storage = Storage::open(&url, settings.storage_limits())?;
    storage.migrate().await?;
    let clock = Clock::system();
    let key = SigningKey::from_pem(SigningKey::generate_pem()?.as_bytes(), "example")?;
    let tokens = Tokens::new(key, settings.tokens(), clock.clone());
    let revocations = Arc::new(Revocations::new(clock.clone(), tokens.access_ttl()));
    let accounts = Accounts::new(
        storage,
        tokens,
        revocations,
        Passwords::new(1),
        Sealer::new(None),
        clock,
        settings.accounts(),
    );
    let policy = PasswordPolicy { code_points_min: 8 };
    let address = |kind: &str, number: usize| {
        Email::parse(&format!("{kind}{number}@example.org")).map_err(|rule| rule.text.into_owned())
    };
    for number in 0..ROUNDS {
        let password = policy.parse("correct horse battery staple", None).map_err(|rule| rule.text)?;
        let name = DisplayName::default();
        accounts.register(address("known", number)?, name, password, Role::User, &Trace::default()).await?;
    }
    let mut times = [Vec::new(), Vec::new()];
    for number in 0..ROUNDS {
        // Each goes first as often as the other.
        for at in [number % 2, 1 - number % 2] {
            let kind = ["known", "unknown"][at];
            let begin = Instant::now();
            let login = accounts.login(
                Some(address(kind, number)?),
                "wrong password",
                Device::default(),
                Trace::default(),
            );
            if login.await.is_ok() {
                return Err("a wrong password was accepted".into());
            }
            times[at].push(begin.elapsed());
        }
    }
    let [known, unknown] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1000.0
    });
    let ratio = known / unknown;
    println!("known {known:.2} ms, unknown {unknown:.2} ms, ratio {ratio:.3}");
    Ok(if (ratio - 1.0).abs() <= APART_MAX { 0 } else { 1 }.into())
}
