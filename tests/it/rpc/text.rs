//! Text as it is kept: trimmed where that is said, otherwise answered as it was given, whatever it holds.

use taskwire::pb;

use super::fields::controls;
use super::{alone, filtered, texts, titled};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::Refused as _;

both_engines!(
    titles_are_trimmed_of_unicode_white_space,
    titles_of_white_space_alone_are_refused,
    what_only_looks_like_white_space_stays,
    controls_at_the_ends_of_titles_are_trimmed_or_refused,
    any_other_text_is_read_as_it_was_written,
    labels_are_a_set_of_exact_texts,
    what_looks_like_sql_is_text,
);

/// The characters with the property White_Space (PropList.txt of Unicode 16).
const WHITE_SPACE: &str = "\t\n\u{B}\u{C}\r \u{85}\u{A0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\
    \u{2006}\u{2007}\u{2008}\u{2009}\u{200A}\u{2028}\u{2029}\u{202F}\u{205F}\u{3000}";

async fn titles_are_trimmed_of_unicode_white_space(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for space in WHITE_SPACE.chars() {
        let inner = if space.is_control() { ' ' } else { space };
        let expected = format!("a{inner}{inner}b");
        for title in [
            format!("{space}{expected}"),
            format!("{expected}{space}"),
            format!("{space}{WHITE_SPACE}{expected}{WHITE_SPACE}{space}"),
        ] {
            let task = ada.create(titled(&title)).await.unwrap();
            assert_eq!(task.title, expected, "{space:?}");
            assert_eq!(ada.get(&task.name).await.unwrap(), task);
            let update = pb::Task { name: task.name.clone(), ..titled(&title) };
            assert_eq!(ada.update(update, &["title"]).await.unwrap(), task);
        }
    }
}

async fn titles_of_white_space_alone_are_refused(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(titled("x")).await.unwrap();
    let alone = WHITE_SPACE.chars().map(String::from);
    for title in alone.chain([String::new(), WHITE_SPACE.to_owned(), " ".repeat(300)]) {
        ada.create(titled(&title)).await.refused_at("FIELD_INVALID", &["task.title"]);
        let update = pb::Task { name: task.name.clone(), ..titled(&title) };
        ada.update(update, &["title"]).await.refused_at("FIELD_INVALID", &["task.title"]);
    }
}

async fn what_only_looks_like_white_space_stays(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for title in [
        "\u{200B}",
        "\u{FEFF}",
        "\u{180E}",
        "\u{2060}",
        "\u{2800}",
        "\u{3164}",
        "\u{AD}",
        "\u{200D}x\u{200D}",
        "\u{FE0F}",
    ] {
        let task = ada.create(titled(title)).await.unwrap();
        assert_eq!(task.title, title);
        assert_eq!(ada.get(&task.name).await.unwrap(), task);
    }
}

async fn controls_at_the_ends_of_titles_are_trimmed_or_refused(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for control in controls() {
        for title in [format!("{control}x"), format!("x{control}")] {
            let created = ada.create(titled(&title)).await;
            if WHITE_SPACE.contains(control) {
                assert_eq!(created.unwrap().title, "x", "{control:?}");
            } else {
                created.refused_at("FIELD_INVALID", &["task.title"]);
            }
        }
    }
}

/// Texts that have broken programs.
fn odd_texts() -> Vec<String> {
    let storm: String = (0..49).map(|_| '\u{301}').collect();
    let mut odd = texts(&[
        // Right to left: an override without an end, isolates, Hebrew and Arabic.
        "\u{202E}txt.exe",
        "\u{2066}a\u{2069}\u{200F}",
        "שלום",
        "مرحبا\u{200C}",
        // Emoji of several code points, with and without their selectors.
        "👩‍👩‍👧‍👦🏳️‍🌈",
        "🇫🇷🇫",
        "☺\u{FE0E}☺\u{FE0F}",
        // Decomposed, composed, and neither.
        "e\u{301}",
        "é",
        "q\u{307}\u{323}",
        "q\u{323}\u{307}",
        "ﬁ ½ ²",
        "각\u{1100}\u{1161}",
        "Å\u{212B}",
        // Letters whose case changes their number.
        "ßẞ",
        "İıIi",
        "ΌΣΟΣ ς",
        "ŉǰ",
        // Beyond the first plane; private use; no characters at all.
        "𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
        "\u{10FFFD}\u{E000}",
        "\u{FFFE}\u{FFFF}\u{FDD0}",
        "\u{10FFFF}\u{1FFFE}",
        "\u{FFFD}",
        "\u{FFF9}a\u{FFFA}b\u{FFFB}",
        // Invisible.
        "a\u{200B}b\u{FEFF}c\u{2063}d",
        "\u{E0041}\u{E007F}",
        // What something else might read as its own.
        "\\u0000 %00 &#0; \\x00",
        "null",
        "{\"a\": [1]}",
        "<script>alert(1)</script>",
        "=cmd|' /C calc'!A0",
        "../../etc/passwd",
        "$1 :name ?1 @p",
        "%s %n {} {0}",
    ]);
    odd.push(format!("Z{storm}"));
    odd
}

async fn any_other_text_is_read_as_it_was_written(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    for text in odd_texts() {
        let given = pb::Task {
            description: Some(format!(" {text}\n\t{text} ")),
            labels: vec![text.clone(), format!(" {text}").chars().take(50).collect()],
            ..titled(&text)
        };
        let task = ada.create(given.clone()).await.unwrap();
        assert_eq!(task.title, given.title);
        assert_eq!(task.description, given.description);
        assert_eq!(task.labels, given.labels);
        assert_eq!(ada.get(&task.name).await.unwrap(), task);

        let other = ada.create(titled("other")).await.unwrap();
        let update = pb::Task { name: other.name.clone(), ..given.clone() };
        ada.update(update, &["*"]).await.unwrap();
        let read = ada.get(&other.name).await.unwrap();
        assert_eq!(
            (read.title, read.description, read.labels),
            (given.title, given.description, given.labels)
        );
        let user =
            pb::User { name: "users/me".to_owned(), display_name: text.clone(), ..pb::User::default() };
        ada.update_account(user, &["display_name"]).await.unwrap();
        assert_eq!(ada.me().await.display_name, text);
    }
}

async fn labels_are_a_set_of_exact_texts(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let given = ["b", "a", "A", "b", " b", "e\u{301}", "é", "a", "null", "[]", "\""];
    let kept = texts(&["b", "a", "A", " b", "e\u{301}", "é", "null", "[]", "\""]);
    let task = pb::Task { labels: texts(&given), ..titled("x") };
    let task = ada.create(task).await.unwrap();
    assert_eq!(task.labels, kept);
    assert_eq!(ada.get(&task.name).await.unwrap(), task);
    for label in &kept {
        let quoted = label.replace('"', "\\\"");
        let found = ada.all(filtered(&format!("labels:\"{quoted}\""))).await;
        assert_eq!(found, std::slice::from_ref(&task), "{label:?}");
    }
    for absent in ["B", "ab", "a ", "e", "[", "nul"] {
        assert_eq!(ada.all(filtered(&format!("labels:\"{absent}\""))).await, []);
    }
}

async fn what_looks_like_sql_is_text(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let hostile = [
        "'; drop table tasks; --",
        "' or '1'='1",
        "\\'; delete from tasks",
        "%",
        "_",
        "%_%",
        "\\",
        "\\%",
        "a%b",
        "a_b",
        "a\\b",
        "*",
        "?",
        "[a-z]",
        "$$",
        "/* */",
    ];
    for text in hostile {
        ada.create(titled(text)).await.unwrap();
    }
    ada.create(titled("axb")).await.unwrap();
    for text in hostile {
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        let contains = |task: &pb::Task| task.title.contains(text);
        for filter in [format!("title:\"{quoted}\""), format!("\"{quoted}\"")] {
            let found = ada.all(filtered(&filter)).await;
            let expected = hostile.iter().filter(|title| title.contains(text)).count();
            assert_eq!(found.len(), expected, "{filter}: {found:?}");
            assert!(found.iter().all(contains), "{filter}: {found:?}");
        }
        let found = ada.all(filtered(&format!("title = \"{quoted}\""))).await;
        assert_eq!(super::titles(&found), [text]);
    }
}
