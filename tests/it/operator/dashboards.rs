//! The dashboard and the alerts name only what a running service tells: every metric, and every label of it.

use std::collections::{BTreeMap, BTreeSet};

use taskwire::pb::{CreateTaskRequest, GetTaskRequest, Task};
use tonic_health::pb::health_check_response::ServingStatus;

use super::{get, serve};
use crate::process::{authorised, log_in};
use crate::support::database::TestDatabase;
use crate::support::one_engine;
use crate::support::process::Sandbox;
use crate::surface::root;

/// Words of the query language that stand where a metric could.
const WORDS: [&str; 10] = ["and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "le"];
/// Labels that the scraper adds.
const OF_THE_SCRAPER: [&str; 2] = ["instance", "job"];

/// The metrics of an expression, each with the labels that are asked of it; and the labels it is grouped by.
#[derive(Debug, Default)]
struct Named {
    metrics: BTreeMap<String, BTreeSet<String>>,
    groups: BTreeSet<String>,
}

/// Reads as much of the query language as is needed for that.
fn named(expression: &str) -> Named {
    let mut named = Named::default();
    let chars: Vec<char> = expression.chars().collect();
    let until = |from: usize, end: char| from + chars[from..].iter().position(|c| *c == end).unwrap();
    let mut at = 0;
    while at < chars.len() {
        match chars[at] {
            '"' => at = until(at + 1, '"') + 1,
            '[' => at = until(at, ']') + 1,
            begin if begin.is_ascii_alphabetic() || begin == '_' => {
                let end = chars[at..].iter().position(|c| !c.is_ascii_alphanumeric() && *c != '_');
                let end = end.map_or(chars.len(), |length| at + length);
                let word: String = chars[at..end].iter().collect();
                let rest: String = chars[end..].iter().collect();
                let is_function =
                    ["(", "by (", "without ("].iter().any(|begin| rest.trim_start().starts_with(begin));
                at = end;
                if ["by", "without", "on", "ignoring"].contains(&word.as_str()) {
                    let close = until(end, ')');
                    let list: String = chars[until(end, '(') + 1..close].iter().collect();
                    named.groups.extend(list.split(',').map(|label| label.trim().to_owned()));
                    at = close + 1;
                } else if !is_function && !WORDS.contains(&word.as_str()) {
                    let labels = named.metrics.entry(word).or_default();
                    if chars.get(end) == Some(&'{') {
                        let close = until(end, '}');
                        let list: String = chars[end + 1..close].iter().collect();
                        labels.extend(labels_of(&list));
                        at = close + 1;
                    }
                }
            }
            begin if begin.is_ascii_digit() => {
                let rest = chars[at..].iter().position(|c| !c.is_ascii_alphanumeric() && *c != '.');
                at = rest.map_or(chars.len(), |length| at + length);
            }
            _ => at += 1,
        }
    }
    named
}

/// The names in a list such as `a="1",b=~"2,3"`.
fn labels_of(list: &str) -> Vec<String> {
    let outside: String = list.split('"').step_by(2).collect();
    outside
        .split(',')
        .map(|one| one.trim_end_matches(['=', '~', '!']).trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Every expression of both files.
fn expressions() -> Vec<String> {
    let mut all = Vec::new();
    let dashboard = std::fs::read_to_string(root().join("deploy/grafana/taskwire.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        let targets = panel["targets"].as_array().into_iter().flatten();
        all.extend(targets.map(|target| target["expr"].as_str().unwrap().to_owned()));
    }
    assert!(all.len() > 40, "{} queries in the dashboard", all.len());
    let alerts = std::fs::read_to_string(root().join("deploy/prometheus/alerts.yaml")).unwrap();
    let rules = alerts.matches("- alert: ").count();
    let before = all.len();
    all.extend(alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned));
    assert_eq!(all.len() - before, rules);
    assert!(rules > 10, "{rules} alerts");
    all
}

/// The series of a service that has been used, by name, with the names of their labels.
fn series(metrics: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        all.entry(name.to_owned()).or_default().extend(labels_of(labels.trim_end_matches('}')));
    }
    all
}

one_engine!(Postgres: every_name_exists);

async fn every_name_exists(database: TestDatabase) {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(["keys", "generate", "--out", "key.pem"]).status, Some(0));
    // A standby tells of itself also when it is away.
    let standby = "postgres://nobody@127.0.0.1:1/nowhere";
    let settings = ["--database-url", &database.url, "--signing-key-file", "key.pem", "--read-urls", standby];
    let (service, admin) = serve(&sandbox, &settings);
    service.wait_until(ServingStatus::Serving).await;
    let pair = log_in(&service).await;
    let mut tasks = service.tasks().await;
    let create = CreateTaskRequest {
        parent: "users/me".into(),
        task: Some(Task { title: "one".into(), ..Task::default() }),
        ..CreateTaskRequest::default()
    };
    let name = tasks.create_task(authorised(create, &pair)).await.unwrap().into_inner().name;
    tasks.get_task(authorised(GetTaskRequest { name, ..Default::default() }, &pair)).await.unwrap();
    let text = get(admin, "/metrics").await.body;
    for pool in ["shared", "by_key", "lanes", "standbys"] {
        assert!(
            text.contains(&format!("taskwire_pool_connections_max{{pool=\"{pool}\"}}")),
            "{pool}: {text}"
        );
    }
    let told = series(&text);
    service.stop();

    let every_label: BTreeSet<&String> = told.values().flatten().collect();
    // The scraper would rename ours.
    assert!(OF_THE_SCRAPER.iter().all(|label| !every_label.contains(&(*label).to_owned())));
    let mut wrong = Vec::new();
    for expression in expressions() {
        let named = named(&expression);
        assert!(!named.metrics.is_empty(), "{expression}");
        for (metric, labels) in &named.metrics {
            let Some(known) = told.get(metric) else {
                wrong.push(format!("{metric} is not told: {expression}"));
                continue;
            };
            for label in labels {
                if !known.contains(label) && !OF_THE_SCRAPER.contains(&label.as_str()) {
                    wrong.push(format!("{metric} has no label {label}: {expression}"));
                }
            }
        }
        for label in &named.groups {
            if !every_label.contains(label) && !OF_THE_SCRAPER.contains(&label.as_str()) {
                wrong.push(format!("nothing has a label {label}: {expression}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_reading_of_expressions_finds_what_is_there() {
    let named = named(
        "sum by (instance, le) (rate(a_bucket{x=~\"1,2\",y!=\"b_total\"}[5m])) / on (pool) c > 1e3 or time() - d{}",
    );
    let metrics: Vec<&str> = named.metrics.keys().map(String::as_str).collect();
    assert_eq!(metrics, ["a_bucket", "c", "d"]);
    assert_eq!(named.metrics["a_bucket"], ["x", "y"].map(String::from).into());
    assert_eq!(named.groups, ["instance", "le", "pool"].map(String::from).into());
}
