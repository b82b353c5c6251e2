//! `grpc-timeout`, on the wire.

use std::time::Duration;

use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use super::assert_refused;
use crate::support::process::Sandbox;

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_by_name() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve(&[]);
    let mut health = HealthClient::new(service.connect().await);
    for (value, times, valid) in [
        ("1S", 1, true),
        ("99999999H", 1, true),
        ("99999999999S", 1, false),
        ("-1S", 1, false),
        ("1", 1, false),
        ("1Z", 1, false),
        ("", 1, false),
        ("1S", 2, false),
    ] {
        let mut request = Request::new(HealthCheckRequest { service: String::new() });
        for _ in 0..times {
            request.metadata_mut().append("grpc-timeout", value.parse().unwrap());
        }
        match health.check(request).await {
            Ok(_) => assert!(valid, "{value:?} {times}"),
            Err(status) => {
                assert!(!valid, "{value:?}: {status:?}");
                assert_refused(&status, Code::InvalidArgument, "FIELD_INVALID");
                let details = status.get_error_details();
                assert_eq!(details.bad_request().unwrap().field_violations[0].field, "grpc-timeout");
            }
        }
    }
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_longer_is_answered_and_a_stream_that_lasts_longer_is_resumed() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve(&["--deadline-default-ms", "1", "--stream-seconds-max", "1"]);
    // It hashes a password, which takes far longer.
    let status = super::register(service.connect().await, 1).await.unwrap_err();
    assert_refused(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert!(status.metadata().contains_key("x-request-id"));

    let mut request = Request::new(HealthCheckRequest { service: String::new() });
    // It has to open, which on a busy machine takes more than the millisecond above.
    request.set_timeout(Duration::from_secs(60));
    let mut watch = HealthClient::new(service.connect().await).watch(request).await.unwrap().into_inner();
    let ended = loop {
        match watch.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("ended without a reason"),
            Err(status) => break status,
        }
    };
    assert_refused(&ended, Code::Unavailable, "DRAINING");
    service.stop();
}
