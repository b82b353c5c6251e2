//! What the crates of the workspace bring along.

use std::collections::BTreeSet;
use std::process::Command;

use super::root;

/// The crates that a program builds which depends on this one.
fn tree(of: &str) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .args(["--package", of])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn a_program_with_the_client_builds_neither_a_database_nor_the_server() {
    const OF_THE_SERVICE: [&str; 10] = [
        "argon2",
        "axum",
        "clap",
        "diesel",
        "diesel-async",
        "jsonwebtoken",
        "libsqlite3-sys",
        "mimalloc",
        "taskwire",
        "tokio-postgres",
    ];
    let service = tree("taskwire");
    let missing: Vec<_> = OF_THE_SERVICE.iter().filter(|name| !service.contains(**name)).collect();
    assert!(missing.is_empty(), "the service does without {missing:?}, so that this test shows nothing");
    let client = tree("taskwire-client");
    assert!(client.contains("taskwire-proto") && client.contains("tonic"), "{client:?}");
    let surplus: Vec<_> = OF_THE_SERVICE.iter().filter(|name| client.contains(**name)).collect();
    assert!(surplus.is_empty(), "the client brings along {surplus:?}");
    assert!(client.len() < service.len() / 2, "{} of {}", client.len(), service.len());
}
