//! Webhooks as resources, and what they send when all is well.

use taskwire::pb;
use taskwire::pb::webhook::{DisableReason, State};

use super::receiver::Receiver;
use super::{ALL, add, change, hook, look};
use crate::storage::eventually;
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::server::{TestServer, answer};

both_engines!(
    changes_are_told_in_order_and_signed,
    only_what_is_asked_for_is_told,
    a_webhook_is_what_was_given,
    a_secret_is_replaced_and_the_one_before_is_valid_for_a_day,
    what_happened_before_is_told_once_more,
    a_receiver_is_tried,
    a_webhook_that_is_disabled_sends_nothing,
    a_webhook_that_is_deleted_is_gone,
    an_account_that_is_deleted_takes_its_webhooks_along,
);

async fn changes_are_told_in_order_and_signed(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let before = add(&ada, "before").await;
    let mut receiver = Receiver::start().await;
    let (webhook, secret) = hook(&ada, &receiver, &ALL).await;
    assert!(secret.starts_with("whsec_"));

    let task = add(&ada, "one").await;
    let task = change(&ada, pb::Task { title: "two".into(), ..task }, &["title"]).await;
    let task = change(&ada, pb::Task { completed: true, ..task }, &["completed"]).await;
    let delete = pb::DeleteTaskRequest { name: task.name.clone(), ..pb::DeleteTaskRequest::default() };
    answer(ada.tasks().delete_task(delete).await).unwrap();
    let messages = receiver.some(4).await;
    let kinds: Vec<String> = messages.iter().map(super::receiver::Message::kind).collect();
    assert_eq!(kinds, ["task.created", "task.updated", "task.completed", "task.deleted"]);
    for (message, revision) in messages.iter().zip(before.revision + 1..) {
        assert!(message.is_signed_with(&secret), "{message:?}");
        assert_eq!(message.timestamp, crate::support::server::START);
        let data = &message.json()["data"];
        assert_eq!(data["revision"], revision.to_string());
        assert_eq!(data["prevRevision"], (revision - 1).to_string());
        assert_eq!(data["task"]["name"], task.name);
        assert!(message.id.ends_with(&format!("_{revision}")), "{}", message.id);
    }
    let first = messages[0].json();
    assert_eq!(first["timestamp"], "2026-01-01T00:00:00Z");
    // As over REST: also what is false.
    assert_eq!(
        (&first["data"]["task"]["completed"], &first["data"]["type"]),
        (&false.into(), &"TYPE_CREATED".into())
    );
    assert!(receiver.is_silent());
    eventually("the success is noted", async || {
        let seen = look(&ada, &webhook.name).await;
        assert_eq!(seen.last_failure, None);
        seen.last_success_time.is_some()
    })
    .await;
}

async fn only_what_is_asked_for_is_told(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let (ada, bob) = (server.register("ada@example.org").await, server.register("bob@example.org").await);
    let mut receiver = Receiver::start().await;
    hook(&ada, &receiver, &["task.completed", "task_list.created"]).await;
    add(&bob, "of somebody else").await;
    let task = add(&ada, "one").await;
    let list = pb::CreateTaskListRequest {
        parent: "users/me".to_owned(),
        task_list: Some(pb::TaskList { title: "a list".into(), ..pb::TaskList::default() }),
        ..pb::CreateTaskListRequest::default()
    };
    answer(ada.tasks().create_task_list(list).await).unwrap();
    change(&ada, pb::Task { completed: true, ..task }, &["completed"]).await;
    let messages = receiver.some(2).await;
    assert_eq!(messages[0].kind(), "task_list.created");
    assert_eq!(messages[0].json()["data"]["taskList"]["title"], "a list");
    assert_eq!(messages[1].kind(), "task.completed");
    assert!(receiver.is_silent());
}

async fn a_webhook_is_what_was_given(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let receiver = Receiver::start().await;
    let (made, _) = hook(&ada, &receiver, &["task.updated", "task.created"]).await;
    assert!(made.name.starts_with(&format!("{}/webhooks/", ada.user)));
    assert_eq!((made.url.clone(), made.state()), (receiver.url(), State::Enabled));
    // In one order, whatever was given.
    assert_eq!(made.event_types, ["task.created", "task.updated"]);
    assert_eq!(made.create_time, made.update_time);
    assert_eq!(look(&ada, &made.name).await, made);

    server.clock.advance(std::time::Duration::from_secs(60));
    let other = format!("{}/other", receiver.url());
    let wanted = pb::Webhook { name: made.name.clone(), url: other.clone(), ..pb::Webhook::default() };
    let request = pb::UpdateWebhookRequest { webhook: Some(wanted), update_mask: None };
    let changed = answer(ada.events().update_webhook(request).await).unwrap();
    assert_eq!((changed.url.clone(), &changed.event_types), (other, &made.event_types));
    assert_ne!(changed.update_time, made.update_time);

    let (second, _) = hook(&ada, &receiver, &["task.*"]).await;
    let request = pb::ListWebhooksRequest { parent: "users/me".to_owned() };
    let listed = answer(ada.events().list_webhooks(request).await).unwrap();
    assert_eq!(listed.webhooks, [changed, second]);
}

async fn a_secret_is_replaced_and_the_one_before_is_valid_for_a_day(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let mut receiver = Receiver::start().await;
    let (webhook, first) = hook(&ada, &receiver, &ALL).await;
    let request = pb::RotateWebhookSecretRequest { name: webhook.name.clone() };
    let second = answer(ada.events().rotate_webhook_secret(request.clone()).await).unwrap().secret;
    assert_ne!(first, second);
    add(&ada, "under both").await;
    let message = receiver.next().await;
    assert!(message.is_signed_with(&first) && message.is_signed_with(&second));

    let third = answer(ada.events().rotate_webhook_secret(request).await).unwrap().secret;
    add(&ada, "under the last two").await;
    let message = receiver.next().await;
    assert!(
        !message.is_signed_with(&first) && message.is_signed_with(&second) && message.is_signed_with(&third)
    );

    server.clock.advance(std::time::Duration::from_secs(24 * 60 * 60 + 1));
    let ada = server.log_in("ada@example.org", crate::support::server::PASSWORD).await.unwrap();
    add(&ada, "under one").await;
    let message = receiver.next().await;
    assert!(!message.is_signed_with(&second) && message.is_signed_with(&third));
}

async fn what_happened_before_is_told_once_more(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    for title in ["one", "two", "three"] {
        add(&ada, title).await;
    }
    let mut receiver = Receiver::start().await;
    let (webhook, secret) = hook(&ada, &receiver, &ALL).await;
    let replay = |start_revision| pb::ReplayWebhookRequest {
        name: webhook.name.clone(),
        start_revision,
        user: String::new(),
    };
    let replayed = answer(ada.events().replay_webhook(replay(1)).await).unwrap();
    assert_eq!(replayed.change_count, 2);
    let messages = receiver.some(2).await;
    assert_eq!([messages[0].title(), messages[1].title()], ["two", "three"]);
    assert!(messages[0].is_signed_with(&secret));
    // What comes then is told as ever, and the same event has the same id.
    add(&ada, "four").await;
    assert_eq!(receiver.next().await.title(), "four");
    answer(ada.events().replay_webhook(replay(2)).await).unwrap();
    let again = receiver.some(2).await;
    assert_eq!(again[0].id, messages[1].id);
    assert_eq!(again[1].title(), "four");

    let refused = answer(ada.events().replay_webhook(replay(5)).await).unwrap_err();
    assert_eq!(refused.reason, "REVISION_IN_FUTURE");
    assert!(receiver.is_silent());
}

async fn a_receiver_is_tried(database: TestDatabase) {
    use super::receiver::Answer;
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let mut receiver = Receiver::start().await;
    let (webhook, secret) = hook(&ada, &receiver, &ALL).await;
    let request = pb::TestWebhookRequest { name: webhook.name.clone() };
    let tried = answer(ada.events().test_webhook(request.clone()).await).unwrap();
    assert_eq!((tried.delivered, tried.failure), (true, None));
    let message = receiver.next().await;
    assert!(message.is_signed_with(&secret));
    assert_eq!((message.kind(), &message.json()["data"]), ("webhook.test".into(), &serde_json::json!({})));

    receiver.will([Answer::status(500)]);
    let tried = answer(ada.events().test_webhook(request.clone()).await).unwrap();
    let failure = tried.failure.unwrap();
    assert_eq!((tried.delivered, failure.code), (false, 500));
    // Nothing of what the receiver says.
    assert_eq!(failure.text, "the receiver answered 500");
    receiver.stop().await;
    let tried = answer(ada.events().test_webhook(request).await).unwrap();
    assert_eq!(tried.failure.map(|failure| failure.code), Some(0));
}

async fn a_webhook_that_is_disabled_sends_nothing(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let mut receiver = Receiver::start().await;
    let (webhook, _) = hook(&ada, &receiver, &ALL).await;
    let state = async |state: State| {
        let wanted =
            pb::Webhook { name: webhook.name.clone(), state: state.into(), ..pb::Webhook::default() };
        let request = pb::UpdateWebhookRequest { webhook: Some(wanted), update_mask: None };
        answer(ada.events().update_webhook(request).await).unwrap()
    };
    let disabled = state(State::Disabled).await;
    assert_eq!((disabled.state(), disabled.disable_reason()), (State::Disabled, DisableReason::Asked));
    add(&ada, "meanwhile").await;
    let enabled = state(State::Enabled).await;
    assert_eq!((enabled.state(), enabled.disable_reason()), (State::Enabled, DisableReason::Unspecified));
    add(&ada, "afterwards").await;
    assert_eq!(receiver.next().await.title(), "afterwards");
    assert!(receiver.is_silent());
}

async fn a_webhook_that_is_deleted_is_gone(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let mut receiver = Receiver::start().await;
    let (webhook, _) = hook(&ada, &receiver, &ALL).await;
    let (_kept, _) = hook(&ada, &receiver, &["task.deleted"]).await;
    let request = pb::DeleteWebhookRequest { name: webhook.name.clone() };
    answer(ada.events().delete_webhook(request.clone()).await).unwrap();
    let refused = answer(ada.events().delete_webhook(request).await).unwrap_err();
    assert_eq!(refused.reason, "WEBHOOK_NOT_FOUND");
    let task = add(&ada, "told to nobody").await;
    let delete = pb::DeleteTaskRequest { name: task.name, ..pb::DeleteTaskRequest::default() };
    answer(ada.tasks().delete_task(delete).await).unwrap();
    assert_eq!(receiver.next().await.kind(), "task.deleted");
    assert!(receiver.is_silent());
}

async fn an_account_that_is_deleted_takes_its_webhooks_along(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let receiver = Receiver::start().await;
    hook(&ada, &receiver, &ALL).await;
    let request = pb::DeleteUserRequest {
        name: "users/me".to_owned(),
        password: crate::support::server::PASSWORD.to_owned(),
    };
    answer(ada.users().delete_user(request).await).unwrap();
    for table in ["webhooks", "webhook_queues"] {
        assert_eq!(server.database.query_i64(&format!("select count(*) from {table}")).await, 0, "{table}");
    }
}
