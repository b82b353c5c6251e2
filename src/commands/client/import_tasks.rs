//! Tasks out of a file, and what became of each line of it.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use jiff::ZonedDateTime;
use prost::Message as _;
use serde_json::json;

use super::text::visible;
use super::which_list::which;
use super::{Context, Failure, Outcome};
use crate::cli::interchange::Import;
use crate::client::{ImportOptions, Tasks};
use crate::interchange::{Entry, Format, HEAD_BYTES, Item, Options, Record, detect, list_called, read};
use crate::pb::import_tasks_request::{Item as PbItem, item::Resource};
use crate::pb::import_tasks_response::{ItemResult, Outcome as Became};
use crate::pb::{Task, TaskList};

/// Most bytes of a call, half of what the service takes.
const BYTES_MAX: usize = 8 << 20;
/// Most bytes of an item: more than any has that the service takes, and few enough for those that go in one message.
const ITEM_BYTES_MAX: usize = 60 << 10;

pub(super) async fn import(context: &Context, given: Import) -> Outcome {
    let path = given.file.display().to_string();
    let unreadable = |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", visible(&path)));
    let mut input: Box<dyn Read + Send> = if given.file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(&given.file).map_err(|error| unreadable(&error))?)
    };
    let mut head = Vec::new();
    let looked = (&mut input).take(HEAD_BYTES as u64).read_to_end(&mut head);
    looked.map_err(|error| unreadable(&error))?;
    let format = match given.from.format() {
        Some(format) => format,
        None => detect(&head).map_err(|error| unreadable(&error))?,
    };
    let into = match &given.list {
        Some(list) => Some(list_of(context, list).await?),
        None => None,
    };
    let options = options(&given.file, format);
    let input = BufReader::with_capacity(HEAD_BYTES, Cursor::new(head).chain(input));
    let mut batch = Batch {
        context,
        given: &given,
        pending: Vec::new(),
        bytes: 0,
        would_be: HashSet::new(),
        counts: Counts::default(),
    };
    if let Some((list, true)) = &into {
        batch.take(Item { line: 0, record: Record::TaskList(list.clone()), notes: Vec::new() }).await?;
    }
    for entry in read(format, input, &options) {
        match entry.map_err(|error| unreadable(&error)) {
            Ok(Entry::Item(item)) => {
                if let Some(item) = placed(item, into.as_ref().map(|(list, _)| list)) {
                    batch.take(item).await?;
                }
            }
            Ok(other) => batch.pending.push(Pending::Told(other)),
            Err(failure) => {
                batch.send().await?;
                return Err(failure);
            }
        }
    }
    batch.send().await?;
    batch.finish()
}

fn options(file: &Path, format: Format) -> Options {
    let now = ZonedDateTime::now();
    // Todoist names the file of a project after it, with its number in brackets.
    let stem = file.file_stem().and_then(|stem| stem.to_str()).filter(|stem| *stem != "-");
    let project = stem.map(|stem| match stem.rsplit_once(" [") {
        Some((title, number)) if number.trim_end_matches(']').bytes().all(|byte| byte.is_ascii_digit()) => {
            title
        }
        _ => stem,
    });
    Options {
        today: now.date(),
        zone: now.time_zone().iana_name().map(str::to_owned),
        project: project.filter(|_| format == Format::Todoist).map(str::to_owned),
    }
}

/// The list that is meant, and whether it is to be made.
async fn list_of(context: &Context, given: &str) -> Result<(TaskList, bool), Failure> {
    let lists = context.client.tasks().lists(false).await.map_err(|error| context.service.refused(&error))?;
    let piece = given.to_ascii_lowercase();
    let is_known = |list: &TaskList| {
        let id = list.name.rsplit('/').next().unwrap_or_default();
        list.title.to_lowercase() == given.to_lowercase() || id.starts_with(&piece) || id.ends_with(&piece)
    };
    if given.contains('/') || lists.iter().any(is_known) {
        return Ok((which(context, given, false).await?, false));
    }
    Ok((list_called(given), true))
}

/// The item in the one list into which all go, if there is one; the lists of the file are left out then.
fn placed(item: Item, into: Option<&TaskList>) -> Option<Item> {
    let Some(list) = into else { return Some(item) };
    let Item { line, record, notes } = item;
    match record {
        Record::TaskList(_) => None,
        Record::Task(task) => {
            let task = Task { task_list: list.name.clone(), ..*task };
            Some(Item { line, record: Record::Task(Box::new(task)), notes })
        }
    }
}

/// What is still to be told, in the order of the file.
enum Pending {
    Sent(Item),
    Told(Entry),
}

#[derive(Default)]
struct Counts {
    created: u64,
    unchanged: u64,
    overwritten: u64,
    skipped: u64,
    refused: u64,
    left_out: u64,
    changed: u64,
}

/// Items of a call that is to come.
struct Batch<'a> {
    context: &'a Context,
    given: &'a Import,
    pending: Vec<Pending>,
    bytes: usize,
    /// What a dry run would have made: what refers to it is not missing it.
    would_be: HashSet<String>,
    counts: Counts,
}

impl Batch<'_> {
    async fn take(&mut self, item: Item) -> Outcome {
        let bytes = match &item.record {
            Record::Task(task) => task.encoded_len(),
            Record::TaskList(list) => list.encoded_len(),
        };
        if bytes > ITEM_BYTES_MAX {
            let rule = "must have at most 60 KiB".to_owned();
            let refused = crate::interchange::Refused { line: item.line, field: String::new(), rule };
            self.pending.push(Pending::Told(Entry::Refused(refused)));
            return Ok(());
        }
        if self.pending.len() >= Tasks::IMPORT_MAX || self.bytes + bytes > BYTES_MAX {
            self.send().await?;
        }
        self.bytes += bytes;
        self.pending.push(Pending::Sent(item));
        Ok(())
    }

    /// Makes the call, and tells of each line what became of it.
    async fn send(&mut self) -> Outcome {
        self.bytes = 0;
        let pending = std::mem::take(&mut self.pending);
        let items: Vec<PbItem> = pending
            .iter()
            .filter_map(|one| match one {
                Pending::Sent(item) => Some(message(item)),
                Pending::Told(_) => None,
            })
            .collect();
        let mut results = Vec::new().into_iter();
        if !items.is_empty() {
            let options =
                ImportOptions { validate_only: self.given.dry_run, overwrite: self.given.overwrite };
            let answer = self.context.client.tasks().import(items, options).await;
            results = answer.map_err(|error| self.context.service.refused(&error))?.results.into_iter();
        }
        for one in pending {
            match one {
                Pending::Told(entry) => self.tell(&entry)?,
                Pending::Sent(item) => {
                    let result = results.next().unwrap_or_default();
                    self.became(&item, &result)?;
                }
            }
        }
        Ok(())
    }

    fn became(&mut self, item: &Item, result: &ItemResult) -> Outcome {
        let mut outcome = result.outcome();
        if self.given.dry_run {
            let is_there = |name: &str| name.is_empty() || self.would_be.contains(name);
            let (name, is_placed) = match &item.record {
                Record::Task(task) => (&task.name, is_there(&task.task_list) && is_there(&task.parent_task)),
                Record::TaskList(list) => (&list.name, true),
            };
            let is_missing =
                ["TASK_LIST_NOT_FOUND", "PARENT_TASK_NOT_FOUND"].contains(&result.reason.as_str());
            if is_missing && is_placed {
                outcome = Became::Created;
            }
            if outcome == Became::Created {
                self.would_be.insert(name.clone());
            }
        }
        let (word, count) = match outcome {
            Became::Created => ("created", &mut self.counts.created),
            Became::Unchanged => ("unchanged", &mut self.counts.unchanged),
            Became::Overwritten => ("overwritten", &mut self.counts.overwritten),
            Became::Skipped => ("skipped", &mut self.counts.skipped),
            Became::Refused | Became::Unspecified => ("refused", &mut self.counts.refused),
        };
        *count += 1;
        self.counts.changed += u64::from(!item.notes.is_empty() && word != "refused");
        let violations: Vec<(&str, &str)> =
            result.violations.iter().map(|one| (one.field.as_str(), one.description.as_str())).collect();
        let why = if word == "created" { "" } else { result.text.as_str() };
        self.line(item.line, word, &result.name, why, &violations, &item.notes)
    }

    fn tell(&mut self, entry: &Entry) -> Outcome {
        match entry {
            Entry::Refused(refused) => {
                self.counts.refused += 1;
                let violation = [(refused.field.as_str(), refused.rule.as_str())];
                self.line(refused.line, "refused", "", "", &violation, &[])
            }
            Entry::LeftOut { line, what } => {
                self.counts.left_out += 1;
                self.line(*line, "left out", "", what, &[], &[])
            }
            Entry::Item(_) => Ok(()),
        }
    }

    /// A line of the report.
    fn line(
        &self,
        line: u64,
        word: &str,
        name: &str,
        why: &str,
        violations: &[(&str, &str)],
        notes: &[String],
    ) -> Outcome {
        let output = &self.context.output;
        if output.is_json() {
            let violations: Vec<_> =
                violations.iter().map(|(field, rule)| json!({"field": field, "rule": rule})).collect();
            let told = json!({
                "line": line, "outcome": word.replace(' ', "_"), "name": name, "text": why, "violations": violations, "notes": notes,
            });
            return output.line(&told.to_string());
        }
        let mut told = format!("line {line}: {word}");
        for part in [name, why] {
            if !part.is_empty() {
                told.push_str(&format!(" {}", visible(part)));
            }
        }
        let rules = violations.iter().map(|(field, rule)| {
            if field.is_empty() { (*rule).to_owned() } else { format!("{field} {rule}") }
        });
        let rules: Vec<String> = rules.filter(|rule| rule != why).collect();
        if !rules.is_empty() {
            told.push_str(&format!(": {}", visible(&rules.join("; "))));
        }
        output.line(&told)?;
        notes.iter().try_for_each(|note| output.line(&format!("line {line}: changed: {}", visible(note))))
    }

    /// The counts, and the status.
    fn finish(&self) -> Outcome {
        let Counts { created, unchanged, overwritten, skipped, refused, left_out, changed } = self.counts;
        let output = &self.context.output;
        if output.is_json() {
            let told = json!({"summary": {
                "created": created, "unchanged": unchanged, "overwritten": overwritten, "skipped": skipped, "refused": refused,
                "left_out": left_out, "changed": changed, "dry_run": self.given.dry_run,
            }});
            output.line(&told.to_string())?;
        } else {
            let begin = if self.given.dry_run { "Nothing was changed; it would be: " } else { "" };
            output.line(&format!(
                "{begin}{created} created, {unchanged} unchanged, {overwritten} overwritten, {skipped} skipped, {refused} refused, \
                 {left_out} left out; {changed} changed to fit"
            ))?;
        }
        if refused > 0 { Err(Failure::new(format!("{refused} of the file were refused"))) } else { Ok(()) }
    }
}

fn message(item: &Item) -> PbItem {
    let resource = match &item.record {
        Record::Task(task) => Resource::Task((**task).clone()),
        Record::TaskList(list) => Resource::TaskList(list.clone()),
    };
    PbItem { line: i64::try_from(item.line).unwrap_or(i64::MAX), resource: Some(resource) }
}
