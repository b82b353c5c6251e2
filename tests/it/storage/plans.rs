//! Plans: the lists that a front end reads all day come straight out of their index, at any depth.
//!
//! Each case plants many rows of several owners and lets the engine count them, as it would in production.

use taskwire::domain::{
    Comparison, Condition, Cursor, Filter, OrderField, OrderKey, Owner, Priority, SortValue, TaskId,
    TaskOrder, TaskQuery, UserId,
};

use super::{Person, at, owner_of, page_size, query};
use crate::support::both_engines;
use crate::support::database::{Engine, TestDatabase};

both_engines!(
    lists_read_their_index_in_order,
    cursors_are_ranges_of_the_index,
    value_that_most_tasks_have_needs_no_sort_either,
    small_tables_need_no_statistics,
);

const OWNERS: usize = 5;
const TASKS_PER_OWNER: usize = 4000;

/// Plants tasks, a second apart, of every priority; every fourth is completed and every tenth is deleted.
async fn plant(database: &TestDatabase, user: UserId, count: usize) {
    let (id, time) = match database.engine {
        Engine::Sqlite => ("randomblob(16)", format!("{} + number * 1000000", database.time(at(0)))),
        Engine::Postgres => {
            ("gen_random_uuid()", format!("{} + number * interval '1 second'", database.time(at(0))))
        }
    };
    database
        .execute(&format!(
            "with recursive numbers (number) as \
             (select 1 union all select number + 1 from numbers where number < {count}) \
             insert into tasks (user_id, task_id, title, title_key, completed, priority, labels, create_time, \
             update_time, delete_time, revision) \
             select {user}, {id}, 'Task ' || number, 'task ' || number, number % 4 = 0, 1 + number % 3, '[]', \
             {time}, {time}, case when number % 10 = 0 then {time} end, number from numbers",
            user = database.id(user.uuid()),
        ))
        .await;
}

async fn planted(database: &TestDatabase) -> Owner {
    let mut user = None;
    for number in 0..OWNERS {
        let person = Person::new(database, &format!("owner{number}")).await;
        plant(database, person.user(), TASKS_PER_OWNER).await;
        user = Some(person.user());
    }
    let analyze = if database.engine == Engine::Sqlite { "analyze" } else { "vacuum analyze tasks" };
    database.execute(analyze).await;
    owner_of(user.unwrap())
}

/// The lists that have an index each, and ask for a value that makes it worth using.
fn lists() -> [(&'static str, Filter); 4] {
    let completed = Filter::Is(Condition::Completed(true));
    let priority = Filter::Is(Condition::Priority(Comparison::Equal, Priority::High));
    [
        ("tasks_live_idx", Filter::everything()),
        ("tasks_live_completed_priority_idx", completed.clone()),
        ("tasks_live_completed_priority_idx", priority.clone()),
        ("tasks_live_completed_priority_idx", Filter::All(vec![completed, priority])),
    ]
}

fn wanted(filter: Filter, descending: bool, after: Option<Cursor>) -> TaskQuery {
    let order = TaskOrder::by(vec![OrderKey { field: OrderField::CreateTime, descending }]).unwrap();
    TaskQuery { filter, order, after, page_size: page_size(50), ..query() }
}

fn cursor(seconds: i64) -> Cursor {
    Cursor { values: vec![SortValue::Time(Some(at(seconds)))], id: TaskId::generate() }
}

/// A plan with the names of tables and indexes, not of their shards: `tasks_102008` is a shard of `tasks`.
fn without_shards(plan: &str) -> String {
    let words = plan.split(' ').map(|word| match word.rsplit_once('_') {
        Some((name, shard)) if shard.trim_end().len() == 6 && shard.trim_end().parse::<u32>().is_ok() => {
            name.to_owned() + &shard[6..]
        }
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The plan reads this index, in its order, and nothing but it.
fn check(plan: &str, index: &str, engine: Engine) {
    let uses = match engine {
        Engine::Sqlite => format!("USING INDEX {index} ("),
        Engine::Postgres => format!(" using {index} on tasks"),
    };
    // Where tables are spread, what follows is the plan on the server that is asked, for one of the shards.
    let shard = plan.split_once("->  Limit").filter(|_| plan.starts_with("Custom Scan (Citus"));
    let plan = &match shard {
        Some((_, plan)) => without_shards(&format!("Limit{plan}")),
        None => plan.to_owned(),
    };
    assert!(plan.contains(&uses), "not {index}:\n{plan}");
    for step in ["TEMP B-TREE", "Seq Scan", "Bitmap", "SCAN ", "Filter:"] {
        assert!(!plan.contains(step), "{step} in\n{plan}");
    }
    // What is merged is in order already.
    assert!(!plan.lines().any(|line| line.trim_start_matches([' ', '-', '>']).ends_with("Sort")), "{plan}");
    let indexes = plan.matches("INDEX ").count() + plan.matches(" using ").count();
    assert_eq!(plan.matches(&uses).count(), indexes, "{plan}");
    assert!(engine == Engine::Sqlite || plan.starts_with("Limit\n"), "{plan}");
}

async fn lists_read_their_index_in_order(database: TestDatabase) {
    let owner = planted(&database).await;
    for (index, filter) in lists() {
        for descending in [true, false] {
            let query = wanted(filter.clone(), descending, None);
            let plan = database.storage.tasks().explain_list(owner, &query).await.unwrap();
            check(&plan, index, database.engine);
        }
    }
}

async fn cursors_are_ranges_of_the_index(database: TestDatabase) {
    let owner = planted(&database).await;
    for (index, filter) in lists() {
        // Near either end and in the middle: a page costs the same at any depth.
        for (descending, seconds) in [(true, 3990), (true, 2000), (true, 10), (false, 10), (false, 3990)] {
            let query = wanted(filter.clone(), descending, Some(cursor(seconds)));
            let plan = database.storage.tasks().explain_list(owner, &query).await.unwrap();
            check(&plan, index, database.engine);
            let operator = if descending { '<' } else { '>' };
            let range = match database.engine {
                Engine::Sqlite => format!("(create_time,task_id){operator}(?,?)"),
                Engine::Postgres => format!("(ROW(create_time, task_id) {operator} ROW("),
            };
            let line = plan.lines().find(|line| line.contains(&range));
            let line = line.unwrap_or_else(|| panic!("no {range} in\n{plan}"));
            let within = if database.engine == Engine::Sqlite { "USING INDEX" } else { "Index Cond:" };
            assert!(line.contains(within), "no range of the index:\n{plan}");
        }
    }
}

/// Also where most tasks pass, and where a few are among very many others.
async fn value_that_most_tasks_have_needs_no_sort_either(database: TestDatabase) {
    let owner = planted(&database).await;
    for after in [None, Some(cursor(2000))] {
        let query = wanted(Filter::Is(Condition::Completed(false)), true, after);
        let plan = database.storage.tasks().explain_list(owner, &query).await.unwrap();
        check(&plan, "tasks_live_completed_priority_idx", database.engine);
    }
}

async fn small_tables_need_no_statistics(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    plant(&database, ada.user(), 300).await;
    for (_, filter) in lists() {
        for after in [None, Some(cursor(150))] {
            let query = wanted(filter.clone(), true, after);
            let plan = database.storage.tasks().explain_list(ada.owner, &query).await.unwrap();
            // Which index it is may differ without statistics; that there is one, and no reading of it all, may not.
            assert!(plan.contains("tasks_live_"), "{plan}");
            assert!(!plan.contains("Seq Scan") && !plan.contains("SCAN "), "{plan}");
        }
    }
}
