//! The client for Rust programs, which asks for as much as it has seen.

use futures_util::TryStreamExt as _;
use taskwire::client::{Client, ListOptions};
use taskwire::pb;

use super::{Setup, run};

async fn titles(client: &Client) -> Vec<String> {
    let all: Vec<pb::Task> = client.tasks().list(ListOptions::default()).try_collect().await.unwrap();
    all.into_iter().map(|task| task.title).collect()
}

fn titled(title: &str) -> pb::Task {
    pb::Task { title: title.to_owned(), ..pb::Task::default() }
}

#[test]
fn a_client_reads_what_it_wrote() {
    run(async {
        let Some(setup) = Setup::start(1).await else { return };
        let (_, mut tasks) = setup.user("ada@example.org").await;
        let address = format!("http://{}", setup.replica.address);
        let builder = || Client::builder(address.clone());
        let password = "correct horse battery staple";
        let (client, fresh) = (builder().connect().await.unwrap(), builder().linearizable_reads());
        let fresh = fresh.connect().await.unwrap();
        for client in [&client, &fresh] {
            client.login("ada@example.org", password, "a test").await.unwrap();
        }
        // As long as it has seen nothing, it asks for everything.
        assert_eq!(titles(&client).await, [""; 0]);
        assert_eq!(setup.answered(), 0);
        let first = client.tasks().create(titled("first")).await.unwrap();
        setup.caught_up().await;
        assert_eq!(titles(&client).await, ["first"]);
        assert_eq!(client.tasks().get(&first.name).await.unwrap(), first);
        assert_eq!(setup.answered(), 2);
        // Its own changes it sees at once, those of others when they have come to the standby, unless it says otherwise.
        setup.pause(0, true).await;
        super::create(&mut tasks, "of another").await;
        assert_eq!(titles(&client).await, ["first"]);
        assert_eq!(titles(&fresh).await, ["of another", "first"]);
        let mine = client.tasks().create(titled("mine")).await.unwrap();
        assert_eq!(titles(&client).await, ["mine", "of another", "first"]);
        assert_eq!(client.tasks().get(&mine.name).await.unwrap(), mine);
        // A deletion is a change as well, and so is what it hears of others.
        client.tasks().delete(&first.name).await.unwrap();
        assert_eq!(titles(&client).await, ["mine", "of another"]);
        // Somebody else has seen nothing yet.
        setup.user("bob@example.org").await;
        client.login("bob@example.org", password, "a test").await.unwrap();
        assert_eq!(titles(&client).await, [""; 0]);
    });
}
