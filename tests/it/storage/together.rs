//! Batches of a lane on PostgreSQL: what becomes of writes that go together when something is in their way.

use taskwire::domain::{Error, Result, Task, TaskWrite};
use tokio::task::JoinHandle;

use super::writes::{renamed, update};
use super::{Person, at, eventually, task, title};
use crate::support::citus;
use crate::support::database::{Raw, TestDatabase};
use crate::support::one_engine;

one_engine!(Postgres:
    a_row_that_has_moved_is_found_by_its_key,
    what_fails_within_a_batch_fails_alone,
    what_fails_at_the_commit_fails_alone,
    what_fails_by_itself_leaves_nothing,
);

/// Citus has no triggers on tables that are spread.
fn has_no_triggers() -> bool {
    let is_spread = citus::coordinator().is_some();
    if is_spread {
        println!("skipped: there are no triggers on tables that are spread");
    }
    is_spread
}

/// Holds somebody's row, so that the lane is under way until it is let go, and what comes meanwhile goes together.
async fn hold(database: &TestDatabase, name: &str) -> (Raw, JoinHandle<Task>) {
    let holder = Person::new(database, name).await;
    let raw = holder.hold(database).await;
    let (held, before) = (holder.clone(), holder.write_lane().2);
    let held = tokio::spawn(async move { held.create(task("held"), at(1)).await });
    eventually("one is under way", async || holder.write_lane().2 == before + 1).await;
    (raw, held)
}

/// Carries out writes of a person in one batch.
async fn together(database: &TestDatabase, person: &Person, writes: Vec<TaskWrite>) -> Vec<Result<Task>> {
    let (mut raw, held) = hold(database, "holder").await;
    let (count, (_, batches, operations)) = (writes.len(), person.write_lane());
    let mut under_way = Vec::new();
    for (at_place, write) in (1..).zip(writes) {
        let one = person.clone();
        under_way.push(tokio::spawn(async move { one.write(write, at(2)).await.map(Option::unwrap) }));
        eventually("it waits", async || person.write_lane().0 == at_place + 1).await;
    }
    raw.execute("rollback").await;
    held.await.unwrap();
    let mut written = Vec::new();
    for one in under_way {
        written.push(one.await.unwrap());
    }
    let (_, batches_now, operations_now) = person.write_lane();
    assert_eq!((batches_now - batches, operations_now - operations), (1, count as u64));
    written
}

/// Rows are changed where they were found, as nobody else can move them meanwhile; here something does.
async fn a_row_that_has_moved_is_found_by_its_key(database: TestDatabase) {
    if has_no_triggers() {
        return;
    }
    let ada = Person::new(&database, "ada").await;
    let created = [ada.create(task("one"), at(1)).await, ada.create(task("two"), at(1)).await];
    // The counters are raised between the search and the change.
    let mover = "create function move_tasks() returns trigger language plpgsql as $$ begin \
                 update tasks set title = title where user_id = new.id; return new; end $$; \
                 create trigger mover after update on users for each row execute function move_tasks()";
    database.execute(mover).await;
    let places = "select ctid::text from tasks where title in ('one', 'two', 'after') order by 1";
    let before = database.query_texts(places).await;
    let writes = created.iter().map(|created| update(created.id, renamed("after"), None)).collect();
    for written in together(&database, &ada, writes).await {
        let written = written.unwrap();
        assert_eq!(written.title, title("after"));
        assert_eq!(ada.find(written.id).await, Ok(written));
    }
    assert_ne!(database.query_texts(places).await, before);
    ada.check_books(&database).await;
}

/// Refuses changes of a task with this title, at once or when it is committed.
fn refusal(title: &str, at_commit: bool) -> String {
    let trigger = match at_commit {
        true => {
            "create constraint trigger refusal after insert on task_changes deferrable initially deferred"
        }
        false => "create trigger refusal before insert on task_changes",
    };
    format!(
        "create function refuse() returns trigger language plpgsql as $$ begin \
         if new.state::jsonb->>'title' = '{title}' then raise exception 'not this one'; end if; return new; end $$; \
         {trigger} for each row execute function refuse()"
    )
}

fn create(text: &str) -> TaskWrite {
    TaskWrite::Create(Box::new(task(text)))
}

async fn refuse_one_of_three(database: &TestDatabase, at_commit: bool) {
    if has_no_triggers() {
        return;
    }
    let ada = Person::new(database, "ada").await;
    database.execute(&refusal("bad", at_commit)).await;
    let writes = vec![create("one"), create("bad"), create("two")];
    let written = together(database, &ada, writes).await;
    let titles: Vec<_> = written.iter().map(|one| one.as_ref().map(|task| task.title.as_str())).collect();
    assert!(
        matches!(titles.as_slice(), [Ok("one"), Err(Error::Internal(why)), Ok("two")] if why.contains("not this one")),
        "{titles:?}"
    );
    assert_eq!((ada.live_tasks(database).await, ada.revision().await), (2, 2));
    ada.check_books(database).await;
}

async fn what_fails_within_a_batch_fails_alone(database: TestDatabase) {
    refuse_one_of_three(&database, false).await;
}

async fn what_fails_at_the_commit_fails_alone(database: TestDatabase) {
    refuse_one_of_three(&database, true).await;
}

/// The end of a transaction goes out with what it holds: it must not keep the part before what failed, also where the connection
/// has not prepared anything yet, and the connection goes on.
async fn what_fails_by_itself_leaves_nothing(database: TestDatabase) {
    if has_no_triggers() {
        return;
    }
    let ada = Person::new(&database, "ada").await;
    for (round, at_commit) in (0..).zip([false, true]) {
        database.execute(&refusal("bad", at_commit)).await;
        for lanes in [0, 1] {
            let ada = ada.through(&database, lanes);
            for _ in 0..2 {
                let refused = ada.write(create("bad"), at(1)).await;
                assert!(
                    matches!(&refused, Err(Error::Internal(why)) if why.contains("not this one")),
                    "{refused:?}"
                );
            }
            let expected = round * 2 + i64::try_from(lanes).unwrap();
            assert_eq!((ada.live_tasks(&database).await, ada.revision().await), (expected, expected));
            ada.create(task("good"), at(2)).await;
        }
        database.execute("drop function refuse() cascade").await;
    }
    ada.check_books(&database).await;
}
