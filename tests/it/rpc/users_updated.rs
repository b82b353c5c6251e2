//! `UpdateUser`: what of an account can be changed, by whom, and what the mask and the etag do.

use taskwire::pb;

use super::{Session, alone, at, seconds};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;
use crate::support::server::{PASSWORD, answer};

both_engines!(
    the_mask_says_what_is_written,
    unknown_paths_of_accounts_are_refused,
    a_role_cannot_be_written,
    an_email_cannot_be_cleared_and_a_name_can,
    a_new_email_frees_the_old_one,
    a_taken_email_is_refused,
    one_may_spell_ones_own_email_otherwise,
    an_account_update_compares_the_etag,
    an_account_update_that_changes_nothing_leaves_no_trace,
    administrators_change_all_accounts,
    of_two_changes_to_one_email_one_wins,
);

/// What an update of one's own account holds.
fn me(email: &str, display_name: &str) -> pb::User {
    pb::User {
        name: "users/me".to_owned(),
        email: email.to_owned(),
        display_name: display_name.to_owned(),
        ..pb::User::default()
    }
}

/// Email and name, after an update.
async fn after(session: &Session, user: pb::User, paths: &[&str]) -> (String, String) {
    let updated = session.update_account(user, paths).await.unwrap();
    assert_eq!(session.me().await, updated);
    assert_eq!(updated.name, session.user);
    (updated.email, updated.display_name)
}

fn pair(email: &str, display_name: &str) -> (String, String) {
    (email.to_owned(), display_name.to_owned())
}

async fn the_mask_says_what_is_written(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    server.clock.advance(seconds(60));
    let before = ada.me().await;
    let updated = ada.update_account(me("", "Ada"), &[]).await.unwrap();
    let expected = pb::User {
        display_name: "Ada".to_owned(),
        update_time: Some(at(60)),
        etag: updated.etag.clone(),
        ..before.clone()
    };
    assert_eq!(updated, expected);
    assert_ne!(updated.etag, before.etag);
    for (email, name, paths, expected) in [
        ("", "", &[][..], pair("ada@example.com", "Ada")),
        ("b@example.com", "", &[], pair("b@example.com", "Ada")),
        ("c@example.com", "C", &["email"], pair("c@example.com", "Ada")),
        ("d@example.com", "D", &["display_name"], pair("c@example.com", "D")),
        ("e@example.com", "E", &["*"], pair("e@example.com", "E")),
        ("f@example.com", "", &["*"], pair("f@example.com", "")),
        ("g@example.com", "G", &["email", "display_name", "email"], pair("g@example.com", "G")),
        ("nonsense", "H", &["display_name"], pair("g@example.com", "H")),
        ("i@example.com", "\0", &["email"], pair("i@example.com", "H")),
        ("nonsense", "\0", &["name", "etag", "role"], pair("i@example.com", "H")),
    ] {
        assert_eq!(after(&ada, me(email, name), paths).await, expected, "{paths:?}");
    }
    let nothing = answer(ada.users().update_user(pb::UpdateUserRequest::default()).await);
    nothing.refused_at("FIELD_INVALID", &["user"]);
    let nameless = pb::User { name: String::new(), ..me("", "x") };
    ada.update_account(nameless, &[]).await.refused_at("FIELD_INVALID", &["user.name"]);
}

async fn unknown_paths_of_accounts_are_refused(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for path in [
        "",
        "displayName",
        "Email",
        "user.email",
        "email.local",
        "email ",
        "password",
        "password_hash",
        "version",
        "disable_time",
        "live_tasks",
        "id",
        "nonsense",
    ] {
        for paths in [&[path][..], &["email", path]] {
            ada.update_account(me("new@example.com", "new"), paths)
                .await
                .refused_at("FIELD_MASK_INVALID", &["update_mask"]);
        }
    }
    for paths in [&["*", "email"][..], &["role", "*"]] {
        ada.update_account(me("new@example.com", "new"), paths)
            .await
            .refused_at("FIELD_MASK_INVALID", &["update_mask"]);
    }
    assert_eq!(Some(ada.me().await), ada.pair.user);
}

async fn a_role_cannot_be_written(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let before = ada.me().await;
    let given = pb::User {
        role: pb::Role::Admin.into(),
        disabled: true,
        revision: 99,
        create_time: Some(at(-5)),
        update_time: Some(at(5000)),
        ..me("ada@example.com", "")
    };
    let ignored = ["name", "role", "create_time", "update_time", "disabled", "revision", "etag"];
    for path in ignored {
        assert_eq!(ada.update_account(given.clone(), &[path]).await.unwrap(), before, "{path}");
    }
    for paths in [&[][..], &["*"], &ignored] {
        assert_eq!(ada.update_account(given.clone(), paths).await.unwrap(), before, "{paths:?}");
    }
    // An unknown number is not even looked at.
    for role in [99, -1] {
        let given = pb::User { role, ..given.clone() };
        assert_eq!(ada.update_account(given, &["role"]).await.unwrap(), before);
    }
    let again = server.log_in(&ada.email, PASSWORD).await.unwrap();
    assert_eq!(again.me().await, before);
    // Not even an administrator's.
    let root = server.register_admin("root@example.com").await;
    let given = pb::User { name: ada.user.clone(), ..given };
    assert_eq!(root.update_account(given, &["role", "disabled"]).await.unwrap(), before);
}

async fn an_email_cannot_be_cleared_and_a_name_can(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    ada.update_account(me("", "Ada"), &[]).await.unwrap();
    for paths in [&["email"][..], &["*"], &["display_name", "email"]] {
        ada.update_account(me("", "new"), paths).await.refused_at("FIELD_INVALID", &["user.email"]);
    }
    let expected = pair("ada@example.com", "");
    assert_eq!(after(&ada, me("", ""), &["display_name"]).await, expected);
}

async fn a_new_email_frees_the_old_one(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    ada.update_account(me("New@example.com", ""), &["email"]).await.unwrap();
    server.log_in("ada@example.com", PASSWORD).await.refused("CREDENTIALS_INVALID");
    let again = server.log_in("new@EXAMPLE.com", PASSWORD).await.unwrap();
    assert_eq!(again.user, ada.user);
    let other = server.register("ADA@example.com").await;
    assert_ne!(other.user, ada.user);
    // And back again, once it is free.
    ada.update_account(me("ada@example.com", ""), &["email"]).await.refused("USER_ALREADY_EXISTS");
    other.update_account(me("third@example.com", ""), &["email"]).await.unwrap();
    ada.update_account(me("ada@example.com", ""), &["email"]).await.unwrap();
}

async fn a_taken_email_is_refused(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let bob = server.register("straße@example.com").await;
    for email in ["straße@example.com", "STRASSE@EXAMPLE.COM"] {
        for paths in [&[][..], &["email"], &["*"]] {
            ada.update_account(me(email, "Ada"), paths).await.refused("USER_ALREADY_EXISTS");
        }
    }
    // Not half of it either.
    assert_eq!(Some(ada.me().await), ada.pair.user);
    assert_eq!(Some(bob.me().await), bob.pair.user);
    let again = server.log_in("strasse@example.com", PASSWORD).await.unwrap();
    assert_eq!(again.user, bob.user);
}

async fn one_may_spell_ones_own_email_otherwise(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let mut etag = ada.me().await.etag;
    for email in ["ADA@example.com", "Ada@Example.com", "ada@example.com"] {
        let updated = ada.update_account(me(email, ""), &["email"]).await.unwrap();
        assert_eq!(updated.email, email);
        assert_ne!(updated.etag, etag);
        etag = updated.etag;
        let again = server.log_in("aDA@example.com", PASSWORD).await.unwrap();
        assert_eq!((again.user, again.email), (ada.user.clone(), email.to_owned()));
    }
}

async fn an_account_update_compares_the_etag(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let with = |etag: &str, name: &str| pb::User { etag: etag.to_owned(), ..me("", name) };
    let first = ada.me().await.etag;
    let second = ada.update_account(with(&first, "2"), &[]).await.unwrap();
    for etag in [&first, "nonsense", "\0"] {
        for name in ["2", "3"] {
            let refusal =
                ada.update_account(with(etag, name), &["display_name"]).await.refused("ETAG_MISMATCH");
            assert_eq!(refusal.metadata["current_etag"], second.etag);
        }
    }
    assert_eq!(ada.me().await, second);
    ada.update_account(with(&second.etag, "3"), &[]).await.unwrap();
    ada.update_account(with("", "4"), &[]).await.unwrap();
}

async fn an_account_update_that_changes_nothing_leaves_no_trace(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let before = ada.me().await;
    server.clock.advance(seconds(60));
    for paths in [&[][..], &["*"], &["email"], &["display_name"], &["name"]] {
        let same = ada.update_account(me("ada@example.com", ""), paths).await.unwrap();
        assert_eq!(same, before);
    }
    assert_eq!(ada.me().await, before);
}

async fn administrators_change_all_accounts(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let root = server.register_admin("root@example.com").await;
    let user = pb::User { name: ada.user.clone(), ..me("changed@example.com", "Changed") };
    let updated = root.update_account(user, &["*"]).await.unwrap();
    assert_eq!(updated, ada.me().await);
    assert_eq!((updated.email.as_str(), updated.role()), ("changed@example.com", pb::Role::User));
    let taken = pb::User { name: ada.user.clone(), ..me("ROOT@example.com", "") };
    root.update_account(taken, &["email"]).await.refused("USER_ALREADY_EXISTS");
    let again = server.log_in("changed@example.com", PASSWORD).await.unwrap();
    assert_eq!(again.user, ada.user);
    // For them too, `me` is themselves.
    assert_eq!(after(&root, me("", "Root"), &[]).await, pair("root@example.com", "Root"));
}

async fn of_two_changes_to_one_email_one_wins(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let bob = server.register("bob@example.com").await;
    let (left, right) = tokio::join!(
        ada.update_account(me("same@example.com", ""), &["email"]),
        bob.update_account(me("SAME@example.com", ""), &["email"]),
    );
    assert_ne!(left.is_ok(), right.is_ok(), "{left:?} {right:?}");
    left.clone().and(right).refused("USER_ALREADY_EXISTS");
    let again = server.log_in("same@example.com", PASSWORD).await.unwrap();
    let winner = if left.is_ok() { &ada } else { &bob };
    assert_eq!(again.user, winner.user);
}
