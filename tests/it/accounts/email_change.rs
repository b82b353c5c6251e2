//! Another address for an account: it proves itself, and the one before is told.

use std::time::Duration;

use futures_util::future::join_all;
use taskwire::domain::EmailVerification::{Off, Optional, Required};
use taskwire::pb;
use taskwire::pb::audit_event::Type;

use super::mail_server::{MailServer, count, mailing, send};
use super::world::{PASSWORD, Replica, answer};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::{Answer, Refused as _};

both_engines!(
    a_new_address_proves_itself_and_the_old_one_is_told,
    a_taken_address_is_answered_as_a_free_one,
    an_address_that_is_taken_meanwhile_is_refused,
    what_is_no_new_address_of_ones_own_is_refused,
    a_token_ends_with_its_time_its_password_and_its_address,
    a_token_is_good_once_for_fifty,
    an_update_is_told_to_the_old_address,
    where_verification_is_required_an_update_is_not_enough,
    where_verification_is_asked_for_an_update_asks_for_it,
);

const ADA: &str = "ada@example.org";
const NEW: &str = "Ada@Lovelace.example";
const HOUR: Duration = Duration::from_secs(60 * 60);

async fn ask(replica: &Replica, token: &str, email: &str) -> Answer<pb::RequestEmailChangeResponse> {
    let request = pb::RequestEmailChangeRequest { name: "users/me".into(), new_email: email.to_owned() };
    answer(replica.users(token).request_email_change(request).await)
}

async fn confirm(replica: &Replica, token: &str) -> Answer<pb::ConfirmEmailChangeResponse> {
    let request = pb::ConfirmEmailChangeRequest { token: token.to_owned() };
    answer(replica.anonymous().confirm_email_change(request).await)
}

async fn update(replica: &Replica, token: &str, name: &str, email: &str) -> Answer<pb::User> {
    let user = pb::User { name: name.to_owned(), email: email.to_owned(), ..Default::default() };
    let request = pb::UpdateUserRequest { user: Some(user), update_mask: None };
    answer(replica.users(token).update_user(request).await)
}

/// The token that a new address is mailed.
async fn token(replica: &Replica, server: &mut MailServer, session: &pb::TokenPair, email: &str) -> String {
    ask(replica, &session.access_token, email).await.unwrap();
    send(replica).await;
    let mail = server.next().await;
    assert_eq!(mail.to, email);
    mail.token()
}

async fn a_new_address_proves_itself_and_the_old_one_is_told(database: TestDatabase) {
    let (world, mut server) = mailing(database, Off).await;
    let (here, there) = (world.replica().await, world.replica().await);
    let ada = here.register(ADA).await;
    ask(&here, &ada.access_token, NEW).await.unwrap();
    send(&here).await;
    let mail = server.next().await;
    assert_eq!(mail.to, NEW);
    for part in ["Subject: Confirm your new address", "#email_change=twm_", "60 minutes"] {
        assert!(mail.text.contains(part), "{part}: {}", mail.text);
    }
    assert_eq!(here.probe(&ada.access_token).await.unwrap().email, ADA, "nothing has changed yet");

    confirm(&there, &mail.token()).await.unwrap();
    let seen = here.probe(&ada.access_token).await.unwrap();
    assert!(seen.email == NEW && seen.email_verified, "{seen:?}");
    here.log_in(ADA, PASSWORD).await.refused("CREDENTIALS_INVALID");
    here.log_in("ada@lovelace.example", PASSWORD).await.unwrap();
    send(&here).await;
    let told = server.next().await;
    assert!(told.to == ADA && told.text.contains("The address of your account was changed"), "{told:?}");
    assert!(!told.text.contains("lovelace"), "who reads the old address has lost the account: {told:?}");
    confirm(&here, &mail.token()).await.refused("MAIL_TOKEN_INVALID");
    let request = pb::ListAuditEventsRequest { parent: "users/me".into(), ..Default::default() };
    let events = answer(here.users(&ada.access_token).list_audit_events(request).await).unwrap();
    let changes = events.audit_events.iter().filter(|event| event.r#type() == Type::EmailChanged);
    assert_eq!(changes.map(|event| event.actor.clone()).collect::<Vec<_>>(), [seen.name]);
    // The old one is free again.
    here.sign_up(ADA, PASSWORD).await.unwrap();
}

async fn a_taken_address_is_answered_as_a_free_one(database: TestDatabase) {
    let (world, mut server) = mailing(database, Off).await;
    let replica = world.replica().await;
    let ada = replica.register(ADA).await;
    replica.register("bob@example.org").await;
    for (done, email) in (1..).zip(["free@example.org", "BOB@example.org"]) {
        let answered = ask(&replica, &ada.access_token, email).await;
        assert_eq!(answered, Ok(pb::RequestEmailChangeResponse {}), "{email}");
        assert_eq!((count(&world, "mails").await, count(&world, "mail_tokens").await), (done, done));
    }
    send(&replica).await;
    let mut mails = [server.next().await, server.next().await];
    mails.sort_by_key(|mail| mail.to.clone());
    assert!(mails[0].to == "bob@example.org" && !mails[0].text.contains("twm_"), "{mails:?}");
    assert!(mails[0].text.contains("You have an account already"), "{mails:?}");
    assert!(mails[1].to == "free@example.org" && mails[1].text.contains("twm_"), "{mails:?}");
    for _ in 0..3 {
        ask(&replica, &ada.access_token, "bob@example.org").await.unwrap();
    }
    ask(&replica, &ada.access_token, "bob@example.org").await.refused("MAIL_THROTTLED");
}

async fn an_address_that_is_taken_meanwhile_is_refused(database: TestDatabase) {
    let (world, mut server) = mailing(database, Off).await;
    let replica = world.replica().await;
    let ada = replica.register(ADA).await;
    let token = token(&replica, &mut server, &ada, NEW).await;
    let other = replica.register(NEW).await;
    confirm(&replica, &token).await.refused("USER_ALREADY_EXISTS");
    assert_eq!(replica.probe(&ada.access_token).await.unwrap().email, ADA);
    send(&replica).await;
    server.nothing();
    // The token is as good as before, once the address is free again.
    let delete = pb::DeleteUserRequest { name: "users/me".into(), password: PASSWORD.into() };
    answer(replica.users(&other.access_token).delete_user(delete).await).unwrap();
    confirm(&replica, &token).await.unwrap();
}

async fn what_is_no_new_address_of_ones_own_is_refused(database: TestDatabase) {
    let (world, _server) = mailing(database, Off).await;
    let replica = world.replica().await;
    let ada = replica.register(ADA).await;
    let bob = replica.register("bob@example.org").await;
    for email in [ADA, "ADA@EXAMPLE.ORG", "no email", ""] {
        ask(&replica, &ada.access_token, email).await.refused_at("FIELD_INVALID", &["new_email"]);
    }
    let name = bob.user.unwrap().name;
    let others = pb::RequestEmailChangeRequest { name, new_email: NEW.into() };
    answer(replica.users(&ada.access_token).request_email_change(others).await)
        .refused("PARENT_ACCESS_DENIED");
    world.hand.advance(Duration::from_secs(10 * 60));
    ask(&replica, &ada.access_token, NEW).await.refused("STEP_UP_REQUIRED");
    assert_eq!(count(&world, "mail_tokens").await, 0);
}

async fn a_token_ends_with_its_time_its_password_and_its_address(database: TestDatabase) {
    let (world, mut server) = mailing(database, Off).await;
    let replica = world.replica().await;
    let ada = replica.register(ADA).await;
    let first = token(&replica, &mut server, &ada, "first@example.org").await;
    let second = token(&replica, &mut server, &ada, "second@example.org").await;
    // Nor is it one for anything else.
    let verify = pb::VerifyEmailRequest { token: first.clone() };
    answer(replica.anonymous().verify_email(verify).await).refused("MAIL_TOKEN_INVALID");
    let reset = pb::ResetPasswordRequest { token: first.clone(), new_password: "another sentence".into() };
    answer(replica.anonymous().reset_password(reset).await).refused("MAIL_TOKEN_INVALID");
    confirm(&replica, &first).await.unwrap();
    confirm(&replica, &second).await.refused("MAIL_TOKEN_INVALID");
    send(&replica).await;
    assert_eq!(server.next().await.to, ADA);

    let late = token(&replica, &mut server, &ada, "late@example.org").await;
    world.hand.advance(HOUR);
    confirm(&replica, &late).await.refused("MAIL_TOKEN_INVALID");

    let fresh = replica.log_in("first@example.org", PASSWORD).await.unwrap();
    let stale = token(&replica, &mut server, &fresh, "stale@example.org").await;
    let change = pb::ChangePasswordRequest {
        name: "users/me".into(),
        current_password: PASSWORD.into(),
        new_password: "a quite different sentence".into(),
    };
    answer(replica.users(&fresh.access_token).change_password(change).await).unwrap();
    confirm(&replica, &stale).await.refused("MAIL_TOKEN_INVALID");
    assert_eq!(replica.probe(&fresh.access_token).await.unwrap().email, "first@example.org");
}

async fn a_token_is_good_once_for_fifty(database: TestDatabase) {
    let (world, mut server) = mailing(database, Off).await;
    let (here, there) = (world.replica().await, world.replica().await);
    let ada = here.register(ADA).await;
    let token = token(&here, &mut server, &ada, NEW).await;
    let calls = (0..50).map(|number| confirm(if number % 2 == 0 { &here } else { &there }, &token));
    let answers = join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    for refusal in answers.into_iter().filter_map(Result::err) {
        assert!(["MAIL_TOKEN_INVALID", "CONFLICT"].contains(&refusal.reason.as_str()), "{refusal:?}");
    }
    assert_eq!(count(&world, "mails").await, 1, "one warning");
    assert_eq!(count(&world, "emails").await, 1);
}

async fn an_update_is_told_to_the_old_address(database: TestDatabase) {
    let (world, mut server) = mailing(database, Off).await;
    let replica = world.replica().await;
    let ada = replica.register(ADA).await;
    world.database.execute("update users set email_verified = true").await;
    // The same address in other letters is as proved as before, and nobody has to be told.
    let seen = update(&replica, &ada.access_token, "users/me", "ADA@example.org").await.unwrap();
    assert!(seen.email_verified && seen.email == "ADA@example.org", "{seen:?}");
    assert_eq!(count(&world, "mails").await, 0);
    let seen = update(&replica, &ada.access_token, "users/me", NEW).await.unwrap();
    assert!(!seen.email_verified, "{seen:?}");
    send(&replica).await;
    let told = server.next().await;
    assert!(told.to == "ADA@example.org" && told.text.contains("was changed"), "{told:?}");
    replica.register("bob@example.org").await;
    update(&replica, &ada.access_token, "users/me", "bob@example.org").await.refused("USER_ALREADY_EXISTS");
    assert_eq!(count(&world, "mails").await, 0);
}

async fn where_verification_is_required_an_update_is_not_enough(database: TestDatabase) {
    let (world, mut server) = mailing(database, Required).await;
    let replica = world.replica().await;
    replica.make_admin("root@example.org").await;
    replica.sign_up(ADA, PASSWORD).await.unwrap();
    replica.sign_up("bob@example.org", PASSWORD).await.unwrap();
    world.database.execute("update users set email_verified = true").await;
    let ada = replica.log_in(ADA, PASSWORD).await.unwrap();
    // Whether or not anybody has it.
    for email in ["bob@example.org", NEW] {
        update(&replica, &ada.access_token, "users/me", email).await.refused("EMAIL_UNVERIFIED");
    }
    update(&replica, &ada.access_token, "users/me", ADA).await.unwrap();
    send(&replica).await;
    let greeted = [server.next().await, server.next().await];
    assert!(greeted.iter().all(|mail| mail.text.contains("Confirm your address")), "{greeted:?}");
    let token = token(&replica, &mut server, &ada, NEW).await;
    confirm(&replica, &token).await.unwrap();
    replica.log_in(NEW, PASSWORD).await.unwrap();

    // Admins know what they do; the address is then to be proved.
    let root = replica.log_in("root@example.org", PASSWORD).await.unwrap();
    let name = ada.user.unwrap().name;
    let moved = update(&replica, &root.access_token, &name, "moved@example.org").await.unwrap();
    assert!(!moved.email_verified);
    replica.log_in("moved@example.org", PASSWORD).await.refused("EMAIL_UNVERIFIED");
    replica.probe(&ada.access_token).await.unwrap();
    send(&replica).await;
    let told = [server.next().await, server.next().await, server.next().await];
    let asked = told.iter().find(|mail| mail.to == "moved@example.org").unwrap();
    verify(&replica, &asked.token()).await.unwrap();
    replica.log_in("moved@example.org", PASSWORD).await.unwrap();
}

async fn verify(replica: &Replica, token: &str) -> Answer<pb::VerifyEmailResponse> {
    answer(replica.anonymous().verify_email(pb::VerifyEmailRequest { token: token.to_owned() }).await)
}

async fn where_verification_is_asked_for_an_update_asks_for_it(database: TestDatabase) {
    let (world, mut server) = mailing(database, Optional).await;
    let replica = world.replica().await;
    let ada = replica.register(ADA).await;
    replica.register("bob@example.org").await;
    send(&replica).await;
    for _ in 0..2 {
        assert!(server.next().await.text.contains("Confirm your address"));
    }
    // In other letters it is the same address, and of one that is taken nobody is told.
    update(&replica, &ada.access_token, "users/me", "ADA@example.org").await.unwrap();
    update(&replica, &ada.access_token, "users/me", "bob@example.org").await.refused("USER_ALREADY_EXISTS");
    assert_eq!(count(&world, "mails").await, 0);

    let seen = update(&replica, &ada.access_token, "users/me", NEW).await.unwrap();
    assert!(seen.email == NEW && !seen.email_verified, "{seen:?}");
    send(&replica).await;
    let mut mails = [server.next().await, server.next().await];
    mails.sort_by_key(|mail| mail.to.clone());
    assert!(mails[0].to == "ADA@example.org" && mails[0].text.contains("was changed"), "{mails:?}");
    assert!(!mails[0].text.contains("twm_"), "{mails:?}");
    assert!(mails[1].to == NEW && mails[1].text.contains("Confirm your address"), "{mails:?}");
    verify(&replica, &mails[1].token()).await.unwrap();
    assert!(replica.probe(&ada.access_token).await.unwrap().email_verified);

    // Whoever changes to and fro sends no more mail to others than anybody may; the change itself is made.
    for _ in 0..7 {
        for email in [ADA, "victim@example.org"] {
            update(&replica, &ada.access_token, "users/me", email).await.unwrap();
        }
    }
    send(&replica).await;
    let mut to_victim = 0;
    while let Some(mail) = server.at_once() {
        to_victim += usize::from(mail.to == "victim@example.org" && mail.text.contains("twm_"));
    }
    assert_eq!(to_victim, 4);
}
