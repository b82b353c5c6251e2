//! Resource names: one spelling each, and no way around it.

use taskwire::pb;

use super::{NO_TASK, alone, listing, titled};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;

both_engines!(parents_have_one_spelling, task_names_have_one_spelling);

const ID: &str = "0198c0de-0000-7000-8000-00000000000a";

/// What is no UUID as names spell them.
fn wrong_ids() -> Vec<String> {
    let mut wrong = vec![
        ID.replace('-', ""),
        format!("{{{ID}}}"),
        format!("urn:uuid:{ID}"),
        format!("{ID}0"),
        format!(" {ID}"),
        format!("{ID} "),
        format!("{ID}/"),
        format!("{ID}\0"),
        format!("{ID}?x=1"),
        format!("{ID}#x"),
        ID[1..].to_owned(),
        ID.replace('a', "g"),
        ID.replace('-', "_"),
        ID.replacen('0', "０", 1),
        ID.replacen('-', "\u{2010}", 1),
        ID.replace("7000-8000", "70008-000"),
    ];
    let short = [
        "", "-", "*", ".", "..", "0", "-1", "Me", "ME", "me ", "me\0", "m\u{435}", "null", "%", "'", "a/b",
        "../me", "%2e%2e", "me%2f",
    ];
    wrong.extend(short.map(str::to_owned));
    wrong
}

async fn parents_have_one_spelling(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let mut wrong: Vec<String> = wrong_ids().iter().map(|id| format!("users/{id}")).collect();
    let whole = [
        "",
        "me",
        "users",
        "/",
        "/users/me",
        "//users/me",
        "users//me",
        "users/me/",
        "users/me/tasks",
        "Users/me",
        "user/me",
        "users\\me",
        "users%2fme",
        "tasks/../users/me",
        "users/../users/me",
        "//taskwire.example.com/users/me",
        "https://taskwire.example.com/v1/users/me",
        " users/me",
        "users/me\n",
    ];
    wrong.extend(whole.map(str::to_owned));
    wrong.push(ada.user.replace("users/", ""));
    for parent in wrong {
        let created = ada.create_below(&parent, titled("x")).await;
        created.refused_at("FIELD_INVALID", &["parent"]);
        let request = pb::ListTasksRequest { parent: parent.clone(), ..listing() };
        ada.list(request).await.refused_at("FIELD_INVALID", &["parent"]);
        ada.account(&parent).await.refused_at("FIELD_INVALID", &["name"]);
        let user = pb::User { name: parent, display_name: "x".to_owned(), ..pb::User::default() };
        ada.update_account(user, &[]).await.refused_at("FIELD_INVALID", &["user.name"]);
    }
    assert_eq!(ada.all(listing()).await, []);
}

async fn task_names_have_one_spelling(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let mut wrong: Vec<String> = wrong_ids()
        .iter()
        .flat_map(|id| [format!("users/me/tasks/{id}"), format!("users/{id}/tasks/{ID}")])
        .collect();
    wrong.push("users/me/tasks/me".to_owned());
    let whole = [
        "{name}/",
        "/{name}",
        "{name}/tasks/{id}",
        "{name}:undelete",
        "{name}@1",
        "users/me//tasks/{id}",
        "users/me/tasks//{id}",
        "users/me/task/{id}",
        "users/me/Tasks/{id}",
        "users/me/tasks%2f{id}",
        "users/me/tasks/../tasks/{id}",
        "users/me/tasks/./{id}",
        "users/me/sessions/{id}",
        "users/me/{id}",
        "tasks/{id}",
        "{id}",
        "me/tasks/{id}",
        "users//tasks/{id}",
        "users/me/tasks",
        "users/me",
        "",
    ];
    wrong.extend(whole.map(|form| form.replace("{name}", NO_TASK).replace("{id}", ID)));
    for name in wrong {
        ada.get(&name).await.refused_at("FIELD_INVALID", &["name"]);
        for allow_missing in [false, true] {
            let deleted = ada.delete_with(&name, "", allow_missing).await;
            deleted.refused_at("FIELD_INVALID", &["name"]);
        }
        ada.undelete(&name).await.refused_at("FIELD_INVALID", &["name"]);
        let update = pb::Task { name, ..titled("x") };
        ada.update(update, &[]).await.refused_at("FIELD_INVALID", &["task.name"]);
    }
}
