//! The keys of a service: in a backup only when asked for, and only for who knows the passphrase.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;

use taskwire::pb::ListTasksRequest;

use super::{block_on, done, refused, somebody};
use crate::process::authorised;
use crate::support::process::Sandbox;

const URL: &str = "sqlite:here/tasks.db";
const THERE: &str = "sqlite:there/tasks.db";

/// What a backup holds, without compression.
fn plain(sandbox: &Sandbox, file: &str) -> Vec<u8> {
    let bytes = std::fs::read(sandbox.path(file)).unwrap();
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut plain = Vec::new();
    zstd::stream::read::Decoder::new(&bytes[at..bytes.len() - 32]).unwrap().read_to_end(&mut plain).unwrap();
    plain
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn keys_are_in_it_only_when_asked_and_open_only_with_the_passphrase() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve(&["--data-dir", "here", "--database-url", URL]);
    let pair = block_on(async {
        let pair = somebody(&service, "ada@example.com", 3).await;
        // Makes the key of page tokens.
        let list =
            ListTasksRequest { parent: "users/me".into(), page_size: 1, ..ListTasksRequest::default() };
        service.tasks().await.list_tasks(authorised(list, &pair)).await.unwrap();
        pair
    });
    service.stop();
    let here = ["--data-dir", "here"];
    done(&sandbox, URL, &[&["backup", "without"][..], &here].concat());
    sandbox.write("passphrase", "correct horse battery\nnot this line\n");
    sandbox.write("wrong", "correct horse batterx\n");
    sandbox.write("short", "elevenchars\n");
    let with = |file| ["--include-keys", "--passphrase-file", file];
    let told = done(&sandbox, URL, &[&["backup", "with"][..], &here, &with("passphrase")].concat());
    assert!(told.contains(", and the keys"), "{told}");

    let signing = std::fs::read_to_string(sandbox.path("here/signing-key.pem")).unwrap();
    let sealing = std::fs::read_to_string(sandbox.path("here/secrets.key")).unwrap();
    for file in ["without", "with"] {
        let plain = plain(&sandbox, file);
        assert!(holds(&plain, "Tàsk 1".as_bytes()), "the scan finds nothing");
        let body = signing.lines().nth(1).unwrap();
        for secret in [body, sealing.trim(), "correct horse", "page_token", "service_secrets"] {
            assert!(!holds(&plain, secret.as_bytes()), "{file} holds {secret}");
        }
    }

    // What is wrong is said before anything is done.
    let usage = |arguments: &[&str], words: &str| {
        let ended = sandbox.run(arguments);
        assert_eq!(ended.status, Some(64), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{arguments:?}: {}", ended.stderr);
        assert!(!sandbox.path("not").exists());
    };
    usage(&["backup", "not", "--include-keys", "--passphrase-file", "short"], "at least 12 characters");
    usage(
        &["backup", "not", "--include-keys", "--passphrase-file", "none"],
        "TASKWIRE_BACKUP_PASSPHRASE_FILE",
    );
    usage(&["backup", "not", "--include-keys"], "there is no terminal to ask on");
    usage(&["backup", "not", "--passphrase-file", "passphrase"], "--include-keys");
    let verify =
        |file, keys| sandbox.run(["backup", "--verify", file, "--include-keys", "--passphrase-file", keys]);
    assert_eq!(verify("with", "passphrase").status, Some(0));
    assert_eq!(verify("with", "wrong").status, Some(1));
    assert!(verify("without", "passphrase").stderr.contains("without holds no keys"));

    let there = ["--data-dir", "there"];
    let restore = |file, keys| [&["restore", file][..], &there, &with(keys)].concat();
    refused(&sandbox, THERE, &restore("with", "wrong"), "with holds keys that this passphrase does not open");
    refused(&sandbox, THERE, &restore("without", "passphrase"), "without holds no keys");
    assert!(!sandbox.path("there").exists());
    std::fs::create_dir(sandbox.path("there")).unwrap();
    sandbox.write("there/signing-key.pem", "another one");
    refused(&sandbox, THERE, &restore("with", "passphrase"), "holds other keys than the backup");
    std::fs::remove_file(sandbox.path("there/signing-key.pem")).unwrap();

    done(&sandbox, THERE, &restore("with", "passphrase"));
    for (file, text) in [("there/signing-key.pem", &signing), ("there/secrets.key", &sealing)] {
        assert_eq!(&std::fs::read_to_string(sandbox.path(file)).unwrap(), text);
        assert_eq!(std::fs::metadata(sandbox.path(file)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // The access token of before is still good.
    let service = sandbox.serve(&["--data-dir", "there", "--database-url", THERE]);
    block_on(async {
        let listed = service
            .tasks()
            .await
            .list_tasks(authorised(
                ListTasksRequest { parent: "users/me".into(), ..ListTasksRequest::default() },
                &pair,
            ))
            .await;
        assert_eq!(listed.unwrap().into_inner().tasks.len(), 3);
    });
}

#[test]
fn keys_that_are_not_asked_for_stay_in_the_backup() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve(&["--data-dir", "here", "--database-url", URL]);
    block_on(async { somebody(&service, "ada@example.com", 1).await });
    service.stop();
    let passphrase = sandbox.write("passphrase", "correct horse battery");
    let mut backup = sandbox.command();
    backup.args(["backup", "with", "--include-keys", "--data-dir", "here", "--database-url", URL]);
    let ended = backup.env("TASKWIRE_BACKUP_PASSPHRASE_FILE", &passphrase).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let ended = sandbox.run(["restore", "with", "--data-dir", "there", "--database-url", THERE]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("the keys in it were left there"), "{}", ended.stderr);
    assert!(!sandbox.path("there/signing-key.pem").exists());
    // A variable of backups is none that the service would not know.
    let mut check = sandbox.command();
    check.args(["config", "check"]).env("TASKWIRE_BACKUP_PASSPHRASE_FILE", &passphrase);
    assert!(check.output().unwrap().status.success());
}
