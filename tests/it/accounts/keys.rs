//! The key ring: rotation without a gap, retirement, a file that is read again.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use taskwire::auth::{KeyRing, KeyState};
use taskwire::server::key_watch;

use super::world::{ACCESS_TTL, World, token_config};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;

both_engines!(
    a_rotation_has_no_gap_and_the_old_key_ends,
    a_broken_file_changes_nothing,
    a_key_taken_out_is_refused_at_once,
    what_is_written_down_of_parts_says_which_and_no_secret,
);

async fn a_rotation_has_no_gap_and_the_old_key_ends(database: TestDatabase) {
    let world = World::new(database);
    let (here, there) = (world.replica().await, world.replica().await);
    let ada = here.register("ada@example.org").await;
    let life = token_config().token_life();
    let now = world.clock.now();
    let text = world.ring().rotated(now.after(Duration::from_secs(60)), now, life).unwrap();
    // One replica knows the new key earlier than the other: no token fails anywhere.
    let ring = || KeyRing::parse(&text, "test").unwrap();
    here.tokens.replace_ring(ring());
    let before = here.refresh(&ada.refresh_token, "").await.unwrap();
    there.probe(&before.access_token).await.unwrap();
    there.tokens.replace_ring(ring());
    world.hand.advance(Duration::from_secs(60));
    let after = here.refresh(&before.refresh_token, "").await.unwrap();
    let kid = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    assert_ne!(kid(&before.access_token), kid(&after.access_token));
    for token in [&ada.access_token, &before.access_token, &after.access_token] {
        there.probe(token).await.unwrap();
    }
    let states: Vec<KeyState> =
        ring().list(world.clock.now(), life).iter().map(|(_, state, _)| *state).collect();
    assert_eq!(states, [KeyState::Retired, KeyState::Active]);
    let jwks = here.tokens.jwks();
    assert!(jwks.contains(&kid(&before.access_token)) && jwks.contains(&kid(&after.access_token)));
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&jwks).unwrap();
    let jwk = set.find(&kid(&after.access_token)).unwrap();
    jsonwebtoken::DecodingKey::from_jwk(jwk).unwrap();
    world.hand.advance(ACCESS_TTL + Duration::from_secs(6));
    assert!(!here.tokens.jwks().contains(&kid(&before.access_token)));
    there.probe(&after.access_token).await.refused("TOKEN_EXPIRED");
    there.probe(&before.access_token).await.refused("TOKEN_EXPIRED");
}

async fn a_broken_file_changes_nothing(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = replica.register("ada@example.org").await;
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("keys.pem");
    let write = |text: &str, mode| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for (text, mode) in [("no key", 0o600), ("", 0o600), (&world.key_file, 0o644)] {
        write(text, mode);
        key_watch::reload(&file, &replica.tokens).await;
        replica.probe(&ada.access_token).await.unwrap();
    }
    // A file that is right is taken, and rotating keeps it right and private.
    write(&world.key_file, 0o600);
    let now = world.clock.now();
    KeyRing::rotate_file(&file, now, now, token_config().token_life()).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    key_watch::reload(&file, &replica.tokens).await;
    replica.probe(&ada.access_token).await.unwrap();
}

async fn a_key_taken_out_is_refused_at_once(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = replica.register("ada@example.org").await;
    replica.probe(&ada.access_token).await.unwrap();
    let other = taskwire::auth::SigningKey::generate_pem().unwrap();
    replica.tokens.replace_ring(KeyRing::parse(&other, "test").unwrap());
    replica.probe(&ada.access_token).await.refused("TOKEN_INVALID");
    let again = replica.refresh(&ada.refresh_token, "").await.unwrap();
    replica.probe(&again.access_token).await.unwrap();
}

async fn what_is_written_down_of_parts_says_which_and_no_secret(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let key = taskwire::auth::SigningKey::from_pem(world.key_file.as_bytes(), "test").unwrap();
    let texts = [
        format!("{:?}", replica.accounts),
        format!("{:?}", replica.authenticator),
        format!("{:?}", replica.tokens),
        format!("{:?}", world.ring()),
        format!("{key:?}"),
    ];
    let names: [&[&str]; 5] =
        [&["Passwords", "Throttle"], &["ApiKeys", "issuers: ["], &["Tokens"], &[key.id()], &[key.id()]];
    let secret = world.key_file.lines().nth(1).unwrap();
    for (text, names) in texts.iter().zip(names) {
        assert!(names.iter().all(|name| text.contains(name)), "{names:?}: {text}");
        assert!(!text.contains(secret), "{text}");
    }
}
