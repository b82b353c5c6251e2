//! What lies below the messages: bytes that are none, methods that do not exist, headers, and who may call at all.

use std::collections::BTreeSet;

use http::{HeaderMap, Method, Request, StatusCode};
use prost::Message as _;
use taskwire::methods::{Access, Entry, METHODS};
use taskwire::pb;

use super::exports::{large, many};
use super::{Session, alone, listing, titled};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;
use crate::support::server::{TestServer, framed};

both_engines!(
    malformed_messages_are_refused_without_the_decoders_words,
    unknown_fields_are_ignored,
    broken_frames_are_refused,
    a_message_may_have_a_megabyte,
    the_first_call_of_a_connection_may_be_a_large_one,
    unknown_methods_are_unimplemented,
    what_is_not_grpc_is_not_served,
    a_sane_request_id_is_echoed,
    another_request_id_is_replaced,
    every_answer_has_a_request_id,
    without_a_token_nothing_but_the_open_methods_is_served,
    a_token_has_one_form,
);

const CREATE: &str = "/taskwire.v1.TaskService/CreateTask";
const GET_USER: &str = "/taskwire.v1.UserService/GetUser";

/// A call as a gRPC client sends it, with this message.
fn call(path: &str, session: Option<&Session>, message: &[u8]) -> Request<Vec<u8>> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(session) = session {
        let token = format!("Bearer {}", session.pair.access_token);
        request = request.header("authorization", token);
    }
    request.body(framed(message)).unwrap()
}

fn with_header(mut request: Request<Vec<u8>>, name: &'static str, value: &str) -> Request<Vec<u8>> {
    let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
    request.headers_mut().insert(name, value);
    request
}

fn creation(title: &str) -> Vec<u8> {
    let request = pb::CreateTaskRequest {
        parent: "users/me".to_owned(),
        task: Some(titled(title)),
        ..pb::CreateTaskRequest::default()
    };
    request.encode_to_vec()
}

fn request_id(headers: &HeaderMap) -> String {
    let mut values = headers.get_all("x-request-id").iter();
    let id = values.next().expect("no x-request-id").to_str().unwrap();
    assert_eq!(values.next(), None);
    id.to_owned()
}

async fn malformed_messages_are_refused_without_the_decoders_words(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let good = creation("x");
    let mut wrong: Vec<Vec<u8>> = vec![
        // Field 1 as a number, as four bytes, as a group that ends, and with a wire type that does not exist.
        vec![0x08, 0x01],
        vec![0x0D, 0, 0, 0, 0],
        vec![0x0C],
        vec![0x0F],
        // Field 0, a tag and a length without end, a length beyond the end.
        vec![0x02, 0x00],
        vec![0xFF; 11],
        vec![0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
        vec![0x0A, 0x05, b'x'],
        // No UTF-8: a lone byte, a surrogate, an overlong form, beyond the last code point.
        vec![0x0A, 0x01, 0xFF],
        vec![0x0A, 0x03, 0xED, 0xA0, 0x80],
        vec![0x0A, 0x02, 0xC0, 0x80],
        vec![0x0A, 0x04, 0xF4, 0x90, 0x80, 0x80],
        // A task that is none.
        vec![0x12, 0x02, 0x12, 0x05],
        b"{\"parent\": \"users/me\"}".to_vec(),
        // Groups in groups.
        vec![0x1B; 1000],
    ];
    // Every cut that does not happen to leave a shorter message.
    let cuts = (1..good.len()).map(|end| good[..end].to_vec());
    wrong.extend(cuts.filter(|cut| pb::CreateTaskRequest::decode(&cut[..]).is_err()));
    for message in &wrong {
        let refusal = server.raw(call(CREATE, Some(&ada), message)).await.refusal();
        assert_eq!(refusal.reason, "MESSAGE_MALFORMED", "{message:?}");
        assert_eq!(refusal.details, ["ErrorInfo"]);
        assert!(refusal.metadata.is_empty(), "{refusal:?}");
    }
    // The same for a method that anybody may call; and who is calling comes first.
    let login = "/taskwire.v1.UserService/Login";
    let refusal = server.raw(call(login, None, &[0x0A, 0x01, 0xFF])).await.refusal();
    assert_eq!(refusal.reason, "MESSAGE_MALFORMED");
    let refusal = server.raw(call(CREATE, None, &[0x0A, 0x01, 0xFF])).await.refusal();
    assert_eq!(refusal.reason, "TOKEN_MISSING");
    assert_eq!(ada.all(listing()).await, []);
    let answered = server.raw(call(CREATE, Some(&ada), &good)).await;
    assert_eq!(answered.grpc_status(), Some("0"));
}

async fn unknown_fields_are_ignored(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let mut message = creation("x");
    // Field 1000 in each wire type.
    message.extend([0xC0, 0x3E, 0x01]);
    message.extend([0xC1, 0x3E, 0, 0, 0, 0, 0, 0, 0, 0]);
    message.extend([0xC2, 0x3E, 0x02, 0xFF, 0x00]);
    message.extend([0xC5, 0x3E, 0, 0, 0, 0]);
    let answered = server.raw(call(CREATE, Some(&ada), &message)).await;
    assert_eq!(answered.grpc_status(), Some("0"), "{answered:?}");
    // Of a field that stands twice the last one counts (and messages are merged).
    message.extend(creation("y"));
    let answered = server.raw(call(CREATE, Some(&ada), &message)).await;
    assert_eq!(answered.grpc_status(), Some("0"), "{answered:?}");
    let task = pb::Task::decode(&answered.body[5..]).unwrap();
    assert_eq!(task.title, "y");
}

async fn broken_frames_are_refused(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let good = framed(&creation("x"));
    let mut compressed = good.clone();
    compressed[0] = 1;
    let mut unknown_flag = good.clone();
    unknown_flag[0] = 2;
    let mut longer = good.clone();
    longer[4] += 1;
    for body in [
        Vec::new(),
        vec![0],
        vec![0, 0, 0],
        good[..good.len() - 1].to_vec(),
        good[..5].to_vec(),
        compressed,
        unknown_flag,
        longer,
    ] {
        let mut request = call(CREATE, Some(&ada), &[]);
        *request.body_mut() = body.clone();
        let refusal = server.raw(request).await.refusal();
        assert_eq!(refusal.reason, "MESSAGE_MALFORMED", "{body:?}");
    }
    assert_eq!(ada.all(listing()).await, []);
}

async fn a_message_may_have_a_megabyte(database: TestDatabase) {
    const LIMIT: usize = 1024 * 1024;
    let (server, ada) = alone(database).await;
    let sized = |size: usize| {
        // Lengths take a byte more from some size on, so the overhead is that of this very size.
        let overhead = creation(&"x".repeat(size - 100)).len() - (size - 100);
        let message = creation(&"x".repeat(size - overhead));
        assert_eq!(message.len(), size);
        message
    };
    let fits = server.raw(call(CREATE, Some(&ada), &sized(LIMIT))).await.refusal();
    assert_eq!((fits.reason.as_str(), fits.fields()), ("FIELD_INVALID", vec!["task.title"]));
    for size in [LIMIT + 1, 5 * LIMIT] {
        let refusal = server.raw(call(CREATE, Some(&ada), &sized(size))).await.refusal();
        assert_eq!(refusal.reason, "MESSAGE_TOO_LARGE");
        assert_eq!(refusal.code, tonic::Code::ResourceExhausted);
    }
    // A frame that only says that it is large is refused before it is sent.
    let mut request = call(CREATE, Some(&ada), &[]);
    *request.body_mut() = vec![0, 0xFF, 0xFF, 0xFF, 0xFF];
    assert_eq!(server.raw(request).await.refusal().reason, "MESSAGE_TOO_LARGE");
    // The connection goes on.
    ada.create(titled("x")).await.unwrap();
}

/// All of its message may have been read before it is known that there is a call.
async fn the_first_call_of_a_connection_may_be_a_large_one(database: TestDatabase) {
    let server = TestServer::start(database).await;
    for number in 0..12 {
        let somebody = server.register(&format!("user{number}@example.org")).await.narrow(&server).await;
        assert_eq!(many(&somebody, 200, &large()).await.len(), 200);
    }
}

async fn unknown_methods_are_unimplemented(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    for path in [
        "/",
        "/x",
        "/taskwire.v1.TaskService",
        "/taskwire.v1.TaskService/",
        "/taskwire.v1.TaskService/Nonsense",
        "/taskwire.v1.TaskService/createTask",
        "/taskwire.v1.TaskService/CreateTask/",
        "/taskwire.v1.TaskService//CreateTask",
        "//taskwire.v1.TaskService/CreateTask",
        "/taskwire.v1.TaskService/../TaskService/CreateTask",
        "/taskwire.v1.TaskService/Create%54ask",
        "/taskwire.v1.Taskservice/CreateTask",
        "/taskwire.v2.TaskService/CreateTask",
        "/TaskService/CreateTask",
        "/grpc.health.v1.Health/Nonsense",
        "/grpc.reflection.v2.ServerReflection/ServerReflectionInfo",
        "/v1/users/me/tasks",
    ] {
        for session in [None, Some(&ada)] {
            let refusal = server.raw(call(path, session, &creation("x"))).await.refusal();
            assert_eq!(refusal.reason, "METHOD_UNKNOWN", "{path}");
            assert_eq!(refusal.code, tonic::Code::Unimplemented, "{path}");
        }
    }
    assert_eq!(ada.all(listing()).await, []);
}

async fn what_is_not_grpc_is_not_served(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let good = || call(CREATE, Some(&ada), &creation("x"));
    for content_type in [
        "",
        "application/json",
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpcx",
        "application/x-protobuf",
        "text/plain",
        "grpc",
    ] {
        let answered = server.raw(with_header(good(), "content-type", content_type)).await;
        assert_eq!(answered.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
        request_id(&answered.headers);
    }
    let mut bare = good();
    bare.headers_mut().remove("content-type");
    let answered = server.raw(bare).await;
    assert_eq!(answered.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let mut request = good();
        *request.method_mut() = method.clone();
        let answered = server.raw(request).await;
        assert_eq!(answered.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{method}");
    }
    assert_eq!(ada.all(listing()).await, []);
    for content_type in ["application/grpc", "application/grpc+proto", "application/grpc;x=y"] {
        let answered = server.raw(with_header(good(), "content-type", content_type)).await;
        assert_eq!(answered.grpc_status(), Some("0"), "{content_type}");
    }
}

async fn a_sane_request_id_is_echoed(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let longest = "x".repeat(64);
    for id in ["1", "a.b_c-D", "0198c0de-0000-7000-8000-00000000000a", "...", &longest] {
        for (path, session) in [(CREATE, Some(&ada)), (CREATE, None), ("/nonsense", None)] {
            let request = with_header(call(path, session, &creation("x")), "x-request-id", id);
            let answered = server.raw(request).await;
            assert_eq!(request_id(&answered.headers), id);
        }
    }
}

async fn another_request_id_is_replaced(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let long = "x".repeat(65);
    let mut seen = BTreeSet::new();
    for id in ["", " ", "a b", "a/b", "a,b", "{}", "é", "a\tb", "\u{202E}", &long] {
        for (path, session) in [(CREATE, Some(&ada)), (CREATE, None)] {
            let request = with_header(call(path, session, &creation("x")), "x-request-id", id);
            let answered = server.raw(request).await;
            let made = request_id(&answered.headers);
            let uuid: uuid::Uuid = made.parse().unwrap();
            assert_eq!(uuid.get_version_num(), 7, "{made}");
            assert_eq!(made, uuid.hyphenated().to_string());
            assert!(seen.insert(made));
        }
    }
}

async fn every_answer_has_a_request_id(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let mut seen = BTreeSet::new();
    // Answers, refusals, health checks: one each, all different.
    for (path, message, status) in [
        (CREATE, creation("x"), "0"),
        (CREATE, creation(""), "3"),
        (CREATE, vec![0xFF], "3"),
        (GET_USER, b"\x0A\x08users/me".to_vec(), "0"),
        ("/grpc.health.v1.Health/Check", Vec::new(), "0"),
        ("/grpc.health.v1.Health/Check", b"\x0A\x08nonsense".to_vec(), "5"),
        ("/nonsense", Vec::new(), "12"),
    ] {
        let answered = server.raw(call(path, Some(&ada), &message)).await;
        assert_eq!(answered.grpc_status(), Some(status), "{path}");
        assert!(seen.insert(request_id(&answered.headers)), "{path}");
    }
    let answered = server.raw(call(CREATE, None, &creation("x"))).await;
    assert_eq!(answered.grpc_status(), Some("16"));
    assert!(seen.insert(request_id(&answered.headers)));
}

async fn without_a_token_nothing_but_the_open_methods_is_served(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let open = [
        "CreateUser",
        "Login",
        "CompleteLogin",
        "RefreshSession",
        "RequestPasswordReset",
        "ResetPassword",
        "SendVerification",
        "VerifyEmail",
        "ConfirmEmailChange",
    ];
    let ours = METHODS.iter().filter(|method| method.path.starts_with("/taskwire."));
    let mut closed = 0;
    for &Entry { path, access, .. } in ours {
        let method = path.rsplit('/').next().unwrap();
        assert_eq!(access == Access::Anyone, open.contains(&method), "{path}");
        let answered = server.raw(call(path, None, &[0xFF])).await.refusal();
        if access == Access::Anyone {
            assert_eq!(answered.reason, "MESSAGE_MALFORMED", "{path}");
        } else {
            assert_eq!(answered.reason, "TOKEN_MISSING", "{path}");
            assert_eq!(answered.code, tonic::Code::Unauthenticated, "{path}");
            closed += 1;
        }
    }
    assert!(closed >= 9);
    assert_eq!(ada.all(listing()).await, []);
}

async fn a_token_has_one_form(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let me = b"\x0A\x08users/me";
    let token = &ada.pair.access_token;
    let send = async |server: &TestServer, value: &str| {
        let request = with_header(call(GET_USER, None, me), "authorization", value);
        server.raw(request).await
    };
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let answered = send(&server, &format!("{scheme} {token}")).await;
        assert_eq!(answered.grpc_status(), Some("0"), "{scheme}");
    }
    let (start, signature) = token.rsplit_once('.').unwrap();
    for value in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "Bearer x",
        "Bearer ..",
        "Bearer é",
        token,
        &format!("Basic {token}"),
        &format!("Bearer{token}"),
        &format!("Bearer  {token}"),
        &format!("Bearer\t{token}"),
        &format!("Bearer {token}x"),
        &format!("Bearer {token},{token}"),
        &format!("Bearer \"{token}\""),
        &format!("Bearer {start}."),
        &format!("Bearer {start}"),
        &format!("Bearer .{start}.{signature}"),
        &format!("Bearer {}", ada.pair.refresh_token),
        &format!("Bearer {}", "x".repeat(10_000)),
    ] {
        let refusal = send(&server, value).await.refusal();
        assert_eq!(refusal.reason, "TOKEN_INVALID", "{value}");
        assert!(!refusal.message.contains(&token[..20]));
    }
    let mut twice = call(GET_USER, Some(&ada), me);
    let value = twice.headers()["authorization"].clone();
    twice.headers_mut().append("authorization", value);
    assert_eq!(server.raw(twice).await.refusal().reason, "TOKEN_INVALID");
    // A token of another deployment, with another key.
    let other = crate::support::database::TestDatabase::create(
        crate::support::database::Engine::Sqlite,
        crate::support::database::Schema::Migrated,
    );
    let (_other, eve) = alone(other.await.unwrap()).await;
    let answered = server.raw(call(GET_USER, Some(&eve), me)).await;
    let refusal: Result<(), _> = Err(answered.refusal());
    refusal.refused("TOKEN_INVALID");
}
