//! Who may do what: a user with the own webhooks, administrators with theirs, services with the stream of all.

use taskwire::pb;

use super::receiver::Receiver;
use super::{ALL, hook, wanted};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::server::{TestServer, answer};

both_engines!(
    a_webhook_is_its_owners_alone,
    those_of_administrators_are_theirs,
    keys_reach_as_far_as_their_scopes,
    only_services_have_keys_to_everything,
);

async fn a_webhook_is_its_owners_alone(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let (ada, bob) = (server.register("ada@example.org").await, server.register("bob@example.org").await);
    let admin = server.register_admin("root@example.org").await;
    let receiver = Receiver::start().await;
    let (webhook, _) = hook(&ada, &receiver, &ALL).await;
    for other in [&bob, &admin] {
        let name = webhook.name.clone();
        let mut events = other.events();
        let refusals = [
            answer(events.get_webhook(pb::GetWebhookRequest { name: name.clone() }).await).map(drop),
            answer(events.delete_webhook(pb::DeleteWebhookRequest { name: name.clone() }).await).map(drop),
            answer(events.test_webhook(pb::TestWebhookRequest { name: name.clone() }).await).map(drop),
            answer(events.rotate_webhook_secret(pb::RotateWebhookSecretRequest { name: name.clone() }).await)
                .map(drop),
            answer(
                events
                    .replay_webhook(pb::ReplayWebhookRequest { name: name.clone(), ..Default::default() })
                    .await,
            )
            .map(drop),
            answer(
                events
                    .list_webhook_queues(pb::ListWebhookQueuesRequest {
                        parent: name.clone(),
                        ..Default::default()
                    })
                    .await,
            )
            .map(drop),
            answer(events.list_webhooks(pb::ListWebhooksRequest { parent: ada.user.clone() }).await)
                .map(drop),
            answer(events.create_webhook(wanted(&ada.user, &receiver.url(), &ALL)).await).map(drop),
            answer(
                events
                    .update_webhook(pb::UpdateWebhookRequest {
                        webhook: Some(webhook.clone()),
                        update_mask: None,
                    })
                    .await,
            )
            .map(drop),
        ];
        for refused in refusals {
            assert_eq!(refused.unwrap_err().reason, "PARENT_ACCESS_DENIED");
        }
        // Under the own name it is not there.
        let id = webhook.name.rsplit('/').next().unwrap();
        let name = format!("{}/webhooks/{id}", other.user);
        let refused = answer(events.get_webhook(pb::GetWebhookRequest { name }).await).unwrap_err();
        assert_eq!(refused.reason, "WEBHOOK_NOT_FOUND");
    }
}

async fn those_of_administrators_are_theirs(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let (admin, other) =
        (server.register_admin("root@example.org").await, server.register_admin("toor@example.org").await);
    let mut receiver = Receiver::start().await;
    let request = wanted("", &receiver.url(), &["user.*", "task.created"]);
    let refused = answer(ada.events().create_webhook(request.clone()).await).unwrap_err();
    assert_eq!(refused.reason, "ADMIN_REQUIRED");
    let made = answer(admin.events().create_webhook(request.clone()).await).unwrap();
    let webhook = made.webhook.unwrap();
    assert!(webhook.name.starts_with("webhooks/"));
    // Together.
    let listed = answer(other.events().list_webhooks(pb::ListWebhooksRequest::default()).await).unwrap();
    assert_eq!(listed.webhooks, [webhook.clone()]);
    let get = pb::GetWebhookRequest { name: webhook.name.clone() };
    let refused = answer(ada.events().get_webhook(get).await).unwrap_err();
    assert_eq!(refused.reason, "ADMIN_REQUIRED");
    let mut by_key = admin.events_by_key("webhooks.manage").await;
    let refused = answer(by_key.create_webhook(request).await).unwrap_err();
    assert_eq!(refused.reason, "SCOPE_INSUFFICIENT");

    // Accounts come and go.
    let bob = server.register("bob@example.org").await;
    let message = receiver.next().await;
    assert_eq!(message.kind(), "user.created");
    assert_eq!(message.json()["data"]["email"], "bob@example.org");
    super::add(&bob, "of Bob").await;
    assert_eq!(receiver.next().await.title(), "of Bob");
    let disable = pb::DisableUserRequest { name: bob.user.clone() };
    answer(admin.users().disable_user(disable).await).unwrap();
    let message = receiver.next().await;
    assert_eq!((message.kind(), &message.json()["data"]["disabled"]), ("user.disabled".into(), &true.into()));
    let delete = pb::DeleteUserRequest { name: bob.user.clone(), password: String::new() };
    answer(admin.users().delete_user(delete).await).unwrap();
    let message = receiver.next().await;
    assert_eq!((message.kind(), &message.json()["data"]["name"]), ("user.deleted".into(), &bob.user.into()));
    assert_eq!(message.json()["data"]["email"], "");

    let replay = |user: &str| pb::ReplayWebhookRequest {
        name: webhook.name.clone(),
        user: user.to_owned(),
        ..pb::ReplayWebhookRequest::default()
    };
    let refused = answer(admin.events().replay_webhook(replay("")).await).unwrap_err();
    assert_eq!(refused.violations[0].0, "user");
    let nobody = "users/0198c5a2-9b11-7d60-8f2c-6a1e4b7d9c03";
    let refused = answer(admin.events().replay_webhook(replay(nobody)).await).unwrap_err();
    assert_eq!(refused.reason, "USER_NOT_FOUND");
    super::add(&ada, "of Ada").await;
    assert_eq!(receiver.next().await.title(), "of Ada");
    answer(admin.events().replay_webhook(replay(&ada.user)).await).unwrap();
    assert_eq!(receiver.next().await.title(), "of Ada");
}

async fn keys_reach_as_far_as_their_scopes(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let list = pb::ListWebhooksRequest { parent: "users/me".to_owned() };
    let mut by_key = ada.events_by_key("webhooks.manage").await;
    answer(by_key.list_webhooks(list.clone()).await).unwrap();
    for scope in ["tasks.read", "tasks.write"] {
        let mut by_key = ada.events_by_key(scope).await;
        let refused = answer(by_key.list_webhooks(list.clone()).await).unwrap_err();
        assert_eq!(refused.reason, "SCOPE_INSUFFICIENT", "{scope}");
    }
    // The stream of all is for keys with its scope: not for users, not for administrators, not for other keys.
    let admin = server.register_admin("root@example.org").await;
    let streams = [
        ada.events().watch_events(pb::WatchEventsRequest::default()).await.map(drop),
        admin.events().watch_events(pb::WatchEventsRequest::default()).await.map(drop),
        by_key.watch_events(pb::WatchEventsRequest::default()).await.map(drop),
    ];
    for refused in streams {
        assert_eq!(crate::support::refusal::Refusal::from(refused.unwrap_err()).reason, "SCOPE_INSUFFICIENT");
    }
}

async fn only_services_have_keys_to_everything(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let request = pb::CreateApiKeyRequest {
        parent: "users/me".to_owned(),
        api_key: Some(pb::ApiKey { scopes: vec!["events.read".to_owned()], ..pb::ApiKey::default() }),
    };
    let admin = server.register_admin("root@example.org").await;
    for person in [&ada, &admin] {
        let refused = answer(person.users().create_api_key(request.clone()).await).unwrap_err();
        assert_eq!(refused.violations[0].0, "api_key.scopes");
    }
    admin.events_of_all().await;
}
