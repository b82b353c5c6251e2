//! Keys: made, never overwritten, and refused when they are not what or where they should be.

use std::os::unix::fs::PermissionsExt;

use super::databases::{as_refs, settings};
use crate::support::database::TestDatabase;
use crate::support::one_engine;
use crate::support::process::Sandbox;
use crate::support::spool::SETTINGS;

one_engine!(Postgres: addresses_that_have_to_be_verified_need_a_key_for_the_mail);

#[test]
fn a_key_on_standard_output_is_pem() {
    let sandbox = Sandbox::new();
    let ended = sandbox.run(["keys", "generate"]);
    assert_eq!(ended.status, Some(0));
    assert!(ended.stdout.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{}", ended.stdout);
    assert!(ended.stdout.ends_with("-----END PRIVATE KEY-----\n"), "{}", ended.stdout);
    assert_eq!(ended.stderr, "");
    taskwire::auth::SigningKey::from_pem(ended.stdout.as_bytes(), "stdout").unwrap();
    let again = sandbox.run(["keys", "generate"]);
    assert_ne!(ended.stdout, again.stdout);
}

#[test]
fn a_key_file_is_for_its_owner_alone_and_is_never_overwritten() {
    let sandbox = Sandbox::new();
    let arguments = ["keys", "generate", "--out", "key.pem"];
    let mut command = sandbox.shell(r#"umask 0; exec "$0" "$@""#);
    let made = command.args(arguments).output().unwrap();
    assert!(made.status.success());
    assert!(made.stdout.is_empty(), "the key stands on standard output as well");
    let file = sandbox.path("key.pem");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&file).unwrap();
    taskwire::auth::KeyRing::load(&file).unwrap();

    let ended = sandbox.run(arguments);
    assert_eq!(ended.status, Some(1));
    assert_eq!(ended.complaints().len(), 1, "{}", ended.stderr);
    assert!(ended.complaints()[0].contains("key.pem"), "{}", ended.stderr);
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let nowhere = sandbox.run(["keys", "generate", "--out", "no/such/directory/key.pem"]);
    assert_eq!(nowhere.status, Some(1));
}

/// Starts with a key file that will not do; answers the one complaint.
fn refused(sandbox: &Sandbox, file: &str) -> String {
    let ended = sandbox.run(["serve", "--listen", "127.0.0.1:0", "--signing-key-file", file]);
    assert_eq!(ended.status, Some(64), "{file}: {}", ended.stderr);
    let complaints = ended.complaints();
    assert_eq!(complaints.len(), 1, "{file}: {}", ended.stderr);
    assert!(complaints[0].contains("TASKWIRE_SIGNING_KEY_FILE"), "{file}: {}", ended.stderr);
    assert!(complaints[0].contains(file), "{file}: {}", ended.stderr);
    complaints[0].to_owned()
}

#[test]
fn a_key_file_that_cannot_be_read_is_named() {
    let sandbox = Sandbox::new();
    refused(&sandbox, "missing.pem");
    std::fs::create_dir(sandbox.path("directory")).unwrap();
    std::fs::set_permissions(sandbox.path("directory"), PermissionsExt::from_mode(0o700)).unwrap();
    refused(&sandbox, "directory");
    // It is not made, as it was named: all replicas must share one.
    assert!(!sandbox.path("missing.pem").exists());
}

#[test]
fn a_key_file_that_everybody_can_read_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.run(["keys", "generate", "--out", "key.pem"]);
    for mode in [0o644, 0o604, 0o602, 0o666, 0o777, 0o601] {
        std::fs::set_permissions(sandbox.path("key.pem"), PermissionsExt::from_mode(mode)).unwrap();
        let complaint = refused(&sandbox, "key.pem");
        assert!(complaint.contains("chmod 600 key.pem"), "{complaint}");
    }
    // A group may read it, as with secrets that a cluster mounts.
    for mode in [0o600, 0o400, 0o640] {
        std::fs::set_permissions(sandbox.path("key.pem"), PermissionsExt::from_mode(mode)).unwrap();
        let ended = sandbox.serve(&["--signing-key-file", "key.pem"]).stop();
        assert_eq!(ended.status, Some(0), "{mode:o}");
    }
}

#[test]
fn a_malformed_key_is_refused_without_a_word_of_it() {
    // A P-256 key, which is a good key but not of this kind.
    const OTHER: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\
        OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\
        1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G";
    let sandbox = Sandbox::new();
    let good = sandbox.run(["keys", "generate"]).stdout;
    let cut = good.replace("MC4CAQ", "");
    let public = good.replace("PRIVATE", "PUBLIC");
    let other = format!("-----BEGIN PRIVATE KEY-----\n{OTHER}\n-----END PRIVATE KEY-----\n");
    let unended = good.replace("-----END PRIVATE KEY-----\n", "");
    for text in ["", "canary-key", &cut, &public, &other, &unended, "-----BEGIN PRIVATE KEY-----\n"] {
        sandbox.write("key.pem", text);
        let complaint = refused(&sandbox, "key.pem");
        assert!(complaint.contains("taskwire keys generate"), "{complaint}");
        assert!(!complaint.contains("canary"), "{complaint}");
        let body = text.lines().nth(1).filter(|line| line.len() > 20);
        assert!(body.is_none_or(|body| !complaint.contains(body)), "{complaint}");
    }
}

#[test]
fn keys_of_secrets_are_made_for_the_embedded_database_and_guarded_as_signing_keys_are() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.serve(&[]).stop().status, Some(0));
    let file = sandbox.path("taskwire-data/secrets.key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let made = std::fs::read_to_string(&file).unwrap();
    taskwire::auth::SecretsKeys::parse(&made, "made").unwrap();
    assert_eq!(sandbox.serve(&[]).stop().status, Some(0));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), made, "it is made once");

    let refused = |file: &str| {
        let ended = sandbox.run(["serve", "--listen", "127.0.0.1:0", "--secrets-key-file", file]);
        assert_eq!((ended.status, ended.complaints().len()), (Some(64), 1), "{file}: {}", ended.stderr);
        let complaint = ended.complaints()[0].to_owned();
        let named = complaint.contains("TASKWIRE_SECRETS_KEY_FILE (--secrets-key-file)");
        assert!(named && complaint.contains(file), "{complaint}");
        complaint
    };
    refused("missing.key");
    assert!(!sandbox.path("missing.key").exists());
    sandbox.write("broken.key", "canary");
    std::fs::set_permissions(sandbox.path("broken.key"), PermissionsExt::from_mode(0o600)).unwrap();
    let complaint = refused("broken.key");
    assert!(complaint.contains("generate-secrets-key") && !complaint.contains("canary"), "{complaint}");

    let arguments = ["keys", "generate-secrets-key", "--out", "own.key"];
    assert_eq!(sandbox.run(arguments).status, Some(0));
    assert_eq!(sandbox.run(arguments).status, Some(1), "a file is never overwritten");
    let mode = std::fs::metadata(sandbox.path("own.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::set_permissions(sandbox.path("own.key"), PermissionsExt::from_mode(0o644)).unwrap();
    assert!(refused("own.key").contains("chmod 600 own.key"));
    let printed = sandbox.run(["keys", "generate-secrets-key"]).stdout;
    taskwire::auth::SecretsKeys::parse(&printed, "stdout").unwrap();
}

#[test]
fn keys_of_secrets_are_read_again() {
    let sandbox = Sandbox::new();
    sandbox.run(["keys", "generate-secrets-key", "--out", "own.key"]);
    let mut service = sandbox.serve(&["--secrets-key-file", "own.key"]);
    let old = std::fs::read_to_string(sandbox.path("own.key")).unwrap();
    let new = sandbox.run(["keys", "generate-secrets-key"]).stdout;
    sandbox.write("own.key", &format!("{old}{new}"));
    service.running.signal("HUP");
    service.running.wait_for("read the keys that seal secrets again");
    sandbox.write("own.key", "no key");
    service.running.signal("HUP");
    service.running.wait_for("the keys that seal secrets cannot be read");
    assert_eq!(service.stop().status, Some(0));
}

async fn addresses_that_have_to_be_verified_need_a_key_for_the_mail(database: TestDatabase) {
    let sandbox = Sandbox::new();
    let settings = settings(&sandbox, &database);
    let required = [&as_refs(&settings)[..], &SETTINGS, &["--email-verification", "required"]].concat();
    // Nobody could come in.
    let ended = sandbox.run(["serve", "--listen", "127.0.0.1:0"].iter().chain(&required));
    assert_eq!((ended.status, ended.complaints().len()), (Some(64), 1), "{}", ended.stderr);
    for part in ["TASKWIRE_EMAIL_VERIFICATION", "TASKWIRE_SECRETS_KEY_FILE"] {
        assert!(ended.complaints()[0].contains(part), "{}", ended.stderr);
    }
    assert_eq!(sandbox.run(["keys", "generate-secrets-key", "--out", "own.key"]).status, Some(0));
    let with_key = [&required[..], &["--secrets-key-file", "own.key"]].concat();
    assert_eq!(sandbox.serve(&with_key).stop().status, Some(0));
}
