//! Register, log in, log out, and who is logged in.

use super::{EMAIL, PASSWORD, World};
use crate::support::database::TestDatabase;
use crate::support::{both_engines, one_engine, totp_now};

both_engines!(the_first_minutes);
one_engine!(Sqlite: a_wrong_password_says_what_to_do, an_account_that_cannot_be_made_names_the_rule);
one_engine!(Sqlite: a_second_factor, a_service_account_is_made_beside_the_service);
one_engine!(Sqlite: a_session_that_was_ended_elsewhere, a_password_from_a_file, a_key_for_programs);

async fn the_first_minutes(database: TestDatabase) {
    let world = World::new(database, &[]).await;
    let nobody = world.run(["whoami"]);
    assert_eq!(nobody.status, Some(1));
    for command in ["taskwire login --address", "taskwire register --address", &world.address()] {
        assert!(nobody.complaints()[0].contains(command), "{}", nobody.stderr);
    }

    let made = world.typed(&["register", EMAIL, "--display-name", "Ada L", "--table"], PASSWORD);
    assert_eq!((made.status, made.stderr.as_str()), (Some(0), ""));
    assert_eq!(made.stdout, format!("Registered and logged in to {} as {EMAIL}\n", world.address()));
    assert_eq!(world.told(&["whoami"]), format!("{EMAIL} (Ada L) on {}\n", world.address()));

    assert_eq!(world.told(&["task", "add", "Buy", "milk"])[..6], *"Added ");
    assert!(world.told(&["task", "list"]).contains("Buy milk"));

    assert_eq!(world.told(&["logout"]), format!("Logged out of {} as {EMAIL}\n", world.address()));
    assert_eq!(world.run(["task", "list"]).status, Some(1));
    assert_eq!(world.run(["logout"]).status, Some(1));
    let again = world.typed(&["login", EMAIL], &format!("{PASSWORD}\nthe second line is not read\n"));
    assert_eq!(again.status, Some(0), "{}", again.stderr);
    let user: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&user["email"], &user["role"]), (&EMAIL.into(), &"ROLE_USER".into()));
    assert_eq!(world.titles(&[]), ["Buy milk"]);
}

async fn a_wrong_password_says_what_to_do(database: TestDatabase) {
    let world = World::start(database).await;
    let before = world.kept();
    let ended = world.typed(&["login", EMAIL], "canary-wrong-horse");
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""));
    assert_eq!(ended.complaints().len(), 1, "{}", ended.stderr);
    for part in ["CREDENTIALS_INVALID", "taskwire register"] {
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("canary"), "{}", ended.stderr);
    assert_eq!(world.kept(), before, "a login that failed has changed the one that was there");

    let empty = world.typed(&["login", EMAIL], "");
    assert_eq!(empty.status, Some(64), "{}", empty.stderr);
    let whose = world.typed(&["login"], PASSWORD);
    assert_eq!(whose.status, Some(64), "{}", whose.stderr);
    assert!(whose.stderr.contains("EMAIL"), "{}", whose.stderr);
    // A password is no argument: others can see those.
    assert_eq!(world.run(["login", EMAIL, PASSWORD]).status, Some(64));
    assert_eq!(world.run(["login", EMAIL, "--password", PASSWORD]).status, Some(64));
}

async fn an_account_that_cannot_be_made_names_the_rule(database: TestDatabase) {
    let world = World::start(database).await;
    for (email, password, status, part) in [
        ("bob@example.com", "canary7", 64, "password"),
        ("bob@example.com", "bob@example.com", 64, "password"),
        ("nobody", PASSWORD, 64, "user.email"),
        (EMAIL, PASSWORD, 1, "taskwire login"),
    ] {
        let ended = world.typed(&["register", email], password);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(status), ""), "{}", ended.stderr);
        assert_eq!(ended.complaints().len(), 1, "{}", ended.stderr);
        assert!(ended.stderr.contains(part) && !ended.stderr.contains("canary"), "{}", ended.stderr);
    }
}

async fn a_session_that_was_ended_elsewhere(database: TestDatabase) {
    let world = World::start(database).await;
    let kept = std::fs::read(world.credentials()).unwrap();
    assert_eq!(world.run(["logout"]).status, Some(0));
    // As on a second machine with the same session.
    std::fs::write(world.credentials(), kept).unwrap();
    let ended = world.run(["task", "list"]);
    assert_eq!(ended.status, Some(1));
    for part in ["SESSION_REVOKED", "log in again", "taskwire login"] {
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
    // It has been forgotten, as it is good for nothing.
    let after = world.run(["task", "list"]);
    assert!(after.stderr.contains("nobody is logged in"), "{}", after.stderr);
}

async fn a_password_from_a_file(database: TestDatabase) {
    let world = World::new(database, &[]).await;
    let file = world.sandbox.write("password", &format!("{PASSWORD}\r\nmore\n"));
    assert_eq!(world.run(["register", EMAIL, "--password-file", &file]).status, Some(0));
    assert_eq!(world.typed(&["login", EMAIL, "--password-file", "-"], PASSWORD).status, Some(0));
    let none = world.run(["login", EMAIL, "--password-file", "none"]);
    assert_eq!(none.status, Some(64));
    assert!(none.stderr.contains("--password-file: none: "), "{}", none.stderr);
}

async fn a_key_for_programs(database: TestDatabase) {
    use taskwire::pb::{ApiKey, CreateApiKeyRequest};

    let world = World::start(database).await;
    let token = world.session()["access_token"].as_str().unwrap().to_owned();
    let key =
        ApiKey { display_name: "script".into(), scopes: vec!["tasks.read".into()], ..ApiKey::default() };
    let mut request =
        tonic::Request::new(CreateApiKeyRequest { parent: "users/me".into(), api_key: Some(key) });
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let secret = world.service.users().await.create_api_key(request).await.unwrap().into_inner().secret;
    world.add("Buy milk");
    assert_eq!(world.run(["logout"]).status, Some(0));

    let run = |arguments: &[&str], secret: &str| {
        let mut command = world.command();
        // A program has no home.
        command.args(arguments).env("TASKWIRE_API_KEY", secret).env_remove("HOME");
        crate::support::process::Running::spawn(command).end()
    };
    let listed = run(&["task", "list"], &secret);
    assert_eq!((listed.status, listed.stdout.contains("Buy milk")), (Some(0), true), "{}", listed.stderr);
    let refused = run(&["task", "add", "Water the plants"], &secret);
    assert_eq!(refused.status, Some(1));
    for part in ["SCOPE_INSUFFICIENT", "TASKWIRE_API_KEY"] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    let unknown = run(&["task", "list"], "twk_canary");
    assert_eq!(unknown.status, Some(1));
    assert!(
        unknown.stderr.contains("TASKWIRE_API_KEY") && !unknown.stderr.contains("canary"),
        "{}",
        unknown.stderr
    );
    assert!(
        !world.sandbox.path("home/.config/taskwire/credentials.json").exists()
            || !world.kept().to_string().contains("twk_")
    );
}

async fn a_second_factor(database: TestDatabase) {
    let world = World::start(database).await;
    let begun = world.answer(&["totp", "enable"]);
    let secret = begun["secret"].as_str().unwrap();
    assert!(
        begun["otpauthUri"].as_str().or(begun["otpauth_uri"].as_str()).unwrap().starts_with("otpauth://")
    );
    let wrong = world.run(["totp", "confirm", "12345"]);
    assert_eq!(wrong.status, Some(1));
    assert!(wrong.stderr.contains("CODE_INVALID"), "{}", wrong.stderr);
    let told = world.told(&["totp", "confirm", &totp_now(secret, 0)]);
    let codes: Vec<&str> = told.lines().filter(|line| line.matches('-').count() == 3).collect();
    assert_eq!(codes.len(), 10, "{told}");
    assert_eq!(world.run(["logout"]).status, Some(0));

    // A script says what it has; without it, it is told what is missing.
    let without = world.typed(&["login", EMAIL], PASSWORD);
    assert_eq!((without.status, without.stdout.as_str()), (Some(1), ""));
    assert!(
        without.stderr.contains("MFA_REQUIRED") && without.stderr.contains("--code"),
        "{}",
        without.stderr
    );
    assert!(!without.stderr.contains("twc_"), "{}", without.stderr);
    // The next step is good already, and newer than the one that is spent.
    let login = world.typed(&["login", EMAIL, "--code", &totp_now(secret, 1)], PASSWORD);
    assert_eq!(login.status, Some(0), "{}", login.stderr);
    assert_eq!(world.typed(&["login", EMAIL, "--code", codes[0]], PASSWORD).status, Some(0));
    let again = world.typed(&["login", EMAIL, "--code", codes[0]], PASSWORD);
    assert_eq!(again.status, Some(1), "{}", again.stderr);
    let new = world.answer(&["totp", "codes"]);
    assert_eq!(new.as_object().unwrap().values().next().unwrap().as_array().unwrap().len(), 10);
    assert!(world.told(&["totp", "disable"]).contains("gone"));
    assert_eq!(world.typed(&["login", EMAIL], PASSWORD).status, Some(0));
    let none = world.run(["totp", "disable"]);
    assert!(none.stderr.contains("TOTP_NOT_ENABLED"), "{}", none.stderr);
}

async fn a_service_account_is_made_beside_the_service(database: TestDatabase) {
    use taskwire::client::Client;

    let world = World::start(database).await;
    let place = ["--database-url", &world.database.url, "--signing-key-file", "key.pem"];
    let make = |arguments: &[&str]| {
        world.sandbox.run(["user", "service-account"].iter().chain(arguments).chain(&place))
    };
    let made =
        make(&["--email", "s@example.com", "--display-name", "reports", "--scope", "users.impersonate"]);
    assert_eq!((made.status, made.stderr.as_str()), (Some(0), ""));
    let [name, secret] = made.stdout.lines().collect::<Vec<_>>()[..] else { panic!("{}", made.stdout) };
    assert!(name.starts_with("users/") && secret.starts_with("twk_"), "{}", made.stdout);
    // As a program would use it.
    let ada = world.answer(&["whoami"])["name"].as_str().unwrap().to_owned();
    let client = Client::builder(world.address()).api_key(secret).connect().await.unwrap();
    let exchanged = client.exchange_token(&ada, &["tasks.read"]).await.unwrap();
    assert_eq!(
        (exchanged.scopes, exchanged.token_type),
        (vec!["tasks.read".to_owned()], "Bearer".to_owned())
    );
    let other = make(&["--email", "t@example.com"]);
    assert_eq!((other.status, other.stdout.lines().count()), (Some(0), 1), "{}", other.stderr);
    assert_eq!(make(&["--email", "t@example.com"]).status, Some(1));
    for wrong in
        [["--email", "none", "--scope", "tasks.read"], ["--email", "u@example.com", "--scope", "all"]]
    {
        let ended = make(&wrong);
        assert_eq!((ended.status, ended.complaints().len()), (Some(64), 1), "{}", ended.stderr);
    }
}
