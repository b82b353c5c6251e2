//! How long texts may be, counted in code points, and what is read back at the limit.

use taskwire::pb;

use super::{Session, alone, texts, titled};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::{Answer, Refused as _};
use crate::support::server::{PASSWORD, answer};

both_engines!(
    titles_have_at_most_200_code_points,
    descriptions_have_at_most_1000_code_points,
    labels_have_at_most_50_code_points_and_are_at_most_20,
    names_of_people_and_devices_have_at_most_100_code_points,
    emails_have_at_most_254_code_points,
);

/// Characters of one to four bytes, and one that is a mark on the one before it.
const CHARACTERS: [&str; 5] = ["a", "é", "中", "😀", "\u{301}"];

/// Writes a task twice: anew, and over another.
async fn written(session: &Session, task: pb::Task) -> Answer<pb::Task> {
    let created = session.create(task.clone()).await;
    let other = session.create(titled("other")).await.unwrap();
    let update = pb::Task { name: other.name.clone(), ..task };
    let updated = session.update(update, &[]).await;
    match (&created, &updated) {
        (Ok(created), Ok(updated)) => {
            assert_eq!(session.get(&created.name).await.unwrap(), *created);
            assert_eq!(session.get(&updated.name).await.unwrap(), *updated);
            assert_eq!(created.title, updated.title);
            assert_eq!(created.description, updated.description);
            assert_eq!(created.labels, updated.labels);
        }
        (Err(created), Err(updated)) => {
            assert_eq!(created, updated);
            assert_eq!(session.get(&other.name).await.unwrap(), other);
        }
        other => panic!("creating and updating differ: {other:?}"),
    }
    created
}

async fn titles_have_at_most_200_code_points(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for character in CHARACTERS {
        for count in [1, 199, 200] {
            let title = character.repeat(count);
            let task = written(&ada, titled(&title)).await.unwrap();
            assert_eq!(task.title, title);
        }
        for count in [201, 4000] {
            let task = titled(&character.repeat(count));
            written(&ada, task).await.refused_at("FIELD_INVALID", &["task.title"]);
        }
    }
    // What is trimmed does not count.
    let title = format!("{0}{1}{0}", " ".repeat(500), "x".repeat(200));
    assert_eq!(written(&ada, titled(&title)).await.unwrap().title, "x".repeat(200));
    let title = format!("x{}x", " ".repeat(199));
    written(&ada, titled(&title)).await.refused_at("FIELD_INVALID", &["task.title"]);
}

async fn descriptions_have_at_most_1000_code_points(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let described = |text: String| pb::Task { description: Some(text), ..titled("x") };
    for character in CHARACTERS.into_iter().chain(["\n", "\t", " "]) {
        for count in [0, 1, 1000] {
            let text = character.repeat(count);
            let task = written(&ada, described(text.clone())).await.unwrap();
            assert_eq!(task.description, Some(text));
        }
        for count in [1001, 20_000] {
            written(&ada, described(character.repeat(count)))
                .await
                .refused_at("FIELD_INVALID", &["task.description"]);
        }
    }
    let absent = ada.create(titled("x")).await.unwrap();
    assert_eq!(absent.description, None);
    assert_eq!(ada.get(&absent.name).await.unwrap().description, None);
}

async fn labels_have_at_most_50_code_points_and_are_at_most_20(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let labelled = |labels: Vec<String>| pb::Task { labels, ..titled("x") };
    for character in CHARACTERS {
        for count in [1, 50] {
            let labels = vec![character.repeat(count)];
            let task = written(&ada, labelled(labels.clone())).await.unwrap();
            assert_eq!(task.labels, labels);
        }
        written(&ada, labelled(vec!["a".to_owned(), character.repeat(51)]))
            .await
            .refused_at("FIELD_INVALID", &["task.labels"]);
    }
    written(&ada, labelled(texts(&["a", ""]))).await.refused_at("FIELD_INVALID", &["task.labels"]);

    let numbered = |count: usize| (0..count).map(|number| format!("label {number}"));
    let twenty: Vec<String> = numbered(20).collect();
    let task = written(&ada, labelled(twenty.clone())).await.unwrap();
    assert_eq!(task.labels, twenty);
    let repeated: Vec<String> = numbered(20).rev().flat_map(|label| vec![label; 30]).collect();
    let task = written(&ada, labelled(repeated)).await.unwrap();
    assert_eq!(task.labels, numbered(20).rev().collect::<Vec<_>>());
    for count in [21, 60_000] {
        written(&ada, labelled(numbered(count).collect()))
            .await
            .refused_at("FIELD_INVALID", &["task.labels"]);
    }
}

async fn names_of_people_and_devices_have_at_most_100_code_points(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    for (number, character) in CHARACTERS.into_iter().enumerate() {
        for count in [0, 1, 100, 101] {
            let text = character.repeat(count);
            let user = pb::User {
                email: format!("{number}.{count}@example.com"),
                display_name: text.clone(),
                ..pb::User::default()
            };
            let request = pb::CreateUserRequest {
                user: Some(user),
                password: PASSWORD.to_owned(),
                ..pb::CreateUserRequest::default()
            };
            let created = answer(server.anonymous().create_user(request).await);
            let user = pb::User { name: ada.user.clone(), display_name: text.clone(), ..pb::User::default() };
            let updated = ada.update_account(user, &["display_name"]).await;
            let request = pb::LoginRequest {
                email: ada.email.clone(),
                password: PASSWORD.to_owned(),
                device: text.clone(),
                ..pb::LoginRequest::default()
            };
            let opened = answer(server.anonymous().login(request).await);
            if count > 100 {
                created.refused_at("FIELD_INVALID", &["user.display_name"]);
                updated.refused_at("FIELD_INVALID", &["user.display_name"]);
                opened.refused_at("FIELD_INVALID", &["device"]);
            } else {
                assert_eq!(created.unwrap().display_name, text);
                assert_eq!(updated.unwrap().display_name, text);
                assert_eq!(ada.me().await.display_name, text);
                assert_eq!(opened.unwrap().session.unwrap().device, text);
            }
        }
    }
}

async fn emails_have_at_most_254_code_points(database: TestDatabase) {
    let (server, _ada) = alone(database).await;
    for character in ["a", "中", "😀"] {
        let email = |count: usize| format!("{}@example.com", character.repeat(count - 12));
        server.sign_up(&email(255), PASSWORD).await.refused_at("FIELD_INVALID", &["user.email"]);
        let user = server.sign_up(&email(254), PASSWORD).await.unwrap();
        assert_eq!(user.email, email(254));
        server.log_in(&email(254), PASSWORD).await.unwrap();
        server.sign_up(&email(254), PASSWORD).await.refused("USER_ALREADY_EXISTS");
    }
}
