//! Accounts: an email belongs to one of them, however it is spelled.

use taskwire::domain::{DisplayName, Error, Etag, Resource, User, UserId, UserPatch};

use super::{Person, at, email, new_user, task};
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    missing_account_is_not_found,
    email_is_unique_whatever_the_case,
    distinct_emails_stay_apart,
    email_is_found_however_it_is_spelled,
    update_changes_what_it_names,
    update_that_changes_nothing_keeps_the_etag,
    new_email_frees_the_old_one,
    taken_email_is_refused_and_nothing_changes,
    another_spelling_of_the_same_email_is_no_conflict,
    update_checks_the_etag,
    tasks_do_not_touch_the_etag,
    refused_create_leaves_nothing,
);

/// Spellings of one address each: case, composition, full folding, and characters that fold to ASCII.
const SAME: [(&str, &str); 6] = [
    ("Ada@Example.org", "aDA@eXAMPLE.ORG"),
    ("\u{e9}cole@example.org", "E\u{301}COLE@example.org"),
    ("stra\u{df}e@example.org", "STRASSE@example.org"),
    ("kelvin@example.org", "\u{212a}elvin@example.org"),
    ("\u{130}@example.org", "i\u{307}@example.org"),
    ("\u{3c3}\u{3af}\u{3c3}\u{3c5}\u{3c6}\u{3bf}\u{3c2}@example.org", "ΣΊΣΥΦΟΣ@example.org"),
];

async fn created(database: &TestDatabase, address: &str) -> User {
    database.storage.users().create(new_user(address), "hash".into(), at(0)).await.unwrap()
}

fn moving_to(address: &str) -> UserPatch {
    UserPatch { email: Some(email(address)), ..UserPatch::default() }
}

async fn missing_account_is_not_found(database: TestDatabase) {
    let users = database.storage.users();
    let missing = UserId::generate();
    assert_eq!(users.find(missing).await, Err(Error::NotFound(Resource::User)));
    assert!(users.find_by_email(&email("nobody@example.org")).await.unwrap().is_none());
    let update = users.update(missing, moving_to("new@example.org"), at(1)).await;
    assert_eq!(update, Err(Error::NotFound(Resource::User)));
    assert_eq!(database.query_i64("select count(*) from emails").await, 0);
}

async fn email_is_unique_whatever_the_case(database: TestDatabase) {
    for (given, other) in SAME {
        created(&database, given).await;
        for spelling in [given, other] {
            let again = database.storage.users().create(new_user(spelling), "hash".into(), at(1)).await;
            assert_eq!(again, Err(Error::UserAlreadyExists), "{spelling}");
        }
    }
}

async fn distinct_emails_stay_apart(database: TestDatabase) {
    for address in [
        "i@example.org",
        "\u{131}@example.org",
        "\u{130}@example.org",
        "e@x.y",
        "\u{e9}@x.y",
        "a%@x.y",
        "a_@x.y",
    ] {
        created(&database, address).await;
    }
    assert_eq!(database.query_i64("select count(*) from users").await, 7);
}

async fn email_is_found_however_it_is_spelled(database: TestDatabase) {
    for (given, other) in SAME {
        let user = created(&database, given).await;
        for spelling in [given, other] {
            let found = database.storage.users().find_by_email(&email(spelling)).await.unwrap().unwrap();
            assert_eq!(found.user, user, "{spelling}");
            assert_eq!(found.user.email.as_str(), given, "as it was given");
        }
    }
}

async fn update_changes_what_it_names(database: TestDatabase) {
    let users = database.storage.users();
    let before = created(&database, "ada@example.org").await;
    let name = DisplayName::parse("Ada É").unwrap();
    let patch = UserPatch { display_name: Some(name.clone()), ..UserPatch::default() };
    let renamed = users.update(before.id, patch, at(5)).await.unwrap();
    assert_ne!(renamed.etag(), before.etag());
    let expected =
        User { display_name: name, update_time: at(5), version: renamed.version, ..before.clone() };
    assert_eq!(renamed, expected);
    assert_eq!(users.find(before.id).await.unwrap(), expected);

    let moved = users.update(before.id, moving_to("new@example.org"), at(3)).await.unwrap();
    assert_eq!(moved.update_time, at(5), "it never runs backwards");
    assert_eq!(moved.email.as_str(), "new@example.org");
    assert_eq!(moved.display_name, expected.display_name);
    let account = users.find_by_email(&email("new@example.org")).await.unwrap().unwrap();
    assert_eq!(account.user, moved);
    assert_eq!(account.password_hash.as_deref(), Some("hash"));
}

async fn update_that_changes_nothing_keeps_the_etag(database: TestDatabase) {
    let users = database.storage.users();
    let before = created(&database, "ada@example.org").await;
    let same = UserPatch { display_name: Some(DisplayName::default()), ..moving_to("ada@example.org") };
    for patch in [UserPatch::default(), same] {
        assert_eq!(users.update(before.id, patch, at(5)).await.unwrap(), before);
    }
    assert_eq!(users.find(before.id).await.unwrap(), before);
}

async fn new_email_frees_the_old_one(database: TestDatabase) {
    let users = database.storage.users();
    let ada = created(&database, "old@example.org").await;
    users.update(ada.id, moving_to("new@example.org"), at(1)).await.unwrap();
    assert!(users.find_by_email(&email("old@example.org")).await.unwrap().is_none());
    let bob = created(&database, "OLD@example.org").await;
    assert_eq!(users.find_by_email(&email("old@example.org")).await.unwrap().unwrap().user, bob);
    assert_eq!(database.query_i64("select count(*) from emails").await, 2);
}

async fn taken_email_is_refused_and_nothing_changes(database: TestDatabase) {
    let users = database.storage.users();
    let ada = created(&database, "ada@example.org").await;
    let bob = created(&database, "bob@example.org").await;
    let patch =
        UserPatch { display_name: Some(DisplayName::parse("Ada?").unwrap()), ..moving_to("ADA@example.org") };
    assert_eq!(users.update(bob.id, patch, at(1)).await, Err(Error::UserAlreadyExists));
    for user in [ada, bob] {
        assert_eq!(users.find_by_email(&user.email).await.unwrap().unwrap().user, user);
    }
    assert_eq!(database.query_i64("select count(*) from emails").await, 2);
}

async fn another_spelling_of_the_same_email_is_no_conflict(database: TestDatabase) {
    let users = database.storage.users();
    for (given, other) in SAME {
        let before = created(&database, given).await;
        let after = users.update(before.id, moving_to(other), at(1)).await.unwrap();
        assert_eq!(after.email.as_str(), other);
        assert_ne!(after.etag(), before.etag());
        assert_eq!(users.find_by_email(&email(given)).await.unwrap().unwrap().user, after);
    }
    assert_eq!(database.query_texts("select email_key from emails").await.len(), SAME.len());
}

async fn update_checks_the_etag(database: TestDatabase) {
    let users = database.storage.users();
    let before = created(&database, "ada@example.org").await;
    let with = |address, etag: Etag| UserPatch { etag: Some(etag), ..moving_to(address) };
    let after = users.update(before.id, with("two@example.org", before.etag()), at(1)).await.unwrap();
    let stale = users.update(before.id, with("three@example.org", before.etag()), at(2)).await;
    assert_eq!(stale, Err(Error::EtagMismatch { current: after.etag(), state: None }));
    assert_eq!(users.find(before.id).await.unwrap(), after);
    assert!(users.find_by_email(&email("three@example.org")).await.unwrap().is_none());
}

async fn tasks_do_not_touch_the_etag(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let before = database.storage.users().find(ada.user()).await.unwrap();
    ada.create(task("one"), at(1)).await;
    let after = database.storage.users().find(ada.user()).await.unwrap();
    assert_eq!(after.etag(), before.etag());
    assert_eq!(after, User { revision: 1, ..before.clone() });
    // And the other way round: a change of the account leaves the counters alone.
    database.storage.users().update(ada.user(), moving_to("new@example.org"), at(2)).await.unwrap();
    ada.check_books(&database).await;
    assert_eq!(ada.revision().await, 1);
}

async fn refused_create_leaves_nothing(database: TestDatabase) {
    let users = database.storage.users();
    let ada = created(&database, "ada@example.org").await;
    let refused = new_user("ADA@example.org");
    let id = refused.id;
    assert_eq!(users.create(refused, "other".into(), at(1)).await, Err(Error::UserAlreadyExists));
    assert_eq!(users.find(id).await, Err(Error::NotFound(Resource::User)));
    let account = users.find_by_email(&ada.email).await.unwrap().unwrap();
    assert_eq!(account.password_hash.as_deref(), Some("hash"));

    // The same id with another email must not leave its email behind either.
    let mut doubled = new_user("second@example.org");
    doubled.id = ada.id;
    assert!(users.create(doubled, "other".into(), at(1)).await.is_err());
    assert!(users.find_by_email(&email("second@example.org")).await.unwrap().is_none());
    created(&database, "second@example.org").await;
}
