//! The file in which logins are kept: for its owner alone, whole at every moment, and one for all services.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt};

use super::{EMAIL, PASSWORD, World, at_home};
use crate::support::database::TestDatabase;
use crate::support::one_engine;
use crate::support::process::{Running, Sandbox};

one_engine!(Sqlite: only_its_owner_reads_it, a_file_that_others_can_read_is_refused, a_broken_file_is_named);
one_engine!(Sqlite: services_are_kept_apart, the_directory_is_the_users_own);

async fn only_its_owner_reads_it(database: TestDatabase) {
    let world = World::new(database, &[]).await;
    // A mask that takes nothing away, so that the modes are what the program asks for.
    let mut command =
        at_home(world.sandbox.shell(r#"umask 000; exec "$0" "$@""#), &world.sandbox, &world.address());
    command.args(["register", EMAIL, "--password-file", &world.sandbox.write("password", PASSWORD)]);
    let ended = Running::spawn(command).end();
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    let directory = world.credentials().parent().unwrap().to_owned();
    assert_eq!(mode(&directory), 0o700);
    let mut names: Vec<_> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert_eq!(names, [world.credentials(), directory.join("credentials.lock")]);
    assert!(names.iter().all(|path| mode(path) == 0o600), "{names:?}");
    // A command that changes the file leaves it so, whatever a crash has left behind.
    std::fs::write(directory.join("credentials.json.new"), "half").unwrap();
    std::fs::set_permissions(directory.join("credentials.json.new"), PermissionsExt::from_mode(0o644))
        .unwrap();
    let again = world.typed(&["login", EMAIL], PASSWORD);
    assert_eq!(again.status, Some(0), "{}", again.stderr);
    assert_eq!(mode(&world.credentials()), 0o600);
    assert!(!world.kept().to_string().contains(PASSWORD));
}

async fn a_file_that_others_can_read_is_refused(database: TestDatabase) {
    let world = World::start(database).await;
    for mode in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(world.credentials(), PermissionsExt::from_mode(mode)).unwrap();
        for arguments in [&["whoami"][..], &["login", EMAIL], &["logout"]] {
            let ended = world.typed(arguments, PASSWORD);
            assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{arguments:?}");
            assert!(ended.stderr.contains("chmod 600"), "{}", ended.stderr);
        }
    }
    std::fs::set_permissions(world.credentials(), PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(world.run(["whoami"]).status, Some(0));
}

async fn a_broken_file_is_named(database: TestDatabase) {
    let world = World::start(database).await;
    let text = std::fs::read_to_string(world.credentials()).unwrap();
    std::fs::write(world.credentials(), &text[..text.len() / 2]).unwrap();
    let ended = world.run(["whoami"]);
    assert_eq!(ended.status, Some(1));
    for part in ["credentials.json", "line ", "log in again"] {
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("eyJ"), "a token is told: {}", ended.stderr);
}

async fn services_are_kept_apart(database: TestDatabase) {
    let world = World::start(database).await;
    let other = Sandbox::new();
    let second = other.serve(&[]);
    let address = format!("http://{}", second.address);
    let named = ["--address", &address];
    assert_eq!(world.run([&["task", "list"], &named[..]].concat()).status, Some(1));
    let bob = world.typed(&[&["register", "bob@example.com"], &named[..]].concat(), PASSWORD);
    assert_eq!(bob.status, Some(0), "{}", bob.stderr);
    world.add("Of Ada");
    assert_eq!(world.run([&["task", "add", "Of Bob"], &named[..]].concat()).status, Some(0));
    assert_eq!(world.titles(&[]), ["Of Ada"]);
    assert_eq!(world.titles(&named), ["Of Bob"]);

    // Without an address it is the service of the last login; the same address can be written in two ways.
    let run = |arguments: &[&str]| {
        let mut command = world.command();
        command.env_remove("TASKWIRE_ADDRESS").args(arguments);
        Running::spawn(command).end()
    };
    assert!(run(&["task", "list"]).stdout.contains("Of Bob"));
    let bare = second.address.to_string();
    assert!(run(&["task", "list", "--address", &bare]).stdout.contains("Of Bob"));
    assert_eq!(run(&["logout"]).status, Some(0));
    assert_eq!(world.titles(&[]), ["Of Ada"], "the other login is gone as well");
    // Not the one that happens to be left: a command must not go where nobody meant it to.
    let nobody = run(&["whoami"]);
    assert!(nobody.stderr.contains("nobody is logged in to http://127.0.0.1:50051"), "{}", nobody.stderr);
    assert_eq!(second.stop().status, Some(0));
}

async fn the_directory_is_the_users_own(database: TestDatabase) {
    let world = World::new(database, &[]).await;
    let password = world.sandbox.write("password", PASSWORD);
    let register = |email: &str, config: &str| {
        let mut command = world.command();
        command.args(["register", email, "--password-file", &password]).env("XDG_CONFIG_HOME", config);
        Running::spawn(command).end()
    };
    let config = world.sandbox.text("config");
    assert_eq!(register(EMAIL, &config).status, Some(0));
    assert!(world.sandbox.path("config/taskwire/credentials.json").is_file());
    assert!(!world.credentials().exists());
    // One that is relative means nothing, says the convention.
    assert_eq!(register("bob@example.com", "relative").status, Some(0));
    assert!(world.credentials().is_file());
    assert!(!world.sandbox.path("relative").exists());
    let mut command = world.command();
    command.arg("whoami").env_remove("HOME");
    let homeless = Running::spawn(command).end();
    assert_eq!(homeless.status, Some(1));
    assert!(homeless.stderr.contains("XDG_CONFIG_HOME"), "{}", homeless.stderr);
}
