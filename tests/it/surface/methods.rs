//! The methods that are served and the policy table: each has the other, and nothing else is served.

use std::collections::BTreeSet;

use taskwire::auth::{Access, POLICY, access};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::descriptors;
use crate::auth::served::{Served, run};

#[test]
fn every_method_has_one_entry_in_the_policy() {
    let methods = descriptors::methods();
    let listed: Vec<String> = POLICY.iter().map(|(path, _)| (*path).to_owned()).collect();
    let distinct: BTreeSet<&String> = listed.iter().collect();
    assert_eq!(distinct.len(), listed.len(), "a method is listed twice");
    let served: BTreeSet<&String> = methods.iter().collect();
    let missing: Vec<_> = served.difference(&distinct).collect();
    let surplus: Vec<_> = distinct.difference(&served).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "without an entry: {missing:?}; without a method: {surplus:?}"
    );
}

#[test]
fn only_these_methods_need_no_token() {
    let open: Vec<&str> =
        POLICY.iter().filter(|(_, access)| *access == Access::Anyone).map(|(path, _)| *path).collect();
    assert_eq!(
        open,
        [
            "/taskwire.v1.UserService/CreateUser",
            "/taskwire.v1.UserService/Login",
            "/taskwire.v1.UserService/RefreshSession",
            "/grpc.health.v1.Health/Check",
            "/grpc.health.v1.Health/Watch",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        ]
    );
}

/// Paths that come close to a method, or to a file.
const UNKNOWN: [&str; 18] = [
    "/",
    "//",
    "/taskwire.v1.TaskService",
    "/taskwire.v1.TaskService/",
    "/taskwire.v1.TaskService/Nothing",
    "/taskwire.v1.TaskService/gettask",
    "/taskwire.v1.TaskService/GetTask/",
    "/taskwire.v1.TaskService/GetTask/x",
    "//taskwire.v1.TaskService/GetTask",
    "/x/../taskwire.v1.TaskService/GetTask",
    "/taskwire.v1.TaskService/%47etTask",
    "/taskwire.v1.TaskService/GetTask%20",
    "/taskwire.v1.TaskService/GetTask%00",
    "/taskwire.v1.taskservice/GetTask",
    "/taskwire.v2.TaskService/GetTask",
    "/TaskService/GetTask",
    "/grpc.channelz.v1.Channelz/GetServers",
    "/etc/passwd",
];

#[test]
fn an_unknown_method_is_refused_with_and_without_a_token() {
    run(async {
        let served = Served::start().await;
        let pair = served.log_in("ada@example.com").await;
        let good = format!("Bearer {}", pair.access_token);
        for path in UNKNOWN {
            assert_eq!(access(path), None, "{path}");
            for header in [None, Some("Bearer nonsense"), Some(good.as_str())] {
                let headers = header.map(|value| ("authorization", value.as_bytes()));
                let status = served.call(path, headers).await.unwrap_err();
                assert_eq!(status.code(), Code::Unimplemented, "{path}: {status:?}");
                let details = status.get_error_details();
                let info = details.error_info().unwrap();
                assert_eq!(info.reason, "METHOD_UNKNOWN", "{path}");
                assert_eq!(info.domain, "taskwire");
            }
        }
    });
}

#[test]
fn every_method_of_the_policy_is_really_there() {
    run(async {
        let served = Served::start().await;
        let pair = served.log_in("ada@example.com").await;
        let good = format!("Bearer {}", pair.access_token);
        let unary = POLICY.iter().map(|(path, _)| *path).filter(|path| {
            !path.ends_with("/Watch") && !path.ends_with("Info") && !path.ends_with("/Logout")
        });
        for path in unary {
            let answer = served.call(path, [("authorization", good.as_bytes())]).await;
            let code = answer.err().map_or(Code::Ok, |status| status.code());
            assert_ne!(code, Code::Unimplemented, "{path}");
            assert_ne!(code, Code::Internal, "{path}");
        }
    });
}
