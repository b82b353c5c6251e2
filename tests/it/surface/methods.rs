//! The methods that are served and the list of methods: each has the other, and nothing else is served.

use std::collections::BTreeSet;

use taskwire::methods::{Access, Answer, Class, METHODS, Method};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::descriptors;
use crate::auth::served::{Served, run};

#[test]
fn every_method_has_one_entry() {
    let methods = descriptors::methods();
    let listed: Vec<String> = METHODS.iter().map(|method| method.path.to_owned()).collect();
    let distinct: BTreeSet<&String> = listed.iter().collect();
    assert_eq!(distinct.len(), listed.len(), "a method is listed twice");
    let served: BTreeSet<&String> = methods.keys().collect();
    let missing: Vec<_> = served.difference(&distinct).collect();
    let surplus: Vec<_> = distinct.difference(&served).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "without an entry: {missing:?}; without a method: {surplus:?}"
    );
}

/// A stream that were listed as a single answer would go on after its caller is shut out.
#[test]
fn streams_are_what_the_contract_says() {
    for (path, method) in descriptors::methods() {
        let streams = method.server_streaming();
        assert_eq!(Method::of(&path).may_last(), streams, "{path}");
        assert_eq!(Method::of(&path).ends_when_shut_out(), streams, "{path}");
    }
}

#[test]
fn these_methods_wait_behind_single_calls_or_never() {
    let classes = METHODS.iter().filter(|method| method.class != Class::Interactive);
    let classes: Vec<(&str, Class)> =
        classes.map(|method| (method.path.rsplit_once('.').unwrap().1, method.class)).collect();
    assert_eq!(
        classes,
        [
            ("TaskService/ListTasks", Class::Batch),
            ("TaskService/BatchGetTasks", Class::Batch),
            ("TaskService/BatchCreateTasks", Class::Batch),
            ("TaskService/BatchUpdateTasks", Class::Batch),
            ("TaskService/BatchDeleteTasks", Class::Batch),
            ("TaskService/ImportTasks", Class::Batch),
            ("TaskService/GetCalendar", Class::Batch),
            ("TaskService/CountTasks", Class::Batch),
            ("TaskService/ListTaskChanges", Class::Batch),
            ("TaskService/UndoChanges", Class::Batch),
            ("TaskService/ListTaskRevisions", Class::Batch),
            ("TaskService/ListTaskLists", Class::Batch),
            ("TaskService/DeleteTaskList", Class::Batch),
            ("TaskService/UndeleteTaskList", Class::Batch),
            ("UserService/ExportUserData", Class::Batch),
            ("Health/Check", Class::Always),
            ("Health/Watch", Class::Always),
            ("ServerReflection/ServerReflectionInfo", Class::Always),
            ("ServerReflection/ServerReflectionInfo", Class::Always),
        ]
    );
}

#[test]
fn only_these_methods_need_no_token() {
    let open: Vec<&str> =
        METHODS.iter().filter(|method| method.access == Access::Anyone).map(|method| method.path).collect();
    assert_eq!(
        open,
        [
            "/taskwire.v1.UserService/CreateUser",
            "/taskwire.v1.UserService/Login",
            "/taskwire.v1.UserService/CompleteLogin",
            "/taskwire.v1.UserService/RefreshSession",
            "/taskwire.v1.UserService/RequestPasswordReset",
            "/taskwire.v1.UserService/ResetPassword",
            "/taskwire.v1.UserService/SendVerification",
            "/taskwire.v1.UserService/VerifyEmail",
            "/taskwire.v1.UserService/ConfirmEmailChange",
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
            assert_eq!(Method::of(path).access(), None, "{path}");
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
fn every_method_of_the_list_is_really_there() {
    run(async {
        let served = Served::start().await;
        let pair = served.log_in("ada@example.com").await;
        let good = format!("Bearer {}", pair.access_token);
        let unary = METHODS
            .iter()
            .filter(|method| method.answer == Answer::Single && !method.path.ends_with("/Logout"))
            .map(|method| method.path);
        for path in unary {
            let answer = served.call(path, [("authorization", good.as_bytes())]).await;
            let code = answer.err().map_or(Code::Ok, |status| status.code());
            assert_ne!(code, Code::Unimplemented, "{path}");
            assert_ne!(code, Code::Internal, "{path}");
        }
    });
}
