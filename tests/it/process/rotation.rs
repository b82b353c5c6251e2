//! Signing keys of a running service: rotated by command, read again on a signal and when the file changes, retired.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::os::unix::fs::PermissionsExt as _;

use taskwire::pb::{GetUserRequest, RefreshSessionRequest, TokenPair};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{authorised, log_in};
use crate::auth::served::run;
use crate::support::process::{Ended, Sandbox, Service};

const KEY: [&str; 2] = ["--signing-key-file", "key.pem"];
const READ_AGAIN: &str = "read the signing keys again";

fn keys(sandbox: &Sandbox, arguments: &[&str]) -> Ended {
    sandbox.run(["keys"].iter().chain(arguments).chain(&KEY))
}

/// Id and state of each key, as `keys list` and `keys rotate` tell them.
fn told(ended: &Ended) -> Vec<(String, String)> {
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let words = ended.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.map(|words| (words[0].to_owned(), words[1].to_owned())).collect()
}

fn states(ended: &Ended) -> Vec<String> {
    told(ended).into_iter().map(|(_, state)| state).collect()
}

fn kid(pair: &TokenPair) -> String {
    let header = pair.access_token.split('.').next().unwrap();
    let header: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

async fn refreshed(service: &Service, pair: &TokenPair) -> TokenPair {
    let request = RefreshSessionRequest { refresh_token: pair.refresh_token.clone(), ..Default::default() };
    service.users().await.refresh_session(request).await.unwrap().into_inner()
}

async fn probe(service: &Service, pair: &TokenPair) -> Result<(), Status> {
    let request = authorised(GetUserRequest { name: "users/me".into() }, pair);
    service.users().await.get_user(request).await.map(drop)
}

#[test]
fn keys_are_rotated_without_a_restart_and_retired_ones_end() {
    run(async {
        let sandbox = Sandbox::new();
        assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
        let first = told(&keys(&sandbox, &["list"]));
        assert_eq!((first.len(), first[0].1.as_str()), (1, "active"));
        let mut service = sandbox.serve(&KEY);
        let old = log_in(&service).await;
        assert_eq!(kid(&old), first[0].0);

        // By signal: the new key signs, the old one still verifies.
        let rotated = told(&keys(&sandbox, &["rotate", "--lead-seconds", "0"]));
        let states_of: Vec<&str> = rotated.iter().map(|(_, state)| state.as_str()).collect();
        assert_eq!(states_of, ["retired", "active"]);
        assert_eq!(rotated[0].0, first[0].0);
        assert_eq!(rotated, told(&keys(&sandbox, &["list"])));
        let mode = std::fs::metadata(sandbox.path("key.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        service.running.signal("HUP");
        service.running.wait_for(READ_AGAIN);
        let new = refreshed(&service, &old).await;
        assert_eq!(kid(&new), rotated[1].0);
        probe(&service, &old).await.unwrap();
        probe(&service, &new).await.unwrap();

        // By itself, as the file has changed; a key whose time has not come signs nothing.
        assert_eq!(
            states(&keys(&sandbox, &["rotate", "--lead-seconds", "3600"])),
            ["retired", "active", "next"]
        );
        service.running.wait_for(READ_AGAIN);
        let newer = refreshed(&service, &new).await;
        assert_eq!(kid(&newer), rotated[1].0);

        // Its successor took over long ago: the first key has ended, and with it what it signed.
        let text = std::fs::read_to_string(sandbox.path("key.pem")).unwrap();
        let line = text.lines().find(|line| line.starts_with("# active-from: ")).unwrap();
        let seconds: i64 = line["# active-from: ".len()..].parse().unwrap();
        sandbox.write("key.pem", &text.replace(line, &format!("# active-from: {}", seconds - 7200)));
        assert_eq!(states(&keys(&sandbox, &["list"])), ["expired", "active", "next"]);
        service.running.signal("HUP");
        service.running.wait_for(READ_AGAIN);
        let refused = probe(&service, &old).await.unwrap_err();
        assert_eq!(refused.get_error_details().error_info().unwrap().reason, "TOKEN_INVALID");
        probe(&service, &newer).await.unwrap();
        // The next rotation drops it.
        assert_eq!(keys(&sandbox, &["rotate"]).stdout.lines().count(), 3);
        let dropped = text.lines().find(|line| !line.starts_with(['#', '-'])).unwrap();
        assert!(!std::fs::read_to_string(sandbox.path("key.pem")).unwrap().contains(dropped));

        // What cannot be read changes nothing.
        sandbox.write("key.pem", "no key");
        service.running.signal("HUP");
        service.running.wait_for("the signing keys cannot be read");
        probe(&service, &newer).await.unwrap();
        for command in ["rotate", "list"] {
            let ended = keys(&sandbox, &[command]);
            assert_eq!(ended.status, Some(64), "{command}: {}", ended.stderr);
            assert!(ended.complaints()[0].contains("TASKWIRE_SIGNING_KEY_FILE"), "{}", ended.stderr);
        }
        assert_eq!(std::fs::read_to_string(sandbox.path("key.pem")).unwrap(), "no key");
        assert_eq!(service.stop().status, Some(0));
    });
}

#[test]
fn a_weak_shared_secret_is_refused_at_start() {
    let sandbox = Sandbox::new();
    let issuers = serde_json::json!([
        {"issuer": "gateway", "audience": "taskwire", "hs256_secret_file": sandbox.text("shared")}
    ]);
    sandbox.write("issuers.json", &issuers.to_string());
    let arguments = ["--trusted-issuers-file", "issuers.json"];
    for weak in ["", "canary-7c11-thirty-one-bytes-lo", &"c".repeat(64)] {
        sandbox.write("shared", weak);
        for command in [vec!["serve", "--listen", "127.0.0.1:0"], vec!["config", "check"]] {
            let ended = sandbox.run(command.iter().chain(&arguments));
            assert_eq!(ended.status, Some(64), "{weak:?}: {}", ended.stderr);
            assert_eq!(ended.complaints().len(), 1, "{weak:?}: {}", ended.stderr);
            for word in ["TASKWIRE_TRUSTED_ISSUERS_FILE", "issuers[0].hs256_secret_file", "32"] {
                assert!(ended.complaints()[0].contains(word), "{weak:?}: {}", ended.stderr);
            }
            assert!(!ended.stderr.contains("canary") && !ended.stderr.contains("cccc"), "{}", ended.stderr);
        }
    }
    sandbox.write("shared", "canary-7c11-thirty-two-bytes-lon");
    assert_eq!(sandbox.run(["config", "check"].iter().chain(&arguments)).status, Some(0));
}
