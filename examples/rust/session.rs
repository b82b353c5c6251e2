//! A session with Taskwire: register, log in, create, page, watch, and tell errors by their reasons.

use futures_util::TryStreamExt as _;
use taskwire_client::{Client, Event, ListOptions, NewAccount, WatchFrom};
use taskwire_proto::{Date, Recurrence, Task, TaskChange};
use uuid::Uuid;

const PASSWORD: &str = "correct horse battery staple";

/// Registers when need be, and logs in.
async fn log_in(client: &Client, email: &str) -> taskwire_client::Result<()> {
    let new =
        NewAccount { email: email.to_owned(), password: PASSWORD.to_owned(), display_name: "Ada".to_owned() };
    match client.register(new).await {
        Ok(user) => println!("registered {}", user.email),
        Err(error) if error.reason() == "USER_ALREADY_EXISTS" => println!("known already: {email}"),
        Err(error) => return Err(error),
    }
    // The tokens are exchanged for new ones from here on. A program that wants to be logged in the next time keeps
    // what `Builder::on_session` tells it of.
    client.login(email, PASSWORD, "example").await?;
    Ok(())
}

/// Tasks stand in lists, and below one another; a subtask is in the list of its parent.
async fn garden(client: &Client) -> taskwire_client::Result<()> {
    let tasks = client.tasks();
    let garden = tasks.create_list("Garden").await?;
    let in_garden =
        |title: &str| Task { title: title.to_owned(), task_list: garden.name.clone(), ..Task::default() };
    let tree = tasks.create(in_garden("Plant a tree")).await?;
    tasks.create(Task { parent_task: tree.name, ..in_garden("Dig a hole") }).await?;
    let filter = format!("task_list = \"{}\"", garden.name);
    let options = ListOptions { filter, order_by: "position".to_owned(), ..ListOptions::default() };
    let there: Vec<Task> = tasks.list(options).try_collect().await?;
    let titles = there.iter().map(|task| match task.parent_task.as_str() {
        "" => task.title.clone(),
        _ => format!("- {}", task.title),
    });
    println!("in {}: {}", garden.title, titles.collect::<Vec<_>>().join(", "));
    Ok(())
}

/// Completes a task and waits until that is told.
async fn complete(client: &Client, task: &Task) -> Result<TaskChange, Box<dyn std::error::Error>> {
    // Goes on by itself where a connection breaks off, and misses nothing.
    let mut events = client.tasks().watch(WatchFrom::State);
    while let Some(event) = events.try_next().await? {
        match event {
            Event::StateEnd(_) => {
                let done = Task { name: task.name.clone(), completed: true, ..Task::default() };
                client.tasks().update(done, &["completed"]).await?;
            }
            Event::Change(change, _) => return Ok(change),
            Event::StateBegin | Event::TaskList(_) | Event::Task(_) => {}
        }
    }
    Err("the watch ended".into())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let set = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let client = Client::builder(set("TASKWIRE", "http://127.0.0.1:50051")).connect().await?;
    log_in(&client, &set("TASKWIRE_EMAIL", "ada@example.com")).await?;

    let tasks = client.tasks();
    let mut last = Task::default();
    for title in ["Buy milk", "Water the plants", "Straße fegen"] {
        // Each call carries a request id: repeated after a lost answer, it still makes one task.
        last = tasks.create(Task { title: title.to_owned(), ..Task::default() }).await?;
    }
    println!("created three");

    let options = ListOptions { order_by: "title".to_owned(), page_size: 2, ..ListOptions::default() };
    let listed: Vec<Task> = tasks.list(options).try_collect().await?;
    println!("listed {} in pages of two", listed.len());

    let change = complete(&client, &last).await?;
    let task = change.task.filter(|task| task.completed).ok_or("another change than the one made")?;
    println!("watched {} being completed", task.title);

    // Completing what comes again makes the next one.
    let bins = tasks
        .create(Task {
            title: "Put the bins out".to_owned(),
            due_date: Some(Date { year: 2030, month: 1, day: 3 }),
            time_zone: "Europe/Berlin".to_owned(),
            recurrence: Some(Recurrence { rrule: "FREQ=WEEKLY".to_owned(), ..Recurrence::default() }),
            ..Task::default()
        })
        .await?;
    let done = tasks.complete(&bins.name, false).await?;
    let due = tasks.get(&done.next_task).await?.due_date.ok_or("the next one is not due")?;
    println!("completed, and due again on {}-{:02}-{:02}", due.year, due.month, due.day);

    garden(&client).await?;

    match tasks.get(&Uuid::now_v7().to_string()).await {
        Err(error) if error.reason() == "TASK_NOT_FOUND" => {
            println!("told by its reason: {}", error.reason());
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(_) => Err("a task that does not exist was answered".into()),
    }
}
