//! Filters, end to end: which tasks each condition finds, and what is no filter.

use taskwire::pb;

use super::{Session, alone, at, filtered, seconds, texts, titled, titles};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;

both_engines!(
    every_field_is_found_by_its_operators,
    conditions_combine,
    what_is_asked_twice_holds_twice,
    a_missing_value_is_neither_true_nor_false_but_false,
    text_is_found_whatever_its_case,
    times_are_compared_as_rfc_3339_spells_them,
    a_filter_has_its_limits,
    what_is_no_filter_is_refused,
    a_filter_finds_only_ones_own,
);

/// Four tasks: `a`, `b`, `c`, `d`, made a minute apart and named so.
async fn four(server: &crate::support::server::TestServer, ada: &Session) {
    for task in [
        pb::Task {
            priority: pb::Priority::Low.into(),
            due_time: Some(at(1000)),
            labels: texts(&["home", "red"]),
            ..titled("a")
        },
        pb::Task {
            description: Some("needle".to_owned()),
            due_time: Some(at(2000)),
            labels: texts(&["home"]),
            ..titled("b")
        },
        pb::Task {
            completed: true,
            description: Some(String::new()),
            priority: pb::Priority::High.into(),
            ..titled("c")
        },
        titled("d"),
    ] {
        ada.create(task).await.unwrap();
        server.clock.advance(seconds(60));
    }
}

/// The titles that a filter finds, in order, as one word.
async fn found(ada: &Session, filter: &str) -> String {
    let request = pb::ListTasksRequest { order_by: "title".to_owned(), ..filtered(filter) };
    titles(&ada.all(request).await).concat()
}

async fn check(ada: &Session, cases: &[(&str, &str)]) {
    for (filter, expected) in cases {
        assert_eq!(found(ada, filter).await, *expected, "{filter}");
    }
}

async fn every_field_is_found_by_its_operators(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    four(&server, &ada).await;
    check(
        &ada,
        &[
            ("", "abcd"),
            ("  ", "abcd"),
            ("completed = true", "c"),
            ("completed=false", "abd"),
            ("completed != true", "abd"),
            ("priority = LOW", "a"),
            ("priority = PRIORITY_MEDIUM", "bd"),
            ("priority != HIGH", "abd"),
            ("priority < MEDIUM", "a"),
            ("priority <= MEDIUM", "abd"),
            ("priority > PRIORITY_LOW", "bcd"),
            ("priority >= HIGH", "c"),
            ("title = a", "a"),
            ("title = \"b\"", "b"),
            ("title = A", ""),
            ("title != a", "bcd"),
            ("title:A", "a"),
            ("title:needle", ""),
            ("needle", "b"),
            ("\"NEEDLE\"", "b"),
            ("labels:home", "ab"),
            ("labels:\"red\"", "a"),
            ("labels:Home", ""),
            ("labels:*", "ab"),
            ("description:*", "b"),
            ("due_time:*", "ab"),
            ("complete_time:*", "c"),
            ("due_time < \"2026-01-01T00:33:20Z\"", "a"),
            ("due_time <= \"2026-01-01T00:33:20Z\"", "ab"),
            ("due_time > \"2026-01-01T00:16:40Z\"", "b"),
            ("due_time >= \"2026-01-01T00:16:40Z\"", "ab"),
            ("due_time = \"2026-01-01T00:16:40Z\"", "a"),
            ("due_time != \"2026-01-01T00:16:40Z\"", "bcd"),
            ("create_time < \"2026-01-01T00:01:00Z\"", "a"),
            ("create_time = \"2026-01-01T00:01:00Z\"", "b"),
            ("create_time != \"2026-01-01T00:01:00Z\"", "acd"),
            ("update_time >= \"2026-01-01T00:02:00Z\"", "cd"),
            ("complete_time = \"2026-01-01T00:02:00Z\"", "c"),
            ("complete_time < \"2027-01-01T00:00:00Z\"", "c"),
        ],
    )
    .await;
}

async fn conditions_combine(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    four(&server, &ada).await;
    check(
        &ada,
        &[
            ("completed = false AND priority = MEDIUM", "bd"),
            ("completed = false priority = MEDIUM", "bd"),
            ("title = a OR title = c", "ac"),
            // OR binds tighter than AND, and tighter than what stands side by side.
            ("title = a OR title = b AND labels:red", "a"),
            ("labels:home title = a OR title = c", "a"),
            ("title = c OR labels:home AND title = b", "b"),
            ("title = d OR (labels:home AND title = b)", "bd"),
            ("NOT title = a", "bcd"),
            ("-title = a", "bcd"),
            ("-labels:home", "cd"),
            ("NOT (title = a OR title = b)", "cd"),
            ("NOT (labels:home AND labels:red)", "bcd"),
            ("-(NOT title = a)", "a"),
            ("labels:home -labels:red", "b"),
            ("NOT title = a AND NOT title = b", "cd"),
            ("((title = a))", "a"),
            ("(title = a) OR (title = d)", "ad"),
            ("title=a OR title=b OR title=c OR title=d", "abcd"),
            ("title = a AND title = b", ""),
            ("needle completed = false", "b"),
        ],
    )
    .await;
}

async fn what_is_asked_twice_holds_twice(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    four(&server, &ada).await;
    // In the order in which such lists come out of an index.
    for (one, other) in [("completed = false", "completed = true"), ("priority = LOW", "priority = MEDIUM")] {
        for filter in [format!("{one} AND {other}"), format!("{other} AND {one}")] {
            assert_eq!(ada.list(filtered(&filter)).await.unwrap().tasks, [], "{filter}");
        }
        let twice = ada.list(filtered(&format!("{one} AND {one}"))).await.unwrap().tasks;
        assert_eq!(twice, ada.list(filtered(one)).await.unwrap().tasks, "{one}");
    }
}

async fn a_missing_value_is_neither_true_nor_false_but_false(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    four(&server, &ada).await;
    let time = "\"2026-01-01T00:16:40Z\"";
    // Every comparison and its negation share out all tasks between them.
    for field in ["due_time", "complete_time"] {
        for operator in ["=", "!=", "<", "<=", ">", ">="] {
            let condition = format!("{field} {operator} {time}");
            let holds = found(&ada, &condition).await;
            let fails = found(&ada, &format!("NOT {condition}")).await;
            let twice = found(&ada, &format!("NOT (NOT {condition})")).await;
            assert_eq!(holds, twice, "{condition}");
            let mut all: Vec<char> = holds.chars().chain(fails.chars()).collect();
            all.sort_unstable();
            assert_eq!(all, ['a', 'b', 'c', 'd'], "{condition}");
            let either = found(&ada, &format!("{condition} OR NOT {condition}")).await;
            assert_eq!(either, "abcd", "{condition}");
        }
    }
    check(
        &ada,
        &[
            ("NOT due_time:*", "cd"),
            ("NOT due_time < \"2026-01-01T00:33:20Z\"", "bcd"),
            ("NOT (due_time < \"2026-01-01T00:33:20Z\" AND completed = false)", "bcd"),
            ("NOT description:*", "acd"),
            ("NOT labels:*", "cd"),
            ("NOT needle", "acd"),
            ("-complete_time >= \"0001-01-01T00:00:00Z\"", "abd"),
        ],
    )
    .await;
}

async fn text_is_found_whatever_its_case(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    // The title, and texts that are found in it by `:` and by a bare string.
    for (title, needles) in [
        ("École", &["école", "ÉCOLE", "e\u{301}cole", "E\u{301}COLE", "cole"][..]),
        ("E\u{301}tude", &["étude", "Étude", "E\u{301}TUDE"]),
        ("Straße 12", &["STRASSE", "straße", "strasse", "STRAẞE", "ss", "ẞ"]),
        ("MASSE", &["maße"]),
        ("İstanbul", &["i\u{307}stanbul", "İSTANBUL", "stanbul"]),
        ("\u{212A}elvin", &["kelvin", "KELVIN", "\u{212A}ELVIN"]),
        ("ΌΣΟΣ", &["όσος", "όσοσ", "ο\u{301}σος"]),
        ("ﬁnal", &["FINAL", "ﬁ", "fi"]),
        ("Ǆ", &["ǅ", "ǆ"]),
        ("Ａｂｃ", &["ａＢＣ"]),
        ("𐐀", &["𐐨"]),
        ("Ω\u{2126}", &["ωω"]),
    ] {
        let task = ada.create(titled(title)).await.unwrap();
        let described = pb::Task { description: Some(format!("in\n{title}!")), ..titled("-") };
        let described = ada.create(described).await.unwrap();
        for needle in needles {
            let by_title = ada.all(filtered(&format!("title:\"{needle}\""))).await;
            assert!(by_title.contains(&task), "{needle} in {title}: {by_title:?}");
            let by_word = ada.all(filtered(&format!("\"{needle}\""))).await;
            assert!(by_word.contains(&task), "{needle} in {title}: {by_word:?}");
            assert!(by_word.contains(&described), "{needle} in {title}: {by_word:?}");
        }
        // `=` is exact.
        let exact = ada.all(filtered(&format!("title = \"{title}\""))).await;
        assert_eq!(exact, [task]);
        let lower = title.to_lowercase();
        if lower != title {
            assert_eq!(ada.all(filtered(&format!("title = \"{lower}\""))).await, []);
        }
    }
    for absent in ["ıstanbul", "istanbul", "ecole", "strase", "όσοτ"] {
        assert_eq!(ada.all(filtered(&format!("\"{absent}\""))).await, [], "{absent}");
    }
}

async fn times_are_compared_as_rfc_3339_spells_them(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task =
        pb::Task { due_time: Some(prost_types::Timestamp { nanos: 123_456_000, ..at(0) }), ..titled("x") };
    ada.create(task).await.unwrap();
    for same in [
        "2026-01-01T00:00:00.123456Z",
        "2026-01-01T00:00:00.123456000Z",
        "2026-01-01T00:00:00.123456999Z",
        "2026-01-01T00:00:00.123456+00:00",
        "2026-01-01T00:00:00.123456-00:00",
        "2026-01-01T05:30:00.123456+05:30",
        "2025-12-31T16:00:00.123456-08:00",
        "2026-01-01T23:59:00.123456+23:59",
    ] {
        check(&ada, &[(&format!("due_time = \"{same}\""), "x")]).await;
    }
    for (other, found) in [
        ("< \"2026-01-01T00:00:00.123457Z\"", "x"),
        ("> \"2026-01-01T00:00:00.123455Z\"", "x"),
        ("> \"2026-01-01T00:00:00Z\"", "x"),
        ("= \"2026-01-01T00:00:00.123Z\"", ""),
        (">= \"2024-02-29T00:00:00Z\"", "x"),
    ] {
        check(&ada, &[(&format!("due_time {other}"), found)]).await;
    }
    for wrong in [
        "",
        "now",
        "2026",
        "2026-01-01",
        "2026-01-01T00:00",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z",
        "2026-1-1T0:0:0Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-12-31T23:59:60Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+5:30",
        "2026-01-01T00:00:00+0530",
        "2026-01-01T00:00:00ZZ",
        "0000-12-31T23:59:59Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "10000-01-01T00:00:00Z",
        "-2026-01-01T00:00:00Z",
        "1767225600",
        "'2026-01-01T00:00:00Z'",
    ] {
        let filter = format!("due_time = \"{wrong}\"");
        ada.list(filtered(&filter)).await.refused_at("FILTER_INVALID", &["filter"]);
    }
}

async fn a_filter_has_its_limits(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    ada.create(titled("x")).await.unwrap();
    let refused = async |filter: String| {
        let answered = ada.list(filtered(&filter)).await;
        answered.refused_at("FILTER_INVALID", &["filter"]);
    };
    let long = |bytes: usize| format!("title:\"{}\"", "x".repeat(bytes - 8));
    assert_eq!(found(&ada, &long(1000)).await, "");
    refused(long(1001)).await;
    let wide = format!("title:\"{}\"", "😀".repeat(249));
    assert!(wide.len() > 1000 && wide.chars().count() < 1000);
    refused(wide).await;

    let terms = |count: usize| vec!["x"; count].join(" ");
    assert_eq!(found(&ada, &terms(20)).await, "x");
    refused(terms(21)).await;
    assert_eq!(found(&ada, &vec!["x"; 20].join(" OR ")).await, "x");
    refused(vec!["x"; 21].join(" OR ")).await;

    let deep = |depth: usize| format!("{}x{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(found(&ada, &deep(10)).await, "x");
    refused(deep(11)).await;
    refused("(".repeat(1000)).await;
    refused("NOT ".repeat(250)).await;
    refused("-(".repeat(500)).await;
    refused(deep(100_000)).await;
}

async fn what_is_no_filter_is_refused(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    ada.create(titled("x")).await.unwrap();
    for filter in [
        "(",
        ")",
        "()",
        "\"",
        "\"\"",
        "x \"",
        "\"\\x\"",
        "\"\\",
        "=",
        "= x",
        "title",
        "title =",
        "title : ",
        "title < x",
        "title == x",
        "title:",
        "nonsense = x",
        "Title = x",
        "title.length = 1",
        "completed",
        "completed = yes",
        "completed = TRUE",
        "completed < true",
        "completed:true",
        "priority = URGENT",
        "priority = high",
        "priority = 3",
        "priority = UNSPECIFIED",
        "priority:HIGH",
        "due_time",
        "due_time:\"2026-01-01T00:00:00Z\"",
        "create_time:*",
        "labels = home",
        "labels < a",
        "labels:\"\"",
        "description = x",
        "description:x",
        "purge_time:*",
        "revision > 1",
        "name = x",
        "user_id = x",
        "x AND",
        "AND x",
        "x OR",
        "OR",
        "NOT",
        "NOT NOT x",
        "--x",
        "x AND OR y",
        "x AND AND y",
        "(x",
        "x)",
        "x && y =",
        "title = 'x",
        "title = x; drop table tasks",
        "1=1",
        "' or '1'='1",
        "title = x) or (1=1",
        "true = true",
    ] {
        let answered = ada.list(filtered(filter)).await;
        if ["title", "completed", "due_time", "title = 'x", "title = x; drop table tasks"].contains(&filter) {
            // Words alone, and texts with odd characters in them, are searches like others.
            assert_eq!(answered.unwrap().tasks, [], "{filter}");
        } else {
            answered.refused_at("FILTER_INVALID", &["filter"]);
        }
    }
}

async fn a_filter_finds_only_ones_own(database: TestDatabase) {
    let (server, ada) = alone(database).await;
    let bob = server.register("bob@example.com").await;
    let mine = ada.create(titled("x")).await.unwrap();
    let done = ada.create(titled("x too")).await.unwrap();
    bob.create(titled("x")).await.unwrap();
    ada.delete(&done.name).await.unwrap();
    for filter in ["", "x", "x OR NOT x", "NOT y", "completed = false", "title:x OR title = x"] {
        assert_eq!(ada.all(filtered(filter)).await, std::slice::from_ref(&mine), "{filter}");
    }
}
