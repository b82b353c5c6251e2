//! Passwords: what is accepted, what is stored, what a planted hash can cost; and secrets that are never shown.

use argon2::Params;
use taskwire::accounts::{PasswordPolicy, Passwords};
use taskwire::pb;

use super::world::{PASSWORD, Setup, World, cheap};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;

both_engines!(
    passwords_follow_their_rules,
    nothing_is_cut_off_and_forms_do_not_matter,
    old_parameters_are_replaced_at_login,
    a_planted_hash_costs_nothing,
    a_rehash_keeps_a_concurrent_change,
);

async fn passwords_follow_their_rules(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    for (password, reason) in [
        ("1234567", "PASSWORD_TOO_SHORT"),
        ("e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}", "PASSWORD_TOO_SHORT"),
        ("password", "PASSWORD_COMMON"),
        ("PASSWORD", "PASSWORD_COMMON"),
        ("Football1", "PASSWORD_COMMON"),
        ("Ada@Example.org", "PASSWORD_COMMON"),
        ("nul\0inside it", "FIELD_INVALID"),
        (&"a".repeat(129), "FIELD_INVALID"),
        (&"ab".repeat(1 << 18), "FIELD_INVALID"),
    ] {
        replica.sign_up("ada@example.org", password).await.refused_at(reason, &["password"]);
    }
    replica.sign_up("ada@example.org", &"\u{1F511}".repeat(128)).await.unwrap();
    replica.log_in("ada@example.org", &"\u{1F511}".repeat(128)).await.unwrap();
    replica.log_in("ada@example.org", &"\u{1F511}".repeat(127)).await.refused("CREDENTIALS_INVALID");
}

async fn nothing_is_cut_off_and_forms_do_not_matter(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let long = format!(" {}\u{e9} ", "x".repeat(80));
    replica.sign_up("ada@example.org", &long).await.unwrap();
    replica.log_in("ada@example.org", &long.replace('\u{e9}', "e\u{301}")).await.unwrap();
    for wrong in [long.trim(), &format!("{long}x"), &long[..72], &long.to_uppercase()] {
        replica.log_in("ada@example.org", wrong).await.refused("CREDENTIALS_INVALID");
    }
}

async fn old_parameters_are_replaced_at_login(database: TestDatabase) {
    let old = World::new(database);
    old.replica().await.sign_up("ada@example.org", PASSWORD).await.unwrap();
    let stored = "select password_hash from users";
    let before = old.database.query_text(stored).await;
    let passwords = Passwords::with_params(2, Params::new(64, 2, 1, None).unwrap());
    let new = World::with(old.database, Setup { passwords: Some(passwords), ..Default::default() });
    let replica = new.replica().await;
    replica.log_in("ada@example.org", "wrong password").await.refused("CREDENTIALS_INVALID");
    assert_eq!(new.database.query_text(stored).await, before);
    replica.log_in("ada@example.org", PASSWORD).await.unwrap();
    let after = new.database.query_text(stored).await;
    assert!(after.contains("m=64,t=2,p=1"), "{after}");
    replica.log_in("ada@example.org", PASSWORD).await.unwrap();
    assert_eq!(new.database.query_text(stored).await, after);
}

async fn a_planted_hash_costs_nothing(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    replica.sign_up("ada@example.org", PASSWORD).await.unwrap();
    for planted in [
        "$argon2id$v=19$m=4194304,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=8,t=4000000000,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "nonsense",
        "",
    ] {
        world.database.execute(&format!("update users set password_hash = '{planted}'")).await;
        world.database.execute("delete from login_throttles").await;
        replica.log_in("ada@example.org", PASSWORD).await.refused("CREDENTIALS_INVALID");
    }
}

async fn a_rehash_keeps_a_concurrent_change(database: TestDatabase) {
    // A login that was verified against a hash which is no longer the stored one opens nothing.
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = replica.register("ada@example.org").await;
    let user = ada.user.unwrap().name;
    let id = taskwire::domain::UserId::parse(user.strip_prefix("users/").unwrap()).unwrap();
    let policy = PasswordPolicy { code_points_min: 8 };
    let other = policy.parse("another good one", None).unwrap();
    let hash = Passwords::with_params(1, cheap()).hash(other).await.unwrap();
    let now = world.clock.now();
    let new = taskwire::domain::NewSession {
        id: taskwire::domain::SessionId::generate(),
        user: id,
        device: taskwire::domain::Device::default(),
        peer: String::new(),
        create_time: now,
        expire_time: now.after(super::world::ACCESS_TTL),
        family_hash: vec![0; 32],
        refresh_hash: vec![0; 32],
    };
    let verified = taskwire::storage::Verified {
        password_hash: Some(hash.clone()),
        rehashed: Some(hash),
        forgiven: Vec::new(),
        completion: None,
    };
    let opened = world.database.storage.sessions().open(new, verified).await;
    assert_eq!(opened.unwrap_err(), taskwire::domain::Error::CredentialsInvalid);
    replica.log_in("ada@example.org", PASSWORD).await.unwrap();
}

#[test]
fn messages_with_secrets_do_not_show_them() {
    let canary = || "canary-7d1f".to_owned();
    let shown = [
        format!("{:?}", pb::LoginRequest { password: canary(), ..Default::default() }),
        format!("{:?}", pb::CreateUserRequest { password: canary(), ..Default::default() }),
        format!("{:?}", pb::DeleteUserRequest { password: canary(), ..Default::default() }),
        format!(
            "{:?}",
            pb::ChangePasswordRequest {
                current_password: canary(),
                new_password: canary(),
                ..Default::default()
            }
        ),
        format!("{:?}", pb::RefreshSessionRequest { refresh_token: canary(), ..Default::default() }),
        format!("{:?}", pb::CreateApiKeyResponse { secret: canary(), ..Default::default() }),
        format!(
            "{:?}",
            pb::TokenPair { access_token: canary(), refresh_token: canary(), ..Default::default() }
        ),
    ];
    for text in shown {
        assert!(!text.contains("canary"), "{text}");
    }
}
