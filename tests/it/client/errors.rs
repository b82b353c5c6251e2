//! What a program learns of an error.

use std::error::Error as _;

use taskwire::client::Client;
use taskwire::pb;
use tonic::Code;
use uuid::Uuid;

use super::{EMAIL, ada, builder, nobody, titled};
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(an_error_has_its_reason, every_wrong_field_is_named);

async fn an_error_has_its_reason(database: TestDatabase) {
    let (_world, _replica, client) = ada(&database).await;
    let tasks = client.tasks();
    let error = tasks.get(&Uuid::now_v7().to_string()).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::NotFound, "TASK_NOT_FOUND"));
    assert!(!error.message().is_empty() && !error.request_id().is_empty());
    assert_eq!(error.to_string(), format!("{} (TASK_NOT_FOUND)", error.message()));
    assert!(error.source().is_some_and(|source| source.is::<tonic::Status>()));
    assert_eq!((error.field_violations(), error.retry_after()), (&[][..], None));

    let made = tasks.create(titled("one")).await.unwrap();
    let now = tasks.update(pb::Task { title: "two".to_owned(), ..made.clone() }, &["title"]).await.unwrap();
    let error = tasks.update(pb::Task { title: "three".to_owned(), ..made }, &["title"]).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::Aborted, "ETAG_MISMATCH"));
    assert_eq!(error.metadata("current_etag"), Some(now.etag.as_str()));

    let error = client.tasks_of(format!("users/{}", Uuid::now_v7())).create(titled("x")).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::PermissionDenied, "PARENT_ACCESS_DENIED"));
    let error = client.login(EMAIL, "wrong wrong wrong", "a test").await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::Unauthenticated, "CREDENTIALS_INVALID"));
    // A failed login leaves the session that is there.
    client.whoami().await.unwrap();
}

async fn every_wrong_field_is_named(database: TestDatabase) {
    let (_world, _replica, client) = ada(&database).await;
    let wrong = pb::Task { labels: vec![String::new()], priority: 77, ..titled("  ") };
    let error = client.tasks().create(wrong).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, "FIELD_INVALID"));
    let mut fields: Vec<&str> = error.field_violations().iter().map(|(field, _)| field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["task.labels", "task.priority", "task.title"]);
    assert!(error.field_violations().iter().all(|(_, description)| !description.is_empty()));
}

#[tokio::test]
async fn what_is_no_address_and_what_is_no_certificate_is_said() {
    for address in ["", "localhost:50051", "ftp://localhost", "http://", "http://exa mple", "unix://"] {
        let made = Client::builder(address).connect_lazy();
        let error = made.err().unwrap_or_else(|| panic!("{address:?} is taken"));
        assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, ""), "{address}");
        assert!(error.message().contains("address"), "{error}");
    }
    let error = Client::builder("https://localhost:1").ca_certificate("no PEM").connect_lazy().unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let error = Client::builder("http://localhost:1").api_key("two\nlines").connect_lazy().unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_service_that_is_not_there_is_told_from_one_that_refuses() {
    let (_taken, address) = nobody();
    let at_once = builder(address).connect().await.unwrap_err();
    let at_the_call = builder(address).connect_lazy().unwrap().whoami().await.unwrap_err();
    for error in [at_once, at_the_call] {
        assert_eq!((error.code(), error.reason()), (Code::Unavailable, ""));
        assert!(error.message().contains("refused"), "{error}");
    }
}
