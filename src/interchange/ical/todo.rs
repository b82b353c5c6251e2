//! A `VTODO` as a task.

use icalendar::parser::Property;
use uuid::Uuid;

use super::lines::{When, duration, parameter, property, time, when};
use super::{alarms, own};
use crate::interchange::ids::{self, Kind};
use crate::interchange::{Refused, fit, times};
use crate::pb::recurrence::Basis;
use crate::pb::{Priority, Recurrence, Task};

/// Lines with their numbers, from 1.
type Numbered = Vec<(u64, String)>;

/// What stands in a `VTODO`.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) own: Numbered,
    pub(super) alarms: Vec<Numbered>,
}

impl Lines {
    pub(super) fn count(&self) -> usize {
        self.own.len() + self.alarms.iter().map(Vec::len).sum::<usize>()
    }
}

/// Where it stands.
pub(super) struct Source<'a> {
    pub(super) line: u64,
    /// The list that the calendar is.
    pub(super) list: Option<&'a (Uuid, String)>,
    /// Where times and days are that name no zone.
    pub(super) zone: &'a str,
}

/// A task, the list in which it is, and what was changed.
pub(super) struct Found {
    pub(super) task: Task,
    pub(super) list: Option<(Uuid, String)>,
    pub(super) notes: Vec<String>,
}

/// Why there is none.
pub(super) enum Not {
    Refused(Refused),
    LeftOut(String),
}

/// Makes a task of a `VTODO`.
///
/// # Errors
/// What is wrong with it, or what it is instead.
pub(super) fn task(source: &Source<'_>, lines: &Lines) -> Result<Found, Not> {
    let mut reading = Reading { source, properties: Vec::new(), notes: Vec::new() };
    for (number, text) in &lines.own {
        let property = property(text).map_err(|rule| refused(*number, "", rule))?;
        reading.properties.push((*number, property));
    }
    if reading.has("RECURRENCE-ID") {
        return Err(Not::LeftOut("a time of a task that comes again, changed by itself".to_owned()));
    }
    let mut task = reading.texts()?;
    reading.when(&mut task)?;
    let list = reading.list();
    if let Some((id, _)) = &list {
        task.task_list = ids::name(Kind::List, *id);
    }
    reading.above(&mut task);
    reading.reminders(&mut task, &lines.alarms);
    reading.rest();
    let Reading { mut notes, .. } = reading;
    let task = fit::task(task, &mut notes).map_err(|(field, rule)| {
        refused(source.line, if field == "title" { "SUMMARY" } else { field }, &rule)
    })?;
    Ok(Found { task, list, notes })
}

fn refused(line: u64, field: &str, rule: &str) -> Not {
    Not::Refused(Refused { line, field: field.to_owned(), rule: rule.to_owned() })
}

struct Reading<'a, 'b> {
    source: &'a Source<'a>,
    properties: Vec<(u64, Property<'b>)>,
    notes: Vec<String>,
}

impl<'b> Reading<'_, 'b> {
    fn all(&self, name: &str) -> impl Iterator<Item = &(u64, Property<'b>)> {
        self.properties.iter().filter(move |(_, one)| one.name.as_str().eq_ignore_ascii_case(name))
    }

    fn one(&self, name: &str) -> Option<&(u64, Property<'b>)> {
        self.all(name).next()
    }

    fn has(&self, name: &str) -> bool {
        self.one(name).is_some()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.one(name).map(|(_, one)| one.val.as_str())
    }

    fn zone(&self) -> &str {
        self.source.zone
    }

    /// What is no time.
    fn texts(&mut self) -> Result<Task, Not> {
        let uid = self.text("UID").map(str::trim).filter(|uid| !uid.is_empty());
        let id = uid.map(id_of).ok_or_else(|| refused(self.source.line, "UID", "is required"))?;
        let mut task = Task { name: ids::name(Kind::Task, id), ..Task::default() };
        task.title = self.text("SUMMARY").unwrap_or_default().to_owned();
        task.description = self.text("DESCRIPTION").map(str::to_owned);
        task.labels = self.all("CATEGORIES").flat_map(|(_, one)| split(one.val.as_str())).collect();
        let pairs = self.all(own::ANNOTATION).filter_map(|(_, one)| one.val.as_str().split_once('='));
        task.annotations = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        task.priority = self.priority().into();
        let done = self.text("PERCENT-COMPLETE").is_some_and(|percent| percent.trim() == "100");
        task.completed = match self.text("STATUS").map(|status| status.trim().to_ascii_uppercase()).as_deref()
        {
            Some("COMPLETED") => true,
            Some("CANCELLED") => {
                self.notes.push("STATUS: cancelled was taken as completed".to_owned());
                true
            }
            Some("NEEDS-ACTION" | "IN-PROCESS") => false,
            _ => done || self.has("COMPLETED"),
        };
        for (name, field) in [("CREATED", &mut task.create_time), ("LAST-MODIFIED", &mut task.update_time)] {
            // Times that the service keeps by itself are no reason to refuse a task.
            *field = self.one(name).and_then(|(_, one)| time(one, "")).map(|(time, _)| time);
        }
        if task.completed {
            task.complete_time = self.at("COMPLETED")?.map(|(time, _)| time);
        }
        Ok(task)
    }

    fn priority(&mut self) -> Priority {
        let Some(text) = self.text("PRIORITY").map(|text| text.trim().to_owned()) else {
            return Priority::Unspecified;
        };
        match text.parse::<u8>() {
            Ok(0) => Priority::Unspecified,
            Ok(1..=4) => Priority::High,
            Ok(5) => Priority::Medium,
            Ok(6..=9) => Priority::Low,
            _ => {
                self.notes
                    .push(format!("PRIORITY: {} is none from 0 to 9, and was left out", fit::shown(&text)));
                Priority::Unspecified
            }
        }
    }

    /// The time that a property says, with the zone that it names.
    fn at(&mut self, name: &str) -> Result<Option<(prost_types::Timestamp, Option<String>)>, Not> {
        let Some((line, one)) = self.one(name) else { return Ok(None) };
        let line = *line;
        let named = parameter(one, "TZID").map(str::to_owned);
        let unknown = named.filter(|named| times::zone_named(named).is_none());
        let time = time(one, self.zone());
        if let Some(unknown) = unknown {
            let instead = if self.zone().is_empty() { "UTC" } else { self.zone() };
            let note = format!(
                "{name}: the time zone {} is not known, and {instead} was taken",
                fit::shown(&unknown)
            );
            self.notes.push(note);
        }
        match time {
            Some(time) => Ok(Some(time)),
            None => {
                Err(refused(line, name, "must be a date such as 20261231 or a time such as 20261231T225959Z"))
            }
        }
    }

    /// When it is to be done, and how it comes again.
    fn when(&mut self, task: &mut Task) -> Result<(), Not> {
        let start = self.at("DTSTART")?;
        let due = self.at("DUE")?;
        let of_day = |name: &str, reading: &Self| match reading.text(name).and_then(|text| when(text.trim()))
        {
            Some(When::Day(day)) => Some(day),
            _ => None,
        };
        let is_floating = |name: &str, reading: &Self| {
            reading
                .text(name)
                .and_then(|text| when(text.trim()))
                .is_some_and(|when| matches!(when, When::Local(_)))
        };
        let named = due.as_ref().and_then(|(_, zone)| zone.clone());
        let named = named.or_else(|| start.as_ref().and_then(|(_, zone)| zone.clone()));
        let zone = match self.text(own::TIME_ZONE) {
            Some(zone) => zone.trim().to_owned(),
            None => named.unwrap_or_else(|| {
                let is_here = ["DUE", "DTSTART"]
                    .iter()
                    .any(|name| is_floating(name, self) || of_day(name, self).is_some());
                if is_here { self.zone().to_owned() } else { String::new() }
            }),
        };
        task.time_zone = zone;
        let (start_day, due_day) = (of_day("DTSTART", self), of_day("DUE", self));
        let mut start_time = start.map(|(time, _)| time);
        match due {
            Some(_) if due_day.is_some() => task.due_date = due_day,
            Some((time, _)) => task.due_time = Some(time),
            None => self.due_otherwise(task, start_time, start_day),
        }
        let rrule = self.text("RRULE").map(|rule| rule.trim().to_owned());
        let begins_with_due = (start_day.is_some() && start_day == task.due_date)
            || (start_day.is_none() && start_time.is_some() && start_time == task.due_time);
        if rrule.is_some() && begins_with_due {
            start_time = None;
        }
        if self.has(own::START) {
            start_time = self.at(own::START)?.map(|(time, _)| time);
        }
        task.start_time = start_time;
        task.recurrence = rrule.map(|rrule| {
            let is_after =
                self.text(own::BASIS).is_some_and(|basis| basis.eq_ignore_ascii_case("COMPLETION"));
            let basis = if is_after { Basis::Completion } else { Basis::Due };
            Recurrence { rrule, basis: basis.into() }
        });
        if task.recurrence.is_some()
            && self.properties.iter().any(|(_, one)| ["EXDATE", "RDATE"].contains(&one.name.as_str()))
        {
            self.notes.push("RRULE: times that are left out of it or added to it are not taken".to_owned());
        }
        Ok(())
    }

    /// A task without `DUE` is due after its duration, or when it begins if it comes again.
    fn due_otherwise(
        &mut self,
        task: &mut Task,
        start: Option<prost_types::Timestamp>,
        day: Option<crate::pb::Date>,
    ) {
        if let (Some(start), Some(after)) = (start, self.text("DURATION").and_then(duration)) {
            task.due_time = Some(prost_types::Timestamp {
                seconds: start.seconds.saturating_add(after),
                nanos: start.nanos,
            });
        } else if self.has("RRULE") {
            match day {
                Some(day) => task.due_date = Some(day),
                None => task.due_time = start,
            }
        }
    }

    fn list(&self) -> Option<(Uuid, String)> {
        let own = self.text(own::LIST).and_then(|id| ids::uuid(id.trim()));
        own.map(|id| (id, self.text(own::LIST_TITLE).unwrap_or_default().to_owned()))
            .or_else(|| self.source.list.cloned())
    }

    /// The task above it.
    fn above(&mut self, task: &mut Task) {
        let mut others = 0;
        let mut parents = Vec::new();
        for (_, one) in self.all("RELATED-TO") {
            let kind = parameter(one, "RELTYPE").unwrap_or("PARENT");
            if kind.eq_ignore_ascii_case("PARENT") && !one.val.as_str().trim().is_empty() {
                parents.push(id_of(one.val.as_str().trim()));
            } else {
                others += 1;
            }
        }
        if let Some(parent) = parents.first() {
            task.parent_task = ids::name(Kind::Task, *parent);
        }
        if others > 0 || parents.len() > 1 {
            self.notes.push("RELATED-TO: all but the first parent were left out".to_owned());
        }
    }

    fn reminders(&mut self, task: &mut Task, alarms: &[Numbered]) {
        for alarm in alarms {
            let triggers = alarm.iter().filter_map(|(_, text)| property(text).ok());
            let trigger = triggers.into_iter().find(|one| one.name.as_str().eq_ignore_ascii_case("TRIGGER"));
            let reminder = trigger
                .map_or(Err("it has no TRIGGER"), |trigger| alarms::reminder(task, &trigger, self.zone()));
            match reminder {
                Ok(reminder) => task.reminders.push(reminder),
                Err(why) => self.notes.push(format!("VALARM: left out, since {why}")),
            }
        }
    }

    /// What a task has no place for.
    fn rest(&mut self) {
        const UNPLACED: [&str; 9] =
            ["ATTACH", "ATTENDEE", "COMMENT", "CONTACT", "GEO", "LOCATION", "ORGANIZER", "RESOURCES", "URL"];
        let found: Vec<&str> = UNPLACED.into_iter().filter(|name| self.has(name)).collect();
        if !found.is_empty() {
            self.notes.push(format!("{}: left out", found.join(", ")));
        }
    }
}

fn id_of(uid: &str) -> Uuid {
    ids::taken_or_derived("ical", Kind::Task, uid)
}

/// The texts of a list, which the crate leaves as they are written.
fn split(list: &str) -> Vec<String> {
    let (mut texts, mut text, mut is_escaped) = (Vec::new(), String::new(), false);
    for char in list.chars() {
        match char {
            'n' | 'N' if is_escaped => text.push('\n'),
            _ if is_escaped => text.push(char),
            ',' => texts.push(std::mem::take(&mut text)),
            '\\' => {}
            _ => text.push(char),
        }
        is_escaped = char == '\\' && !is_escaped;
    }
    texts.push(text);
    texts.retain(|text| !text.is_empty());
    texts
}
