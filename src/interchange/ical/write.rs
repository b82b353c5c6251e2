//! Writing iCalendar, piece by piece.

use std::collections::HashMap;

use icalendar::{Component as _, EventLike as _, Property, Todo};

use super::spelling::{basic, day_of, folded, is_of_years, line, utc, without_fraction};
use super::zones::Zones;
use super::{PRIORITIES, PRODUCT, alarms, own};
use crate::interchange::ids::{id_of, uuid};
use crate::interchange::{Writer, times};
use crate::pb::recurrence::Basis;
use crate::pb::{Task, TaskList};

/// A calendar of tasks. Each piece is whole lines, so that they can be sent one by one.
#[derive(Debug, Default)]
pub struct Calendar {
    name: Option<String>,
    lists: HashMap<String, String>,
    zones: Zones,
}

impl Calendar {
    /// A calendar with nothing in it yet, and what readers call it.
    pub fn new(name: Option<&str>) -> Self {
        Self { name: name.map(str::to_owned), ..Self::default() }
    }

    /// What it begins with.
    pub fn head(&self) -> String {
        let mut text = String::from("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n");
        text.push_str(&line(Property::new("PRODID", PRODUCT)));
        text.push_str("CALSCALE:GREGORIAN\r\n");
        for key in self.name.iter().flat_map(|_| ["NAME", "X-WR-CALNAME"]) {
            let mut name = Property::new(key, self.name.clone().unwrap_or_default());
            // The crate knows the younger of both by no kind of value.
            text.push_str(&line(name.add_parameter("VALUE", "TEXT").done()));
        }
        text
    }

    /// Remembers how a list is called. A list without tasks is in no calendar.
    pub fn add_list(&mut self, list: &TaskList) {
        self.lists.insert(id_of(&list.name).to_owned(), list.title.clone());
    }

    /// A task as a `VTODO`.
    pub fn todo(&mut self, task: &Task) -> String {
        let mut todo = Todo::new();
        todo.uid(id_of(&task.name)).summary(&task.title);
        if let Some(description) = &task.description {
            todo.description(description);
        }
        let stamp = task.update_time.or(task.create_time).unwrap_or_default();
        todo.add_property("DTSTAMP", utc(&stamp));
        for (name, time) in [
            ("CREATED", task.create_time),
            ("LAST-MODIFIED", task.update_time),
            ("COMPLETED", task.complete_time.filter(|_| task.completed)),
        ] {
            if let Some(time) = time {
                todo.add_property(name, utc(&time));
            }
        }
        todo.add_property("STATUS", if task.completed { "COMPLETED" } else { "NEEDS-ACTION" });
        if let Some((_, number)) = PRIORITIES.iter().find(|(priority, _)| *priority == task.priority()) {
            todo.add_property("PRIORITY", *number);
        }
        if !task.labels.is_empty() {
            todo.categories(&task.labels);
        }
        if uuid(id_of(&task.parent_task)).is_some() {
            todo.append_property(
                Property::new("RELATED-TO", id_of(&task.parent_task))
                    .add_parameter("RELTYPE", "PARENT")
                    .done(),
            );
        }
        self.list_of(task, &mut todo);
        self.when(task, &mut todo);
        for (key, value) in &task.annotations {
            todo.append_multi_property(Property::new(own::ANNOTATION, format!("{key}={value}")));
        }
        let mut text = folded(&todo.try_into_string().unwrap_or_default());
        let alarms = alarms::written(task);
        if let Some(at) = text.rfind("END:VTODO").filter(|_| !alarms.is_empty()) {
            text.insert_str(at, &alarms);
        }
        text
    }

    /// What it ends with: the zones that the tasks named, and its end.
    pub fn tail(&mut self) -> String {
        format!("{}END:VCALENDAR\r\n", self.zones.written())
    }

    fn list_of(&self, task: &Task, todo: &mut Todo) {
        let id = id_of(&task.task_list);
        if uuid(id).is_some() {
            todo.add_property(own::LIST, id);
            if let Some(title) = self.lists.get(id) {
                todo.add_property(own::LIST_TITLE, title);
            }
        }
    }

    fn when(&mut self, task: &Task, todo: &mut Todo) {
        let zone = &task.time_zone;
        if !zone.is_empty() {
            todo.add_property(own::TIME_ZONE, zone);
        }
        let due_day = task.due_date.as_ref().and_then(times::date);
        if let Some(due) = &task.due_time {
            let property = self.point("DUE", due, zone);
            todo.append_property(property);
        } else if let Some(day) = due_day {
            todo.append_property(day_of("DUE", day.at(0, 0, 0, 0)));
        }
        let is_due_again = task.recurrence.is_some();
        match (&task.start_time, &task.due_time, due_day) {
            (Some(start), None, Some(day)) => {
                // Of a task that is due on a day it is a day too, and not after it.
                if let Some(local) = times::local(start, zone).filter(is_of_years) {
                    todo.append_property(day_of("DTSTART", local.min(day.at(0, 0, 0, 0))));
                }
                todo.add_property(own::START, utc(start));
            }
            (Some(start), due, None) => {
                let property = self.point("DTSTART", start, zone);
                todo.append_property(property);
                if due.as_ref() == Some(start) {
                    todo.add_property(own::START, utc(start));
                }
            }
            // A rule needs a beginning, which is the due here.
            (None, Some(due), _) if is_due_again => {
                let property = self.point("DTSTART", due, zone);
                todo.append_property(property);
            }
            (None, None, Some(day)) if is_due_again => {
                todo.append_property(day_of("DTSTART", day.at(0, 0, 0, 0)));
            }
            _ => {}
        }
        if let Some(recurrence) = &task.recurrence {
            todo.add_property("RRULE", &recurrence.rrule);
            if recurrence.basis() == Basis::Completion {
                todo.add_property(own::BASIS, "COMPLETION");
            }
        }
    }

    /// A point in time, by the clocks of its zone where they show it once.
    fn point(&mut self, name: &str, time: &prost_types::Timestamp, zone: &str) -> Property {
        let local =
            times::local(time, zone).filter(|local| !zone.is_empty() && zone != "UTC" && is_of_years(local));
        let whole = prost_types::Timestamp { seconds: time.seconds, nanos: 0 };
        match local {
            Some(local) if times::at(without_fraction(local), zone) == Some(whole) => {
                self.zones.add(zone, time.seconds);
                let mut property = Property::new(name, basic(local));
                property.add_parameter("TZID", zone).done()
            }
            _ => Property::new(name, utc(time)),
        }
    }
}

impl Writer for Calendar {
    fn begin(&mut self) -> Vec<u8> {
        self.head().into_bytes()
    }

    fn list(&mut self, list: &TaskList) -> Vec<u8> {
        self.add_list(list);
        Vec::new()
    }

    fn task(&mut self, task: &Task) -> Vec<u8> {
        self.todo(task).into_bytes()
    }

    fn end(&mut self) -> Vec<u8> {
        self.tail().into_bytes()
    }
}
