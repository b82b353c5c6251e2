//! An import whose service is killed in the middle: made once more, it ends as one that was not.

use std::time::Duration;

use taskwire::pb;
use taskwire::pb::import_tasks_request::{Item, item::Resource};
use tonic::Request;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{authorised, log_in, log_in_again};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::process::{Sandbox, Service};

both_engines!(a_killed_import_is_made_again);

/// As many as a call may hold.
const ITEMS: i64 = 10_000;
/// So many are written at once.
const STEP: i64 = 200;

async fn serve(sandbox: &Sandbox, database: &TestDatabase) -> Service {
    let arguments = ["--database-url", &database.url, "--signing-key-file", "key.pem"];
    let service = sandbox.serve(&arguments);
    service.wait_until(ServingStatus::Serving).await;
    service
}

fn messages() -> Vec<pb::ImportTasksRequest> {
    let item = |line: i64| {
        let id = uuid::Uuid::from_u128(line.unsigned_abs().into());
        let task = pb::Task {
            name: format!("users/me/tasks/{id}"),
            title: format!("number {line}"),
            ..Default::default()
        };
        Item { line, resource: Some(Resource::Task(task)) }
    };
    let message = |items: &[i64]| pb::ImportTasksRequest {
        parent: "users/me".to_owned(),
        items: items.iter().copied().map(item).collect(),
        ..Default::default()
    };
    (1..=ITEMS).collect::<Vec<_>>().chunks(1000).map(message).collect()
}

/// The import, which may take as long as a call can.
fn patient(
    pair: &pb::TokenPair,
) -> Request<impl tokio_stream::Stream<Item = pb::ImportTasksRequest> + 'static> {
    let mut request = authorised(tokio_stream::iter(messages()), pair);
    request.set_timeout(Duration::from_secs(60));
    request
}

async fn a_killed_import_is_made_again(database: TestDatabase) {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
    let mut service = serve(&sandbox, &database).await;
    let pair = log_in(&service).await;
    let mut tasks = service.tasks().await;
    let request = patient(&pair);
    let call = tokio::spawn(async move { tasks.import_tasks(request).await });
    let mut raw = database.raw().await;
    while raw.query_texts("select count(*) from tasks").await == ["0"] {
        assert!(!call.is_finished(), "the import ended before anything was written");
    }
    service.running.signal("KILL");
    assert_eq!(service.running.end().status, None);
    assert!(call.await.unwrap().is_err());
    // Whole steps were written, and not all of them.
    let written = database.query_i64("select count(*) from tasks").await;
    assert!(written > 0 && written < ITEMS && written % STEP == 0, "{written}");
    database.assert_sound().await;

    let service = serve(&sandbox, &database).await;
    let pair = log_in_again(&service).await;
    let mut tasks = service.tasks().await;
    let answered = tasks.import_tasks(patient(&pair)).await.unwrap().into_inner();
    let (created, unchanged) = (answered.created_count, answered.unchanged_count);
    assert_eq!((i64::from(created), i64::from(unchanged)), (ITEMS - written, written));
    assert_eq!(answered.revision, ITEMS);
    database.assert_sound().await;
}
