//! `taskwire user calendar`: an address that is for a calendar alone.

use taskwire::pb;
use tonic::Request;

use super::World;
use crate::support::database::TestDatabase;
use crate::support::{both_engines, one_engine};

both_engines!(an_address_holds_a_key_for_the_calendar);
one_engine!(Sqlite: a_gateway_that_is_none_is_refused);

async fn an_address_holds_a_key_for_the_calendar(database: TestDatabase) {
    let world = World::start(database).await;
    world.add("Buy milk");
    let ended = world.run(["user", "calendar", "--gateway", "https://tasks.example.com/", "--name", "Phone"]);
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    let address = ended.stdout.trim_end();
    let secret = address.strip_prefix("https://tasks.example.com/v1/users/me/tasks:ics?token=").unwrap();
    let request = |secret: &str| {
        let mut request =
            Request::new(pb::GetCalendarRequest { parent: "users/me".into(), ..Default::default() });
        request.metadata_mut().insert("authorization", format!("Bearer {secret}").parse().unwrap());
        request
    };
    let mut tasks = world.service.tasks().await;
    let mut calendar = tasks.get_calendar(request(secret)).await.unwrap().into_inner();
    let chunk = calendar.message().await.unwrap().unwrap();
    assert!(String::from_utf8(chunk.data).unwrap().contains("SUMMARY:Buy milk\r\n"));
}

async fn a_gateway_that_is_none_is_refused(database: TestDatabase) {
    let world = World::start(database).await;
    for wrong in ["tasks.example.com", "ftp://tasks.example.com", "https://tasks.example.com/?a=b", "/v1", ""]
    {
        let ended = world.run(["user", "calendar", "--gateway", wrong]);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(64), ""), "{wrong}: {}", ended.stderr);
        assert!(ended.stderr.contains("--gateway"), "{wrong}: {}", ended.stderr);
    }
}
