//! What is refused: URLs, types, names, and as much as there is room for.

use taskwire::pb;

use super::receiver::Receiver;
use super::{ALL, hook, wanted};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::server::{TestServer, answer};

both_engines!(
    urls_lead_to_the_public_internet_or_nowhere,
    types_are_known_and_one_at_least,
    all_that_is_wrong_is_said_at_once,
    names_have_their_form,
    a_user_has_ten_webhooks,
    pages_of_queues_are_asked_for_properly,
);

async fn urls_lead_to_the_public_internet_or_nowhere(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    // This server allows loopback of IPv4 and `::1`, and plain HTTP. Whatever else is not public it refuses.
    for url in [
        "",
        "receiver.example",
        "ftp://receiver.example/",
        "gopher://127.0.0.1/",
        "https://",
        "https://ada@receiver.example/",
        "https://ada:word@receiver.example/",
        "https://receiver.example/#x",
        "https://0.0.0.0/",
        "https://0/",
        "https://10.0.0.1/",
        "https://10.255.255.255/",
        "https://100.64.1.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://169.254.0.1/",
        "https://2852039166/",
        "https://0xa9fea9fe/",
        "https://0251.0376.0251.0376/",
        "https://172.16.0.1/",
        "https://172.31.255.1/",
        "https://192.168.0.1/",
        "https://192.168.1.1:8080/",
        "https://192.0.0.192/",
        "https://192.0.2.1/",
        "https://198.18.0.1/",
        "https://198.51.100.1/",
        "https://203.0.113.1/",
        "https://224.0.0.1/",
        "https://240.0.0.1/",
        "https://255.255.255.255/",
        "https://[::]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[::10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[fe80::1]/",
        "https://[fc00::1]/",
        "https://[fd00:ec2::254]/",
        "https://[ff02::1]/",
        "https://[2001:db8::1]/",
        "https://[2002:a00:1::]/",
        "https://[2001::1]/",
        "https://①⑥⑨.254.169.254/",
        "https://169。254。169。254/",
    ] {
        let refused = answer(ada.events().create_webhook(wanted("users/me", url, &ALL)).await).unwrap_err();
        assert_eq!(refused.reason, "FIELD_INVALID", "{url}");
        assert_eq!(refused.violations[0].0, "webhook.url", "{url}");
    }
    let long = format!("https://receiver.example/{}", "x".repeat(1976));
    let refused = answer(ada.events().create_webhook(wanted("users/me", &long, &ALL)).await).unwrap_err();
    assert_eq!(refused.violations[0].1, "must have at most 2000 bytes");
}

async fn types_are_known_and_one_at_least(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let url = "http://127.0.0.1:9/";
    for types in
        [&[][..], &[""], &["*"], &["task"], &["task.made"], &["user.created"], &["user.*"], &["task.*", "x"]]
    {
        let refused = answer(ada.events().create_webhook(wanted("users/me", url, types)).await).unwrap_err();
        assert_eq!(refused.violations[0].0, "webhook.event_types", "{types:?}");
    }
}

async fn all_that_is_wrong_is_said_at_once(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let mut request = wanted("users/me", "ftp://x", &[]);
    request.webhook.as_mut().unwrap().state = 7;
    let refused = answer(ada.events().create_webhook(request).await).unwrap_err();
    let fields: Vec<&str> = refused.violations.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["webhook.url", "webhook.event_types", "webhook.state"]);
    let nothing = pb::CreateWebhookRequest { parent: "users/me".to_owned(), webhook: None };
    let refused = answer(ada.events().create_webhook(nothing).await).unwrap_err();
    assert_eq!(refused.violations[0], ("webhook".to_owned(), "is required".to_owned()));

    let receiver = Receiver::start().await;
    let (webhook, _) = hook(&ada, &receiver, &ALL).await;
    let mask = |paths: &[&str]| {
        Some(prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() })
    };
    let empty = pb::Webhook { name: webhook.name.clone(), ..pb::Webhook::default() };
    let request = pb::UpdateWebhookRequest { webhook: Some(empty.clone()), update_mask: mask(&["*"]) };
    let refused = answer(ada.events().update_webhook(request).await).unwrap_err();
    let fields: Vec<&str> = refused.violations.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["webhook.url", "webhook.event_types", "webhook.state"]);
    let request = pb::UpdateWebhookRequest { webhook: Some(empty), update_mask: mask(&["secret"]) };
    let refused = answer(ada.events().update_webhook(request).await).unwrap_err();
    assert_eq!(refused.reason, "FIELD_MASK_INVALID");
}

async fn names_have_their_form(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    for name in [
        "",
        "webhooks",
        "webhooks/",
        "webhooks/x",
        "users/me/webhooks/",
        "users/me/webhooks/1",
        "users//webhooks/x",
    ] {
        let request = pb::GetWebhookRequest { name: name.to_owned() };
        let refused = answer(ada.events().get_webhook(request).await).unwrap_err();
        assert_eq!(
            (refused.reason.as_str(), refused.violations[0].0.as_str()),
            ("FIELD_INVALID", "name"),
            "{name}"
        );
    }
    for parent in ["users", "users/", "users/x", "webhooks"] {
        let request = pb::ListWebhooksRequest { parent: parent.to_owned() };
        let refused = answer(ada.events().list_webhooks(request).await).unwrap_err();
        assert_eq!(refused.violations[0].0, "parent", "{parent}");
    }
    let name = "users/me/webhooks/0198c5a2-9b11-7d60-8f2c-6a1e4b7d9c03".to_owned();
    let refused = answer(ada.events().get_webhook(pb::GetWebhookRequest { name }).await).unwrap_err();
    assert_eq!(refused.reason, "WEBHOOK_NOT_FOUND");
}

async fn a_user_has_ten_webhooks(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let receiver = Receiver::start().await;
    let makers = (0..15).map(|_| {
        let (ada, url) = (ada.clone(), receiver.url());
        async move { answer(ada.events().create_webhook(wanted("users/me", &url, &ALL)).await) }
    });
    let made = futures_util::future::join_all(makers).await;
    let refused: Vec<_> = made.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 5);
    assert!(refused.iter().all(|refused| refused.reason == "QUOTA_EXCEEDED"));
}

async fn pages_of_queues_are_asked_for_properly(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let receiver = Receiver::start().await;
    let (webhook, _) = hook(&ada, &receiver, &ALL).await;
    let list = |page_size, page_token: &str| pb::ListWebhookQueuesRequest {
        parent: webhook.name.clone(),
        page_size,
        page_token: page_token.to_owned(),
    };
    let refused = answer(ada.events().list_webhook_queues(list(-1, "")).await).unwrap_err();
    assert_eq!(refused.violations[0].0, "page_size");
    let refused = answer(ada.events().list_webhook_queues(list(0, "made-up")).await).unwrap_err();
    assert_eq!(refused.reason, "PAGE_TOKEN_INVALID");
    let listed = answer(ada.events().list_webhook_queues(list(0, "")).await).unwrap();
    assert_eq!(listed, pb::ListWebhookQueuesResponse::default());
}
