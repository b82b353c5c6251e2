//! Nobody says who they are but by a token.

use taskwire::pb::{GetUserRequest, LoginRequest};
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use super::served::{PASSWORD, Served, run};
use super::{Missing, guarded, verdict};

/// Metadata with which gateways name the caller, none of which this service believes.
const NAMES: [&str; 12] = [
    "x-user-id",
    "x-user",
    "x-role",
    "x-principal",
    "x-authenticated-user",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-for",
    "x-forwarded-client-cert",
    "x-real-ip",
    "x-goog-authenticated-user-id",
    "principal",
];

/// A request that claims to come from somebody, in every way.
fn claiming<T>(message: T, somebody: &str) -> Request<T> {
    let mut request = Request::new(message);
    for name in NAMES {
        request.metadata_mut().insert(name, somebody.parse().unwrap());
    }
    request
}

#[test]
fn metadata_names_no_caller() {
    run(async {
        let served = Served::start().await;
        let ada = served.log_in("ada@example.com").await.user.unwrap();
        let id = ada.name.strip_prefix("users/").unwrap().as_bytes();
        for name in NAMES {
            for path in guarded() {
                let answer = served.call(path, [(name, id)]).await;
                assert_eq!(verdict(name, &answer), Missing, "{name} at {path}");
            }
        }
    });
}

#[test]
fn metadata_changes_no_caller() {
    run(async {
        let served = Served::start().await;
        let ada = served.log_in("ada@example.com").await;
        let bob = served.log_in("bob@example.com").await;
        let (ada, bob_user) = (ada.user.unwrap(), bob.user.unwrap());
        let bearer = format!("Bearer {}", bob.access_token);
        for somebody in [ada.name.as_str(), ada.name.strip_prefix("users/").unwrap(), "admin"] {
            let mut me = claiming(GetUserRequest { name: "users/me".into() }, somebody);
            me.metadata_mut().insert("authorization", bearer.parse().unwrap());
            let found = served.users().get_user(me).await.unwrap().into_inner();
            assert_eq!(found.name, bob_user.name);

            let mut hers = claiming(GetUserRequest { name: ada.name.clone() }, somebody);
            hers.metadata_mut().insert("authorization", bearer.parse().unwrap());
            let status = served.users().get_user(hers).await.unwrap_err();
            assert_eq!(status.code(), Code::PermissionDenied);
            let details = status.get_error_details();
            assert_eq!(details.error_info().unwrap().reason, "PARENT_ACCESS_DENIED");
        }
    });
}

#[test]
fn the_address_of_a_session_is_the_peers() {
    run(async {
        let served = Served::start().await;
        served.log_in("ada@example.com").await;
        let login = LoginRequest {
            email: "ada@example.com".into(),
            password: PASSWORD.into(),
            device: String::new(),
        };
        let request = claiming(login, "203.0.113.7");
        let pair = served.users().login(request).await.unwrap().into_inner();
        let peer = pair.session.unwrap().peer;
        assert!(peer.starts_with("127.0.0.1"), "{peer}");
    });
}
