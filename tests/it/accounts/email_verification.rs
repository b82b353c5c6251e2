//! Addresses that are verified by mail, and what is not done before where that is required.

use std::time::Duration;

use futures_util::future::join_all;
use taskwire::domain::EmailVerification::{Off, Optional, Required};
use taskwire::pb;
use taskwire::pb::audit_event::Type;

use super::mail_server::{MailServer, count, mailing, send};
use super::second_factor::{begin, challenge, code, with_code};
use super::world::{PASSWORD, Replica, answer, new_user};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::{Answer, Refused as _};

both_engines!(
    an_address_is_verified_by_mail,
    whoever_asks_learns_nothing,
    where_it_is_required_nobody_comes_in_before,
    a_taken_address_is_answered_as_a_free_one,
    a_token_is_good_for_its_kind_its_user_and_an_hour,
    a_token_ends_with_its_password_and_its_account,
    a_token_is_good_once_for_fifty,
    who_registers_often_gets_no_more_mail,
    a_login_that_waits_for_its_code_asks_as_well,
    a_mail_server_that_hangs_holds_nobody_up,
);

const ADA: &str = "ada@example.org";
const OTHER: &str = "a quite different sentence";
const HOUR: Duration = Duration::from_secs(60 * 60);

async fn ask(replica: &Replica, email: &str) -> Answer<pb::SendVerificationResponse> {
    let request = pb::SendVerificationRequest { email: email.to_owned() };
    answer(replica.anonymous().send_verification(request).await)
}

async fn verify(replica: &Replica, token: &str) -> Answer<pb::VerifyEmailResponse> {
    let request = pb::VerifyEmailRequest { token: token.to_owned() };
    answer(replica.anonymous().verify_email(request).await)
}

async fn reset(replica: &Replica, token: &str) -> Answer<pb::ResetPasswordResponse> {
    let request = pb::ResetPasswordRequest { token: token.to_owned(), new_password: OTHER.to_owned() };
    answer(replica.anonymous().reset_password(request).await)
}

async fn reset_token(replica: &Replica, server: &mut MailServer, email: &str) -> String {
    let request = pb::RequestPasswordResetRequest { email: email.to_owned() };
    answer(replica.anonymous().request_password_reset(request).await).unwrap();
    send(replica).await;
    server.next().await.token()
}

/// The token that this address is mailed when it is asked for.
async fn token(replica: &Replica, server: &mut MailServer, email: &str) -> String {
    ask(replica, email).await.unwrap();
    send(replica).await;
    let mail = server.next().await;
    assert_eq!(mail.to, email);
    mail.token()
}

/// Somebody new who has verified their address.
async fn verified(replica: &Replica, server: &mut MailServer, email: &str) -> pb::User {
    let user = replica.sign_up(email, PASSWORD).await.unwrap();
    send(replica).await;
    verify(replica, &server.next().await.token()).await.unwrap();
    user
}

async fn events(replica: &Replica, token: &str, kind: Type) -> usize {
    let request = pb::ListAuditEventsRequest { parent: "users/me".into(), ..Default::default() };
    let events = answer(replica.users(token).list_audit_events(request).await).unwrap();
    events.audit_events.iter().filter(|event| event.r#type() == kind).count()
}

async fn an_address_is_verified_by_mail(database: TestDatabase) {
    let (world, mut server) = mailing(database, Optional).await;
    let (here, there) = (world.replica().await, world.replica().await);
    let made = here.sign_up("Ada@example.org", PASSWORD).await.unwrap();
    assert!(!made.email_verified);
    send(&here).await;
    let mail = server.next().await;
    assert_eq!(mail.to, "Ada@example.org");
    for part in ["Subject: Confirm your address", "#email_verification=twm_", "60 minutes", "text/html"] {
        assert!(mail.text.contains(part), "{part}: {}", mail.text);
    }
    // They are let in meanwhile.
    let ada = there.log_in(ADA, PASSWORD).await.unwrap();
    verify(&there, &mail.token()).await.unwrap();
    let seen = here.probe(&ada.access_token).await.unwrap();
    assert!(seen.email_verified && seen.etag != made.etag);
    assert_eq!(events(&here, &ada.access_token, Type::EmailVerified).await, 1);
    verify(&here, &mail.token()).await.refused("MAIL_TOKEN_INVALID");
    assert_eq!(count(&world, "mail_tokens").await, 0);
    // There is nothing left to verify.
    ask(&here, ADA).await.unwrap();
    send(&here).await;
    server.nothing();
}

async fn whoever_asks_learns_nothing(database: TestDatabase) {
    let (world, mut server) = mailing(database, Off).await;
    let replica = world.replica().await;
    let root = replica.register_admin("root@example.org").await;
    replica.service(&root.access_token, "service@example.org", &["tasks.read"]).await;
    let name = replica.sign_up("gone@example.org", PASSWORD).await.unwrap().name;
    answer(replica.users(&root.access_token).disable_user(pb::DisableUserRequest { name }).await).unwrap();
    replica.sign_up("proved@example.org", PASSWORD).await.unwrap();
    assert_eq!(count(&world, "mails").await, 0, "nobody is asked by themselves");
    let known = token(&replica, &mut server, "proved@example.org").await;
    verify(&replica, &known).await.unwrap();
    let strangers = ["nobody@example.org", "service@example.org", "gone@example.org", "proved@example.org"];
    for (done, email) in (1..).zip(strangers) {
        assert_eq!(ask(&replica, email).await, Ok(pb::SendVerificationResponse {}), "{email}");
        // The same rows as for somebody who is there.
        assert_eq!((count(&world, "mails").await, count(&world, "mail_tokens").await), (done, done));
    }
    send(&replica).await;
    assert_eq!(count(&world, "mails").await, 0);
    server.nothing();
    ask(&replica, "no email").await.refused_at("FIELD_INVALID", &["email"]);
    for _ in 0..3 {
        ask(&replica, "nobody@example.org").await.unwrap();
    }
    ask(&replica, "nobody@example.org").await.refused("MAIL_THROTTLED");
}

async fn where_it_is_required_nobody_comes_in_before(database: TestDatabase) {
    let (world, mut server) = mailing(database, Required).await;
    let (here, there) = (world.replica().await, world.replica().await);
    here.sign_up(ADA, PASSWORD).await.unwrap();
    here.log_in(ADA, PASSWORD).await.refused("EMAIL_UNVERIFIED");
    there.log_in(ADA, PASSWORD).await.refused("EMAIL_UNVERIFIED");
    // Without the password there is nothing to be learned.
    let wrong = here.log_in(ADA, OTHER).await.refused("CREDENTIALS_INVALID");
    let unknown = here.log_in("nobody@example.org", OTHER).await.refused("CREDENTIALS_INVALID");
    assert_eq!((wrong.message, wrong.metadata), (unknown.message, unknown.metadata));
    send(&here).await;
    let first = server.next().await.token();
    verify(&there, &first).await.unwrap();
    let ada = here.log_in(ADA, PASSWORD).await.unwrap();
    assert!(ada.user.unwrap().email_verified);

    // Whoever has a token for another password reads that mail as well.
    here.sign_up("bob@example.org", PASSWORD).await.unwrap();
    send(&here).await;
    server.next().await;
    let lost = reset_token(&here, &mut server, "bob@example.org").await;
    reset(&here, &lost).await.unwrap();
    assert!(here.log_in("bob@example.org", OTHER).await.unwrap().user.unwrap().email_verified);
}

async fn a_taken_address_is_answered_as_a_free_one(database: TestDatabase) {
    let (world, mut server) = mailing(database, Required).await;
    let (here, there) = (world.replica().await, world.replica().await);
    verified(&here, &mut server, ADA).await;
    let request_id = "0198c0de-0000-7000-8000-00000000000a".to_owned();
    let sign_up = |email: &str, request_id: &str| pb::CreateUserRequest {
        request_id: request_id.to_owned(),
        ..new_user(email, OTHER)
    };
    let free = answer(here.anonymous().create_user(sign_up("free@example.org", "")).await).unwrap();
    let taken = answer(here.anonymous().create_user(sign_up("ADA@example.org", "")).await).unwrap();
    assert_eq!(taken.email, "ADA@example.org", "as it was given");
    let alike = |user: &pb::User| pb::User {
        name: String::new(),
        email: String::new(),
        etag: String::new(),
        create_time: None,
        update_time: None,
        ..user.clone()
    };
    assert_eq!(alike(&free), alike(&taken));
    assert_eq!((free.name.len(), free.etag.len()), (taken.name.len(), taken.etag.len()));
    send(&here).await;
    let mut mails = [server.next().await, server.next().await];
    mails.sort_by_key(|mail| mail.to.clone());
    assert!(mails[0].to == ADA && mails[0].text.contains("You have an account already"), "{mails:?}");
    assert!(!mails[0].text.contains("twm_"), "{mails:?}");
    assert!(mails[1].to == "free@example.org" && mails[1].text.contains("twm_"), "{mails:?}");

    // It is answered again as a success is, and to nobody else.
    let once = sign_up(ADA, &request_id);
    let first = answer(here.anonymous().create_user(once.clone()).await).unwrap();
    let again = answer(there.anonymous().create_user(once.clone()).await).unwrap();
    assert_eq!(first, again);
    let other = pb::CreateUserRequest { password: PASSWORD.to_owned(), ..once };
    answer(there.anonymous().create_user(other).await).refused("REQUEST_ID_REUSED");

    // Nothing was made, and the owner's account is as it was.
    assert_eq!(world.database.query_i64("select count(*) from users").await, 2);
    here.log_in(ADA, OTHER).await.refused("CREDENTIALS_INVALID");
    let ada = here.log_in(ADA, PASSWORD).await.unwrap();
    assert_eq!(ada.user.as_ref().unwrap().email, ADA);

    // Admins see all accounts anyway.
    here.make_admin("root@example.org").await;
    here.log_in("root@example.org", PASSWORD).await.refused("EMAIL_UNVERIFIED");
    send(&here).await;
    assert_eq!(server.next().await.to, ADA, "told once more, of the call that came with an id");
    let asked = token(&here, &mut server, "root@example.org").await;
    verify(&here, &asked).await.unwrap();
    let root = here.log_in("root@example.org", PASSWORD).await.unwrap().access_token;
    answer(here.users(&root).create_user(new_user(ADA, OTHER)).await).refused("USER_ALREADY_EXISTS");
    let found = answer(here.users(&root).get_user(pb::GetUserRequest { name: taken.name }).await);
    found.refused("USER_NOT_FOUND");
}

async fn a_token_is_good_for_its_kind_its_user_and_an_hour(database: TestDatabase) {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (world, mut server) = mailing(database, Off).await;
    let replica = world.replica().await;
    replica.register(ADA).await;
    replica.register("bob@example.org").await;
    let ada = token(&replica, &mut server, ADA).await;
    let bob = token(&replica, &mut server, "bob@example.org").await;
    let lost = reset_token(&replica, &mut server, ADA).await;
    // Not for anything else.
    reset(&replica, &ada).await.refused("MAIL_TOKEN_INVALID");
    let confirm = pb::ConfirmEmailChangeRequest { token: ada.clone() };
    answer(replica.anonymous().confirm_email_change(confirm).await).refused("MAIL_TOKEN_INVALID");
    verify(&replica, &lost).await.refused("MAIL_TOKEN_INVALID");
    // Not for anybody else.
    let bytes = |token: &str| URL_SAFE_NO_PAD.decode(token.strip_prefix("twm_").unwrap()).unwrap();
    let swapped = [&bytes(&bob)[..16], &bytes(&ada)[16..]].concat();
    for forged in [format!("twm_{}", URL_SAFE_NO_PAD.encode(swapped)), "twm_".to_owned(), String::new()] {
        verify(&replica, &forged).await.refused("MAIL_TOKEN_INVALID");
    }
    world.hand.advance(HOUR - Duration::from_micros(1));
    verify(&replica, &ada).await.unwrap();
    world.hand.advance(Duration::from_micros(1));
    verify(&replica, &bob).await.refused("MAIL_TOKEN_INVALID");
    world.hand.advance(Duration::from_micros(1));
    replica.accounts.sweep().await.unwrap();
    assert_eq!(count(&world, "mail_tokens").await, 0);
}

async fn a_token_ends_with_its_password_and_its_account(database: TestDatabase) {
    let (world, mut server) = mailing(database, Off).await;
    let replica = world.replica().await;
    let root = replica.register_admin("root@example.org").await;
    let ada = replica.register(ADA).await;
    let stale = token(&replica, &mut server, ADA).await;
    let change = pb::ChangePasswordRequest {
        name: "users/me".into(),
        current_password: PASSWORD.into(),
        new_password: OTHER.into(),
    };
    answer(replica.users(&ada.access_token).change_password(change).await).unwrap();
    send(&replica).await;
    server.next().await;
    verify(&replica, &stale).await.refused("MAIL_TOKEN_INVALID");

    let live = token(&replica, &mut server, ADA).await;
    let name = ada.user.unwrap().name;
    let mut admins = replica.users(&root.access_token);
    answer(admins.disable_user(pb::DisableUserRequest { name: name.clone() }).await).unwrap();
    verify(&replica, &live).await.refused("MAIL_TOKEN_INVALID");
    answer(admins.enable_user(pb::EnableUserRequest { name: name.clone() }).await).unwrap();
    verify(&replica, &live).await.unwrap();
    answer(admins.delete_user(pb::DeleteUserRequest { name, ..Default::default() }).await).unwrap();
    assert_eq!(count(&world, "mail_tokens").await, 0);
}

async fn a_token_is_good_once_for_fifty(database: TestDatabase) {
    let (world, mut server) = mailing(database, Off).await;
    let (here, there) = (world.replica().await, world.replica().await);
    let ada = here.register(ADA).await;
    let token = token(&here, &mut server, ADA).await;
    let calls = (0..50).map(|number| verify(if number % 2 == 0 { &here } else { &there }, &token));
    let answers = join_all(calls).await;
    let taken = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(taken, 1, "{answers:?}");
    for refusal in answers.into_iter().filter_map(Result::err) {
        assert!(["MAIL_TOKEN_INVALID", "CONFLICT"].contains(&refusal.reason.as_str()), "{refusal:?}");
    }
    assert_eq!(events(&here, &ada.access_token, Type::EmailVerified).await, 1);
}

async fn who_registers_often_gets_no_more_mail(database: TestDatabase) {
    let (world, mut server) = mailing(database, Required).await;
    let replica = world.replica().await;
    verified(&replica, &mut server, ADA).await;
    for _ in 0..3 {
        replica.sign_up(ADA, OTHER).await.unwrap();
    }
    replica.sign_up(ADA, OTHER).await.refused("MAIL_THROTTLED");
    // As for an address that nobody has: asked for in another way so often.
    for _ in 0..4 {
        ask(&replica, "free@example.org").await.unwrap();
    }
    replica.sign_up("free@example.org", OTHER).await.refused("MAIL_THROTTLED");
    assert_eq!(count(&world, "users").await, 1);
}

async fn a_login_that_waits_for_its_code_asks_as_well(database: TestDatabase) {
    let (world, mut server) = mailing(database, Required).await;
    let replica = world.replica().await;
    verified(&replica, &mut server, ADA).await;
    let ada = replica.log_in(ADA, PASSWORD).await.unwrap();
    let secret = begin(&replica, &ada.access_token).await.unwrap().secret;
    let confirm = pb::ConfirmTotpEnrolmentRequest { name: "users/me".into(), code: code(&world, &secret, 0) };
    answer(replica.users(&ada.access_token).confirm_totp_enrolment(confirm).await).unwrap();
    let waiting = challenge(&replica, ADA).await;
    // As if an admin had given the account another address meanwhile.
    world.database.execute("update users set email_verified = false").await;
    with_code(&replica, &waiting, &code(&world, &secret, 1)).await.refused("EMAIL_UNVERIFIED");
    // Without a word of the second factor.
    replica.log_in(ADA, PASSWORD).await.refused("EMAIL_UNVERIFIED");
}

async fn a_mail_server_that_hangs_holds_nobody_up(database: TestDatabase) {
    let (world, mut server) = mailing(database, Optional).await;
    let replica = world.replica().await;
    server.hang();
    replica.sign_up(ADA, PASSWORD).await.unwrap();
    let mailer = replica.accounts.mailer().clone();
    let sending = tokio::spawn(async move { mailer.send_due().await });
    server.until_one_hangs().await;
    // All that has something mailed, while a mail hangs.
    let ada = replica.log_in(ADA, PASSWORD).await.unwrap();
    ask(&replica, ADA).await.unwrap();
    let lost = pb::RequestPasswordResetRequest { email: ADA.to_owned() };
    answer(replica.anonymous().request_password_reset(lost).await).unwrap();
    let change = pb::ChangePasswordRequest {
        name: "users/me".into(),
        current_password: PASSWORD.into(),
        new_password: OTHER.into(),
    };
    answer(replica.users(&ada.access_token).change_password(change).await).unwrap();
    assert!(!sending.is_finished(), "all of them were answered meanwhile");
    sending.abort();
    server.take();
    // Nobody knows what became of the first one: it is sent again, after the wait that follows an attempt.
    world.hand.advance(Duration::from_secs(5));
    send(&replica).await;
    let mut mails = Vec::new();
    for _ in 0..4 {
        mails.push(server.next().await.to);
    }
    assert_eq!(mails, [ADA; 4]);
    assert_eq!(count(&world, "mails").await, 0);
}
