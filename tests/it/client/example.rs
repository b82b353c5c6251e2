//! `examples/rust`, as a reader runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::process::Sandbox;

both_engines!(it_runs_to_its_end_and_again);

/// What it prints, line by line, as the other examples do.
const STEPS: [&str; 7] = [
    "registered",
    "created three",
    "listed 3 in pages of two",
    "watched Straße fegen being completed",
    "completed, and due again on 2030-01-10",
    "in Garden: Plant a tree, - Dig a hole",
    "told by its reason: TASK_NOT_FOUND",
];

/// The example. `cargo test` builds it beside the tests, `cargo test --test it` does not, so cargo is asked here.
fn example() -> &'static Path {
    static EXAMPLE: OnceLock<PathBuf> = OnceLock::new();
    EXAMPLE.get_or_init(|| {
        let tests = std::env::current_exe().unwrap();
        let directory = tests.parent().and_then(Path::parent).unwrap();
        let profile = match directory.file_name().unwrap().to_str().unwrap() {
            "debug" => "dev",
            profile => profile,
        };
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--example", "session", "--profile", profile, "--target-dir"])
            .arg(directory.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        directory.join("examples/session")
    })
}

async fn it_runs_to_its_end_and_again(database: TestDatabase) {
    let sandbox = Sandbox::new();
    let made = sandbox.run(["keys", "generate", "--out", "key.pem"]);
    assert_eq!(made.status, Some(0), "{}", made.stderr);
    let service = sandbox.serve(&["--database-url", &database.url, "--signing-key-file", "key.pem"]);
    let run = || {
        let ran = Command::new(example())
            .env("TASKWIRE", format!("http://{}", service.address))
            .env("TASKWIRE_EMAIL", "ada@example.com")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{stderr}");
        String::from_utf8(ran.stdout).unwrap()
    };
    let printed = run();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), STEPS.len(), "{printed}");
    for (line, step) in lines.iter().zip(STEPS) {
        assert!(line.contains(step), "{line:?} is not {step:?}");
    }
    let again = run();
    assert!(again.contains("known already") && again.contains("listed 10"), "{again}");
    assert_eq!(service.stop().status, Some(0));
}
