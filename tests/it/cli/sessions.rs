//! Sessions that outlive their tokens, also where several processes share one.

use std::time::{Duration, Instant};

use super::{EMAIL, PASSWORD, World};
use crate::support::database::TestDatabase;
use crate::support::process::Running;
use crate::support::{both_engines, one_engine};

both_engines!(processes_at_once_share_a_session, a_watch_lives_beside_other_commands);
one_engine!(Sqlite: what_is_exchanged_is_written_back, a_login_meanwhile_is_not_overwritten);

/// So short that each command exchanges the token.
const SHORT: [&str; 2] = ["--access-token-seconds", "20"];

async fn what_is_exchanged_is_written_back(database: TestDatabase) {
    let world = World::new(database, &SHORT).await;
    world.register(EMAIL);
    let mut tokens = vec![world.session()["refresh_token"].clone()];
    for _ in 0..3 {
        world.answer(&["whoami"]);
        tokens.push(world.session()["refresh_token"].clone());
    }
    tokens.sort_by_key(ToString::to_string);
    tokens.dedup();
    assert_eq!(tokens.len(), 4, "a token was not exchanged, or not written back");
    assert_eq!(world.database.query_i64("select count(*) from sessions").await, 1);
}

async fn processes_at_once_share_a_session(database: TestDatabase) {
    let world = World::new(database, &SHORT).await;
    world.register(EMAIL);
    for round in 0..3 {
        let running: Vec<Running> = (0..8)
            .map(|number| {
                let mut command = world.command();
                command.args(["task", "add", &format!("{round} {number}")]);
                Running::spawn(command)
            })
            .collect();
        for one in running {
            let ended = one.end();
            assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""), "round {round}");
        }
    }
    assert_eq!(world.titles(&["--all"]).len(), 24);
    assert_eq!(world.database.query_i64("select count(*) from sessions").await, 1);
}

async fn a_watch_lives_beside_other_commands(database: TestDatabase) {
    let world = World::new(database, &["--access-token-seconds", "2"]).await;
    world.register(EMAIL);
    let mut watch = super::watch::Printing::start(&world, &["task", "watch", "--from", "0"]);
    // Each command exchanges the token, so that the one that the watch began with is long gone when it needs another.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        world.add("Beside");
        assert_eq!(watch.next()["task"]["title"], "Beside");
    }
    assert_eq!(world.database.query_i64("select count(*) from sessions").await, 1);
}

async fn a_login_meanwhile_is_not_overwritten(database: TestDatabase) {
    let world = World::new(database, &["--access-token-seconds", "2"]).await;
    world.register(EMAIL);
    let first = world.session()["user"].clone();
    let mut watch = super::watch::Printing::start(&world, &["task", "watch", "--from", "0"]);
    world.add("At home");
    assert_eq!(watch.next()["task"]["title"], "At home");
    // Somebody else takes the place in the file; the watch goes on as whoever it was, past the end of its token.
    let bob = world.typed(&["register", "bob@example.com"], PASSWORD);
    assert_eq!(bob.status, Some(0), "{}", bob.stderr);
    assert_ne!(world.session()["user"], first);
    let password = world.sandbox.write("password", PASSWORD);
    let elsewhere = |arguments: &[&str]| {
        let mut command = world.command();
        command.args(arguments).env("XDG_CONFIG_HOME", world.sandbox.text("elsewhere"));
        let ended = Running::spawn(command).end();
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    };
    elsewhere(&["login", EMAIL, "--password-file", &password]);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        elsewhere(&["task", "add", "Elsewhere"]);
        assert_eq!(watch.next()["task"]["title"], "Elsewhere");
        assert_eq!(world.answer(&["whoami"])["email"], "bob@example.com");
    }
}
