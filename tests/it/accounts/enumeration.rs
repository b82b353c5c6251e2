//! Whether the time of an answer tells who has an account. Measured by hand, as a machine that does other things as well says nothing:
//! `TASKWIRE_SOAK=1 scripts/with-postgres cargo test --release --test it -- accounts::enumeration --ignored --nocapture --test-threads 1`.

use std::time::{Duration, Instant};

use taskwire::domain::EmailVerification::Off;
use taskwire::pb;

use super::mail_server::{count, mailing};
use super::world::{PASSWORD, Replica, World};
use crate::support::database::{Engine, Schema, TestDatabase};

/// Pairs of calls for each method, one call about an account and one about none.
const PAIRS: usize = 400;
/// How far the medians may be apart, in parts of the smaller one.
const APART: f64 = 0.05;

#[test]
#[ignore = "measures times, by hand"]
fn answers_about_known_and_unknown_addresses_take_as_long_on_sqlite() {
    crate::support::run(Engine::Sqlite, Schema::Migrated, measure);
}

#[test]
#[ignore = "measures times, by hand"]
fn answers_about_known_and_unknown_addresses_take_as_long_on_postgresql() {
    crate::support::run(Engine::Postgres, Schema::Migrated, measure);
}

#[derive(Debug, Clone, Copy)]
enum Method {
    Verification,
    Reset,
}

/// How long one call took. Each comes from an address of its own, so that none is throttled.
async fn call(replica: &Replica, method: Method, email: String, number: usize) -> Duration {
    let mut users = replica.at_address(&format!("198.18.{}.{}", number / 250, number % 250));
    let begin = Instant::now();
    match method {
        Method::Verification => {
            users.send_verification(pb::SendVerificationRequest { email }).await.unwrap();
        }
        Method::Reset => {
            users.request_password_reset(pb::RequestPasswordResetRequest { email }).await.unwrap();
        }
    }
    begin.elapsed()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// The medians of calls about accounts and about none, in turns.
async fn medians(world: &World, replica: &Replica, method: Method) -> (f64, f64) {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for number in 0..PAIRS {
        let about = [format!("known{number:04}@example.org"), format!("other{number:04}@example.org")];
        // Whichever comes first finds things as the other one left them.
        for of in [number % 2, 1 - number % 2] {
            let took = call(replica, method, about[of].clone(), number * 2 + of).await;
            if of == 0 { known.push(took) } else { unknown.push(took) }
        }
    }
    assert_eq!(count(world, "mails").await, count(world, "mail_tokens").await);
    (median(known), median(unknown))
}

async fn measure(database: TestDatabase) {
    let engine = database.engine;
    let (world, _server) = mailing(database, Off).await;
    let replica = world.replica().await;
    for number in 0..PAIRS {
        replica.sign_up(&format!("known{number:04}@example.org"), PASSWORD).await.unwrap();
    }
    world.database.execute(if engine == Engine::Postgres { "vacuum analyze" } else { "analyze" }).await;
    for method in [Method::Verification, Method::Reset] {
        let (known, unknown) = medians(&world, &replica, method).await;
        let apart = (known / unknown - 1.0).abs();
        println!(
            "{engine:?} {method:?}: {known:.0} µs known, {unknown:.0} µs unknown, {:.1} % apart",
            apart * 100.0
        );
        assert!(apart <= APART, "{method:?} tells who has an account: {known:.0} µs and {unknown:.0} µs");
    }
}
