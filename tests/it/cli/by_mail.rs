//! What is proved by a token out of a mail: an address, a new password, another address.

use super::{EMAIL, PASSWORD, World};
use crate::support::database::TestDatabase;
use crate::support::one_engine;
use crate::support::spool::{SETTINGS, Spool};

one_engine!(Sqlite: an_address_is_verified, a_lost_password_is_replaced, an_address_is_changed);
one_engine!(Sqlite: without_mail_it_says_whose_matter_that_is);

const NEW: &str = "canary-quite-different";

async fn start(database: TestDatabase, mode: &str) -> (World, Spool) {
    let settings = [&SETTINGS[..], &["--email-verification", mode]].concat();
    let world = World::new(database, &settings).await;
    let spool = Spool::of(&world.sandbox);
    (world, spool)
}

async fn an_address_is_verified(database: TestDatabase) {
    let (world, spool) = start(database, "required").await;
    let registered = world.typed(&["register", EMAIL], PASSWORD);
    assert_eq!(registered.status, Some(1));
    for part in ["EMAIL_UNVERIFIED", "taskwire verify --token TOKEN", "taskwire verify EMAIL"] {
        assert!(registered.stderr.contains(part), "{part}: {}", registered.stderr);
    }
    let first = spool.token(EMAIL, "email_verification").await;
    assert!(world.told(&["verify", EMAIL]).contains("on its way"));
    let second = spool.token(EMAIL, "email_verification").await;
    assert_eq!(world.told(&["verify", "--token", &first]), "The address is verified\n");
    // That ends the other one as well.
    let again = world.typed(&["verify", "--token", "-"], &format!("{second}\n"));
    assert_eq!((again.status, again.stdout.as_str()), (Some(1), ""));
    assert!(
        again.stderr.contains("MAIL_TOKEN_INVALID") && !again.stderr.contains("twm_"),
        "{}",
        again.stderr
    );
    assert_eq!(world.typed(&["login", EMAIL], PASSWORD).status, Some(0));
    assert_eq!(world.answer(&["whoami"])["emailVerified"], true);
    assert_eq!(world.answers(&["verify", "nobody@example.com"]).len(), 0, "programs have the exit status");
    for wrong in [&["verify"][..], &["verify", EMAIL, "--token", "twm_"], &["verify", "no email"]] {
        assert_eq!(world.run(wrong).status, Some(64), "{wrong:?}");
    }
}

async fn a_lost_password_is_replaced(database: TestDatabase) {
    let (world, spool) = start(database, "off").await;
    world.register(EMAIL);
    assert!(world.told(&["reset-password", EMAIL]).contains("If an account has that address"));
    let token = spool.token(EMAIL, "password_reset").await;
    let short = world.typed(&["reset-password", "--token", &token], "canary7");
    assert_eq!(short.status, Some(64));
    assert!(short.stderr.contains("new_password") && !short.stderr.contains("canary"), "{}", short.stderr);
    // Both from standard input, a line each.
    let ended = world.typed(&["reset-password", "--token", "-", "--table"], &format!("{token}\n{NEW}\n"));
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.stdout.contains("taskwire login"), "{}", ended.stdout);
    assert_eq!(world.run(["task", "list"]).status, Some(1), "the session is over");
    assert_eq!(world.typed(&["login", EMAIL], PASSWORD).status, Some(1));
    assert_eq!(world.typed(&["login", EMAIL], NEW).status, Some(0));
    spool.next(EMAIL, "Your password was changed").await;
    // A password is no argument, and belongs to a token.
    assert_eq!(world.run(["reset-password", EMAIL, "--password-file", "x"]).status, Some(64));
}

async fn an_address_is_changed(database: TestDatabase) {
    let (world, spool) = start(database, "off").await;
    assert_eq!(world.run(["change-email", "new@example.com"]).status, Some(1), "whose?");
    world.register(EMAIL);
    assert!(world.told(&["change-email", "new@example.com"]).contains("on its way"));
    let token = spool.token("new@example.com", "email_change").await;
    assert_eq!(world.told(&["change-email", "--token", &token]), "The account has the new address\n");
    let user = world.answer(&["whoami"]);
    assert_eq!((&user["email"], &user["emailVerified"]), (&"new@example.com".into(), &true.into()));
    spool.next(EMAIL, "The address of your account was changed").await;
    let same = world.run(["change-email", "NEW@example.com"]);
    assert_eq!(same.status, Some(64));
    assert!(same.stderr.contains("new_email"), "{}", same.stderr);
}

async fn without_mail_it_says_whose_matter_that_is(database: TestDatabase) {
    let world = World::start(database).await;
    for command in [["verify", EMAIL], ["reset-password", EMAIL], ["change-email", "new@example.com"]] {
        let ended = world.run(command);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""));
        for part in ["MAIL_NOT_CONFIGURED", "TASKWIRE_MAIL_URL"] {
            assert!(ended.stderr.contains(part), "{}", ended.stderr);
        }
    }
}
