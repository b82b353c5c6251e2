//! Google Tasks, as Google Takeout gives it: `Tasks.json`, with the resources of the Tasks API in it, tasks inside of their lists.
//! `due` is a day there, whatever time stands in it.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::document::{Document, said};
use super::ids::{self, Kind};
use super::{Unreadable, times};
use crate::pb::{Task, TaskList};

const PRODUCT: &str = "google";

#[derive(Deserialize)]
struct Collection<'a> {
    kind: Option<String>,
    id: Option<String>,
    title: Option<String>,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct GoogleTask {
    id: Option<String>,
    title: Option<String>,
    notes: Option<String>,
    status: Option<String>,
    due: Option<String>,
    completed: Option<String>,
    created: Option<String>,
    updated: Option<String>,
    parent: Option<String>,
    deleted: Option<bool>,
    links: Option<Vec<serde_json::Value>>,
    task_recurrence_id: Option<serde_json::Value>,
    recurrence: Option<serde_json::Value>,
}

/// Reads the lists and their tasks.
pub(super) fn entries(document: &mut Document<'_>, root: &RawValue) -> Result<(), Unreadable> {
    let root: Collection<'_> = serde_json::from_str(root.get()).map_err(|_| not_google())?;
    let kind = root.kind.clone().unwrap_or_default();
    if !kind.starts_with("tasks#") {
        return Err(not_google());
    }
    if kind != "tasks#taskLists" {
        // One list alone.
        list(document, 1, "", root);
        return Ok(());
    }
    for (at, piece) in root.items.unwrap_or_default().into_iter().enumerate() {
        let place = format!("items[{at}]");
        let line = document.line(piece);
        if let Some(collection) = document.piece::<Collection<'_>>(&place, piece) {
            list(document, line, &format!("{place}."), collection);
        }
    }
    Ok(())
}

fn not_google() -> Unreadable {
    Unreadable::format(
        "is no Tasks.json of Google Takeout: it must be an object with \"kind\": \"tasks#taskLists\"",
    )
}

fn list(document: &mut Document<'_>, line: u64, place: &str, collection: Collection<'_>) {
    let mut name = String::new();
    if let Some(id) = said(collection.id) {
        let of_list = ids::name(Kind::List, ids::derived(PRODUCT, Kind::List, &id));
        let title = collection.title.unwrap_or_default();
        let list = TaskList { name: of_list.clone(), title, ..TaskList::default() };
        let where_it_stands = place.trim_end_matches('.');
        if document.list(line, where_it_stands, list, Vec::new()) {
            name = of_list;
        }
    } else if said(collection.title).is_some() {
        document.refuse(
            line,
            &format!("{place}id"),
            "is required: without it the list could not be found again",
        );
    }
    for (at, piece) in collection.items.unwrap_or_default().into_iter().enumerate() {
        task(document, &format!("{place}items[{at}]"), piece, &name);
    }
}

fn task(document: &mut Document<'_>, place: &str, piece: &RawValue, list: &str) {
    let line = document.line(piece);
    let Some(read) = document.piece::<GoogleTask>(place, piece) else { return };
    if read.deleted == Some(true) {
        return document.left_out(line, "a deleted task");
    }
    let Some(id) = said(read.id) else {
        return document.refuse(
            line,
            &format!("{place}.id"),
            "is required: without it the task could not be found again",
        );
    };
    let mut notes = Vec::new();
    let due = said(read.due);
    let due_date = due.as_deref().and_then(|due| times::iso(due.get(..10)?));
    if let (Some(_), None) = (&due, due_date) {
        return document.refuse(line, &format!("{place}.due"), "must be a time of RFC 3339");
    }
    let completed = match read.status.as_deref() {
        Some("completed") => true,
        Some("needsAction") | None => read.completed.is_some(),
        Some(_) => {
            return document.refuse(line, &format!("{place}.status"), "must be needsAction or completed");
        }
    };
    if read.links.is_some_and(|links| !links.is_empty()) {
        notes.push("links: left out".to_owned());
    }
    if read.task_recurrence_id.is_some() || read.recurrence.is_some() {
        notes.push("recurrence: left out, since the file does not say how the task comes again".to_owned());
    }
    let time = |text: Option<String>| said(text).and_then(|text| times::rfc3339(&text));
    let parent = said(read.parent).map(|parent| ids::derived(PRODUCT, Kind::Task, &parent));
    let task = Task {
        name: ids::name(Kind::Task, ids::derived(PRODUCT, Kind::Task, &id)),
        title: read.title.unwrap_or_default(),
        description: said(read.notes),
        completed,
        complete_time: time(read.completed).filter(|_| completed),
        due_date,
        create_time: time(read.created),
        update_time: time(read.updated),
        task_list: list.to_owned(),
        parent_task: parent.map(|parent| ids::name(Kind::Task, parent)).unwrap_or_default(),
        ..Task::default()
    };
    document.task(line, place, task, notes);
}
