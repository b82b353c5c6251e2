//! Filters: every condition on every kind of task, with a logic of two values on both engines.

use taskwire::domain::{
    Comparison, Condition, Filter, NewTask, PresentField, Priority, Task, TaskPatch, TaskQuery, TimeField,
    text,
};

use super::{Person, at, description, labels, query, task, titles};
use crate::support::both_engines;
use crate::support::database::TestDatabase;

both_engines!(
    completed_is_or_is_not,
    priority_compares_by_weight,
    title_is_exact,
    title_contains_whatever_the_case,
    word_stands_in_title_or_description,
    times_compare_and_absent_ones_never_do,
    presence_means_there_and_not_empty,
    label_matches_as_a_whole,
    logic_nests,
    empty_lists_of_conditions_have_their_logical_value,
    not_turns_every_condition_around,
    folding_finds_what_differs_in_case_alone,
    metacharacters_are_plain_text,
    filters_of_many_shapes_do_not_mix_up,
);

const COMPARISONS: [Comparison; 5] = [
    Comparison::Equal,
    Comparison::Less,
    Comparison::LessOrEqual,
    Comparison::Greater,
    Comparison::GreaterOrEqual,
];

fn holds<T: PartialOrd>(comparison: Comparison, left: &T, right: &T) -> bool {
    match comparison {
        Comparison::Equal => left == right,
        Comparison::Less => left < right,
        Comparison::LessOrEqual => left <= right,
        Comparison::Greater => left > right,
        Comparison::GreaterOrEqual => left >= right,
    }
}

fn is(condition: Condition) -> Filter {
    Filter::Is(condition)
}

fn not(filter: Filter) -> Filter {
    Filter::Not(Box::new(filter))
}

fn contains(words: &str) -> Filter {
    is(Condition::TitleContains(text::fold(words)))
}

fn word(words: &str) -> Filter {
    is(Condition::Word(text::fold(words)))
}

/// The tasks that pass, oldest first.
async fn matching(person: &Person, filter: Filter) -> Vec<Task> {
    let mut tasks = person.list(&TaskQuery { filter, ..query() }).await.tasks;
    tasks.reverse();
    tasks
}

async fn expect(person: &Person, filter: Filter, expected: &[&str]) {
    assert_eq!(titles(&matching(person, filter.clone()).await), expected, "{filter:?}");
}

/// Tasks that differ in everything that a filter can ask for.
async fn assortment(person: &Person) -> Vec<Task> {
    let new = [
        task("bare"),
        NewTask { description: Some(description("")), priority: Priority::Low, ..task("empty") },
        NewTask { due_time: Some(at(100)), labels: labels(&["home"]), ..task("due") },
        NewTask { completed: true, priority: Priority::High, ..task("done") },
        NewTask { description: Some(description("Full of words")), due_time: Some(at(200)), ..task("Full") },
    ];
    let mut tasks = Vec::new();
    for (number, new) in (0..).zip(new) {
        tasks.push(person.create(new, at(number * 10)).await);
    }
    let patch = TaskPatch { completed: Some(true), priority: Some(Priority::Low), ..TaskPatch::default() };
    tasks[4] = person.update(tasks[4].id, patch, at(50)).await.unwrap();
    tasks
}

async fn completed_is_or_is_not(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    assortment(&ada).await;
    expect(&ada, is(Condition::Completed(true)), &["done", "Full"]).await;
    expect(&ada, is(Condition::Completed(false)), &["bare", "empty", "due"]).await;
}

async fn priority_compares_by_weight(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let all = assortment(&ada).await;
    for comparison in COMPARISONS {
        for priority in Priority::ALL {
            let fits = all.iter().filter(|task| holds(comparison, &task.priority, &priority));
            let expected: Vec<&str> = fits.map(|task| task.title.as_str()).collect();
            expect(&ada, is(Condition::Priority(comparison, priority)), &expected).await;
        }
    }
}

async fn title_is_exact(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    assortment(&ada).await;
    ada.create(task("\u{c9}cole"), at(90)).await;
    for (given, expected) in [
        ("Full", &["Full"][..]),
        ("full", &[]),
        ("Ful", &[]),
        ("", &[]),
        ("\u{c9}cole", &["\u{c9}cole"]),
        ("E\u{301}cole", &[]),
    ] {
        expect(&ada, is(Condition::TitleIs(given.into())), expected).await;
    }
}

async fn title_contains_whatever_the_case(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    assortment(&ada).await;
    expect(&ada, contains("FUL"), &["Full"]).await;
    expect(&ada, contains("d"), &["due", "done"]).await;
    expect(&ada, contains("words"), &[]).await;
    expect(&ada, contains(""), &["bare", "empty", "due", "done", "Full"]).await;
}

async fn word_stands_in_title_or_description(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    assortment(&ada).await;
    expect(&ada, word("WORDS"), &["Full"]).await;
    expect(&ada, word("full"), &["Full"]).await;
    expect(&ada, word("e"), &["bare", "empty", "due", "done"]).await;
    expect(&ada, word("nowhere"), &[]).await;
}

async fn times_compare_and_absent_ones_never_do(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let all = assortment(&ada).await;
    type Read = fn(&Task) -> Option<taskwire::domain::Timestamp>;
    let fields: [(TimeField, Read); 4] = [
        (TimeField::Create, |task| Some(task.create_time)),
        (TimeField::Update, |task| Some(task.update_time)),
        (TimeField::Due, |task| task.due_time),
        (TimeField::Complete, |task| task.complete_time),
    ];
    for (field, read) in fields {
        for comparison in COMPARISONS {
            for time in [-1, 0, 30, 50, 100, 150, 200, 300].map(at) {
                let filter = is(Condition::Time(field, comparison, time));
                let (mut fits, mut others) = (Vec::new(), Vec::new());
                for task in &all {
                    let holds = read(task).is_some_and(|left| holds(comparison, &left, &time));
                    if holds { &mut fits } else { &mut others }.push(task.title.as_str());
                }
                expect(&ada, filter.clone(), &fits).await;
                expect(&ada, not(filter), &others).await;
            }
        }
    }
}

async fn presence_means_there_and_not_empty(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    assortment(&ada).await;
    for (field, expected) in [
        (PresentField::Description, &["Full"][..]),
        (PresentField::DueTime, &["due", "Full"]),
        (PresentField::CompleteTime, &["done", "Full"]),
        (PresentField::Labels, &["due"]),
    ] {
        expect(&ada, is(Condition::Present(field)), expected).await;
    }
}

async fn label_matches_as_a_whole(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let awkward = ["a%", "a_", "\"quoted\"", "back\\slash", "[1]", "null", "É", "1"];
    ada.create(NewTask { labels: labels(&["home", "Work"]), ..task("two") }, at(1)).await;
    ada.create(NewTask { labels: labels(&awkward), ..task("awkward") }, at(2)).await;
    ada.create(task("none"), at(3)).await;
    let label = |text: &str| is(Condition::HasLabel(text.into()));
    for text in ["home", "Work"] {
        expect(&ada, label(text), &["two"]).await;
    }
    for text in awkward {
        expect(&ada, label(text), &["awkward"]).await;
    }
    for text in ["work", "hom", "homework", "", "ab", "$[0]", "true", "E\u{301}"] {
        expect(&ada, label(text), &[]).await;
        expect(&ada, not(label(text)), &["two", "awkward", "none"]).await;
    }
}

async fn logic_nests(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    assortment(&ada).await;
    let done = || is(Condition::Completed(true));
    let low = || is(Condition::Priority(Comparison::Equal, Priority::Low));
    expect(&ada, Filter::All(vec![done(), low()]), &["Full"]).await;
    expect(&ada, Filter::Any(vec![done(), low()]), &["empty", "done", "Full"]).await;
    expect(&ada, not(Filter::Any(vec![done(), low()])), &["bare", "due"]).await;
    expect(&ada, not(Filter::All(vec![done(), low()])), &["bare", "empty", "due", "done"]).await;
    expect(&ada, not(not(done())), &["done", "Full"]).await;
    // An `or` within an `and`, and the other way round.
    let either = Filter::Any(vec![contains("bare"), contains("full")]);
    expect(&ada, Filter::All(vec![either.clone(), not(done())]), &["bare"]).await;
    expect(&ada, Filter::All(vec![not(done()), either.clone()]), &["bare"]).await;
    let both = Filter::All(vec![done(), not(low())]);
    expect(&ada, Filter::Any(vec![both, either]), &["bare", "done", "Full"]).await;
    let deep = (0..10).fold(contains("due"), |inner, _| not(Filter::All(vec![Filter::Any(vec![inner])])));
    expect(&ada, deep, &["due"]).await;
}

async fn empty_lists_of_conditions_have_their_logical_value(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let all = assortment(&ada).await;
    let everything = titles(&all);
    expect(&ada, Filter::All(vec![]), &everything).await;
    expect(&ada, Filter::Any(vec![]), &[]).await;
    expect(&ada, not(Filter::All(vec![])), &[]).await;
    expect(&ada, not(Filter::Any(vec![])), &everything).await;
    expect(&ada, Filter::Any(vec![Filter::Any(vec![]), contains("due")]), &["due"]).await;
    expect(&ada, Filter::All(vec![Filter::All(vec![]), contains("due")]), &["due"]).await;
}

async fn not_turns_every_condition_around(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let all = titles(&assortment(&ada).await).join(" ");
    let mut conditions = vec![
        Condition::Completed(true),
        Condition::TitleIs("due".into()),
        Condition::TitleContains("e".into()),
        Condition::Word("words".into()),
        Condition::HasLabel("home".into()),
        Condition::Present(PresentField::Description),
        Condition::Present(PresentField::DueTime),
        Condition::Present(PresentField::CompleteTime),
        Condition::Present(PresentField::Labels),
    ];
    for comparison in COMPARISONS {
        conditions.push(Condition::Priority(comparison, Priority::Medium));
        for field in [TimeField::Create, TimeField::Update, TimeField::Due, TimeField::Complete] {
            conditions.push(Condition::Time(field, comparison, at(100)));
        }
    }
    for condition in conditions {
        let fits = matching(&ada, is(condition.clone())).await;
        let others = matching(&ada, not(is(condition.clone()))).await;
        let mut both: Vec<&Task> = fits.iter().chain(&others).collect();
        both.sort_by_key(|task| task.create_time);
        let both: Vec<&str> = both.into_iter().map(|task| task.title.as_str()).collect();
        assert_eq!(both.join(" "), all, "{condition:?}: either it holds or it does not");
        // And within a choice, where a null would hide behind the other half.
        let always = Filter::Any(vec![is(condition.clone()), not(is(condition.clone()))]);
        assert_eq!(matching(&ada, always).await.len(), 5, "{condition:?}");
        let never = Filter::All(vec![is(condition.clone()), not(is(condition))]);
        assert!(matching(&ada, never).await.is_empty());
    }
}

async fn folding_finds_what_differs_in_case_alone(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let names = ["ÉCOLE", "Straße", "\u{130}stanbul", "\u{212A}elvin", "IRMAK", "ΌΣΟΣ"];
    for (number, name) in (0..).zip(names) {
        ada.create(task(name), at(number)).await;
        let new = NewTask { description: Some(description(name)), ..task(&format!("- {number}")) };
        ada.create(new, at(100 + number)).await;
    }
    for (searched, position) in [
        ("école", 0),
        ("e\u{301}COLE", 0),
        ("STRASSE", 1),
        ("straße", 1),
        ("i\u{307}STANBUL", 2),
        ("\u{130}stanbul", 2),
        ("KELVIN", 3),
        ("kelvin", 3),
        ("irmak", 4),
        ("όσος", 5),
    ] {
        expect(&ada, contains(searched), &[names[position]]).await;
        expect(&ada, word(searched), &[names[position], &format!("- {position}")]).await;
    }
    // No language: a dotless i is another letter, and so is an e without its accent.
    for searched in ["\u{131}rmak", "ecole"] {
        expect(&ada, word(searched), &[]).await;
    }
}

async fn metacharacters_are_plain_text(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    let names = [
        "100% sure",
        "snake_case",
        "it's",
        "back\\slash",
        "\"quoted\"",
        "a.*b",
        "'; drop table tasks; --",
        "$1",
    ];
    for (number, name) in (0..).zip(names) {
        ada.create(NewTask { description: Some(description(name)), ..task(name) }, at(number)).await;
    }
    for (searched, expected) in [
        ("%", "100% sure"),
        ("_", "snake_case"),
        ("'s", "it's"),
        ("\\", "back\\slash"),
        ("\"", "\"quoted\""),
        (".*", "a.*b"),
        ("'; drop", "'; drop table tasks; --"),
        ("$1", "$1"),
    ] {
        expect(&ada, contains(searched), &[expected]).await;
        expect(&ada, word(searched), &[expected]).await;
        expect(&ada, is(Condition::TitleIs(expected.into())), &[expected]).await;
        expect(
            &ada,
            is(Condition::TitleIs(searched.into())),
            if searched == expected { &["$1"] } else { &[] },
        )
        .await;
    }
    for searched in ["1%e", "snake?case", "s%", "\\\\", "a..b", "%%"] {
        expect(&ada, word(searched), &[]).await;
    }
}

async fn filters_of_many_shapes_do_not_mix_up(database: TestDatabase) {
    let ada = Person::new(&database, "ada").await;
    assortment(&ada).await;
    // The same connections see different statements with the same kinds of values, over and over.
    for _ in 0..8 {
        expect(&ada, is(Condition::Completed(true)), &["done", "Full"]).await;
        expect(&ada, is(Condition::Priority(Comparison::Equal, Priority::Low)), &["empty", "Full"]).await;
        expect(
            &ada,
            is(Condition::Priority(Comparison::Less, Priority::High)),
            &["bare", "empty", "due", "Full"],
        )
        .await;
        expect(&ada, is(Condition::TitleIs("due".into())), &["due"]).await;
        expect(&ada, contains("due"), &["due"]).await;
        expect(&ada, is(Condition::HasLabel("due".into())), &[]).await;
        let both = [Condition::Completed(false), Condition::Priority(Comparison::Equal, Priority::Low)];
        expect(&ada, Filter::All(both.clone().map(is).to_vec()), &["empty"]).await;
        let turned = both.into_iter().rev().map(is).collect();
        expect(&ada, Filter::All(turned), &["empty"]).await;
    }
}
