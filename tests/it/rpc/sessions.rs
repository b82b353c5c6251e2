//! Refresh tokens, access tokens and logouts, with the clock in hand.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use taskwire::pb;

use super::{DAY, alone, at, seconds, titled};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;
use crate::support::server::{PASSWORD, Session, answer};

both_engines!(
    a_refresh_answers_a_new_pair_for_the_same_session,
    tokens_follow_one_another,
    a_retired_token_is_good_for_ten_seconds,
    a_retired_token_used_later_ends_the_session,
    a_token_retired_twice_over_ends_the_session,
    refreshes_at_once_answer_one_successor,
    what_is_no_refresh_token_is_refused,
    an_altered_refresh_token_is_refused,
    a_session_ends_thirty_days_after_its_last_refresh,
    a_session_ends_after_ninety_days_at_last,
    a_logout_ends_one_session,
    an_access_token_ends_after_fifteen_minutes,
    a_stale_access_token_keeps_nobody_out,
);

fn name(session: &Session) -> String {
    session.pair.session.clone().unwrap().name
}

async fn a_refresh_answers_a_new_pair_for_the_same_session(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    server.clock.advance(seconds(100));
    let next = server.refresh(&ada.pair.refresh_token).await.unwrap();
    assert_ne!(next.pair.access_token, ada.pair.access_token);
    assert_ne!(next.pair.refresh_token, ada.pair.refresh_token);
    let expected = pb::Session {
        last_use_time: Some(at(100)),
        expire_time: Some(at(100 + 30 * 24 * 60 * 60)),
        ..ada.pair.session.clone().unwrap()
    };
    assert_eq!(next.pair.session, Some(expected));
    assert_eq!(next.pair.user, ada.pair.user);
    assert_eq!(next.pair.token_type, "Bearer");
    assert_eq!(next.pair.access_expires_in, ada.pair.access_expires_in);
    assert_eq!(next.pair.refresh_expires_in, ada.pair.refresh_expires_in);
    next.create(titled("x")).await.unwrap();
    // The access token that was there before lasts as long as it lasts.
    ada.create(titled("y")).await.unwrap();
}

async fn tokens_follow_one_another(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let mut session = ada.clone();
    let mut tokens = vec![ada.pair.refresh_token.clone()];
    for _ in 0..8 {
        server.clock.advance(seconds(60));
        session = server.refresh(&session.pair.refresh_token).await.unwrap();
        assert_eq!(name(&session), name(&ada));
        assert!(!tokens.contains(&session.pair.refresh_token));
        tokens.push(session.pair.refresh_token.clone());
    }
}

async fn a_retired_token_is_good_for_ten_seconds(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let first = ada.pair.refresh_token.clone();
    let next = server.refresh(&first).await.unwrap();
    for wait in [seconds(0), seconds(4), seconds(6)] {
        server.clock.advance(wait);
        let again = server.refresh(&first).await.unwrap();
        assert_eq!(again.pair.refresh_token, next.pair.refresh_token);
        assert_eq!(name(&again), name(&ada));
        again.me().await;
    }
    // The successor works, and is replayed alike.
    let third = server.refresh(&next.pair.refresh_token).await.unwrap();
    let again = server.refresh(&next.pair.refresh_token).await.unwrap();
    assert_eq!(again.pair.refresh_token, third.pair.refresh_token);
}

async fn a_retired_token_used_later_ends_the_session(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let other = server.log_in(&ada.email, PASSWORD).await.unwrap();
    let next = server.refresh(&ada.pair.refresh_token).await.unwrap();
    server.clock.advance(seconds(10) + Duration::from_micros(1));
    let refusal = server.refresh(&ada.pair.refresh_token).await.refused("REFRESH_TOKEN_REUSED");
    assert_eq!(refusal.code, tonic::Code::Unauthenticated);
    // Nobody goes on in it, thief or owner.
    for token in [&next.pair.refresh_token, &ada.pair.refresh_token] {
        server.refresh(token).await.refused("REFRESH_TOKEN_INVALID");
    }
    server.refresh(&other.pair.refresh_token).await.unwrap();
}

async fn a_token_retired_twice_over_ends_the_session(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let second = server.refresh(&ada.pair.refresh_token).await.unwrap();
    let third = server.refresh(&second.pair.refresh_token).await.unwrap();
    // Within the grace of its own successor, but that one was used too.
    server.refresh(&ada.pair.refresh_token).await.refused("REFRESH_TOKEN_REUSED");
    server.refresh(&third.pair.refresh_token).await.refused("REFRESH_TOKEN_INVALID");
}

async fn refreshes_at_once_answer_one_successor(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let server = Arc::new(server);
    let mut token = ada.pair.refresh_token.clone();
    for _ in 0..5 {
        let calls = [(); 6].map(|()| {
            let (server, token) = (Arc::clone(&server), token.clone());
            tokio::spawn(async move { server.refresh(&token).await })
        });
        let mut successors = Vec::new();
        for call in calls {
            let next = call.await.unwrap().unwrap();
            assert_eq!(name(&next), name(&ada));
            successors.push(next.pair.refresh_token);
        }
        successors.dedup();
        assert_eq!(successors.len(), 1);
        assert_ne!(successors[0], token);
        token.clone_from(&successors[0]);
    }
}

async fn what_is_no_refresh_token_is_refused(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let token = &ada.pair.refresh_token;
    let bare = token.strip_prefix("twr_").unwrap();
    let mut wrong = vec![
        String::new(),
        "x".to_owned(),
        "twr_".to_owned(),
        bare.to_owned(),
        format!("twk_{bare}"),
        format!("TWR_{bare}"),
        format!("twr_{token}"),
        format!(" {token}"),
        format!("{token} "),
        format!("{token}="),
        format!("{token}A"),
        format!("Bearer {token}"),
        token.to_uppercase(),
        ada.pair.access_token.clone(),
        PASSWORD.to_owned(),
        "😀".repeat(30),
        format!("twr_{}", "A".repeat(107)),
        format!("twr_{}", "_".repeat(107)),
        format!("twr_{}", "é".repeat(53) + "A"),
        "x".repeat(1_000_000),
    ];
    wrong.extend((1..token.len()).map(|end| token[..end].to_owned()));
    for wrong in wrong {
        let refusal = server.refresh(&wrong).await.refused("REFRESH_TOKEN_INVALID");
        assert!(refusal.violations.is_empty(), "{refusal:?}");
    }
    server.refresh(token).await.unwrap();
}

async fn an_altered_refresh_token_is_refused(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let bob = server.register("bob@example.com").await;
    let bytes = |session: &Session| {
        let token = session.pair.refresh_token.strip_prefix("twr_").unwrap();
        URL_SAFE_NO_PAD.decode(token).unwrap()
    };
    let encoded = |bytes: &[u8]| format!("twr_{}", URL_SAFE_NO_PAD.encode(bytes));
    let token = bytes(&ada);
    assert_eq!(token.len(), 80);
    // The user, the session, and the secret of all tokens of that session: whoever lacks one ends nothing.
    for at in 0..48 {
        let mut altered = token.clone();
        altered[at] ^= 1;
        server.refresh(&encoded(&altered)).await.refused("REFRESH_TOKEN_INVALID");
    }
    // Halves of two sessions do not make a third.
    let other = bytes(&bob);
    for (start, end) in [(0, 16), (0, 32), (32, 48), (16, 48)] {
        let mut mixed = token.clone();
        mixed[start..end].copy_from_slice(&other[start..end]);
        server.refresh(&encoded(&mixed)).await.refused("REFRESH_TOKEN_INVALID");
    }
    let next = server.refresh(&ada.pair.refresh_token).await.unwrap();
    server.refresh(&bob.pair.refresh_token).await.unwrap();
    // With all of those, but another secret, it passes for an old token of the session.
    let mut altered = bytes(&next);
    altered[79] ^= 1;
    let refused = server.refresh(&encoded(&altered)).await.unwrap_err();
    assert_eq!(refused.code, tonic::Code::Unauthenticated);
}

async fn a_session_ends_thirty_days_after_its_last_refresh(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    server.clock.advance(seconds(30 * DAY) - Duration::from_micros(1));
    let next = server.refresh(&ada.pair.refresh_token).await.unwrap();
    server.clock.advance(seconds(30 * DAY) - Duration::from_micros(1));
    let next = server.refresh(&next.pair.refresh_token).await.unwrap();
    server.clock.advance(seconds(30 * DAY));
    server.refresh(&next.pair.refresh_token).await.refused("REFRESH_TOKEN_INVALID");
    // A login begins anew.
    let again = server.log_in(&ada.email, PASSWORD).await.unwrap();
    server.refresh(&again.pair.refresh_token).await.unwrap();
}

async fn a_session_ends_after_ninety_days_at_last(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let mut session = ada;
    for (day, left) in [(20, 30), (40, 30), (60, 30), (80, 10), (89, 1)] {
        let passed = if day == 89 { 9 } else { 20 };
        server.clock.advance(seconds(passed * DAY));
        session = server.refresh(&session.pair.refresh_token).await.unwrap();
        let left_seconds = session.pair.refresh_expires_in.unwrap().seconds;
        assert_eq!(left_seconds, left * 24 * 60 * 60, "day {day}");
        let expire_time = session.pair.session.clone().unwrap().expire_time;
        assert_eq!(expire_time, Some(at((day + left) * 24 * 60 * 60)));
    }
    server.clock.advance(seconds(DAY));
    server.refresh(&session.pair.refresh_token).await.refused("REFRESH_TOKEN_INVALID");
}

async fn a_logout_ends_one_session(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let other = server.log_in(&ada.email, PASSWORD).await.unwrap();
    let bob = server.register("bob@example.com").await;
    let next = server.refresh(&ada.pair.refresh_token).await.unwrap();
    // Any access token of the session ends it, also one from before the refresh.
    ada.log_out().await.unwrap();
    for token in [&next.pair.refresh_token, &ada.pair.refresh_token] {
        server.refresh(token).await.refused("REFRESH_TOKEN_INVALID");
    }
    for session in [&other, &bob] {
        session.create(titled("x")).await.unwrap();
        server.refresh(&session.pair.refresh_token).await.unwrap();
    }
    // It needs a token of its own.
    let nobody = answer(server.anonymous().logout(pb::LogoutRequest::default()).await);
    nobody.refused("TOKEN_MISSING");
}

async fn an_access_token_ends_after_fifteen_minutes(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    server.clock.advance(seconds(15 * 60 - 1));
    ada.create(titled("x")).await.unwrap();
    // A few seconds more are allowed for clocks that differ.
    server.clock.advance(seconds(7));
    ada.create(titled("y")).await.refused("TOKEN_EXPIRED");
    ada.account("users/me").await.refused("TOKEN_EXPIRED");
    // Before anything of the request is looked at.
    ada.create(titled("")).await.refused("TOKEN_EXPIRED");
    ada.log_out().await.refused("TOKEN_EXPIRED");
    let next = server.refresh(&ada.pair.refresh_token).await.unwrap();
    assert_eq!(next.me().await.revision, 1);
}

async fn a_stale_access_token_keeps_nobody_out(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    server.clock.advance(seconds(60 * 60));
    let request = pb::RefreshSessionRequest {
        refresh_token: ada.pair.refresh_token.clone(),
        ..pb::RefreshSessionRequest::default()
    };
    answer(ada.users().refresh_session(request).await).unwrap();
    let request = pb::LoginRequest {
        email: ada.email.clone(),
        password: PASSWORD.to_owned(),
        ..pb::LoginRequest::default()
    };
    answer(ada.users().login(request).await).unwrap();
}
