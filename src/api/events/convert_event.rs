//! Events as they are answered.

use crate::api::accounts::convert_user::user_to_pb;
use crate::api::names;
use crate::api::tasks::changes::change_to_pb;
use crate::api::tasks::convert::task_to_pb;
use crate::api::tasks::convert_value::time_to_pb;
use crate::auth::owner_for_service;
use crate::domain::{Event, EventData};
use crate::pb;
use crate::pb::event::Data;

/// What an event tells, as it is answered.
pub(super) fn data_to_pb(event: &Event) -> Data {
    match &event.data {
        EventData::Change(change) => {
            Data::Change(change_to_pb(owner_for_service(event.user), change.as_ref().clone()))
        }
        EventData::Account(Some(user)) => Data::Account(user_to_pb(user)),
        EventData::Account(None) => {
            Data::Account(pb::User { name: names::user(event.user), ..pb::User::default() })
        }
        EventData::Reminder(task, due) => Data::Reminder(pb::DueReminder {
            task: Some(task_to_pb(task.as_ref().clone())),
            remind_time: Some(time_to_pb(due.time)),
            late: due.late,
        }),
    }
}

/// An event as it is answered.
pub(super) fn event_to_pb(event: &Event) -> pb::Event {
    pb::Event {
        id: event.id.clone(),
        r#type: event.kind.name().to_owned(),
        user: names::user(event.user),
        create_time: Some(time_to_pb(event.create_time)),
        data: Some(data_to_pb(event)),
    }
}
