//! Every field of a task that a caller can write, as the contract names it: written alone it is stored, read, listed
//! and noted in the change log, and nothing else moves. A new field is in here by itself.

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};
use taskwire::domain::TaskField;
use taskwire::pb;

use super::{Session, alone, listing, titled};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::server::answer;

both_engines!(each_field_is_written_read_and_noted, each_field_is_kept_from_its_creation);

fn task_message() -> MessageDescriptor {
    let pool = DescriptorPool::decode(pb::DESCRIPTOR_SET).unwrap();
    pool.get_message_by_name("taskwire.v1.Task").unwrap()
}

/// The fields of the message that are neither its name, nor its etag, nor set by the service alone.
fn writable(message: &MessageDescriptor) -> Vec<FieldDescriptor> {
    let behavior = message.parent_pool().get_extension_by_name("google.api.field_behavior").unwrap();
    let output_only_or_identifier = |field: &FieldDescriptor| {
        let options = field.options();
        let behaviors = options.get_extension(&behavior);
        let behaviors = behaviors.as_list().unwrap().iter().filter_map(Value::as_enum_number);
        // google.api.FieldBehavior: OUTPUT_ONLY, IDENTIFIER.
        behaviors.into_iter().any(|number| [3, 8].contains(&number))
    };
    message.fields().filter(|field| !output_only_or_identifier(field) && field.name() != "etag").collect()
}

/// The id of a list that there is.
const LIST: &str = "0198c0de-0000-7000-8000-00000000000a";

/// Makes the list that samples are in; answers its name.
async fn list(ada: &Session) -> String {
    let request = pb::CreateTaskListRequest {
        parent: "users/me".to_owned(),
        task_list: Some(pb::TaskList { title: "Groceries".to_owned(), ..Default::default() }),
        task_list_id: LIST.to_owned(),
        ..Default::default()
    };
    // And the task that samples are below, of the same id.
    ada.create_as(titled("parent"), LIST).await.unwrap();
    answer(ada.tasks().create_task_list(request).await).unwrap().name
}

/// Something that the field can hold and that a new task does not.
fn sample(field: &FieldDescriptor, list: &str) -> Value {
    if field.name() == "task_list" {
        return Value::String(list.to_owned());
    }
    if field.name() == "parent_task" {
        return Value::String(format!("{}/tasks/{LIST}", list.split_once("/taskLists/").unwrap().0));
    }
    if field.name() == "time_zone" {
        return Value::String("Europe/Berlin".to_owned());
    }
    if field.is_map() {
        let pair = (MapKey::String("crm/id".to_owned()), Value::String("4711".to_owned()));
        return Value::Map(std::iter::once(pair).collect());
    }
    let one = match field.kind() {
        Kind::String => Value::String("something else".to_owned()),
        Kind::Bool => Value::Bool(true),
        Kind::Enum(_) => Value::EnumNumber(3),
        Kind::Message(message) if message.full_name() == "google.protobuf.Timestamp" => {
            let mut time = DynamicMessage::new(message);
            time.set_field_by_name("seconds", Value::I64(1_900_000_000));
            Value::Message(time)
        }
        Kind::Message(message) if message.full_name() == "google.type.Date" => {
            let mut date = DynamicMessage::new(message);
            for (part, number) in [("year", 2026), ("month", 3), ("day", 1)] {
                date.set_field_by_name(part, Value::I32(number));
            }
            Value::Message(date)
        }
        Kind::Message(message) if message.full_name() == "taskwire.v1.Recurrence" => {
            let mut recurrence = DynamicMessage::new(message);
            recurrence.set_field_by_name("rrule", Value::String("FREQ=DAILY".to_owned()));
            recurrence.set_field_by_name("basis", Value::EnumNumber(2));
            Value::Message(recurrence)
        }
        Kind::Message(message) if message.full_name() == "taskwire.v1.Reminder" => {
            let when = pb::reminder::When::Time(super::at(1_000_000));
            let reminder = pb::Reminder { when: Some(when) }.encode_to_vec();
            Value::Message(DynamicMessage::decode(message, reminder.as_slice()).unwrap())
        }
        kind => panic!("no sample for {}: {kind:?}", field.name()),
    };
    if field.is_list() { Value::List(vec![one]) } else { one }
}

/// What a task needs for the field to stand on it.
fn bare(field: &FieldDescriptor) -> pb::Task {
    let due_time = (field.name() == "recurrence").then(|| super::at(0));
    pb::Task { due_time, ..titled("Buy milk") }
}

fn reflected(message: &MessageDescriptor, task: &pb::Task) -> DynamicMessage {
    DynamicMessage::decode(message.clone(), task.encode_to_vec().as_slice()).unwrap()
}

fn with(message: &MessageDescriptor, task: &pb::Task, field: &FieldDescriptor, list: &str) -> pb::Task {
    let mut reflected = reflected(message, task);
    reflected.set_field(field, sample(field, list));
    pb::Task::decode(reflected.encode_to_vec().as_slice()).unwrap()
}

async fn each_field_is_written_read_and_noted(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let message = task_message();
    let list = list(&ada).await;
    let fields = writable(&message);
    let names: Vec<&str> = fields.iter().map(FieldDescriptor::name).collect();
    assert_eq!(
        names,
        TaskField::WRITTEN,
        "what the contract lets callers write, and what the change log knows"
    );
    for field in &fields {
        let before = ada.create(bare(field)).await.unwrap();
        let wanted = with(&message, &before, field, &list);
        let updated = ada.update(wanted.clone(), &[field.name()]).await.unwrap();
        for task in [&updated, &ada.get(&before.name).await.unwrap()] {
            let reflected = reflected(&message, task);
            assert_eq!(*reflected.get_field(field), sample(field, &list), "{}", field.name());
            for other in fields.iter().filter(|other| *other != field) {
                let untouched = self::reflected(&message, &before);
                assert_eq!(reflected.get_field(other), untouched.get_field(other), "{}", other.name());
            }
        }
        let all = ada.all(listing()).await;
        assert_eq!(all.iter().find(|task| task.name == before.name), Some(&updated), "{}", field.name());
        let request = pb::ListTaskChangesRequest {
            parent: "users/me".to_owned(),
            start_revision: before.revision,
            ..pb::ListTaskChangesRequest::default()
        };
        let page = answer(ada.tasks().list_task_changes(request).await).unwrap();
        // Beside it stands at most that a parent counts it.
        let [change, rest @ ..] = page.changes.as_slice() else { panic!("{}: {page:?}", field.name()) };
        assert!(rest.iter().all(|counted| counted.changed_fields == ["subtask_count"]), "{rest:?}");
        // Who comes into a list gets a place there.
        let moves = ["task_list", "parent_task"].contains(&field.name());
        let moved: &[&str] = if moves { &["position"] } else { &[] };
        assert_eq!(change.changed_fields, [&[field.name()], moved].concat());
        assert_eq!(change.task.as_ref(), Some(&updated), "{}", field.name());
        // The same again changes nothing.
        assert_eq!(ada.update(wanted, &[field.name()]).await.unwrap_err().reason, "ETAG_MISMATCH");
        let again = with(&message, &updated, field, &list);
        assert_eq!(ada.update(again, &[field.name()]).await.unwrap(), updated, "{}", field.name());
    }
}

async fn each_field_is_kept_from_its_creation(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let message = task_message();
    let list = list(&ada).await;
    for field in writable(&message) {
        let created = ada.create(with(&message, &bare(&field), &field, &list)).await.unwrap();
        let read = ada.get(&created.name).await.unwrap();
        assert_eq!(read, created, "{}", field.name());
        assert_eq!(*reflected(&message, &read).get_field(&field), sample(&field, &list), "{}", field.name());
    }
}
