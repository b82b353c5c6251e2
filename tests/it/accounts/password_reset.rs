//! A new password by mail: for whoever reads it, once, and for nobody else.

use std::time::Duration;

use data_encoding::HEXLOWER;
use futures_util::future::join_all;
use taskwire::domain::{EmailVerification, MailKind};
use taskwire::pb;

use super::mail_server::{MailServer, Received, count, mailing, send};
use super::world::{PASSWORD, Replica, Setup, World, answer};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::{Answer, Refused as _};

both_engines!(
    a_lost_password_is_replaced_by_mail,
    whoever_asks_learns_nothing,
    a_token_is_good_once_for_fifty,
    a_token_ends_with_its_time_its_password_its_address_and_its_account,
    forged_tokens_reach_nothing,
    who_asks_often_waits_whoever_it_is_about,
    no_more_than_five_tokens_are_good_at_once,
    a_server_that_refuses_or_hangs_up_is_tried_again_until_the_mail_expires,
    a_mail_leaves_by_itself,
    without_mail_nothing_is_queued,
);

const ADA: &str = "ada@example.org";
const NEW: &str = "a quite different sentence";
const HOUR: Duration = Duration::from_secs(60 * 60);

async fn ask(replica: &Replica, email: &str) -> Answer<pb::RequestPasswordResetResponse> {
    let request = pb::RequestPasswordResetRequest { email: email.to_owned() };
    answer(replica.anonymous().request_password_reset(request).await)
}

async fn reset(replica: &Replica, token: &str, password: &str) -> Answer<pb::ResetPasswordResponse> {
    let request = pb::ResetPasswordRequest { token: token.to_owned(), new_password: password.to_owned() };
    answer(replica.anonymous().reset_password(request).await)
}

async fn mailed(replica: &Replica, server: &mut MailServer, email: &str) -> Received {
    ask(replica, email).await.unwrap();
    send(replica).await;
    server.next().await
}

async fn a_lost_password_is_replaced_by_mail(database: TestDatabase) {
    let (world, mut server) = mailing(database, EmailVerification::Off).await;
    let (here, there) = (world.replica().await, world.replica().await);
    let ada = here.register(ADA).await;
    let mail = mailed(&here, &mut server, "ADA@example.org").await;
    assert_eq!(mail.to, ADA, "as it is stored, not as it was typed");
    for part in ["From: ", "no-reply@example.org", "Subject: A new password", "60 minutes", "text/html"] {
        assert!(mail.text.contains(part), "{part}: {}", mail.text);
    }
    assert_eq!(count(&world, "mails").await, 0);

    let token = mail.token();
    reset(&there, &token, "short").await.refused_at("PASSWORD_TOO_SHORT", &["new_password"]);
    reset(&there, &token, ADA).await.refused_at("PASSWORD_COMMON", &["new_password"]);
    reset(&there, &token, NEW).await.unwrap();
    there.probe(&ada.access_token).await.refused("SESSION_REVOKED");
    here.refresh(&ada.refresh_token, "").await.refused("REFRESH_TOKEN_INVALID");
    here.log_in(ADA, PASSWORD).await.refused("CREDENTIALS_INVALID");
    let again = here.log_in(ADA, NEW).await.unwrap();
    reset(&here, &token, PASSWORD).await.refused("MAIL_TOKEN_INVALID");

    send(&here).await;
    let warning = server.next().await;
    assert!(warning.to == ADA && warning.text.contains("Your password was changed"), "{warning:?}");
    assert!(warning.text.contains("2026-01-01 00:00 UTC"), "{warning:?}");
    let parent = again.user.unwrap().name;
    let request = pb::ListAuditEventsRequest { parent: parent.clone(), ..Default::default() };
    let events = answer(here.users(&again.access_token).list_audit_events(request).await).unwrap();
    let told: Vec<_> = events
        .audit_events
        .iter()
        .filter(|event| event.r#type() == pb::audit_event::Type::PasswordReset)
        .collect();
    assert_eq!((told.len(), &told[0].actor), (1, &parent));
}

async fn whoever_asks_learns_nothing(database: TestDatabase) {
    let (world, mut server) = mailing(database, EmailVerification::Off).await;
    let replica = world.replica().await;
    let root = replica.register_admin("root@example.org").await;
    replica.service(&root.access_token, "service@example.org", &["tasks.read"]).await;
    let name = replica.sign_up("gone@example.org", PASSWORD).await.unwrap().name;
    let disable = pb::DisableUserRequest { name };
    answer(replica.users(&root.access_token).disable_user(disable).await).unwrap();
    let strangers = ["nobody@example.org", "service@example.org", "gone@example.org"];
    for (done, email) in (1..).zip(strangers) {
        assert_eq!(ask(&replica, email).await, Ok(pb::RequestPasswordResetResponse {}), "{email}");
        // The same rows as for somebody who is there.
        assert_eq!((count(&world, "mails").await, count(&world, "mail_tokens").await), (done, done));
    }
    send(&replica).await;
    assert_eq!(count(&world, "mails").await, 0);
    server.nothing();
    let mail = mailed(&replica, &mut server, "root@example.org").await;
    assert_eq!(mail.to, "root@example.org");
    ask(&replica, "no email").await.refused_at("FIELD_INVALID", &["email"]);
}

async fn a_token_is_good_once_for_fifty(database: TestDatabase) {
    let (world, mut server) = mailing(database, EmailVerification::Off).await;
    let (here, there) = (world.replica().await, world.replica().await);
    here.register(ADA).await;
    let token = mailed(&here, &mut server, ADA).await.token();
    let calls = (0..50).map(|number| {
        let (replica, token) = (if number % 2 == 0 { &here } else { &there }, &token);
        async move {
            let password = format!("{NEW} {number}");
            (reset(replica, token, &password).await, password)
        }
    });
    let mut taken = Vec::new();
    for (answered, password) in join_all(calls).await {
        match answered {
            Ok(_) => taken.push(password),
            Err(refusal) => assert!(
                ["MAIL_TOKEN_INVALID", "OVERLOADED"].contains(&refusal.reason.as_str()),
                "{refusal:?}"
            ),
        }
    }
    assert_eq!(taken.len(), 1, "{taken:?}");
    here.log_in(ADA, &taken[0]).await.unwrap();
    assert_eq!(world.database.query_i64("select count(*) from audit_events where type = 23").await, 1);
    assert_eq!(count(&world, "mails").await, 1, "one warning");
}

async fn a_token_ends_with_its_time_its_password_its_address_and_its_account(database: TestDatabase) {
    let (world, mut server) = mailing(database, EmailVerification::Off).await;
    let replica = world.replica().await;
    replica.register_admin("root@example.org").await;

    replica.register("late@example.org").await;
    let token = mailed(&replica, &mut server, "late@example.org").await.token();
    world.hand.advance(HOUR);
    reset(&replica, &token, NEW).await.refused("MAIL_TOKEN_INVALID");
    replica.accounts.sweep().await.unwrap();

    let changed = replica.register("changed@example.org").await;
    let token = mailed(&replica, &mut server, "changed@example.org").await.token();
    let change = pb::ChangePasswordRequest {
        name: "users/me".into(),
        current_password: PASSWORD.into(),
        new_password: format!("{NEW} 2"),
    };
    answer(replica.users(&changed.access_token).change_password(change).await).unwrap();
    reset(&replica, &token, NEW).await.refused("MAIL_TOKEN_INVALID");
    send(&replica).await;
    assert!(server.next().await.text.contains("Your password was changed"));

    let moved = replica.register("moved@example.org").await;
    let token = mailed(&replica, &mut server, "moved@example.org").await.token();
    let user = pb::User { email: "away@example.org".into(), ..moved.user.unwrap() };
    let update = pb::UpdateUserRequest {
        user: Some(pb::User { etag: String::new(), ..user }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["email".into()] }),
    };
    answer(replica.users(&moved.access_token).update_user(update).await).unwrap();
    send(&replica).await;
    assert_eq!(server.next().await.to, "moved@example.org", "the old address is told");
    reset(&replica, &token, NEW).await.refused("MAIL_TOKEN_INVALID");

    let gone = replica.register("gone@example.org").await;
    let token = mailed(&replica, &mut server, "gone@example.org").await.token();
    let name = gone.user.unwrap().name;
    let root = replica.log_in("root@example.org", PASSWORD).await.unwrap();
    let mut admins = replica.users(&root.access_token);
    answer(admins.disable_user(pb::DisableUserRequest { name: name.clone() }).await).unwrap();
    reset(&replica, &token, NEW).await.refused("MAIL_TOKEN_INVALID");
    answer(admins.delete_user(pb::DeleteUserRequest { name, ..Default::default() }).await).unwrap();
    let left = "select count(*) from mail_tokens where user_id not in (select id from users)";
    assert_eq!(world.database.query_i64(left).await, 0);
}

async fn forged_tokens_reach_nothing(database: TestDatabase) {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (world, mut server) = mailing(database, EmailVerification::Off).await;
    let replica = world.replica().await;
    replica.register(ADA).await;
    replica.register("bob@example.org").await;
    let ada = mailed(&replica, &mut server, ADA).await.token();
    let bob = mailed(&replica, &mut server, "bob@example.org").await.token();
    let bytes = |token: &str| URL_SAFE_NO_PAD.decode(token.strip_prefix("twm_").unwrap()).unwrap();
    let (ada_bytes, bob_bytes) = (bytes(&ada), bytes(&bob));
    let token = |parts: [&[u8]; 3]| format!("twm_{}", URL_SAFE_NO_PAD.encode(parts.concat()));
    let (user, id, secret) = (&ada_bytes[..16], &ada_bytes[16..32], &ada_bytes[32..]);
    let forged = [
        token([&bob_bytes[..16], id, secret]),
        token([&bob_bytes[..16], &bob_bytes[16..32], secret]),
        token([user, id, &bob_bytes[32..]]),
        token([user, id, &[0; 32]]),
        ada.replace("twm_", "twc_"),
        ada[..ada.len() - 1].to_owned(),
        format!("{ada}A"),
        String::new(),
    ];
    for forged in forged {
        reset(&replica, &forged, NEW).await.refused("MAIL_TOKEN_INVALID");
    }
    // Neither the token nor its secret lies anywhere in the clear, nor the address in what is queued.
    ask(&replica, ADA).await.unwrap();
    let hex = |bytes: &[u8]| HEXLOWER.encode(bytes);
    let hashes = match world.database.storage.is_embedded() {
        true => "select lower(hex(secret_hash)) from mail_tokens",
        false => "select encode(secret_hash, 'hex') from mail_tokens",
    };
    let payloads = hashes.replace("secret_hash", "payload").replace("mail_tokens", "mails");
    let mut stored = world.database.query_texts(hashes).await;
    stored.extend(world.database.query_texts(&payloads).await);
    assert_eq!(stored.len(), 4);
    for canary in [hex(secret), hex(ada.as_bytes()), hex(ADA.as_bytes()), hex(b"twm_")] {
        assert!(!stored.iter().any(|text| text.contains(&canary)), "{canary}");
    }
    reset(&replica, &ada, NEW).await.unwrap();
    reset(&replica, &bob, NEW).await.unwrap();
}

async fn who_asks_often_waits_whoever_it_is_about(database: TestDatabase) {
    let (world, _server) = mailing(database, EmailVerification::Off).await;
    let replica = world.replica().await;
    replica.register(ADA).await;
    for email in [ADA, "nobody@example.org"] {
        for _ in 0..4 {
            ask(&replica, email).await.unwrap();
        }
        ask(&replica, email).await.refused("MAIL_THROTTLED");
        world.hand.advance(Duration::from_secs(1));
        ask(&replica, email).await.unwrap();
        ask(&replica, email).await.refused("MAIL_THROTTLED");
    }
    // Nothing of it keeps anybody from logging in.
    replica.log_in(ADA, PASSWORD).await.unwrap();
    let mut passed = 0;
    for number in 0..40 {
        passed += usize::from(ask(&replica, &format!("{number}@example.org")).await.is_ok());
    }
    assert_eq!(passed, 31 - 10, "one place asks for so many, whoever they are about");
}

async fn no_more_than_five_tokens_are_good_at_once(database: TestDatabase) {
    let (world, _server) = mailing(database, EmailVerification::Off).await;
    let replica = world.replica().await;
    replica.register(ADA).await;
    // Many at once come past the counters, and not past the rows.
    let answers = join_all((0..20).map(|_| ask(&replica, ADA))).await;
    assert!(answers.iter().filter(|answer| answer.is_ok()).count() >= 4, "{answers:?}");
    for _ in 0..3 {
        world.hand.advance(Duration::from_secs(15 * 60 - 1));
        let _ = ask(&replica, ADA).await;
    }
    let tokens = count(&world, "mail_tokens").await;
    assert!((4..=5).contains(&tokens), "{tokens}");
    assert_eq!(count(&world, "mails").await, tokens);
}

async fn a_server_that_refuses_or_hangs_up_is_tried_again_until_the_mail_expires(database: TestDatabase) {
    let (world, mut server) = mailing(database, EmailVerification::Off).await;
    let replica = world.replica().await;
    replica.register(ADA).await;
    server.refuse();
    ask(&replica, ADA).await.unwrap();
    let attempts = "select attempts from mails";
    send(&replica).await;
    assert_eq!(world.database.query_i64(attempts).await, 1);
    send(&replica).await;
    assert_eq!(world.database.query_i64(attempts).await, 1, "not before its time");
    let counted = replica.accounts.mailer().meters();
    assert_eq!(
        (counted.sent, counted.failed, counted.waiting.waiting, counted.waiting.failing),
        (0, 1, 1, 1)
    );
    server.hang_up();
    world.hand.advance(Duration::from_secs(5));
    send(&replica).await;
    assert_eq!(world.database.query_i64(attempts).await, 2);
    world.hand.advance(Duration::from_secs(29));
    server.take();
    send(&replica).await;
    server.nothing();
    world.hand.advance(Duration::from_secs(1));
    send(&replica).await;
    let mail = server.next().await;
    reset(&replica, &mail.token(), NEW).await.unwrap();
    send(&replica).await;
    server.next().await;
    assert_eq!(count(&world, "mails").await, 0);

    ask(&replica, ADA).await.unwrap();
    world.hand.advance(HOUR);
    assert!(replica.accounts.mailer().is_due().await.unwrap());
    send(&replica).await;
    assert_eq!(count(&world, "mails").await, 0, "too late, and dropped");
    let counted = replica.accounts.mailer().meters();
    assert_eq!((counted.sent, counted.failed, counted.dropped, counted.waiting.waiting), (2, 2, 1, 0));
    server.nothing();
}

async fn a_mail_leaves_by_itself(database: TestDatabase) {
    let mut server = MailServer::start().await;
    let setup = Setup { mail: Some(server.config()), ..Setup::default() };
    let world = World::with(database, setup);
    let (here, _there) = (world.replica().await, world.replica().await);
    here.register(ADA).await;
    ask(&here, ADA).await.unwrap();
    let mail = server.next().await;
    reset(&here, &mail.token(), NEW).await.unwrap();
}

async fn without_mail_nothing_is_queued(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = replica.register(ADA).await;
    ask(&replica, ADA).await.refused("MAIL_NOT_CONFIGURED");
    ask(&replica, "nobody@example.org").await.refused("MAIL_NOT_CONFIGURED");
    let change = pb::ChangePasswordRequest {
        name: "users/me".into(),
        current_password: PASSWORD.into(),
        new_password: NEW.into(),
    };
    answer(replica.users(&ada.access_token).change_password(change).await).unwrap();
    assert_eq!((count(&world, "mails").await, count(&world, "mail_tokens").await), (0, 0));
    assert!(!replica.accounts.mailer().is_due().await.unwrap());
    assert_eq!(replica.accounts.mailer().link(MailKind::PasswordReset, "x"), "#password_reset=x");
}
