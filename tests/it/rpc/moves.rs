//! The order that a user gives tasks and lists: moved before and after others, into lists and out of them.

use taskwire::pb;

use super::task_lists::{NO_LIST, in_list};
use super::{NO_TASK, Session, alone, filtered, titled, titles};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::{Answer, Refused as _};
use crate::support::server::{TestServer, answer};

both_engines!(
    a_task_is_put_before_and_after_others,
    a_task_goes_into_a_list_and_out_of_it,
    many_moves_to_one_place_keep_positions_short,
    moves_at_once_give_no_two_tasks_one_position,
    a_page_goes_on_where_the_last_one_ended,
    lists_are_put_in_order,
    what_is_no_place_is_refused,
);

/// Where to: into a list, before one, after one.
type To<'a> = (Option<&'a str>, &'a str, &'a str);

impl Session {
    async fn move_task(&self, name: &str, (list, before, after): To<'_>) -> Answer<pb::Task> {
        let request = pb::MoveTaskRequest {
            name: name.to_owned(),
            task_list: list.map(str::to_owned),
            before: before.to_owned(),
            after: after.to_owned(),
            ..pb::MoveTaskRequest::default()
        };
        answer(self.tasks().move_task(request).await)
    }

    async fn move_list(&self, name: &str, before: &str, after: &str) -> Answer<pb::TaskList> {
        let request = pb::MoveTaskListRequest {
            name: name.to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
            ..pb::MoveTaskListRequest::default()
        };
        answer(self.tasks().move_task_list(request).await)
    }

    /// The tasks of a list in their order; of none without a name.
    async fn in_order(&self, list: &str) -> Vec<pb::Task> {
        let filter = format!("task_list = \"{list}\"");
        let request = pb::ListTasksRequest { order_by: "position".into(), ..filtered(&filter) };
        let tasks = self.all(request).await;
        assert!(tasks.windows(2).all(|pair| pair[0].position < pair[1].position));
        assert!(tasks.iter().all(|task| (1..=64).contains(&task.position.len())));
        tasks
    }
}

async fn five(ada: &Session) -> Vec<pb::Task> {
    let mut tasks = Vec::new();
    for title in ["a", "b", "c", "d", "e"] {
        tasks.push(ada.create(titled(title)).await.unwrap());
    }
    tasks
}

async fn a_task_is_put_before_and_after_others(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let tasks = five(&ada).await;
    let name = |at: usize| tasks[at].name.as_str();
    for (moved, before, after, expected) in [
        (4, name(0), "", "e a b c d"),
        (0, "", name(3), "e b c d a"),
        (2, name(4), "", "c e b d a"),
        (3, "", name(2), "c d e b a"),
        (2, "", "", "d e b a c"),
        (1, name(0), "", "d e b a c"),
        (0, "", name(1), "d e b a c"),
    ] {
        server.clock.advance(super::seconds(1));
        let was = ada.get(name(moved)).await.unwrap();
        let order_before = ada.in_order("").await;
        let now = ada.move_task(name(moved), (None, before, after)).await.unwrap();
        let order = ada.in_order("").await;
        assert_eq!(titles(&order).join(" "), expected);
        assert_eq!(ada.get(name(moved)).await.unwrap(), now);
        if titles(&order_before) == titles(&order) {
            assert_eq!(now, was, "it stood there already");
        } else {
            assert!(now.revision > was.revision && now.update_time != was.update_time);
            let same = pb::Task {
                position: was.position.clone(),
                revision: was.revision,
                update_time: was.update_time,
                etag: was.etag.clone(),
                ..now
            };
            assert_eq!(same, was, "nothing else of it changes");
        }
    }
}

async fn a_task_goes_into_a_list_and_out_of_it(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let list = ada.create_list("list").await.unwrap();
    let first = ada.create(in_list("first", &list.name)).await.unwrap();
    let last = ada.create(in_list("last", &list.name)).await.unwrap();
    let task = ada.create(titled("task")).await.unwrap();
    let moved = ada.move_task(&task.name, (Some(&list.name), &last.name, "")).await.unwrap();
    assert_eq!(moved.task_list, list.name);
    assert_eq!(titles(&ada.in_order(&list.name).await), ["first", "task", "last"]);
    ada.move_task(&first.name, (Some(&list.name), "", "")).await.unwrap();
    assert_eq!(titles(&ada.in_order(&list.name).await), ["task", "last", "first"]);
    let out = ada.move_task(&last.name, (Some(""), "", "")).await.unwrap();
    assert_eq!(out.task_list, "");
    assert_eq!(titles(&ada.in_order("").await), ["last"]);
    // A deleted one keeps its place.
    ada.delete(&task.name).await.unwrap();
    ada.create(in_list("later", &list.name)).await.unwrap();
    ada.undelete(&task.name).await.unwrap();
    assert_eq!(titles(&ada.in_order(&list.name).await), ["task", "first", "later"]);
}

async fn many_moves_to_one_place_keep_positions_short(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let tasks = five(&ada).await;
    let others = [0, 1, 3, 4];
    let mut longest = 0;
    // Each time between the last two that were moved, which uses up the room fastest.
    for turn in 0..700 {
        let (moved, before) = (others[turn % 4], others[(turn + 3) % 4]);
        let anchors = [(tasks[before].name.as_str(), ""), ("", tasks[before].name.as_str())];
        let (before, after) = anchors[turn % 2];
        let now = ada.move_task(&tasks[moved].name, (None, before, after)).await.unwrap();
        longest = longest.max(now.position.len());
    }
    assert!((20..=64).contains(&longest), "{longest}");
    ada.in_order("").await;
}

async fn moves_at_once_give_no_two_tasks_one_position(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let tasks = five(&ada).await;
    for _ in 0..5 {
        let moves = [0, 1, 3, 4].map(|at| {
            let (ada, name, before) = (&ada, tasks[at].name.clone(), tasks[2].name.clone());
            async move { ada.move_task(&name, (None, &before, "")).await.unwrap() }
        });
        futures_util::future::join_all(moves).await;
        // `in_order` looks at the positions.
        let order = ada.in_order("").await;
        assert_eq!((order.len(), order[4].title.as_str()), (5, "c"));
    }
}

async fn a_page_goes_on_where_the_last_one_ended(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let list = ada.create_list("list").await.unwrap();
    for number in 0..7 {
        let task = ada.create(in_list(&number.to_string(), &list.name)).await.unwrap();
        if number % 2 == 1 {
            let first = ada.in_order(&list.name).await.remove(0);
            ada.move_task(&task.name, (None, &first.name, "")).await.unwrap();
        }
    }
    for (order_by, expected) in [("position", "5310246"), ("position desc", "6420135")] {
        let filter = format!("task_list = \"{}\"", list.name);
        let mut request =
            pb::ListTasksRequest { order_by: order_by.into(), page_size: 2, ..filtered(&filter) };
        let mut seen = String::new();
        loop {
            let page = ada.list(request.clone()).await.unwrap();
            seen.extend(page.tasks.iter().map(|task| task.title.as_str()));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(seen, expected);
    }
}

async fn lists_are_put_in_order(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let mut lists = Vec::new();
    for title in ["a", "b", "c"] {
        lists.push(ada.create_list(title).await.unwrap());
    }
    let order = async || {
        let request = pb::ListTaskListsRequest { parent: "users/me".into(), ..Default::default() };
        let lists = answer(ada.tasks().list_task_lists(request).await).unwrap().task_lists;
        assert!(lists.windows(2).all(|pair| pair[0].position < pair[1].position));
        lists.iter().map(|list| list.title.as_str()).collect::<String>()
    };
    let moved = ada.move_list(&lists[2].name, &lists[0].name, "").await.unwrap();
    assert_eq!((moved.title.as_str(), order().await.as_str()), ("c", "cab"));
    ada.move_list(&lists[2].name, "", &lists[0].name).await.unwrap();
    assert_eq!(order().await, "acb");
    let stays = ada.move_list(&lists[1].name, "", "").await.unwrap();
    assert_eq!((stays, order().await.as_str()), (lists[1].clone(), "acb"));
    for turn in 0..200 {
        let anchor = &lists[[0, 2][turn % 2]].name;
        let (before, after) = [(anchor.as_str(), ""), ("", anchor.as_str())][turn / 2 % 2];
        let moved = ada.move_list(&lists[[2, 0][turn % 2]].name, before, after).await.unwrap();
        assert!(moved.position.len() <= 64);
    }
    order().await;
}

async fn what_is_no_place_is_refused(database: TestDatabase) {
    let server = TestServer::start(database).await;
    let (ada, eve) = (server.register("ada@example.com").await, server.register("eve@example.com").await);
    let (list, task) = (ada.create_list("list").await.unwrap(), ada.create(titled("a")).await.unwrap());
    let listed = ada.create(in_list("b", &list.name)).await.unwrap();
    let deleted = ada.create(titled("c")).await.unwrap();
    ada.delete(&deleted.name).await.unwrap();
    let stranger = eve.create(titled("d")).await.unwrap();
    let name = task.name.as_str();

    let both = ada.move_task(name, (None, &listed.name, &listed.name)).await;
    both.refused_at("FIELD_INVALID", &["after"]);
    let made_up = ada.move_task(name, (Some("x"), "zzz", "")).await;
    made_up.refused_at("FIELD_INVALID", &["task_list", "before"]);
    ada.move_task(name, (None, &stranger.name, "")).await.refused_at("FIELD_INVALID", &["before"]);
    for anchor in [NO_TASK, name, &deleted.name, &listed.name] {
        ada.move_task(name, (None, anchor, "")).await.refused_at("POSITION_INVALID", &["before"]);
        ada.move_task(name, (None, "", anchor)).await.refused_at("POSITION_INVALID", &["after"]);
    }
    let elsewhere = ada.move_task(&listed.name, (Some(""), &listed.name, "")).await;
    elsewhere.refused_at("POSITION_INVALID", &["before"]);
    for (moved, to, reason) in [
        (NO_TASK, (None, "", ""), "TASK_NOT_FOUND"),
        (deleted.name.as_str(), (None, "", ""), "TASK_DELETED"),
        (name, (Some(NO_LIST), "", ""), "TASK_LIST_NOT_FOUND"),
        (stranger.name.as_str(), (None, "", ""), "PARENT_ACCESS_DENIED"),
    ] {
        assert_eq!(ada.move_task(moved, to).await.unwrap_err().reason, reason);
    }
    for anchor in [NO_LIST, list.name.as_str()] {
        ada.move_list(&list.name, anchor, "").await.refused_at("POSITION_INVALID", &["before"]);
    }
    assert_eq!(ada.move_list(NO_LIST, "", "").await.unwrap_err().reason, "TASK_LIST_NOT_FOUND");
    assert_eq!(ada.get(name).await.unwrap(), task);
}
