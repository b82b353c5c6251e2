//! Mail while the disk is full and while the clock steps: each is sent, none over and over, and nothing waits for ever.

use std::time::Duration;

use taskwire::domain::EmailVerification::Off;
use taskwire::domain::Error;
use taskwire::pb;

use super::mail_server::{MailServer, Received, count, mailing, send};
use super::world::{PASSWORD, Replica, World, answer};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::{Answer, Refused as _};

both_engines!(a_full_disk_loses_no_mail_and_repeats_none_at_once, a_clock_that_steps_loses_no_mail);

const PEOPLE: [&str; 3] = ["ada@example.org", "bob@example.org", "eve@example.org"];
const OTHER: &str = "a quite different sentence";
const HOUR: Duration = Duration::from_secs(60 * 60);

async fn ask(replica: &Replica, email: &str) -> Answer<pb::RequestPasswordResetResponse> {
    let request = pb::RequestPasswordResetRequest { email: email.to_owned() };
    answer(replica.anonymous().request_password_reset(request).await)
}

async fn without_room(replica: &Replica) {
    assert_eq!(replica.accounts.mailer().send_due().await, Err(Error::StorageFull));
}

/// The next mails, by whom they are for.
async fn some(server: &mut MailServer, number: usize) -> Vec<Received> {
    let mut mails = Vec::new();
    while mails.len() < number {
        mails.push(server.next().await);
    }
    server.nothing();
    mails.sort_by_key(|mail| mail.to.clone());
    mails
}

fn id_of(mail: &Received) -> String {
    mail.text.lines().find(|line| line.starts_with("Message-ID:")).unwrap().to_owned()
}

async fn a_full_disk_loses_no_mail_and_repeats_none_at_once(database: TestDatabase) {
    let (world, mut server) = mailing(database, Off).await;
    let replica = world.replica().await;
    for email in PEOPLE {
        replica.sign_up(email, PASSWORD).await.unwrap();
    }
    // Where it cannot be queued, whoever asked is told, and nothing is left of it.
    world.database.fill_up("mails", "insert").await;
    ask(&replica, PEOPLE[0]).await.refused("STORAGE_FULL");
    world.database.make_room("mails").await;
    assert_eq!((count(&world, "mails").await, count(&world, "mail_tokens").await), (0, 0));
    for email in PEOPLE {
        ask(&replica, email).await.unwrap();
    }
    // Where nothing can be noted, nothing is sent.
    world.database.fill_up("mails", "update").await;
    without_room(&replica).await;
    without_room(&replica).await;
    server.nothing();
    world.database.make_room("mails").await;
    // Where only its end cannot be noted, each is sent once, and one more time after a while.
    world.database.fill_up("mails", "delete").await;
    without_room(&replica).await;
    let first = some(&mut server, PEOPLE.len()).await;
    assert_eq!(first.iter().map(|mail| mail.to.as_str()).collect::<Vec<_>>(), PEOPLE);
    send(&replica).await;
    server.nothing();
    world.database.make_room("mails").await;
    send(&replica).await;
    server.nothing();
    world.hand.advance(Duration::from_secs(5));
    send(&replica).await;
    let again = some(&mut server, PEOPLE.len()).await;
    let ids = |mails: &[Received]| mails.iter().map(id_of).collect::<Vec<_>>();
    assert_eq!(ids(&first), ids(&again));
    assert_eq!(count(&world, "mails").await, 0);
    let reset = pb::ResetPasswordRequest {
        token: again[0].token(),
        new_password: "one more sentence of words".to_owned(),
    };
    answer(replica.anonymous().reset_password(reset).await).unwrap();
    world.database.assert_sound().await;
}

/// Has a warning queued, which lasts for a day: of another password.
async fn warn(world: &World, replica: &Replica, passwords: &mut [&str; 2]) {
    let session = replica.log_in(PEOPLE[0], passwords[0]).await.unwrap();
    let change = pb::ChangePasswordRequest {
        name: "users/me".to_owned(),
        current_password: passwords[0].to_owned(),
        new_password: passwords[1].to_owned(),
    };
    passwords.swap(0, 1);
    answer(replica.users(&session.access_token).change_password(change).await).unwrap();
    assert_eq!(count(world, "mails").await, 1);
}

async fn a_clock_that_steps_loses_no_mail(database: TestDatabase) {
    let (world, mut server) = mailing(database, Off).await;
    let replica = world.replica().await;
    replica.sign_up(PEOPLE[0], PASSWORD).await.unwrap();
    let mut passwords = [PASSWORD, OTHER];
    // Forward: what waits for its next attempt waits no longer, and is sent though a server refused it before.
    warn(&world, &replica, &mut passwords).await;
    server.refuse();
    send(&replica).await;
    server.take();
    send(&replica).await;
    server.nothing();
    world.hand.advance(HOUR);
    send(&replica).await;
    assert!(server.next().await.text.contains("password"), "a warning");
    // Back: until its time has come again, or at once where that is longer than any wait.
    for (step, then) in [(HOUR, HOUR), (3 * HOUR, Duration::ZERO)] {
        warn(&world, &replica, &mut passwords).await;
        world.hand.set_back(step);
        world.hand.advance(then);
        send(&replica).await;
        assert_eq!(server.next().await.to, PEOPLE[0], "{step:?}");
        assert_eq!(count(&world, "mails").await, 0);
    }
    // What is asked for afterwards is as good as ever. A token that ended in a step is not sent.
    ask(&replica, PEOPLE[0]).await.unwrap();
    world.hand.advance(HOUR);
    send(&replica).await;
    server.nothing();
    assert_eq!(count(&world, "mails").await, 0);
    ask(&replica, PEOPLE[0]).await.unwrap();
    send(&replica).await;
    let reset = pb::ResetPasswordRequest {
        token: server.next().await.token(),
        new_password: "one more sentence of words".to_owned(),
    };
    answer(replica.anonymous().reset_password(reset).await).unwrap();
}
