//! Administration: the last admin stays, lists have pages, registration can be closed.

use taskwire::accounts::AccountsConfig;
use taskwire::pb;
use tokio::task::JoinSet;

use super::world::{PASSWORD, Setup, World, answer, new_user};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;
use crate::support::settings;

both_engines!(
    the_last_admin_stays,
    of_many_admins_who_disable_each_other_one_stays,
    users_are_listed_in_pages,
    closed_registration_is_open_to_admins,
);

async fn the_last_admin_stays(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let root = replica.register_admin("root@example.org").await;
    let name = root.user.clone().unwrap().name;
    let mut users = replica.users(&root.access_token);
    let delete = pb::DeleteUserRequest { name: name.clone(), password: PASSWORD.into() };
    answer(users.disable_user(pb::DisableUserRequest { name: name.clone() }).await).refused("LAST_ADMIN");
    answer(users.delete_user(delete.clone()).await).refused("LAST_ADMIN");
    replica.probe(&root.access_token).await.unwrap();

    let second = replica.register_admin("second@example.org").await;
    answer(users.disable_user(pb::DisableUserRequest { name: name.clone() }).await).unwrap();
    // One is disabled, so the other one is the last.
    let mut others = replica.users(&second.access_token);
    let own = pb::DisableUserRequest { name: "users/me".into() };
    answer(others.disable_user(own).await).refused("LAST_ADMIN");
    answer(others.delete_user(pb::DeleteUserRequest { name, ..Default::default() }).await).unwrap();
}

async fn of_many_admins_who_disable_each_other_one_stays(database: TestDatabase) {
    let world = World::new(database);
    let (here, there) = (world.replica().await, world.replica().await);
    let mut admins = Vec::new();
    for number in 0..8 {
        admins.push(here.register_admin(&format!("admin{number}@example.org")).await);
    }
    let mut racing = JoinSet::new();
    for (at, admin) in admins.iter().enumerate() {
        let victim = admins[(at + 1) % admins.len()].user.clone().unwrap().name;
        let replica = if at % 2 == 0 { &here } else { &there };
        let mut users = replica.users(&admin.access_token);
        racing.spawn(async move {
            if at % 3 == 0 {
                let request = pb::DeleteUserRequest { name: victim, ..Default::default() };
                users.delete_user(request).await.map(drop)
            } else {
                users.disable_user(pb::DisableUserRequest { name: victim }).await.map(drop)
            }
        });
    }
    racing.join_all().await;
    let left = "select count(*) from users where role = 2 and disable_time is null";
    assert!(world.database.query_i64(left).await >= 1);
}

async fn users_are_listed_in_pages(database: TestDatabase) {
    let world = World::new(database);
    let replica = world.replica().await;
    let root = replica.register_admin("root@example.org").await;
    for number in 0..7 {
        replica.sign_up(&format!("User{number}@Example.com"), PASSWORD).await.unwrap();
    }
    replica.sign_up("100%_sure@example.net", PASSWORD).await.unwrap();
    let mut users = replica.users(&root.access_token);
    let mut list = async |filter: &str, page_size, page_token: String| {
        let request = pb::ListUsersRequest { page_size, page_token, filter: filter.into() };
        answer(users.list_users(request).await)
    };
    let mut emails = Vec::new();
    let mut token = String::new();
    loop {
        let page = list("", 4, token).await.unwrap();
        emails.extend(page.users.into_iter().map(|user| user.email));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        list("email:\"a\"", 4, token.clone()).await.refused("PAGE_TOKEN_MISMATCH");
        // In the middle, where every bit of a character counts.
        let (before, after) = token.split_at(token.len() / 2);
        let other = if after.starts_with('A') { "B" } else { "A" };
        list("", 4, format!("{before}{other}{}", &after[1..])).await.refused("PAGE_TOKEN_INVALID");
    }
    assert_eq!(emails.len(), 9);
    assert_eq!(emails[0], "root@example.org");
    assert_eq!(list("email:\"@EXAMPLE.com\"", 0, String::new()).await.unwrap().users.len(), 7);
    assert_eq!(list("email = \"user3@example.com\"", 0, String::new()).await.unwrap().users.len(), 1);
    assert_eq!(list("email:\"%_\"", 0, String::new()).await.unwrap().users.len(), 1);
    assert_eq!(list("email = \"%\"", 0, String::new()).await.unwrap().users.len(), 0);
    list("name = \"x\"", 0, String::new()).await.refused_at("FILTER_INVALID", &["filter"]);
    list("", -1, String::new()).await.refused_at("FIELD_INVALID", &["page_size"]);
}

async fn closed_registration_is_open_to_admins(database: TestDatabase) {
    let closed = AccountsConfig { registration_open: false, ..settings().accounts() };
    let world = World::with(database, Setup { accounts: closed, ..Default::default() });
    let replica = world.replica().await;
    let root = replica.register_admin("root@example.org").await;
    replica.sign_up("eve@example.org", PASSWORD).await.refused("REGISTRATION_CLOSED");
    let made = replica.users(&root.access_token).create_user(new_user("ada@example.org", PASSWORD)).await;
    answer(made).unwrap();
    let ada = replica.log_in("ada@example.org", PASSWORD).await.unwrap();
    let made = replica.users(&ada.access_token).create_user(new_user("bob@example.org", PASSWORD)).await;
    answer(made).refused("REGISTRATION_CLOSED");
}
