//! Messages and enums as JSON schemas.

use std::collections::BTreeMap;

use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value as Held};
use serde_json::{Map, Value, json};

use super::comments::{Comments, split_example};
use super::{DocumentError, PACKAGE, examples, limits};

/// The schemas that the document refers to, each made once.
#[derive(Debug)]
pub(super) struct Schemas<'a> {
    comments: &'a Comments,
    wanted: Vec<Named>,
    seen: BTreeMap<String, Value>,
}

#[derive(Debug)]
enum Named {
    Message(MessageDescriptor),
    Enum(EnumDescriptor),
}

/// What the annotation `google.api.field_behavior` says of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behavior {
    Required = 2,
    OutputOnly = 3,
    InputOnly = 4,
}

impl<'a> Schemas<'a> {
    pub(super) fn new(comments: &'a Comments) -> Self {
        Self { comments, wanted: Vec::new(), seen: BTreeMap::new() }
    }

    /// A reference to the schema of a message.
    pub(super) fn message(&mut self, message: &MessageDescriptor) -> Value {
        let name = component(message.full_name());
        self.wanted.push(Named::Message(message.clone()));
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// The schema of an object with some fields of a message.
    pub(super) fn object(
        &mut self,
        message: &MessageDescriptor,
        keep: impl Fn(&FieldDescriptor) -> bool,
    ) -> Result<Value, DocumentError> {
        let mut properties = Map::new();
        for field in message.fields().filter(keep) {
            properties.insert(field.json_name().to_owned(), self.field(&field)?);
        }
        // A message that is one choice holds one of its fields.
        let choice = message.oneofs().next().is_some_and(|one| {
            one.fields().len() == message.fields().len() && !message.fields().any(|field| is_optional(&field))
        });
        let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
        if choice && let Some(object) = schema.as_object_mut() {
            object.insert("maxProperties".to_owned(), json!(1));
        }
        Ok(schema)
    }

    /// The schema of a field, with its comment and limits.
    pub(super) fn field(&mut self, field: &FieldDescriptor) -> Result<Value, DocumentError> {
        let schema = self.kind_of(field)?;
        self.described(field, schema)
    }

    fn kind_of(&mut self, field: &FieldDescriptor) -> Result<Value, DocumentError> {
        if field.is_map()
            && let Kind::Message(entry) = field.kind()
        {
            let value = self.kind(&entry.map_entry_value_field().kind(), field.full_name())?;
            return Ok(json!({ "type": "object", "additionalProperties": value }));
        }
        let one = self.kind(&field.kind(), field.full_name())?;
        let is_list = field.cardinality() == Cardinality::Repeated;
        Ok(if is_list { json!({ "type": "array", "items": one }) } else { one })
    }

    /// A schema with what the contract says of the field.
    fn described(&self, field: &FieldDescriptor, mut schema: Value) -> Result<Value, DocumentError> {
        let Some(object) = schema.as_object_mut() else { return Ok(schema) };
        let (text, _) = split_example(self.comments.of_field(field));
        object.insert("description".to_owned(), Value::String(text));
        if has_behavior(field, Behavior::OutputOnly) {
            object.insert("readOnly".to_owned(), Value::Bool(true));
        }
        if has_behavior(field, Behavior::InputOnly) {
            object.insert("writeOnly".to_owned(), Value::Bool(true));
        }
        if let Some(Value::Object(limits)) = limits::of(field.full_name()) {
            for (key, value) in limits {
                object.entry(key.clone()).and_modify(|held| {
                    if key != "description" {
                        held.clone_from(&value);
                    }
                });
                object.entry(key).or_insert(value);
            }
        }
        Ok(schema)
    }

    fn kind(&mut self, kind: &Kind, at: &str) -> Result<Value, DocumentError> {
        Ok(match kind {
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Int32 => {
                json!({ "type": "integer", "format": "int32", "maximum": i32::MAX, "minimum": i32::MIN })
            }
            Kind::Int64 => json!({ "type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$" }),
            Kind::Enum(kind) => {
                self.wanted.push(Named::Enum(kind.clone()));
                json!({ "$ref": format!("#/components/schemas/{}", component(kind.full_name())) })
            }
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
                "google.type.Date" => {
                    let part = |least, most| json!({ "type": "integer", "format": "int32", "minimum": least, "maximum": most });
                    json!({
                        "type": "object",
                        "properties": { "year": part(1, 9999), "month": part(1, 12), "day": part(1, 31) },
                        "required": ["year", "month", "day"],
                    })
                }
                "google.protobuf.Duration" => {
                    json!({ "type": "string", "pattern": "^-?[0-9]{1,12}(\\.[0-9]{1,9})?s$" })
                }
                "google.protobuf.FieldMask" => {
                    json!({ "type": "string", "pattern": "^([A-Za-z.]+(,[A-Za-z.]+)*)?$" })
                }
                name if name.starts_with(PACKAGE) => self.message(message),
                name => return Err(DocumentError::Contract(format!("{at}: no schema for {name}"))),
            },
            other => return Err(DocumentError::Contract(format!("{at}: no schema for {other:?}"))),
        })
    }

    /// Every schema that was referred to, and those they refer to.
    pub(super) fn into_components(mut self) -> Result<Value, DocumentError> {
        while let Some(next) = self.wanted.pop() {
            let name = match &next {
                Named::Message(message) => component(message.full_name()),
                Named::Enum(kind) => component(kind.full_name()),
            };
            if self.seen.contains_key(&name) {
                continue;
            }
            // Held before it is made: a message may refer to itself.
            self.seen.insert(name.clone(), Value::Null);
            let schema = match &next {
                Named::Message(message) => self.component_of(message)?,
                Named::Enum(kind) => json!({
                    "type": "string",
                    "description": self.comments.of_enum(kind),
                    "enum": kind.values().map(|value| value.name().to_owned()).collect::<Vec<_>>(),
                }),
            };
            self.seen.insert(name, schema);
        }
        let mut all: Map<String, Value> = self.seen.into_iter().collect();
        all.insert("Error".to_owned(), error_schema());
        Ok(Value::Object(all))
    }

    fn component_of(&mut self, message: &MessageDescriptor) -> Result<Value, DocumentError> {
        let mut schema = self.object(message, |_| true)?;
        let (text, example) = split_example(self.comments.of_message(message));
        // The gateway prints what has no presence also where it is false, zero or empty.
        let is_answer = message.name().ends_with("Response");
        let always: Vec<String> = message
            .fields()
            .filter(|field| !field.supports_presence())
            // An empty task or list stands for one that never was.
            .filter(|_| !["Task", "TaskList"].contains(&message.name()))
            .filter(|field| is_answer || has_behavior(field, Behavior::OutputOnly))
            .map(|field| field.json_name().to_owned())
            .collect();
        if !always.is_empty()
            && let Some(object) = schema.as_object_mut()
        {
            object.insert("required".to_owned(), json!(always));
        }
        if let Some(object) = schema.as_object_mut() {
            object.insert("description".to_owned(), Value::String(text));
            if let Some(example) = example {
                object.insert("examples".to_owned(), json!([examples::camel(&example)]));
            }
        }
        Ok(schema)
    }
}

fn is_optional(field: &FieldDescriptor) -> bool {
    field.field_descriptor_proto().proto3_optional()
}

/// `taskwire.v1.TaskChange.Type` as `TaskChange.Type`.
fn component(full_name: &str) -> String {
    full_name.strip_prefix(PACKAGE).unwrap_or(full_name).trim_start_matches('.').to_owned()
}

/// Whether the annotation says so of the field.
pub(super) fn has_behavior(field: &FieldDescriptor, wanted: Behavior) -> bool {
    let Some(extension) = field.parent_pool().get_extension_by_name("google.api.field_behavior") else {
        return false;
    };
    let options = field.options();
    let held = options.get_extension(&extension);
    let Held::List(values) = held.as_ref() else { return false };
    values.iter().any(|value| value.as_enum_number() == Some(wanted as i32))
}

/// The one shape of every error, the gateway's own as well.
fn error_schema() -> Value {
    json!({
        "type": "object",
        "description": "An error, in the JSON form of AIP-193.",
        "required": ["error"],
        "additionalProperties": false,
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "status", "message", "details"],
                "additionalProperties": false,
                "properties": {
                    "code": { "type": "integer", "description": "The HTTP status.", "minimum": 400, "maximum": 599 },
                    "status": { "type": "string", "description": "The name of the gRPC code.", "pattern": "^[A-Z_]+$" },
                    "message": { "type": "string", "description": "For people. May change." },
                    "details": {
                        "type": "array",
                        "description": "Messages of `google.rpc`, each with its `@type`. `ErrorInfo` is always there; \
                            its `reason` is what a program decides by. `docs/ERRORS.md` lists them all.",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "required": ["@type"],
                            "properties": {
                                "@type": { "type": "string" },
                                "reason": { "type": "string" },
                                "domain": { "type": "string" },
                            },
                        },
                    },
                },
            },
        },
        "examples": [{
            "error": {
                "code": 404,
                "status": "NOT_FOUND",
                "message": "Task not found",
                "details": [{
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "TASK_NOT_FOUND",
                    "domain": "taskwire",
                }],
            },
        }],
    })
}
