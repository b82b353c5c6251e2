//! Registering, reading accounts, and who may.

use taskwire::pb;

use super::{NOBODY, alone, at, seconds, titled};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::{Answer, Refused as _};
use crate::support::server::{PASSWORD, TestServer, answer};

both_engines!(
    a_new_account_has_its_defaults,
    nobody_registers_as_more_than_a_user,
    an_email_belongs_to_one_account_however_it_is_spelled,
    of_many_registrations_at_once_one_wins,
    what_is_no_email_is_refused,
    everybody_reads_their_own_account,
    other_accounts_are_denied_whether_they_exist_or_not,
    administrators_read_all_accounts,
    an_accounts_revision_is_that_of_its_tasks,
);

async fn register(server: &TestServer, user: pb::User) -> Answer<pb::User> {
    let request = pb::CreateUserRequest {
        user: Some(user),
        password: PASSWORD.to_owned(),
        ..pb::CreateUserRequest::default()
    };
    answer(server.anonymous().create_user(request).await)
}

fn with_email(email: &str) -> pb::User {
    pb::User { email: email.to_owned(), ..pb::User::default() }
}

async fn a_new_account_has_its_defaults(database: TestDatabase) {
    let server = TestServer::start(database).await;
    server.clock.advance(seconds(5));
    let user = server.sign_up("Ada.Lovelace@Example.com", PASSWORD).await.unwrap();
    assert!(!user.etag.is_empty());
    let id: uuid::Uuid = user.name.strip_prefix("users/").unwrap().parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
    let expected = pb::User {
        name: format!("users/{id}"),
        email: "Ada.Lovelace@Example.com".to_owned(),
        role: pb::Role::User.into(),
        kind: pb::user::Kind::Person.into(),
        create_time: Some(at(5)),
        update_time: Some(at(5)),
        etag: user.etag.clone(),
        history: user.history.clone(),
        ..pb::User::default()
    };
    assert_eq!(user, expected);
    assert!(!user.history.is_empty());
    let ada = server.log_in("ada.lovelace@example.COM", PASSWORD).await.unwrap();
    assert_eq!(ada.me().await, user);
}

async fn nobody_registers_as_more_than_a_user(database: TestDatabase) {
    let (server, _ada) = alone(database).await;
    for role in [pb::Role::Admin.into(), 99, -1] {
        let email = format!("role{role}@example.com");
        let given = pb::User {
            name: format!("{NOBODY}\0"),
            display_name: "Bob".to_owned(),
            role,
            create_time: Some(at(-1_000_000)),
            update_time: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: -1 }),
            disabled: true,
            kind: pb::user::Kind::Service.into(),
            totp_enabled: true,
            email_verified: true,
            revision: 99,
            etag: "99".to_owned(),
            ..with_email(&email)
        };
        let user = register(&server, given).await.unwrap();
        let expected = pb::User {
            name: user.name.clone(),
            display_name: "Bob".to_owned(),
            role: pb::Role::User.into(),
            kind: pb::user::Kind::Person.into(),
            create_time: Some(at(0)),
            update_time: Some(at(0)),
            etag: user.etag.clone(),
            history: user.history.clone(),
            ..with_email(&email)
        };
        assert_eq!(user, expected);
        assert!(user.name != NOBODY && user.etag != "99");
        // Neither the account nor its token holds more.
        let bob = server.log_in(&email, PASSWORD).await.unwrap();
        assert_eq!(bob.me().await, user);
        bob.account(NOBODY).await.refused("PARENT_ACCESS_DENIED");
    }
}

async fn an_email_belongs_to_one_account_however_it_is_spelled(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    for (first, others) in [
        ("ada@example.com", &["ada@example.com", "ADA@EXAMPLE.COM", "Ada@Example.Com"][..]),
        (
            "é@example.com",
            &["é@example.com", "É@example.com", "e\u{301}@example.com", "E\u{301}@EXAMPLE.com"],
        ),
        ("straße@example.com", &["STRASSE@example.com", "strasse@example.com", "STRAẞE@example.com"]),
        ("İ@example.com", &["i\u{307}@example.com", "I\u{307}@example.com"]),
        ("\u{212A}@example.com", &["k@example.com", "K@example.com"]),
        ("Ω@example.com", &["\u{2126}@example.com", "ω@example.com"]),
        ("ﬁ@example.com", &["FI@example.com", "fi@example.com"]),
        ("a@ΌΣΟΣ.gr", &["a@όσος.gr", "a@όσοσ.gr"]),
        (
            "Ada@bücher.example",
            &[
                "ada@xn--bcher-kva.example",
                "ada@XN--BCHER-KVA.example",
                "ADA@BÜCHER.EXAMPLE",
                "ada@bu\u{308}cher.example",
            ],
        ),
        ("b@xn--bcher-kva.example", &["b@bücher.example", "B@bücher。example"]),
        // Not a domain by the rules, and so itself alone.
        ("c@xn--a-ecp.example", &["C@XN--a-ecp.example"]),
    ] {
        if first != ada.email {
            let user = server.sign_up(first, PASSWORD).await.unwrap();
            assert_eq!(user.email, first);
        }
        for other in others {
            let refusal = server.sign_up(other, PASSWORD).await.refused("USER_ALREADY_EXISTS");
            assert!(refusal.details.contains(&"ResourceInfo".to_owned()), "{refusal:?}");
            // The other spelling logs in to the same account.
            let session = server.log_in(other, PASSWORD).await.unwrap();
            assert_eq!(session.email, first);
        }
    }
    // What is not the same letter is not the same address.
    for email in [
        "ı@example.com",
        "i@example.com",
        "e@example.com",
        "ada+1@example.com",
        "a.da@example.com",
        "аda@example.com",
        "'@example.com",
        "%@example.com",
        "_da@example.com",
    ] {
        server.sign_up(email, PASSWORD).await.unwrap();
    }
}

async fn of_many_registrations_at_once_one_wins(database: TestDatabase) {
    let (server, _ada) = alone(database).await;
    let server = std::sync::Arc::new(server);
    let spellings = ["bob@example.com", "BOB@example.com", "Bob@Example.com", "bob@EXAMPLE.com"];
    let calls = spellings.map(|email| {
        let server = std::sync::Arc::clone(&server);
        tokio::spawn(async move { server.sign_up(email, PASSWORD).await })
    });
    let mut registered = Vec::new();
    for call in calls {
        match call.await.unwrap() {
            Ok(user) => registered.push(user),
            Err(refusal) => assert_eq!(refusal.reason, "USER_ALREADY_EXISTS"),
        }
    }
    assert_eq!(registered.len(), 1);
    let bob = server.log_in("bob@example.com", PASSWORD).await.unwrap();
    assert_eq!(bob.me().await, registered[0]);
}

async fn what_is_no_email_is_refused(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    for email in [
        "",
        " ",
        "@",
        "a@",
        "@b",
        "a",
        "example.com",
        "a@b@c",
        "a@@b",
        "a b@example.com",
        " a@example.com",
        "a@example.com ",
        "a@exam\u{A0}ple.com",
        "a@example.com\u{3000}",
        "a@example.com\r\nBcc: b@example.com",
    ] {
        server.sign_up(email, PASSWORD).await.refused_at("FIELD_INVALID", &["user.email"]);
        let user = pb::User { name: ada.user.clone(), ..with_email(email) };
        ada.update_account(user, &["email"]).await.refused_at("FIELD_INVALID", &["user.email"]);
    }
    assert_eq!(ada.me().await.email, "ada@example.com");
}

async fn everybody_reads_their_own_account(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let upper = ada.user.replace("users/", "").to_uppercase();
    for name in ["users/me", &ada.user, &format!("users/{upper}")] {
        let user = ada.account(name).await.unwrap();
        assert_eq!(Some(user), ada.pair.user);
    }
}

async fn other_accounts_are_denied_whether_they_exist_or_not(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let bob = server.register("bob@example.com").await;
    let root = server.register_admin("root@example.com").await;
    let mut seen = Vec::new();
    for name in [&ada.user, &root.user, NOBODY] {
        seen.push(bob.account(name).await.refused("PARENT_ACCESS_DENIED"));
        for (email, paths) in [("new@example.com", &["email"][..]), ("", &["nonsense"]), ("", &["email"])] {
            let user = pb::User { name: name.to_owned(), etag: "stale".to_owned(), ..with_email(email) };
            seen.push(bob.update_account(user, paths).await.refused("PARENT_ACCESS_DENIED"));
        }
    }
    // Nothing tells the one from the other.
    assert!(seen.iter().all(|refusal| *refusal == seen[0]), "{seen:?}");
    assert_eq!(Some(ada.me().await), ada.pair.user);
}

async fn administrators_read_all_accounts(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let root = server.register_admin("root@example.com").await;
    assert_eq!(root.me().await.role(), pb::Role::Admin);
    ada.create(titled("x")).await.unwrap();
    let user = root.account(&ada.user).await.unwrap();
    assert_eq!(user, ada.me().await);
    assert_eq!((user.role(), user.revision), (pb::Role::User, 1));
    root.account(NOBODY).await.refused("USER_NOT_FOUND");
    let user = pb::User { name: NOBODY.to_owned(), display_name: "x".to_owned(), ..pb::User::default() };
    root.update_account(user, &[]).await.refused("USER_NOT_FOUND");
}

async fn an_accounts_revision_is_that_of_its_tasks(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let before = ada.me().await;
    server.clock.advance(seconds(60));
    let task = ada.create(titled("x")).await.unwrap();
    ada.delete(&task.name).await.unwrap();
    // Its tasks change nothing else of the account.
    let after = pb::User { revision: 2, ..before };
    assert_eq!(ada.me().await, after);
    let user = pb::User {
        name: ada.user.clone(),
        display_name: "Ada".to_owned(),
        etag: after.etag,
        ..pb::User::default()
    };
    assert_eq!(ada.update_account(user, &[]).await.unwrap().revision, 2);
}
