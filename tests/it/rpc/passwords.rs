//! Passwords: which are accepted, and that a login takes exactly the one that was given.

use taskwire::accounts::PasswordPolicy;
use taskwire::pb;

use super::fields::controls;
use super::{alone, at, titled};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;
use crate::support::server::{PASSWORD, Setup, TestServer, answer};

both_engines!(
    a_login_answers_a_pair,
    an_unknown_email_and_a_wrong_password_are_answered_alike,
    a_password_is_taken_as_it_is,
    a_password_is_the_same_in_every_normal_form,
    passwords_have_8_to_128_code_points,
    the_shortest_password_follows_the_configuration,
    a_password_is_not_the_email,
    a_password_holds_no_control_character,
    a_disabled_account_is_told_only_to_who_knows_its_password,
    every_login_begins_a_session_of_its_own,
    no_answer_holds_a_password,
);

async fn a_login_answers_a_pair(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let user = server.sign_up("ada@example.com", PASSWORD).await.unwrap();
    let request = pb::LoginRequest {
        email: "ADA@example.com".to_owned(),
        password: PASSWORD.to_owned(),
        device: "Ada's laptop".to_owned(),
        ..pb::LoginRequest::default()
    };
    let pair = answer(server.anonymous().login(request).await).unwrap();
    assert_eq!(pair.token_type, "Bearer");
    assert_eq!(pair.access_token.split('.').count(), 3);
    assert!(!pair.refresh_token.is_empty());
    let lasts = |duration: Option<prost_types::Duration>| duration.map(|one| (one.seconds, one.nanos));
    assert_eq!(lasts(pair.access_expires_in), Some((15 * 60, 0)));
    assert_eq!(lasts(pair.refresh_expires_in), Some((30 * 24 * 60 * 60, 0)));
    let session = pair.session.unwrap();
    let id = session.name.strip_prefix(&format!("{}/sessions/", user.name)).unwrap();
    assert_eq!(id.parse::<uuid::Uuid>().unwrap().get_version_num(), 7);
    let expected = pb::Session {
        name: session.name.clone(),
        device: "Ada's laptop".to_owned(),
        peer: "127.0.0.1".to_owned(),
        create_time: Some(at(0)),
        last_use_time: Some(at(0)),
        expire_time: Some(at(30 * 24 * 60 * 60)),
        current: true,
        ..pb::Session::default()
    };
    assert_eq!(session, expected);
    assert_eq!(pair.user, Some(user));
}

async fn an_unknown_email_and_a_wrong_password_are_answered_alike(database: TestDatabase) {
    let (server, _ada) = alone(database).await;
    let expected =
        server.log_in("ada@example.com", "wrong horse battery staple").await.refused("CREDENTIALS_INVALID");
    assert_eq!(expected.code, tonic::Code::Unauthenticated);
    assert_eq!(expected.details, ["ErrorInfo"]);
    for (email, password) in [
        ("nobody@example.com", PASSWORD),
        ("nobody@example.com", ""),
        ("nobody@example.com", "x"),
        ("ada@example.com", ""),
        ("ada@example.com", "x"),
        ("ada@example.com", "\0"),
        ("", ""),
        ("", PASSWORD),
        ("nonsense", PASSWORD),
        ("ada@example.com\0", PASSWORD),
        (" ada@example.com", PASSWORD),
        ("ada@example.com ", PASSWORD),
        ("ada%@example.com", PASSWORD),
        ("' or 1=1 --", "' or 1=1 --"),
    ] {
        let refusal = server.log_in(email, password).await.unwrap_err();
        assert_eq!(refusal, expected, "{email:?} {password:?}");
    }
    for length in [129, 1024, 1025, 100_000] {
        for email in ["ada@example.com", "nobody@example.com"] {
            let refusal = server.log_in(email, &"x".repeat(length)).await.unwrap_err();
            assert_eq!(refusal, expected);
        }
    }
}

async fn a_password_is_taken_as_it_is(database: TestDatabase) {
    let server = TestServer::start(database).await;
    for (number, password) in [
        "  spaces at both ends  ",
        "MixedCase and more",
        "          ",
        "correct horse battery staple",
        "пароль пароль",
        "🔑🗝️🔒🔓🔑🔒🔓🔑",
        "ﬁﬁﬁﬁﬁﬁﬁﬁ",
        "\u{3000}ideographic\u{3000}",
        "\u{202E}drowssap",
        "'; drop table users; --",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ]
    .into_iter()
    .enumerate()
    {
        let email = format!("user{number}@example.com");
        server.sign_up(&email, password).await.unwrap();
        server.log_in(&email, password).await.unwrap();
        let first = password.chars().next().unwrap().len_utf8();
        let last = password.chars().next_back().unwrap().len_utf8();
        for wrong in [
            format!("{password}x"),
            format!("{password} "),
            format!("{password}\0"),
            format!(" {password}"),
            password[first..].to_owned(),
            password[..password.len() - last].to_owned(),
            password.trim().to_owned(),
            password.to_uppercase(),
            password.to_lowercase(),
            // Not even compatible forms are the same (NFKC).
            password.replace('ﬁ', "fi"),
            password.replace('\u{3000}', " "),
            format!("{password}{password}"),
            String::new(),
        ] {
            if wrong != password {
                server.log_in(&email, &wrong).await.refused("CREDENTIALS_INVALID");
            }
        }
    }
}

async fn a_password_is_the_same_in_every_normal_form(database: TestDatabase) {
    let server = TestServer::start(database).await;
    for (number, (composed, decomposed)) in [
        ("pässwörter", "pa\u{308}sswo\u{308}rter"),
        ("Ångström xx", "\u{212B}ngstro\u{308}m xx"),
        ("각각각각각각각각", "각각각각각각각각"),
        ("q\u{323}\u{307}xxxxxx", "q\u{307}\u{323}xxxxxx"),
    ]
    .into_iter()
    .enumerate()
    {
        for (turn, (given, typed)) in [(composed, decomposed), (decomposed, composed)].into_iter().enumerate()
        {
            let email = format!("user{number}{turn}@example.com");
            server.sign_up(&email, given).await.unwrap();
            for password in [given, typed] {
                server.log_in(&email, password).await.unwrap();
            }
        }
    }
    server.sign_up("plain@example.com", "pässwörter").await.unwrap();
    server.log_in("plain@example.com", "passworter").await.refused("CREDENTIALS_INVALID");
}

async fn passwords_have_8_to_128_code_points(database: TestDatabase) {
    let server = TestServer::start(database).await;
    for (number, character) in ["z", "é", "中", "😀", "e\u{301}", " "].into_iter().enumerate() {
        let email = format!("user{number}@example.com");
        for count in [0, 1, 7] {
            server
                .sign_up(&email, &character.repeat(count))
                .await
                .refused_at("PASSWORD_TOO_SHORT", &["password"]);
        }
        // Counted after composition, so that `e` and its accent are one.
        for count in [129, 1000, 10_000] {
            server.sign_up(&email, &character.repeat(count)).await.refused_at("FIELD_INVALID", &["password"]);
        }
        for count in [8, 128] {
            let email = format!("{count}.{email}");
            let password = character.repeat(count);
            server.sign_up(&email, &password).await.unwrap();
            server.log_in(&email, &password).await.unwrap();
            // Nothing is cut off: one less is another one.
            let shorter = character.repeat(count - 1);
            server.log_in(&email, &shorter).await.refused("CREDENTIALS_INVALID");
        }
    }
}

async fn the_shortest_password_follows_the_configuration(database: TestDatabase) {
    let setup = Setup { passwords: PasswordPolicy { code_points_min: 15 }, ..Setup::default() };
    let server = TestServer::with(database, setup).await;
    let refusal = server
        .sign_up("ada@example.com", "fourteen chars")
        .await
        .refused_at("PASSWORD_TOO_SHORT", &["password"]);
    assert!(refusal.message.contains("15"), "{refusal:?}");
    server.sign_up("ada@example.com", "fifteen chars !").await.unwrap();
}

async fn a_password_is_not_the_email(database: TestDatabase) {
    let server = TestServer::start(database).await;
    for (email, password) in [
        ("ada@example.com", "ada@example.com"),
        ("ada@example.com", "ADA@EXAMPLE.COM"),
        ("ADA@example.com", "ada@example.com"),
        ("straße@example.com", "STRASSE@example.com"),
        ("é@example.com", "e\u{301}@example.com"),
    ] {
        server.sign_up(email, password).await.refused_at("PASSWORD_COMMON", &["password"]);
    }
    server.sign_up("ada@example.com", "ada@example.com!").await.unwrap();
}

async fn a_password_holds_no_control_character(database: TestDatabase) {
    let server = TestServer::start(database).await;
    for control in controls() {
        for password in [
            format!("{control}correct horse"),
            format!("correct{control}horse"),
            format!("correct horse{control}"),
            // Whatever else is wrong with it.
            control.to_string(),
        ] {
            server.sign_up("ada@example.com", &password).await.refused_at("FIELD_INVALID", &["password"]);
        }
    }
}

async fn a_disabled_account_is_told_only_to_who_knows_its_password(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    server.database.execute("update users set disable_time = create_time").await;
    let refusal = server.log_in("ada@example.com", PASSWORD).await.refused("USER_DISABLED");
    assert_eq!(refusal.code, tonic::Code::PermissionDenied);
    for (email, password) in
        [("ada@example.com", "wrong horse battery staple"), ("nobody@example.com", PASSWORD)]
    {
        server.log_in(email, password).await.refused("CREDENTIALS_INVALID");
    }
    // Nor does a refresh go on.
    let refreshed = server.refresh(&ada.pair.refresh_token).await;
    assert!(refreshed.is_err());
}

async fn every_login_begins_a_session_of_its_own(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let again = server.log_in(&ada.email, PASSWORD).await.unwrap();
    assert_eq!(again.user, ada.user);
    assert_ne!(again.pair.session, ada.pair.session);
    assert_ne!(again.pair.access_token, ada.pair.access_token);
    assert_ne!(again.pair.refresh_token, ada.pair.refresh_token);
    for session in [&ada, &again] {
        session.create(titled("x")).await.unwrap();
    }
}

async fn no_answer_holds_a_password(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let secret = "very secret passphrase";
    let short = server.sign_up("ada@example.com", &secret[..7]).await.unwrap_err();
    let taken = server.sign_up("ada@example.com", secret).await.unwrap_err();
    let wrong = server.log_in("ada@example.com", secret).await.unwrap_err();
    let user = server.sign_up("bob@example.com", secret).await.unwrap();
    let shown = format!("{short:?} {taken:?} {wrong:?} {user:?} {:?}", ada.me().await);
    assert!(!shown.contains("secret") && !shown.contains("argon2"), "{shown}");
    // Nor does the storage hold it.
    let hashes = server.database.query_texts("select password_hash from users").await;
    assert_eq!(hashes.len(), 2);
    assert!(hashes.iter().all(|hash| hash.starts_with("$argon2id$")), "{hashes:?}");
}
