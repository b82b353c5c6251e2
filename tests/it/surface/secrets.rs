//! Nothing secret stands in what `Debug` writes, as that ends up in logs and reports.

use std::fmt::Debug;

use clap::Parser as _;
use taskwire::accounts::registration::NewAccount;
use taskwire::accounts::{PasswordPolicy, Passwords};
use taskwire::auth::{KeyRing, SigningKey, TokenConfig, Tokens};
use taskwire::cli::{Cli, Command, ConfigCommand};
use taskwire::config::Settings;
use taskwire::domain::{
    AccountKind, Clock, DisplayName, Email, RefreshSecrets, Role, SessionId, Timestamp, User, UserId,
};
use taskwire::pb;
use taskwire::pb::{
    ChangePasswordRequest, CreateApiKeyResponse, CreateUserRequest, DeleteUserRequest, LoginRequest,
    RefreshSessionRequest, TokenPair,
};
use taskwire::storage::{Account, Registered, Remembered, Rotation, Storage};

use super::descriptors;
use crate::auth::served::run;
use crate::support::database::limits;

const CANARY: &str = "canary-4b1f";

fn assert_hidden(what: &str, value: &dyn Debug) {
    for written in [format!("{value:?}"), format!("{value:#?}")] {
        assert!(!written.contains(CANARY), "{what}: {written}");
        assert!(!written.is_empty());
    }
}

#[test]
fn messages_hide_passwords_and_tokens() {
    let canary = || CANARY.to_owned();
    let create = CreateUserRequest { password: canary(), ..CreateUserRequest::default() };
    let login = LoginRequest { email: "ada@example.com".into(), password: canary(), device: "phone".into() };
    let refresh = RefreshSessionRequest { refresh_token: canary(), ..RefreshSessionRequest::default() };
    let pair = TokenPair {
        access_token: canary(),
        refresh_token: canary(),
        token_type: "Bearer".into(),
        ..TokenPair::default()
    };
    let change =
        ChangePasswordRequest { name: "users/me".into(), current_password: canary(), new_password: canary() };
    assert_hidden("ChangePasswordRequest", &change);
    assert_hidden("DeleteUserRequest", &DeleteUserRequest { password: canary(), ..Default::default() });
    assert_hidden("CreateApiKeyResponse", &CreateApiKeyResponse { secret: canary(), ..Default::default() });
    assert_hidden("CreateUserRequest", &create);
    assert_hidden("LoginRequest", &login);
    assert_hidden("RefreshSessionRequest", &refresh);
    assert_hidden("TokenPair", &pair);
    let proof = || Some(pb::complete_login_request::Proof::Code(canary()));
    let complete = pb::CompleteLoginRequest { challenge: canary(), proof: proof() };
    assert_hidden("CompleteLoginRequest", &complete);
    assert_hidden("Proof", &proof());
    let reset = pb::ResetPasswordRequest { token: canary(), new_password: canary() };
    assert_hidden("ResetPasswordRequest", &reset);
    assert_hidden("VerifyEmailRequest", &pb::VerifyEmailRequest { token: canary() });
    assert_hidden("ConfirmEmailChangeRequest", &pb::ConfirmEmailChangeRequest { token: canary() });
    let begun = pb::BeginTotpEnrolmentResponse { secret: canary(), otpauth_uri: canary() };
    assert_hidden("BeginTotpEnrolmentResponse", &begun);
    let confirm = pb::ConfirmTotpEnrolmentRequest { code: canary(), ..Default::default() };
    assert_hidden("ConfirmTotpEnrolmentRequest", &confirm);
    let codes = || vec![canary()];
    let confirmed = pb::ConfirmTotpEnrolmentResponse { recovery_codes: codes() };
    assert_hidden("ConfirmTotpEnrolmentResponse", &confirmed);
    let regenerated = pb::RegenerateRecoveryCodesResponse { recovery_codes: codes() };
    assert_hidden("RegenerateRecoveryCodesResponse", &regenerated);
    let exchanged = pb::ExchangeTokenResponse { access_token: canary(), ..Default::default() };
    assert_hidden("ExchangeTokenResponse", &exchanged);
    assert_hidden("a request as a whole", &tonic::Request::new(login.clone()));
    // What is no secret is there, so that the rest is worth logging.
    assert!(format!("{login:?}").contains("phone"));
    assert!(format!("{pair:?}").contains("Bearer"));
}

#[test]
fn every_message_with_a_secret_has_a_debug_of_its_own() {
    let build = include_str!("../../../crates/proto/build.rs");
    let mut found = 0;
    for file in descriptors::ours() {
        for message in &file.message_type {
            let is_secret = |name: &str| {
                let of_list = name == "page_token" || name == "next_page_token" || name == "token_type";
                !of_list
                    && ["password", "token", "secret", "recovery_code", "challenge", "otpauth"]
                        .iter()
                        .any(|word| name.contains(word))
            };
            if message.field.iter().any(|field| is_secret(field.name())) {
                found += 1;
                let listed = format!("\".taskwire.v1.{}\"", message.name());
                assert!(
                    build.contains(&listed),
                    "{listed} is not among the SECRET ones of crates/proto/build.rs"
                );
            }
        }
    }
    assert!(found >= 12, "{found}");
}

#[test]
fn values_hide_passwords_keys_and_hashes() {
    let email = Email::parse("ada@example.com").unwrap();
    let policy = PasswordPolicy { code_points_min: 8 };
    let password = policy.parse("canary-4b1f and more", Some(&email)).unwrap();
    assert_hidden("Password", &password);
    assert_hidden("Passwords", &Passwords::new(1));
    let account = NewAccount { email: email.clone(), display_name: DisplayName::default(), password };
    assert_hidden("NewAccount", &account);

    let now = Timestamp::from_parts(1_767_225_600, 0).unwrap();
    let user = User {
        id: UserId::generate(),
        email,
        display_name: DisplayName::default(),
        role: Role::User,
        create_time: now,
        update_time: now,
        disable_time: None,
        kind: AccountKind::Person,
        totp_enabled: false,
        email_verified: false,
        revision: 0,
        history: taskwire::domain::HistoryId::generate(),
        version: 1,
    };
    let canary = || CANARY.as_bytes().to_vec();
    let bytes = format!("{:?}", canary());
    let (id, user_id) = (SessionId::generate(), user.id);
    let remembered =
        Remembered { fingerprint: canary(), answer: canary(), password_hash: Some(CANARY.into()) };
    let secrets = RefreshSecrets {
        family: canary(),
        current: canary(),
        previous: Some(canary()),
        salt: Some(canary()),
        rotate_time: now,
        rotate_idempotency_key: None,
    };
    let rotation = Rotation {
        user: user_id,
        id,
        presented_hash: canary(),
        family_hash: canary(),
        successor_hash: canary(),
        salt: canary(),
        now,
        expire_time: now,
        peer: String::new(),
        idempotency_key: None,
    };
    let values: [(&str, &dyn Debug); 5] = [
        ("Account", &Account { user, password_hash: Some(CANARY.into()) }),
        ("Remembered", &remembered),
        ("Registered", &Registered::Before(remembered.clone())),
        ("RefreshSecrets", &secrets),
        ("Rotation", &rotation),
    ];
    for (what, value) in values {
        assert_hidden(what, value);
        assert!(!format!("{value:?}").contains(&bytes), "{what}: {value:?}");
    }
}

#[test]
fn keys_are_hidden() {
    let pem = SigningKey::generate_pem().unwrap();
    let body = pem.lines().nth(1).unwrap();
    let key = || SigningKey::from_pem(pem.as_bytes(), "test").unwrap();
    let config = TokenConfig {
        issuer: "taskwire".into(),
        audience: "taskwire".into(),
        access_ttl: std::time::Duration::from_secs(60),
    };
    let tokens = Tokens::new(key(), config, Clock::system());
    let ring = KeyRing::parse(&pem, "test").unwrap();
    for shown in [format!("{:?}", key()), format!("{ring:?}"), format!("{tokens:#?}")] {
        assert!(shown.contains(key().id()) && !shown.contains(body), "{shown}");
    }
}

fn settings(url: &str) -> Settings {
    let arguments = ["taskwire", "config", "print", "--signing-key-file", "key.pem"];
    let cli = Cli::try_parse_from(arguments.into_iter().chain(["--database-url", url])).unwrap();
    assert_hidden("Cli", &cli);
    match cli.command {
        Command::Config { command: ConfigCommand::Print { settings } } => *settings,
        other => panic!("{other:?}"),
    }
}

const URLS: [&str; 8] = [
    "postgres://taskwire:canary-4b1f@db.example/taskwire",
    "postgres://taskwire:canary%2D4b1f@db.example/taskwire",
    "postgres://taskwire@db.example/taskwire?password=canary-4b1f",
    "postgres://taskwire:canary-4b1f@db.example/taskwire?password=canary-4b1f&sslmode=require",
    "postgresql://taskwire:canary-4b1f@[::1]:6432/taskwire",
    "postgres://taskwire:canary-4b1f@db1.example:6432,db2.example/taskwire",
    "postgres://taskwire:canary-4b1f@db1.example,[::1]:6432/taskwire?p%61ssword=canary-4b1f",
    "postgres:///example/taskwire?host=db1.example,db2.example&user=taskwire&password=canary-4b1f",
];

#[test]
fn settings_hide_the_database_password() {
    run(async {
        for url in URLS {
            let settings = settings(url);
            assert_hidden(url, &settings);
            let config = settings.validate().unwrap();
            assert_hidden(url, &config);
            let printed = config.print();
            assert!(!printed.contains("4b1f"), "{printed}");
            assert!(printed.contains("example/taskwire") || printed.contains("[::1]:6432/taskwire"));
            assert!(!config.storage.describe().contains("4b1f"));
        }
    });
}

#[test]
fn storage_hides_its_url() {
    run(async {
        for url in URLS {
            let storage = Storage::open(url, limits()).unwrap();
            assert_hidden(url, &storage);
            assert_hidden(url, &storage.users());
            assert_hidden(url, &storage.sessions());
            assert_hidden(url, &storage.tasks());
        }
    });
}

#[test]
fn what_is_wrong_with_a_url_does_not_repeat_it() {
    for url in [
        "postgres://taskwire:canary-4b1f@db.example:99999/taskwire",
        "postgres://taskwire:canary-4b1f@db.example/taskwire?sslmode=canary-4b1f",
        "postgres://taskwire:canary-4b1f@/taskwire",
        "postgres://taskwire:canary-4b1f@db1.example,,db2.example/taskwire",
        "postgres://taskwire@canary-4b1f@db.example:1:2/taskwire",
        "postgres://taskwire:%zzcanary-4b1f@db.example/taskwire",
        "postgres://taskwire@db.example/taskwire?password=12&canary-4b1f=1",
        "postgres://taskwire@db.example/taskwire?target_session_attrs=canary-4b1f",
        // Signs that a password holds in percent-encoding only.
        "postgres://taskwire:12?canary-4b1f@db.example/taskwire",
        "postgres://taskwire:12/canary-4b1f@db.example/taskwire",
        "postgres://taskwire:12#canary-4b1f@db.example/taskwire",
        "postgres://taskwire:ab?canary-4b1f@db.example/taskwire",
        "postgres://taskwire:canary-4b1f@db.example/taskwire?connect_timeout=canary-4b1f",
        "mysql://taskwire:canary-4b1f@db.example/taskwire",
        "canary-4b1f",
    ] {
        // Pools want a runtime, should the URL be taken for a good one.
        run(async {
            let error = Storage::open(url, limits()).map(|_| ()).expect_err(url);
            assert!(!error.to_string().contains(CANARY), "{error}");
            assert_hidden(url, &error);
            let problems = settings(url).validate().unwrap_err();
            assert_hidden(url, &problems);
            assert!(problems.iter().all(|problem| !problem.to_string().contains(CANARY)));
        });
    }
}
