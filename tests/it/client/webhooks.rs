//! Webhooks by the client: what every call does, for a user and for administrators.

use std::time::Duration;

use taskwire::client::{Client, Error};
use taskwire::pb;
use taskwire::pb::webhook::{DisableReason, State};
use tonic::Code;

use super::link::Link;
use super::{EMAIL, PASSWORD, ada, builder, soon, titled};
use crate::events::receiver::{Answer, Receiver};
use crate::revisions::harness::replica::Replica;
use crate::storage::eventually;
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    a_webhook_is_made_changed_and_deleted,
    it_is_tried_and_told_once_more,
    its_secret_is_replaced,
    what_it_has_still_to_be_told_is_listed,
    those_of_administrators_are_theirs,
    nothing_is_made_twice,
);

/// Logs in as an administrator.
pub(super) async fn administrator(replica: &Replica) -> Client {
    let (accounts, passwords) = (&replica.services.accounts, &replica.services.passwords);
    let email = taskwire::domain::Email::parse("root@example.org").unwrap();
    let password = passwords.parse(PASSWORD, Some(&email)).unwrap();
    let (name, role) = (taskwire::domain::DisplayName::default(), taskwire::domain::Role::Admin);
    accounts.register(email, name, password, role, &taskwire::domain::Trace::default()).await.unwrap();
    let client = builder(replica.address).connect().await.unwrap();
    client.login("root@example.org", PASSWORD, "a test").await.unwrap();
    client
}

fn reason<T: std::fmt::Debug>(refused: Result<T, Error>) -> String {
    refused.unwrap_err().reason().to_owned()
}

async fn a_webhook_is_made_changed_and_deleted(database: TestDatabase) {
    let (_world, _replica, client) = ada(&database).await;
    let receiver = Receiver::start().await;
    let webhooks = client.webhooks();
    assert_eq!(webhooks.list().await.unwrap(), []);
    let made = webhooks.create(&receiver.url(), &["task.created", "reminder.due"]).await.unwrap();
    let webhook = made.webhook.unwrap();
    assert!(made.secret.starts_with("whsec_"));
    assert_eq!((webhook.url.clone(), webhook.state()), (receiver.url(), State::Enabled));
    assert_eq!(webhook.event_types, ["task.created", "reminder.due"]);
    let id = webhook.name.rsplit('/').next().unwrap();
    for name in [id, &webhook.name] {
        assert_eq!(webhooks.get(name).await.unwrap(), webhook);
    }
    let quiet = pb::Webhook {
        url: receiver.url(),
        event_types: vec!["task_list.*".to_owned()],
        state: State::Disabled.into(),
        ..pb::Webhook::default()
    };
    let quiet = webhooks.create_as(quiet).await.unwrap().webhook.unwrap();
    assert_eq!((quiet.state(), quiet.event_types.len()), (State::Disabled, 5));
    assert_eq!(webhooks.list().await.unwrap(), [webhook.clone(), quiet]);

    let other = format!("{}/other", receiver.url());
    let wanted = pb::Webhook { name: id.to_owned(), url: other.clone(), ..pb::Webhook::default() };
    // Without paths, what is populated; with them, what they name.
    let changed = webhooks.update(wanted, &[]).await.unwrap();
    assert_eq!((&changed.url, &changed.event_types), (&other, &webhook.event_types));
    let wanted = pb::Webhook {
        name: id.to_owned(),
        event_types: vec!["task.deleted".to_owned()],
        ..pb::Webhook::default()
    };
    let changed = webhooks.update(wanted, &["event_types"]).await.unwrap();
    assert_eq!((changed.url, changed.event_types), (other, vec!["task.deleted".to_owned()]));
    let disabled = webhooks.set_enabled(id, false).await.unwrap();
    assert_eq!(disabled.disable_reason(), DisableReason::Asked);
    assert_eq!(webhooks.set_enabled(id, true).await.unwrap().state(), State::Enabled);

    webhooks.delete(id).await.unwrap();
    assert_eq!(reason(webhooks.delete(id).await), "WEBHOOK_NOT_FOUND");
    assert_eq!(reason(webhooks.get(&webhook.name).await), "WEBHOOK_NOT_FOUND");
    let refused = webhooks.create("https://10.0.0.1/", &["task.*"]).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.field_violations()[0].0.as_str()),
        (Code::InvalidArgument, "webhook.url")
    );
}

async fn it_is_tried_and_told_once_more(database: TestDatabase) {
    let (_world, _replica, client) = ada(&database).await;
    client.tasks().create(titled("before")).await.unwrap();
    let mut receiver = Receiver::start().await;
    let webhooks = client.webhooks();
    let made = webhooks.create(&receiver.url(), &["task.*"]).await.unwrap();
    let name = made.webhook.unwrap().name;
    let tried = webhooks.test(&name).await.unwrap();
    assert_eq!((tried.delivered, tried.failure), (true, None));
    let message = soon(receiver.next()).await;
    assert_eq!(message.kind(), "webhook.test");
    assert!(message.is_signed_with(&made.secret));
    receiver.will([Answer::status(500)]);
    let tried = webhooks.test(&name).await.unwrap();
    assert_eq!((tried.delivered, tried.failure.unwrap().code), (false, 500));
    soon(receiver.next()).await;

    client.tasks().create(titled("after")).await.unwrap();
    assert_eq!(soon(receiver.next()).await.title(), "after");
    assert_eq!(webhooks.replay(&name, 0, None).await.unwrap(), 2);
    let again = soon(receiver.some(2)).await;
    assert_eq!([again[0].title(), again[1].title()], ["before", "after"]);
    assert_eq!(reason(webhooks.replay(&name, 9, None).await), "REVISION_IN_FUTURE");
}

async fn its_secret_is_replaced(database: TestDatabase) {
    let (_world, _replica, client) = ada(&database).await;
    let mut receiver = Receiver::start().await;
    let webhooks = client.webhooks();
    let made = webhooks.create(&receiver.url(), &["task.*"]).await.unwrap();
    let name = made.webhook.unwrap().name;
    let rotated = webhooks.rotate_secret(&name).await.unwrap();
    assert_eq!(rotated.webhook.unwrap().name, name);
    assert_ne!(rotated.secret, made.secret);
    client.tasks().create(titled("under both")).await.unwrap();
    let message = soon(receiver.next()).await;
    assert!(message.is_signed_with(&rotated.secret) && message.is_signed_with(&made.secret));
}

async fn what_it_has_still_to_be_told_is_listed(database: TestDatabase) {
    let (world, _replica, client) = ada(&database).await;
    let mut receiver = Receiver::start().await;
    let webhooks = client.webhooks();
    let name = webhooks.create(&receiver.url(), &["task.*"]).await.unwrap().webhook.unwrap().name;
    assert_eq!(webhooks.queues(&name).await.unwrap(), []);
    receiver.will([Answer::status(500)]);
    client.tasks().create(titled("one")).await.unwrap();
    soon(receiver.next()).await;
    let noted =
        async || webhooks.queues(&name).await.unwrap().first().is_some_and(|queue| queue.attempts == 1);
    eventually("the attempt is noted", noted).await;
    let queues = webhooks.queues(&name).await.unwrap();
    assert_eq!((queues.len(), queues[0].user.clone()), (1, client.session().unwrap().user));
    assert!(queues[0].next_attempt_time.is_some() && !queues[0].replaying);
    assert_eq!(webhooks.get(&name).await.unwrap().last_failure.unwrap().code, 500);
    world.hand.advance(Duration::from_secs(5));
    assert_eq!(soon(receiver.next()).await.title(), "one");
    eventually("all is told", async || webhooks.queues(&name).await.unwrap().is_empty()).await;
}

async fn those_of_administrators_are_theirs(database: TestDatabase) {
    let (_world, replica, client) = ada(&database).await;
    let admin = administrator(&replica).await;
    let mut receiver = Receiver::start().await;
    let webhooks = admin.administrators_webhooks();
    let made = webhooks.create(&receiver.url(), &["task.*", "user.*"]).await.unwrap();
    let webhook = made.webhook.unwrap();
    assert!(webhook.name.starts_with("webhooks/"));
    let id = webhook.name.rsplit('/').next().unwrap();
    assert_eq!(webhooks.get(id).await.unwrap(), webhook);
    assert_eq!(webhooks.list().await.unwrap(), [webhook.clone()]);
    assert_eq!(admin.webhooks().list().await.unwrap(), []);
    client.tasks().create(titled("of Ada")).await.unwrap();
    assert_eq!(soon(receiver.next()).await.title(), "of Ada");
    let user = client.session().unwrap().user;
    let missing = webhooks.replay(id, 0, None).await.unwrap_err();
    assert_eq!(missing.field_violations()[0].0, "user");
    assert_eq!(webhooks.replay(id, 0, Some(&user)).await.unwrap(), 1);
    assert_eq!(soon(receiver.next()).await.title(), "of Ada");

    assert_eq!(reason(client.administrators_webhooks().list().await), "ADMIN_REQUIRED");
    assert_eq!(reason(client.webhooks().get(&webhook.name).await), "ADMIN_REQUIRED");
    webhooks.delete(id).await.unwrap();
}

/// What would make another webhook, or make a secret void, is not repeated when its answer is lost.
async fn nothing_is_made_twice(database: TestDatabase) {
    let (_world, replica, client) = ada(&database).await;
    let link = Link::to(replica.address).await;
    let far = builder(link.address).connect().await.unwrap();
    far.login(EMAIL, PASSWORD, "far").await.unwrap();
    let receiver = Receiver::start().await;
    link.lose_answers(1);
    let lost = far.webhooks().create(&receiver.url(), &["task.*"]).await.unwrap_err();
    assert_eq!((lost.code(), lost.reason()), (Code::Unavailable, ""));
    let made = client.webhooks().list().await.unwrap();
    assert_eq!(made.len(), 1);
    link.lose_answers(1);
    assert_eq!(far.webhooks().rotate_secret(&made[0].name).await.unwrap_err().code(), Code::Unavailable);
    // What is done once more without harm is.
    link.lose_answers(1);
    assert_eq!(far.webhooks().set_enabled(&made[0].name, false).await.unwrap().state(), State::Disabled);
    link.lose_answers(1);
    assert_eq!(far.webhooks().list().await.unwrap().len(), 1);
    assert_eq!(link.answers_lost(), 4);
}
