//! Page tokens: opaque, unalterable, and good for the listing that made them alone.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use data_encoding::HEXLOWER;
use taskwire::pb;

use super::{Session, alone, filtered, listing, ordered, titled, titles};
use crate::support::both_engines;
use crate::support::database::{Engine, Schema, TestDatabase};
use crate::support::refusal::Refused as _;
use crate::support::server::TestServer;

both_engines!(
    a_token_is_opaque_and_url_safe,
    an_altered_token_is_invalid,
    a_cut_or_lengthened_token_is_invalid,
    another_spelling_of_a_token_is_invalid,
    a_made_up_token_is_invalid,
    a_token_belongs_to_its_caller,
    a_token_belongs_to_its_listing,
    the_page_size_may_change_and_the_parent_be_spelled_otherwise,
    a_token_belongs_to_its_database,
    a_token_outlives_the_server,
    a_huge_token_is_invalid,
);

async fn three_tasks(session: &Session) {
    for title in ["a", "b", "c"] {
        session.create(titled(title)).await.unwrap();
    }
}

/// The listing with pages of one.
fn by_one(request: pb::ListTasksRequest) -> pb::ListTasksRequest {
    pb::ListTasksRequest { page_size: 1, ..request }
}

async fn token(session: &Session, request: &pb::ListTasksRequest) -> String {
    let page = session.list(by_one(request.clone())).await.unwrap();
    assert_ne!(page.next_page_token, "");
    page.next_page_token
}

fn with_token(request: &pb::ListTasksRequest, token: &str) -> pb::ListTasksRequest {
    pb::ListTasksRequest { page_token: token.to_owned(), ..by_one(request.clone()) }
}

async fn invalid(session: &Session, request: &pb::ListTasksRequest, token: &str) {
    let refusal =
        session.list(with_token(request, token)).await.refused_at("PAGE_TOKEN_INVALID", &["page_token"]);
    // One text for all, and nothing of the token in it.
    assert_eq!(&*refusal.message, "page_token: must be a token as it was answered, unaltered");
}

async fn a_token_is_opaque_and_url_safe(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for title in ["secret title", "secret other"] {
        ada.create(titled(title)).await.unwrap();
    }
    for order_by in ["", "title", "due_time", "priority, title, update_time desc"] {
        let token = token(&ada, &ordered(order_by)).await;
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(token.bytes().all(safe), "{token}");
        assert!(token.len() < 500, "{token}");
    }
}

async fn an_altered_token_is_invalid(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    three_tasks(&ada).await;
    for request in [listing(), ordered("title, due_time")] {
        let token = token(&ada, &request).await;
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for at in 0..bytes.len() {
            for bits in [0x01, 0x80, 0xFF] {
                let mut altered = bytes.clone();
                altered[at] ^= bits;
                invalid(&ada, &request, &URL_SAFE_NO_PAD.encode(&altered)).await;
            }
        }
        // And the text itself: the last character holds bits that no byte uses.
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let (start, last) = token.split_at(token.len() - 1);
        for other in alphabet.chars().filter(|other| !last.contains(*other)) {
            invalid(&ada, &request, &format!("{start}{other}")).await;
        }
        for at in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            invalid(&ada, &request, std::str::from_utf8(&altered).unwrap()).await;
        }
        let page = ada.list(with_token(&request, &token)).await.unwrap();
        assert_eq!(titles(&page.tasks), ["b"]);
    }
}

async fn a_cut_or_lengthened_token_is_invalid(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    three_tasks(&ada).await;
    let request = ordered("title");
    let token = token(&ada, &request).await;
    for at in 1..token.len() {
        invalid(&ada, &request, &token[..at]).await;
        invalid(&ada, &request, &token[at..]).await;
    }
    for more in ["A", "AA", "AAAA", "AAAAAAAA"] {
        invalid(&ada, &request, &format!("{token}{more}")).await;
        invalid(&ada, &request, &format!("{more}{token}")).await;
    }
    invalid(&ada, &request, &format!("{token}{token}")).await;
}

async fn another_spelling_of_a_token_is_invalid(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    // A title of this length makes a token whose last group is not full, so that padding shows.
    for length in 1..=3 {
        for suffix in ["1", "2"] {
            ada.create(titled(&format!("{}{suffix}", "x".repeat(length)))).await.unwrap();
        }
    }
    for (request, minimum) in [(ordered("title"), 4), (ordered("title desc"), 4), (listing(), 1)] {
        let mut request = by_one(request);
        let mut tried = 0;
        loop {
            let page = ada.list(request.clone()).await.unwrap();
            if page.next_page_token.is_empty() {
                break;
            }
            let token = page.next_page_token;
            let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
            let spellings = [
                URL_SAFE.encode(&bytes),
                STANDARD.encode(&bytes),
                STANDARD_NO_PAD.encode(&bytes),
                format!("{token}="),
                format!("{token}=="),
                format!(" {token}"),
                format!("{token}\n"),
                format!("{token}%3D"),
                format!("\"{token}\""),
                token.to_lowercase(),
                HEXLOWER.encode(&bytes),
            ];
            for spelling in spellings.iter().filter(|spelling| **spelling != token) {
                invalid(&ada, &request, spelling).await;
                tried += 1;
            }
            request.page_token = token;
        }
        assert!(tried >= minimum);
    }
}

async fn a_made_up_token_is_invalid(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    three_tasks(&ada).await;
    let request = listing();
    for made_up in ["0", "1", "50", "null", "-", "_", "A", "AA", "AAAA", "é", "😀", "\0", "' or 1=1", "../.."]
    {
        invalid(&ada, &request, made_up).await;
    }
    for length in [0, 1, 15, 16, 17, 33, 48, 49, 58, 200, 4000] {
        for byte in [0, 1, 0xFF] {
            let text = URL_SAFE_NO_PAD.encode(vec![byte; length]);
            if !text.is_empty() {
                invalid(&ada, &request, &text).await;
            }
        }
    }
}

async fn a_token_belongs_to_its_caller(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let bob = server.register("bob@example.com").await;
    three_tasks(&ada).await;
    three_tasks(&bob).await;
    let token = token(&ada, &listing()).await;
    bob.list(with_token(&listing(), &token)).await.refused_at("PAGE_TOKEN_MISMATCH", &["page_token"]);
    let request = pb::ListTasksRequest { parent: ada.user.clone(), ..with_token(&listing(), &token) };
    bob.list(request).await.refused("PARENT_ACCESS_DENIED");
    // Another session of the same user goes on.
    let again = server.log_in(&ada.email, crate::support::server::PASSWORD).await.unwrap();
    let page = again.list(with_token(&listing(), &token)).await.unwrap();
    assert_eq!(titles(&page.tasks), ["b"]);
}

async fn a_token_belongs_to_its_listing(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    three_tasks(&ada).await;
    let deleted = pb::ListTasksRequest { show_deleted: true, ..listing() };
    let both = pb::ListTasksRequest { order_by: "title".to_owned(), ..filtered("completed = false") };
    // The last two differ only in where one text ends and the next begins.
    let listings = [
        listing(),
        deleted,
        both,
        filtered("completed = false"),
        filtered("completed != true"),
        ordered("title"),
        ordered("title desc"),
        ordered("create_time"),
        ordered("priority"),
        ordered("priority, title"),
        pb::ListTasksRequest { order_by: "title".to_owned(), ..filtered("a OR b OR c ") },
        pb::ListTasksRequest { order_by: " title".to_owned(), ..filtered("a OR b OR c") },
    ];
    for (at, request) in listings.iter().enumerate() {
        let token = token(&ada, request).await;
        for (other_at, other) in listings.iter().enumerate() {
            let answered = ada.list(with_token(other, &token)).await;
            if at == other_at {
                assert_eq!(answered.unwrap().tasks.len(), 1);
            } else {
                answered.refused_at("PAGE_TOKEN_MISMATCH", &["page_token"]);
            }
        }
    }
    // What is wrong with the listing itself is said of a good token too.
    let token = token(&ada, &listing()).await;
    ada.list(with_token(&filtered("("), &token)).await.refused_at("FILTER_INVALID", &["filter"]);
}

async fn the_page_size_may_change_and_the_parent_be_spelled_otherwise(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for number in 0..10 {
        ada.create(titled(&number.to_string())).await.unwrap();
    }
    let mut request = ordered("title");
    let mut seen = String::new();
    let upper = format!("users/{}", ada.user.replace("users/", "").to_uppercase());
    for (page_size, parent) in [(1, "users/me"), (3, &ada.user), (2, &upper), (0, "users/me")] {
        request.page_size = page_size;
        request.parent = parent.to_owned();
        let page = ada.list(request.clone()).await.unwrap();
        seen += &titles(&page.tasks).concat();
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen, "0123456789");
    assert_eq!(request.page_token, "");
}

async fn a_token_belongs_to_its_database(database: TestDatabase) {
    let engine = database.engine;
    let (_server, ada) = alone(database).await;
    three_tasks(&ada).await;
    let foreign = token(&ada, &listing()).await;
    for other in [Engine::Sqlite, Engine::Postgres] {
        let Some(database) = TestDatabase::create(other, Schema::Migrated).await else {
            println!("skipped: no server for a database of {other:?} beside {engine:?}");
            continue;
        };
        let (_server, ada) = alone(database).await;
        three_tasks(&ada).await;
        invalid(&ada, &listing(), &foreign).await;
    }
}

async fn a_token_outlives_the_server(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    three_tasks(&ada).await;
    let token = token(&ada, &listing()).await;
    drop(ada);
    let server = TestServer::start(server.stop().await).await;
    let ada = server.log_in("ada@example.com", crate::support::server::PASSWORD).await.unwrap();
    let page = ada.list(with_token(&listing(), &token)).await.unwrap();
    assert_eq!(titles(&page.tasks), ["b"]);
}

async fn a_huge_token_is_invalid(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    three_tasks(&ada).await;
    for length in [8 * 1024, 8 * 1024 + 1, 1_000_000] {
        invalid(&ada, &listing(), &"A".repeat(length)).await;
    }
    // Beyond that it is the message that is too large.
    let huge = "A".repeat(2_000_000);
    ada.list(with_token(&listing(), &huge)).await.refused("MESSAGE_TOO_LARGE");
    // The longest that a title can make is taken back.
    for letter in ["x", "y"] {
        ada.create(titled(&format!("{letter}{}", "ΐ".repeat(199)))).await.unwrap();
    }
    let long = filtered("title:ΐΐ");
    let request = pb::ListTasksRequest {
        order_by: "title, due_time, priority, create_time, update_time".to_owned(),
        ..long
    };
    let token = token(&ada, &request).await;
    let page = ada.list(with_token(&request, &token)).await.unwrap();
    assert_eq!(page.tasks.len(), 1);
    assert!(page.tasks[0].title.starts_with('y'));
}
