//! What the owner of an account is told by mail: logins from elsewhere, and changes of what logs in.

use taskwire::domain::EmailVerification::Off;
use taskwire::pb;

use super::mail_server::{count, mailing, send};
use super::second_factor::{challenge, code, disable, guarded, regenerate, with_code};
use super::world::{PASSWORD, Replica, World, answer, credentials};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::{Answer, Refused as _};

both_engines!(
    a_login_from_elsewhere_is_told,
    a_completed_login_from_elsewhere_is_told,
    changes_of_the_second_factor_are_told,
    without_mail_nobody_is_told,
);

const ADA: &str = "ada@example.org";

async fn log_in_from(replica: &Replica, address: &str, password: &str) -> Answer<pb::TokenPair> {
    answer(replica.at_address(address).login(credentials(ADA, password)).await)
}

async fn a_login_from_elsewhere_is_told(database: TestDatabase) {
    let (world, mut server) = mailing(database, Off).await;
    let (here, there) = (world.replica().await, world.replica().await);
    here.sign_up(ADA, PASSWORD).await.unwrap();
    // The first one comes from somewhere.
    let first = log_in_from(&here, "203.0.113.7", PASSWORD).await.unwrap();
    log_in_from(&there, "203.0.113.7", PASSWORD).await.unwrap();
    log_in_from(&here, "2001:db8:1:2::3", "a wrong password").await.refused("CREDENTIALS_INVALID");
    send(&here).await;
    server.nothing();

    log_in_from(&there, "2001:db8:1:2::3", PASSWORD).await.unwrap();
    assert_eq!(count(&world, "mails").await, 1);
    send(&here).await;
    let told = server.next().await;
    assert!(told.to == ADA && told.text.contains("A login from a new address"), "{told:?}");
    assert!(told.text.contains("2001:db8:1:2::3") && told.text.contains("2026-01-01 00:00 UTC"), "{told:?}");
    // Anybody has as many addresses of one network as they like.
    log_in_from(&here, "2001:db8:1:2:ffff::4", PASSWORD).await.unwrap();
    // An address is known for as long as a session from it is, be that over.
    answer(here.users(&first.access_token).logout(pb::LogoutRequest {}).await).unwrap();
    log_in_from(&here, "203.0.113.7", PASSWORD).await.unwrap();
    assert_eq!(count(&world, "mails").await, 0);
}

async fn a_completed_login_from_elsewhere_is_told(database: TestDatabase) {
    let (world, mut server) = mailing(database, Off).await;
    let replica = world.replica().await;
    let ada = guarded(&world, &replica, ADA).await;
    send(&replica).await;
    assert!(server.next().await.text.contains("A second factor was set up"));
    let waiting = challenge(&replica, ADA).await;
    with_code(&replica, &waiting, &code(&world, &ada.secret, 1)).await.unwrap();
    assert_eq!(count(&world, "mails").await, 0, "the address is known");
    let refused = log_in_from(&replica, "203.0.113.7", PASSWORD).await.refused("MFA_REQUIRED");
    assert_eq!(count(&world, "mails").await, 0, "nobody is in yet");
    world.hand.advance(std::time::Duration::from_secs(60));
    let proof = pb::complete_login_request::Proof::Code(code(&world, &ada.secret, 0));
    let request =
        pb::CompleteLoginRequest { challenge: refused.metadata["challenge"].clone(), proof: Some(proof) };
    answer(replica.at_address("203.0.113.7").complete_login(request).await).unwrap();
    send(&replica).await;
    assert!(server.next().await.text.contains("203.0.113.7"));
}

async fn changes_of_the_second_factor_are_told(database: TestDatabase) {
    let (world, mut server) = mailing(database, Off).await;
    let replica = world.replica().await;
    let root = replica.register_admin("root@example.org").await;
    let ada = guarded(&world, &replica, ADA).await;
    regenerate(&replica, &ada.pair.access_token).await.unwrap();
    let name = ada.pair.user.clone().unwrap().name;
    disable(&replica, &root.access_token, &name).await.unwrap();
    disable(&replica, &root.access_token, &name).await.refused("TOTP_NOT_ENABLED");
    regenerate(&replica, &ada.pair.access_token).await.refused("TOTP_NOT_ENABLED");
    assert_eq!(count(&world, "mails").await, 3, "what was refused is not told");
    send(&replica).await;
    let mut told = Vec::new();
    for _ in 0..3 {
        let mail = server.next().await;
        assert_eq!(mail.to, ADA);
        let subject = mail.text.lines().find_map(|line| line.strip_prefix("Subject: ")).map(str::to_owned);
        told.push(subject.expect("no subject"));
    }
    told.sort();
    let expected =
        ["A second factor was set up", "The second factor was taken away", "There are new recovery codes"];
    assert_eq!(told, expected);
}

async fn without_mail_nobody_is_told(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let ada = guarded(&world, &replica, ADA).await;
    regenerate(&replica, &ada.pair.access_token).await.unwrap();
    disable(&replica, &ada.pair.access_token, "users/me").await.unwrap();
    let user = pb::User { name: "users/me".into(), email: "new@example.org".into(), ..Default::default() };
    let update = pb::UpdateUserRequest { user: Some(user), update_mask: None };
    answer(replica.users(&ada.pair.access_token).update_user(update).await).unwrap();
    let ask = pb::SendVerificationRequest { email: "new@example.org".into() };
    answer(replica.anonymous().send_verification(ask).await).refused("MAIL_NOT_CONFIGURED");
    assert_eq!((count(&world, "mails").await, count(&world, "mail_tokens").await), (0, 0));
}
