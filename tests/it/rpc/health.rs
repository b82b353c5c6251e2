//! Health and reflection: what a load balancer and a curious client see.

use prost::Message as _;
use prost_types::FileDescriptorProto;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_reflection::pb::{v1, v1alpha};

use super::alone;
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::server::{Setup, TestServer};

both_engines!(
    every_service_is_serving,
    health_is_watched_to_the_end,
    reflection_lists_and_describes_the_services,
    the_older_reflection_does_too,
);

mod before_the_schema {
    //! Databases without tables.
    use super::nothing_is_served_before_the_schema_is_there;
    crate::support::both_engines!(empty: nothing_is_served_before_the_schema_is_there);
}

const SERVICES: [&str; 4] =
    ["", "taskwire.v1.TaskService", "taskwire.v1.UserService", "taskwire.v1.EventService"];

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

async fn every_service_is_serving(database: TestDatabase) {
    let server = TestServer::start(database).await;
    for service in SERVICES {
        let answered = server.health().check(of(service)).await.unwrap();
        assert_eq!(answered.into_inner().status(), ServingStatus::Serving);
    }
    for service in ["nonsense", "TaskService", "taskwire.v1", "taskwire.v1.TaskService/"] {
        let refused = server.health().check(of(service)).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
    }
}

async fn nothing_is_served_before_the_schema_is_there(database: TestDatabase) {
    let server = TestServer::unready(database, Setup::default()).await;
    let mut watches = Vec::new();
    for service in SERVICES {
        let answered = server.health().check(of(service)).await.unwrap();
        assert_eq!(answered.into_inner().status(), ServingStatus::NotServing);
        let mut watch = server.health().watch(of(service)).await.unwrap().into_inner();
        let first = watch.message().await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::NotServing);
        watches.push(watch);
    }
    server.database.storage.migrate().await.unwrap();
    for mut watch in watches {
        let next = watch.message().await.unwrap().unwrap();
        assert_eq!(next.status(), ServingStatus::Serving);
    }
    server.register("ada@example.com").await;
}

async fn health_is_watched_to_the_end(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let mut watches = Vec::new();
    for service in SERVICES {
        let mut watch = server.health().watch(of(service)).await.unwrap().into_inner();
        let first = watch.message().await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::Serving);
        watches.push(watch);
    }
    let (stopping, _database) = server.begin_to_stop().await;
    for mut watch in watches {
        let last = watch.message().await.unwrap().unwrap();
        assert_eq!(last.status(), ServingStatus::NotServing);
        // And then no more: a watch must not hold up the shutdown.
        while let Ok(Some(more)) = watch.message().await {
            assert_ne!(more.status(), ServingStatus::Serving);
        }
    }
    stopping.await.unwrap();
}

/// What both versions must list.
const LISTED: [&str; 6] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "taskwire.v1.EventService",
    "taskwire.v1.TaskService",
    "taskwire.v1.UserService",
];

/// Each version lists itself, and all that is not reflection.
fn check_listed(mut names: Vec<String>, own: &str) {
    names.sort();
    let expected: Vec<&str> =
        LISTED.into_iter().filter(|name| !name.contains("reflection") || name.contains(own)).collect();
    assert_eq!(names, expected);
}

fn check_described(files: &[Vec<u8>]) {
    let files: Vec<FileDescriptorProto> =
        files.iter().map(|file| FileDescriptorProto::decode(&file[..]).unwrap()).collect();
    let services: Vec<&str> =
        files.iter().flat_map(|file| &file.service).map(|service| service.name()).collect();
    assert_eq!(services, ["TaskService"]);
}

async fn reflection_lists_and_describes_the_services(database: TestDatabase) {
    use v1::server_reflection_client::ServerReflectionClient;
    use v1::server_reflection_request::MessageRequest;
    use v1::server_reflection_response::MessageResponse;
    let (server, _ada) = alone(database).await;
    let ask = async |question: MessageRequest| {
        let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        let mut client = ServerReflectionClient::new(server.channel());
        let stream = tokio_stream::once(request);
        let mut answers = client.server_reflection_info(stream).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap().message_response.unwrap()
    };
    match ask(MessageRequest::ListServices(String::new())).await {
        MessageResponse::ListServicesResponse(list) => {
            let names = list.service.into_iter().map(|service| service.name);
            check_listed(names.collect(), ".v1.");
        }
        other => panic!("{other:?}"),
    }
    match ask(MessageRequest::FileContainingSymbol("taskwire.v1.TaskService".into())).await {
        MessageResponse::FileDescriptorResponse(files) => check_described(&files.file_descriptor_proto),
        other => panic!("{other:?}"),
    }
}

async fn the_older_reflection_does_too(database: TestDatabase) {
    use v1alpha::server_reflection_client::ServerReflectionClient;
    use v1alpha::server_reflection_request::MessageRequest;
    use v1alpha::server_reflection_response::MessageResponse;
    let (server, _ada) = alone(database).await;
    let ask = async |question: MessageRequest| {
        let request =
            v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        let mut client = ServerReflectionClient::new(server.channel());
        let stream = tokio_stream::once(request);
        let mut answers = client.server_reflection_info(stream).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap().message_response.unwrap()
    };
    match ask(MessageRequest::ListServices(String::new())).await {
        MessageResponse::ListServicesResponse(list) => {
            let names = list.service.into_iter().map(|service| service.name);
            check_listed(names.collect(), ".v1alpha.");
        }
        other => panic!("{other:?}"),
    }
    match ask(MessageRequest::FileContainingSymbol("taskwire.v1.TaskService".into())).await {
        MessageResponse::FileDescriptorResponse(files) => check_described(&files.file_descriptor_proto),
        other => panic!("{other:?}"),
    }
}
