//! Lists of tasks: made, read, changed, put away and taken back, and the tasks in them.

use taskwire::pb;
use taskwire::pb::delete_task_list_request::Tasks;

use super::{NOBODY, Session, alone, filtered, listing, mask, ordered, titled, titles};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::{Answer, Refused as _};
use crate::support::server::{TestServer, answer};

both_engines!(
    a_list_is_made_read_changed_and_listed,
    lists_come_page_by_page_in_their_order,
    a_task_is_in_a_list_or_in_none,
    tasks_are_found_by_their_list,
    a_list_takes_its_tasks_along_and_brings_just_those_back,
    tasks_can_be_kept,
    what_comes_back_without_its_list_comes_back_alone,
    what_is_wrong_is_said,
    nobody_reaches_the_lists_of_others,
    so_many_lists_and_no_more,
);

pub(super) const NO_LIST: &str = "users/me/taskLists/0198c0de-0000-7000-8000-00000000000a";

/// A list with this title.
fn list(title: &str) -> pb::TaskList {
    pb::TaskList { title: title.to_owned(), ..pb::TaskList::default() }
}

impl Session {
    pub(super) async fn create_list(&self, title: &str) -> Answer<pb::TaskList> {
        let request = pb::CreateTaskListRequest {
            parent: "users/me".to_owned(),
            task_list: Some(list(title)),
            ..pb::CreateTaskListRequest::default()
        };
        answer(self.tasks().create_task_list(request).await)
    }

    pub(super) async fn get_list(&self, name: &str) -> Answer<pb::TaskList> {
        let request = pb::GetTaskListRequest { name: name.to_owned() };
        answer(self.tasks().get_task_list(request).await)
    }

    async fn update_list(&self, list: pb::TaskList, paths: &[&str]) -> Answer<pb::TaskList> {
        let request = pb::UpdateTaskListRequest {
            task_list: Some(list),
            update_mask: mask(paths),
            ..pb::UpdateTaskListRequest::default()
        };
        answer(self.tasks().update_task_list(request).await)
    }

    async fn delete_list(&self, name: &str, tasks: Tasks) -> Answer<pb::TaskList> {
        let request = pb::DeleteTaskListRequest {
            name: name.to_owned(),
            tasks: tasks.into(),
            ..pb::DeleteTaskListRequest::default()
        };
        answer(self.tasks().delete_task_list(request).await)
    }

    async fn undelete_list(&self, name: &str) -> Answer<pb::TaskList> {
        let request = pb::UndeleteTaskListRequest { name: name.to_owned(), ..Default::default() };
        answer(self.tasks().undelete_task_list(request).await)
    }

    async fn lists(&self, show_deleted: bool) -> Vec<pb::TaskList> {
        let request = pb::ListTaskListsRequest {
            parent: "users/me".to_owned(),
            page_size: 500,
            show_deleted,
            ..pb::ListTaskListsRequest::default()
        };
        answer(self.tasks().list_task_lists(request).await).unwrap().task_lists
    }
}

/// A task in this list.
pub(super) fn in_list(title: &str, list: &str) -> pb::Task {
    pb::Task { task_list: list.to_owned(), ..titled(title) }
}

async fn a_list_is_made_read_changed_and_listed(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let made = ada.create_list("  Groceries ").await.unwrap();
    let me = ada.me().await.name;
    assert!(made.name.starts_with(&format!("{me}/taskLists/")), "{}", made.name);
    assert_eq!((made.title.as_str(), made.revision), ("Groceries", 1));
    assert_eq!((&made.create_time, &made.delete_time, &made.purge_time), (&made.update_time, &None, &None));
    assert!(!made.position.is_empty() && !made.etag.is_empty());
    assert_eq!(ada.get_list(&made.name).await.unwrap(), made);
    // Its name may be spelled with the caller in it.
    assert_eq!(ada.get_list(&made.name.replace(&me, "users/me")).await.unwrap(), made);

    server.clock.advance(super::seconds(1));
    let renamed = ada.update_list(pb::TaskList { title: "Shopping".into(), ..made.clone() }, &[]).await;
    let renamed = renamed.unwrap();
    assert_eq!((renamed.title.as_str(), renamed.revision), ("Shopping", 2));
    assert_eq!(renamed.position, made.position);
    assert_ne!(renamed.etag, made.etag);
    // The same again is no change; what the service sets may be named and is left alone.
    let same = pb::TaskList { position: "zzz".into(), ..renamed.clone() };
    assert_eq!(ada.update_list(same, &["title", "position"]).await.unwrap(), renamed);
    let stale = pb::TaskList { title: "Other".into(), etag: made.etag, ..renamed.clone() };
    let refusal = ada.update_list(stale, &["title"]).await.unwrap_err();
    assert_eq!(
        (refusal.reason.as_str(), refusal.metadata["current_etag"].as_str()),
        ("ETAG_MISMATCH", renamed.etag.as_str())
    );
    assert_eq!(ada.lists(false).await, [renamed]);
}

async fn lists_come_page_by_page_in_their_order(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let mut made = Vec::new();
    for title in ["one", "two", "three", "four", "five"] {
        made.push(ada.create_list(title).await.unwrap());
    }
    ada.delete_list(&made[1].name, Tasks::Unspecified).await.unwrap();
    let mut request = pb::ListTaskListsRequest {
        parent: "users/me".to_owned(),
        page_size: 2,
        ..pb::ListTaskListsRequest::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = answer(ada.tasks().list_task_lists(request.clone()).await).unwrap();
        seen.extend(page.task_lists.into_iter().map(|list| list.title));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen, ["one", "three", "four", "five"]);
    let mut other = pb::ListTaskListsRequest { show_deleted: true, ..request.clone() };
    let refusal = answer(ada.tasks().list_task_lists(other.clone()).await).unwrap_err();
    assert_eq!(refusal.reason, "PAGE_TOKEN_MISMATCH");
    other.page_token = "made up".to_owned();
    let refusal = answer(ada.tasks().list_task_lists(other).await).unwrap_err();
    assert_eq!(refusal.reason, "PAGE_TOKEN_INVALID");
    assert_eq!(ada.lists(true).await.len(), 5);
}

async fn a_task_is_in_a_list_or_in_none(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let (one, two) = (ada.create_list("one").await.unwrap(), ada.create_list("two").await.unwrap());
    let made = ada.create(in_list("a", &one.name)).await.unwrap();
    assert_eq!(made.task_list, one.name);
    let behind = ada.create(in_list("b", &one.name)).await.unwrap();
    assert!(made.position < behind.position);
    let me = ada.me().await.name;
    let moved = pb::Task { name: made.name.clone(), ..in_list("", &two.name.replace(&me, "users/me")) };
    let moved = ada.update(moved, &["task_list"]).await.unwrap();
    assert_eq!((&moved.task_list, moved.title.as_str()), (&two.name, "a"));
    assert!(moved.position > behind.position, "it comes behind everything");
    let out = pb::Task { name: made.name.clone(), ..pb::Task::default() };
    let out = ada.update(out, &["task_list"]).await.unwrap();
    assert_eq!(out.task_list, "");
    assert_eq!(ada.get(&made.name).await.unwrap(), out);
    // A position is not for callers to set.
    let set = pb::Task { name: made.name.clone(), position: "a".into(), ..pb::Task::default() };
    assert_eq!(ada.update(set, &["position"]).await.unwrap(), out);
    let given = pb::Task { position: "zzzz".into(), ..titled("c") };
    assert_ne!(ada.create(given).await.unwrap().position, "zzzz");
}

async fn tasks_are_found_by_their_list(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let (one, two) = (ada.create_list("one").await.unwrap(), ada.create_list("two").await.unwrap());
    for (title, list) in [("a", &one.name), ("b", &two.name), ("c", &one.name)] {
        ada.create(in_list(title, list)).await.unwrap();
    }
    ada.create(titled("d")).await.unwrap();
    let me = ada.me().await.name;
    let of_me = one.name.replace(&me, "users/me");
    for (filter, expected) in [
        (format!("task_list = \"{}\"", one.name), vec!["a", "c"]),
        (format!("task_list = {of_me}"), vec!["a", "c"]),
        (format!("task_list != {of_me}"), vec!["b", "d"]),
        (format!("NOT task_list = {of_me} AND task_list:*"), vec!["b"]),
        ("task_list = \"\"".to_owned(), vec!["d"]),
        ("task_list != \"\"".to_owned(), vec!["a", "b", "c"]),
        (format!("task_list = {of_me} OR task_list = \"{}\"", two.name), vec!["a", "b", "c"]),
        (format!("task_list = {NO_LIST}"), vec![]),
        // Somebody else's list of the same id is another one.
        (format!("task_list = {}", of_me.replace("users/me", NOBODY)), vec![]),
    ] {
        let request = pb::ListTasksRequest { order_by: "title".into(), ..filtered(&filter) };
        assert_eq!(titles(&ada.all(request).await), expected, "{filter}");
        let count = pb::CountTasksRequest {
            parent: "users/me".into(),
            filter: filter.clone(),
            ..pb::CountTasksRequest::default()
        };
        let count = answer(ada.tasks().count_tasks(count).await).unwrap();
        assert_eq!(usize::try_from(count.total).unwrap(), expected.len(), "{filter}");
    }
    for wrong in ["task_list = groceries", "task_list < \"\"", "task_list = users/me/tasks/x", "task_list:x"]
    {
        assert_eq!(ada.list(filtered(wrong)).await.unwrap_err().reason, "FILTER_INVALID", "{wrong}");
    }
    assert_eq!(titles(&ada.all(ordered("position")).await), ["a", "b", "c", "d"]);
    assert_eq!(titles(&ada.all(ordered("position desc")).await), ["d", "c", "b", "a"]);
}

async fn a_list_takes_its_tasks_along_and_brings_just_those_back(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let list = ada.create_list("list").await.unwrap();
    let mut tasks = Vec::new();
    for title in ["gone before", "a", "b", "moved out", "deleted again"] {
        tasks.push(ada.create(in_list(title, &list.name)).await.unwrap());
    }
    ada.delete(&tasks[0].name).await.unwrap();
    let out = pb::Task { name: tasks[3].name.clone(), ..pb::Task::default() };
    ada.update(out, &["task_list"]).await.unwrap();
    let deleted = ada.delete_list(&list.name, Tasks::Delete).await.unwrap();
    assert!(deleted.delete_time.is_some() && deleted.purge_time.is_some());
    assert_eq!(ada.get_list(&list.name).await.unwrap(), deleted);
    assert!(ada.lists(false).await.is_empty());
    assert_eq!(titles(&ada.all(listing()).await), ["moved out"]);
    let a = ada.get(&tasks[1].name).await.unwrap();
    assert_eq!((&a.task_list, a.delete_time), (&list.name, deleted.delete_time));
    // The list and its three tasks, one after the other.
    assert_eq!((deleted.revision, a.revision), (9, 10));
    // One comes back by itself, and goes again by itself.
    ada.undelete(&tasks[4].name).await.unwrap();
    ada.delete(&tasks[4].name).await.unwrap();

    let back = ada.undelete_list(&list.name).await.unwrap();
    assert_eq!((back.delete_time, back.purge_time, &back.title), (None, None, &list.title));
    let filter = format!("task_list = \"{}\"", list.name);
    let request = pb::ListTasksRequest { order_by: "position".into(), ..filtered(&filter) };
    assert_eq!(titles(&ada.all(request).await), ["a", "b"]);
    assert_eq!(ada.get(&tasks[1].name).await.unwrap().position, tasks[1].position);
}

async fn tasks_can_be_kept(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let list = ada.create_list("list").await.unwrap();
    let kept = ada.create(in_list("kept", &list.name)).await.unwrap();
    let gone = ada.create(in_list("gone", &list.name)).await.unwrap();
    ada.delete(&gone.name).await.unwrap();
    ada.delete_list(&list.name, Tasks::Keep).await.unwrap();
    let kept = ada.get(&kept.name).await.unwrap();
    assert_eq!((kept.task_list.as_str(), kept.delete_time), ("", None));
    ada.undelete_list(&list.name).await.unwrap();
    assert_eq!(ada.get(&kept.name).await.unwrap(), kept, "it is out of it for good");
}

async fn what_comes_back_without_its_list_comes_back_alone(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let list = ada.create_list("list").await.unwrap();
    let task = ada.create(in_list("a", &list.name)).await.unwrap();
    ada.delete_list(&list.name, Tasks::Delete).await.unwrap();
    let back = ada.undelete(&task.name).await.unwrap();
    assert_eq!((back.task_list.as_str(), back.delete_time), ("", None));
    ada.undelete_list(&list.name).await.unwrap();
    assert_eq!(ada.get(&task.name).await.unwrap(), back);
    // With its list there, it comes back into it.
    let other = ada.create(in_list("b", &list.name)).await.unwrap();
    ada.delete(&other.name).await.unwrap();
    assert_eq!(ada.undelete(&other.name).await.unwrap().task_list, list.name);
}

async fn what_is_wrong_is_said(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    ada.create_list(" ").await.refused_at("FIELD_INVALID", &["task_list.title"]);
    ada.get_list("users/me/lists/x").await.refused_at("FIELD_INVALID", &["name"]);
    let request = pb::CreateTaskListRequest {
        parent: "users/me".to_owned(),
        task_list_id: "x".to_owned(),
        request_id: "y".to_owned(),
        ..pb::CreateTaskListRequest::default()
    };
    let all = ["request_id", "task_list_id", "task_list"];
    answer(ada.tasks().create_task_list(request).await).refused_at("FIELD_INVALID", &all);
    assert_eq!(ada.get_list(NO_LIST).await.unwrap_err().reason, "TASK_LIST_NOT_FOUND");
    let named = pb::TaskList { name: NO_LIST.to_owned(), ..list("x") };
    assert_eq!(ada.update_list(named, &[]).await.unwrap_err().reason, "TASK_LIST_NOT_FOUND");
    assert_eq!(ada.delete_list(NO_LIST, Tasks::Keep).await.unwrap_err().reason, "TASK_LIST_NOT_FOUND");
    assert_eq!(ada.undelete_list(NO_LIST).await.unwrap_err().reason, "TASK_LIST_NOT_FOUND");
    let unknown = pb::DeleteTaskListRequest { name: NO_LIST.to_owned(), tasks: 7, ..Default::default() };
    answer(ada.tasks().delete_task_list(unknown).await).refused_at("FIELD_INVALID", &["tasks"]);
    let missing =
        pb::DeleteTaskListRequest { name: NO_LIST.to_owned(), allow_missing: true, ..Default::default() };
    let missing = answer(ada.tasks().delete_task_list(missing).await).unwrap();
    assert_eq!(missing, pb::TaskList::default());

    let list = ada.create_list("list").await.unwrap();
    assert_eq!(ada.undelete_list(&list.name).await.unwrap_err().reason, "TASK_LIST_NOT_DELETED");
    let id = list.name.rsplit('/').next().unwrap().to_owned();
    let again = pb::CreateTaskListRequest {
        parent: "users/me".to_owned(),
        task_list: Some(self::list("again")),
        task_list_id: id,
        ..pb::CreateTaskListRequest::default()
    };
    let again = answer(ada.tasks().create_task_list(again).await);
    assert_eq!(again.unwrap_err().reason, "TASK_LIST_ALREADY_EXISTS");
    let unknown = ada.update_list(list.clone(), &["tasks"]).await.unwrap_err();
    assert_eq!(unknown.reason, "FIELD_MASK_INVALID");

    assert_eq!(ada.create(in_list("a", NO_LIST)).await.unwrap_err().reason, "TASK_LIST_NOT_FOUND");
    ada.create(in_list("a", "Groceries")).await.refused_at("FIELD_INVALID", &["task.task_list"]);
    let task = ada.create(titled("a")).await.unwrap();
    ada.delete_list(&list.name, Tasks::Delete).await.unwrap();
    assert_eq!(ada.update_list(list.clone(), &["title"]).await.unwrap_err().reason, "TASK_LIST_DELETED");
    assert_eq!(ada.create(in_list("a", &list.name)).await.unwrap_err().reason, "TASK_LIST_DELETED");
    let into = pb::Task { name: task.name.clone(), ..in_list("", &list.name) };
    assert_eq!(ada.update(into, &["task_list"]).await.unwrap_err().reason, "TASK_LIST_DELETED");
    assert_eq!(ada.get(&task.name).await.unwrap(), task);
}

async fn nobody_reaches_the_lists_of_others(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let (ada, eve) = (server.register("ada@example.com").await, server.register("eve@example.com").await);
    let list = ada.create_list("private").await.unwrap();
    let task = ada.create(in_list("private", &list.name)).await.unwrap();
    let denied = |refusal: Answer<pb::TaskList>| {
        assert_eq!(refusal.unwrap_err().reason, "PARENT_ACCESS_DENIED");
    };
    denied(eve.get_list(&list.name).await);
    denied(eve.update_list(pb::TaskList { title: "mine".into(), ..list.clone() }, &[]).await);
    denied(eve.delete_list(&list.name, Tasks::Delete).await);
    denied(eve.undelete_list(&list.name).await);
    // Neither does a name lead there from one's own tasks, whether it says whose it is or not.
    eve.create(in_list("x", &list.name)).await.refused_at("FIELD_INVALID", &["task.task_list"]);
    let id = list.name.rsplit('/').next().unwrap();
    let guessed = ada_as_me(id);
    assert_eq!(eve.create(in_list("x", &guessed)).await.unwrap_err().reason, "TASK_LIST_NOT_FOUND");
    assert_eq!(eve.get_list(&guessed).await.unwrap_err().reason, "TASK_LIST_NOT_FOUND");
    let filter = format!("task_list = {guessed} OR task_list = \"{}\"", list.name);
    assert!(eve.all(filtered(&filter)).await.is_empty());
    assert!(eve.lists(true).await.is_empty());
    assert_eq!(ada.get_list(&list.name).await.unwrap(), list);
    assert_eq!(ada.get(&task.name).await.unwrap(), task);
}

fn ada_as_me(id: &str) -> String {
    format!("users/me/taskLists/{id}")
}

async fn so_many_lists_and_no_more(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let first = ada.create_list("the first").await.unwrap();
    // The others are planted: a thousand calls would take their time.
    let user = server.database.id(first.name.split('/').nth(1).unwrap().parse::<uuid::Uuid>().unwrap());
    for number in 2..=1000 {
        let id = server.database.id(uuid::Uuid::now_v7());
        let columns = "user_id, list_id, title, position, create_time, update_time, revision";
        let planted = format!(
            "insert into task_lists ({columns}) select user_id, {id}, 'planted', 'zz{number}', create_time, \
             update_time, revision from task_lists where user_id = {user} and title = 'the first'"
        );
        server.database.execute(&planted).await;
    }
    let refusal = ada.create_list("one too many").await.unwrap_err();
    assert_eq!(refusal.reason, "QUOTA_EXCEEDED");
    assert!(refusal.message.contains("1000 lists"), "{}", refusal.message);
    ada.delete_list(&first.name, Tasks::Delete).await.unwrap();
    ada.create_list("another").await.unwrap();
    assert_eq!(ada.undelete_list(&first.name).await.unwrap_err().reason, "QUOTA_EXCEEDED");
}
