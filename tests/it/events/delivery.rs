//! What becomes of events that a receiver does not take.

use std::time::Duration;

use taskwire::outbound::AddressPolicy;
use taskwire::pb;
use taskwire::pb::webhook::{DisableReason, State};

use super::receiver::{Answer, Receiver};
use super::{ALL, add, failed, hook, look, queues, wanted};
use crate::storage::eventually;
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::server::{PASSWORD, Setup, TestServer, answer};

both_engines!(
    what_is_not_taken_is_sent_again_later_and_later,
    the_order_is_kept_past_a_failure,
    users_do_not_wait_for_each_other,
    a_receiver_that_is_gone_is_left_alone,
    a_webhook_that_is_disabled_keeps_what_waits,
    a_receiver_says_when_to_come_again,
    a_receiver_is_given_up_after_three_days,
    answers_that_are_long_or_lead_elsewhere,
    what_waits_is_told_by_the_next_server,
    a_queue_of_thousands_is_told_in_order,
    a_name_that_leads_elsewhere_by_now_is_not_followed,
);

async fn what_is_not_taken_is_sent_again_later_and_later(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let mut receiver = Receiver::start().await;
    let (webhook, secret) = hook(&ada, &receiver, &ALL).await;
    receiver.will([500, 404, 301, 503].map(Answer::status));
    add(&ada, "one").await;
    let first = receiver.next().await;
    let mut waited = 0;
    for (attempts, (delay, code)) in (1..).zip([(5, 500), (30, 404), (120, 301), (600, 503)]) {
        failed(&ada, &webhook.name, attempts).await;
        let failure = look(&ada, &webhook.name).await.last_failure.unwrap();
        assert_eq!(failure.code, code);
        assert!(receiver.is_silent());
        let queue = &queues(&ada, &webhook.name).await[0];
        let seconds = queue.next_attempt_time.unwrap().seconds - crate::support::server::START;
        assert_eq!(seconds - waited, delay, "after attempt {attempts}");
        server.clock.advance(Duration::from_secs(delay as u64));
        waited += delay;
        let again = receiver.next().await;
        // The same message, under a new time.
        assert_eq!((&again.id, &again.body), (&first.id, &first.body));
        assert_eq!(again.timestamp, crate::support::server::START + waited);
        assert!(again.is_signed_with(&secret));
    }
    eventually("all is told", async || queues(&ada, &webhook.name).await.is_empty()).await;
    let seen = look(&ada, &webhook.name).await;
    assert!(seen.state() == State::Enabled && seen.last_success_time.is_some());
}

async fn the_order_is_kept_past_a_failure(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let mut receiver = Receiver::start().await;
    let (webhook, _) = hook(&ada, &receiver, &ALL).await;
    receiver.will([Answer::status(200), Answer::status(500)]);
    for title in ["one", "two", "three", "four"] {
        add(&ada, title).await;
    }
    assert_eq!(receiver.next().await.title(), "one");
    assert_eq!(receiver.next().await.title(), "two");
    failed(&ada, &webhook.name, 1).await;
    assert!(receiver.is_silent());
    server.clock.advance(Duration::from_secs(5));
    let titles: Vec<String> = receiver.some(3).await.iter().map(super::receiver::Message::title).collect();
    assert_eq!(titles, ["two", "three", "four"]);
}

async fn users_do_not_wait_for_each_other(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let admin = server.register_admin("root@example.org").await;
    let (ada, bob) = (server.register("ada@example.org").await, server.register("bob@example.org").await);
    let mut receiver = Receiver::start().await;
    let request = wanted("", &receiver.url(), &["task.*"]);
    answer(admin.events().create_webhook(request).await).unwrap();
    receiver.will([Answer::Never]);
    add(&ada, "of Ada").await;
    assert_eq!(receiver.next().await.title(), "of Ada");
    // While Ada's is not answered.
    for title in ["of Bob", "of Bob too"] {
        add(&bob, title).await;
        assert_eq!(receiver.next().await.title(), title);
    }
}

async fn a_receiver_that_is_gone_is_left_alone(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let mut receiver = Receiver::start().await;
    let (webhook, _) = hook(&ada, &receiver, &ALL).await;
    receiver.will([Answer::status(410)]);
    add(&ada, "one").await;
    receiver.next().await;
    eventually("it is disabled", async || look(&ada, &webhook.name).await.state() == State::Disabled).await;
    assert_eq!(look(&ada, &webhook.name).await.disable_reason(), DisableReason::Gone);
    let events = pb::ListAuditEventsRequest { parent: "users/me".to_owned(), ..Default::default() };
    let events = answer(ada.users().list_audit_events(events).await).unwrap().audit_events;
    assert_eq!(events[0].r#type(), pb::audit_event::Type::WebhookDisabled);
    // What it did not take is kept, and told when it is enabled again.
    let queue = queues(&ada, &webhook.name).await;
    assert_eq!((queue.len(), queue[0].next_attempt_time), (1, None));
    assert!(receiver.is_silent());
    let state =
        pb::Webhook { name: webhook.name.clone(), state: State::Enabled.into(), ..pb::Webhook::default() };
    let request = pb::UpdateWebhookRequest { webhook: Some(state), update_mask: None };
    answer(ada.events().update_webhook(request).await).unwrap();
    assert_eq!(receiver.next().await.title(), "one");
}

async fn a_webhook_that_is_disabled_keeps_what_waits(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let mut receiver = Receiver::start().await;
    let (webhook, _) = hook(&ada, &receiver, &ALL).await;
    receiver.will([Answer::status(500)]);
    add(&ada, "one").await;
    receiver.next().await;
    failed(&ada, &webhook.name, 1).await;
    let set = async |state: State| {
        let wanted =
            pb::Webhook { name: webhook.name.clone(), state: state.into(), ..pb::Webhook::default() };
        let request = pb::UpdateWebhookRequest { webhook: Some(wanted), update_mask: None };
        answer(ada.events().update_webhook(request).await).unwrap()
    };
    set(State::Disabled).await;
    let queue = queues(&ada, &webhook.name).await;
    assert_eq!((queue.len(), queue[0].next_attempt_time), (1, None));
    server.clock.advance(Duration::from_secs(60));
    set(State::Enabled).await;
    assert_eq!(receiver.next().await.title(), "one");
    assert!(receiver.is_silent());
}

async fn a_receiver_says_when_to_come_again(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let mut receiver = Receiver::start().await;
    let (webhook, _) = hook(&ada, &receiver, &ALL).await;
    receiver.will([
        Answer::Status(429, Some(("retry-after", "90".to_owned()))),
        // Less than it would be anyway, more than anybody can ask for, and what is no time.
        Answer::Status(503, Some(("retry-after", "1".to_owned()))),
        Answer::Status(503, Some(("retry-after", "999999999".to_owned()))),
        Answer::Status(429, Some(("retry-after", "soon".to_owned()))),
        // Where it means nothing.
        Answer::Status(500, Some(("retry-after", "9999".to_owned()))),
    ]);
    add(&ada, "one").await;
    let mut waited = 0;
    for (attempts, delay) in (1..).zip([90, 30, 4 * 60 * 60, 600, 3600]) {
        receiver.next().await;
        failed(&ada, &webhook.name, attempts).await;
        let queue = &queues(&ada, &webhook.name).await[0];
        let next = queue.next_attempt_time.unwrap().seconds - crate::support::server::START;
        assert_eq!(next - waited, delay, "after attempt {attempts}");
        waited += delay;
        server.clock.advance(Duration::from_secs(delay as u64));
        if delay > 900 {
            // The token has ended meanwhile.
            break;
        }
    }
}

async fn a_receiver_is_given_up_after_three_days(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let mut receiver = Receiver::start().await;
    let (webhook, _) = hook(&ada, &receiver, &ALL).await;
    receiver.will(vec![Answer::status(500); 24]);
    add(&ada, "one").await;
    for attempt in 1..=24 {
        receiver.next().await;
        let noted = format!("select count(*) from webhook_queues where attempts = {attempt}");
        eventually("the attempt is noted", async || server.database.query_i64(&noted).await == 1).await;
        server.clock.advance(Duration::from_secs(4 * 60 * 60));
    }
    let ada = server.log_in("ada@example.org", PASSWORD).await.unwrap();
    eventually("it is disabled", async || look(&ada, &webhook.name).await.state() == State::Disabled).await;
    let seen = look(&ada, &webhook.name).await;
    assert_eq!((seen.disable_reason(), seen.last_failure.unwrap().code), (DisableReason::Failing, 500));
    server.clock.advance(Duration::from_secs(4 * 60 * 60));
    assert!(receiver.is_silent());
}

async fn answers_that_are_long_or_lead_elsewhere(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let mut receiver = Receiver::start().await;
    let mut elsewhere = Receiver::start().await;
    let (webhook, _) = hook(&ada, &receiver, &ALL).await;
    receiver.will([Answer::Long(10 << 20), Answer::Status(307, Some(("location", elsewhere.url())))]);
    add(&ada, "one").await;
    add(&ada, "two").await;
    // Ten megabytes are a success like any other.
    assert_eq!(receiver.next().await.title(), "one");
    assert_eq!(receiver.next().await.title(), "two");
    failed(&ada, &webhook.name, 1).await;
    assert!(elsewhere.is_silent());
}

async fn what_waits_is_told_by_the_next_server(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let mut receiver = Receiver::start().await;
    let (webhook, secret) = hook(&ada, &receiver, &ALL).await;
    receiver.will([Answer::status(500)]);
    add(&ada, "one").await;
    receiver.next().await;
    failed(&ada, &webhook.name, 1).await;
    add(&ada, "two").await;
    let database = server.stop().await;

    let server = TestServer::start(database).await;
    // Whoever was there before may still hold the lease.
    server.clock.advance(Duration::from_secs(10));
    let messages = receiver.some(2).await;
    assert_eq!([messages[0].title(), messages[1].title()], ["one", "two"]);
    assert!(messages[1].is_signed_with(&secret));
}

async fn a_queue_of_thousands_is_told_in_order(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let mut receiver = Receiver::start().await;
    hook(&ada, &receiver, &ALL).await;
    let titles: Vec<String> = (0..1200).map(|number| format!("number {number}")).collect();
    for some in titles.chunks(200) {
        let requests = some.iter().map(|title| pb::CreateTaskRequest {
            task: Some(pb::Task { title: title.clone(), ..pb::Task::default() }),
            ..pb::CreateTaskRequest::default()
        });
        let batch = pb::BatchCreateTasksRequest {
            parent: "users/me".to_owned(),
            requests: requests.collect(),
            ..pb::BatchCreateTasksRequest::default()
        };
        answer(ada.tasks().batch_create_tasks(batch).await).unwrap();
    }
    let told: Vec<String> = receiver.some(1200).await.iter().map(super::receiver::Message::title).collect();
    assert_eq!(told, titles);
}

async fn a_name_that_leads_elsewhere_by_now_is_not_followed(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let ada = server.register("ada@example.org").await;
    let mut receiver = Receiver::start().await;
    let url = receiver.url().replace("127.0.0.1", "localhost");
    let made = answer(ada.events().create_webhook(wanted("users/me", &url, &ALL)).await).unwrap();
    let webhook = made.webhook.unwrap();
    add(&ada, "while it was allowed").await;
    assert_eq!(receiver.next().await.title(), "while it was allowed");
    let database = server.stop().await;

    // To this server the name leads to where nothing may be sent, as a name does that is pointed elsewhere after it was looked at.
    let addresses = AddressPolicy { plain_http: true, ..AddressPolicy::default() };
    let server = Box::pin(TestServer::with(database, Setup { addresses, ..Setup::default() })).await;
    server.clock.advance(Duration::from_secs(10));
    let ada = server.log_in("ada@example.org", PASSWORD).await.unwrap();
    add(&ada, "now").await;
    failed(&ada, &webhook.name, 1).await;
    let failure = look(&ada, &webhook.name).await.last_failure.unwrap();
    assert_eq!(failure.text, "the receiver is at an address that is not allowed");
    let tried = ada.events().test_webhook(pb::TestWebhookRequest { name: webhook.name }).await;
    assert_eq!(answer(tried).unwrap().failure.unwrap().text, failure.text);
    let refused = answer(ada.events().create_webhook(wanted("users/me", &url, &ALL)).await).unwrap_err();
    assert_eq!(refused.violations[0].0, "webhook.url");
    assert!(receiver.is_silent());
}
