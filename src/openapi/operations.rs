//! Methods as operations: their paths, parameters, bodies and answers.

use std::collections::BTreeMap;

use prost_reflect::{Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MethodDescriptor};
use serde_json::{Map, Value, json};
use tonic::Code;

use super::comments::{Comments, errors, split_example, summary};
use super::schemas::{Behavior, Schemas, has_behavior};
use super::{DocumentError, PACKAGE, examples, limits};
use crate::methods::{Access, Method};

const VERBS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// What is behind the name of a method in its further form.
const FURTHER: &str = "ForAdministrators";
/// The same in words.
const FURTHER_SUMMARY: &str = " (of the administrators)";

/// The methods that answer a file: their content types, the message that a line of the file is, and what to know of it.
const FILES: [(&str, &str, Option<&str>, &str); 2] = [
    (
        "taskwire.v1.UserService.ExportUserData",
        "application/jsonl",
        Some("taskwire.v1.ExportLine"),
        "One JSON object in each line. The last one says `end`; without it the file is not whole.",
    ),
    (CALENDAR, "text/calendar", None, "A calendar. Without its last line, `END:VCALENDAR`, it is not whole."),
];
const CALENDAR: &str = "taskwire.v1.TaskService.GetCalendar";

/// What the gateway takes from the address of a calendar, beside what the contract has.
fn calendar_token() -> Value {
    json!({
        "name": "token", "in": "query", "required": false, "schema": { "type": "string" },
        "description": "An API key whose scope is `calendar.read`, for calendars that can only ask for an address. \
            Instead of the header `authorization`.",
    })
}

/// One HTTP form of a method.
struct Binding {
    verb: &'static str,
    /// As in `/v1/users/{user}/tasks`.
    path: String,
    /// The names of the parameters of the path, in order.
    segments: Vec<String>,
    /// The field whose value the path carries, as in `parent`.
    bound: Option<String>,
    /// The field that the body carries, or `*`.
    body: String,
    /// The field that the path of the first form carries, and with another value, or with none, that of this one.
    first_bound: Option<String>,
    /// Whether it is a further form of the method: without a user, for what belongs to the administrators.
    is_further: bool,
}

/// Every path with its operations.
pub(super) fn paths(
    pool: &DescriptorPool,
    comments: &Comments,
    schemas: &mut Schemas<'_>,
) -> Result<Value, DocumentError> {
    let http = pool
        .get_extension_by_name("google.api.http")
        .ok_or_else(|| DocumentError::Contract("google.api.http is missing".to_owned()))?;
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for service in pool.services().filter(|service| service.package_name() == PACKAGE) {
        for method in service.methods() {
            let options = method.options();
            let rule = options.get_extension(&http);
            let rule = rule.as_message().ok_or_else(|| unbound(&method))?;
            let bindings = Binding::all_of(rule).ok_or_else(|| unbound(&method))?;
            for binding in bindings {
                let operation = operation(&method, &binding, comments, schemas)?;
                paths.entry(binding.path.clone()).or_default().insert(binding.verb.to_owned(), operation);
            }
        }
    }
    Ok(json!(paths))
}

fn unbound(method: &MethodDescriptor) -> DocumentError {
    DocumentError::Contract(format!("{} has no HTTP form", method.full_name()))
}

impl Binding {
    /// All forms of a method, the first of which is the one that everybody has.
    fn all_of(rule: &DynamicMessage) -> Option<Vec<Self>> {
        let first = Self::of(rule)?;
        let first_bound = first.bound.clone();
        let further = rule.get_field_by_name("additional_bindings")?;
        let further = further.as_list()?.iter().map(|rule| {
            let further = Self::of(rule.as_message()?)?;
            Some(Self { first_bound: first_bound.clone(), is_further: true, ..further })
        });
        std::iter::once(Some(first)).chain(further).collect()
    }

    fn of(rule: &DynamicMessage) -> Option<Self> {
        let text = |name: &str| rule.get_field_by_name(name)?.as_str().map(str::to_owned);
        let (verb, template) =
            VERBS.iter().find_map(|verb| Some((*verb, text(verb).filter(|path| !path.is_empty())?)))?;
        let (mut path, mut segments, mut bound) = (template.clone(), Vec::new(), None);
        if let Some((before, rest)) = template.split_once('{') {
            let (inside, after) = rest.split_once('}')?;
            let (field, pattern) = inside.split_once('=')?;
            bound = Some(field.to_owned());
            let mut shown: Vec<String> = Vec::new();
            for piece in pattern.split('/') {
                if piece == "*" {
                    let name = singular(shown.last()?);
                    shown.push(format!("{{{name}}}"));
                    segments.push(name);
                } else {
                    shown.push(piece.to_owned());
                }
            }
            path = format!("{before}{}{after}", shown.join("/"));
        }
        let body = text("body").unwrap_or_default();
        Some(Self { verb, path, segments, first_bound: bound.clone(), bound, body, is_further: false })
    }

    /// Whether the path or the body carries the field, or the path says by carrying nothing that it is empty.
    fn carries(&self, field: &FieldDescriptor) -> bool {
        let bound = self.first_bound.as_deref().and_then(|path| path.split('.').next());
        self.body == field.name() || bound == Some(field.name())
    }

    /// A name for this form of the method.
    fn operation_id(&self, method: &MethodDescriptor) -> String {
        let name = method.name();
        if self.is_further { format!("{name}{FURTHER}") } else { name.to_owned() }
    }
}

/// `apiKeys` as `api_key`.
fn singular(collection: &str) -> String {
    let mut out = String::new();
    for letter in collection.trim_end_matches('s').chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

fn operation(
    method: &MethodDescriptor,
    binding: &Binding,
    comments: &Comments,
    schemas: &mut Schemas<'_>,
) -> Result<Value, DocumentError> {
    let comment = comments.of_method(method);
    let (text, example) = split_example(comment);
    let example = example.map(|example| examples::camel(&example));
    let service = method.parent_service();
    let further = if binding.is_further { FURTHER_SUMMARY } else { "" };
    let mut operation = json!({
        "operationId": binding.operation_id(method),
        "tags": [service.name()],
        "summary": format!("{}{further}", summary(comment)),
        "description": text,
        "parameters": parameters(method, binding, example.as_ref(), schemas)?,
        "responses": responses(method, comment, comments.of_service(service), schemas),
    });
    let path = format!("/{}/{}", service.full_name(), method.name());
    if let Some(object) = operation.as_object_mut() {
        if Method::of(&path).access() == Some(Access::Anyone) {
            object.insert("security".to_owned(), json!([]));
        }
        if !binding.body.is_empty() {
            object.insert("requestBody".to_owned(), body(method, binding, example, schemas)?);
        }
    }
    Ok(operation)
}

/// What a missing mask means in JSON, which tells a field that is not there from one that is null, false or empty.
const MASK_OF_BODY: &str = "\n\nOver HTTP, absent means exactly the fields that the body holds: a false is written, and null clears.";

fn parameters(
    method: &MethodDescriptor,
    binding: &Binding,
    example: Option<&Value>,
    schemas: &mut Schemas<'_>,
) -> Result<Vec<Value>, DocumentError> {
    let mut all = Vec::new();
    let name = example
        .zip(binding.bound.as_deref())
        .and_then(|(example, path)| examples::at(example, path)?.as_str());
    let mut ids: Vec<&str> =
        name.map(|name| name.split('/').skip(1).step_by(2).collect()).unwrap_or_default();
    // A further form has no user, who comes first.
    ids.drain(..ids.len().saturating_sub(binding.segments.len()));
    for (at, segment) in binding.segments.iter().enumerate() {
        let pattern = if segment == "user" {
            format!("^(me|{0})$", limits::UUID)
        } else {
            format!("^{}$", limits::UUID)
        };
        let text = if segment == "user" { "The id of the user, or `me` for the caller." } else { "The id." };
        let mut parameter = json!({
            "name": segment, "in": "path", "required": true, "description": text,
            "schema": { "type": "string", "pattern": pattern },
        });
        if let (Some(id), Some(object)) = (ids.get(at), parameter.as_object_mut()) {
            object.insert("example".to_owned(), json!(id));
        }
        all.push(parameter);
    }
    if binding.body == "*" {
        return Ok(all);
    }
    for field in method.input().fields().filter(|field| !binding.carries(field)) {
        let mut schema = schemas.field(&field)?;
        let mut text = schema.as_object_mut().and_then(|object| object.remove("description"));
        if field.name() == "update_mask"
            && let Some(Value::String(text)) = &mut text
        {
            text.push_str(MASK_OF_BODY);
        }
        let mut parameter =
            json!({ "name": field.json_name(), "in": "query", "description": text, "schema": schema });
        let shown = example.and_then(|example| examples::at(example, field.name()));
        if let Some(object) = parameter.as_object_mut() {
            if has_behavior(&field, Behavior::Required) {
                object.insert("required".to_owned(), Value::Bool(true));
            }
            object.extend(shown.map(|shown| ("example".to_owned(), shown.clone())));
        }
        all.push(parameter);
    }
    if method.full_name() == CALENDAR {
        all.push(calendar_token());
    }
    Ok(all)
}

fn body(
    method: &MethodDescriptor,
    binding: &Binding,
    example: Option<Value>,
    schemas: &mut Schemas<'_>,
) -> Result<Value, DocumentError> {
    let input = method.input();
    let bound = binding.bound.as_deref().unwrap_or_default();
    let example = example.map(|example| examples::without(example, bound));
    if binding.body == "*" {
        // The path has given the bound field already; the gateway refuses it in the body.
        let mut schema = schemas.object(&input, |field| field.name() != bound)?;
        let required: Vec<String> = input
            .fields()
            .filter(|field| field.name() != bound && has_behavior(field, Behavior::Required))
            .map(|field| field.json_name().to_owned())
            .collect();
        let is_required = !required.is_empty();
        if let Some(object) = schema.as_object_mut()
            && is_required
        {
            object.insert("required".to_owned(), json!(required));
        }
        if method.is_client_streaming() {
            // The messages of the stream, one after the other.
            let schema = json!({ "type": "array", "items": schema });
            return Ok(with_example(schema, example.map(|example| json!([example])), true));
        }
        return Ok(with_example(schema, example, is_required));
    }
    let field = input.get_field_by_name(&binding.body).ok_or_else(|| {
        DocumentError::Contract(format!("{}: no field {}", method.full_name(), binding.body))
    })?;
    let Kind::Message(message) = field.kind() else {
        return Err(DocumentError::Contract(format!("{}: its body is no message", method.full_name())));
    };
    debug_assert_ne!(field.cardinality(), Cardinality::Repeated);
    // What must be there when the resource is made need not be there when it is changed.
    let required: Vec<String> = message
        .fields()
        .filter(|field| binding.verb == "post" && has_behavior(field, Behavior::Required))
        .map(|field| field.json_name().to_owned())
        .collect();
    let reference = schemas.message(&message);
    let schema = if required.is_empty() {
        reference
    } else {
        json!({ "allOf": [reference, { "required": required }] })
    };
    let example = example.and_then(|example| examples::at(&example, &binding.body).cloned());
    Ok(with_example(schema, example, true))
}

fn with_example(schema: Value, example: Option<Value>, required: bool) -> Value {
    let mut content = json!({ "schema": schema });
    if let (Some(object), Some(example)) = (content.as_object_mut(), example) {
        object.insert("example".to_owned(), example);
    }
    json!({ "required": required, "content": { "application/json": content } })
}

fn responses(method: &MethodDescriptor, comment: &str, service: &str, schemas: &mut Schemas<'_>) -> Value {
    let mut all = Map::new();
    let (kind, schema, text) = match FILES.iter().find(|file| file.0 == method.full_name()) {
        Some((_, kind, line, text)) => {
            let line = line.and_then(|line| method.parent_pool().get_message_by_name(line));
            let schema = line.map_or_else(|| json!({ "type": "string" }), |line| schemas.message(&line));
            (*kind, schema, *text)
        }
        None => {
            let text = if method.is_server_streaming() {
                "One JSON object in each line, as they come. The answer lasts until either side ends it."
            } else {
                "Done."
            };
            ("application/json", schemas.message(&method.output()), text)
        }
    };
    all.insert("200".to_owned(), json!({ "description": text, "content": { kind: { "schema": schema } } }));
    let mut by_status: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for (code, reason) in errors(comment).into_iter().chain(errors(service)) {
        let reasons = by_status.entry(http_status(code)).or_default();
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    for (status, reasons) in by_status {
        all.insert(status.to_string(), error_response(&format!("`{}`.", reasons.join("`, `"))));
    }
    all.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Error" }));
    Value::Object(all)
}

/// A response that carries an error.
pub(super) fn error_response(description: &str) -> Value {
    json!({
        "description": description,
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    })
}

/// The HTTP status that the gateway answers for a code.
fn http_status(code: Code) -> u16 {
    match code {
        Code::Ok => 200,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::ResourceExhausted => 429,
        Code::Cancelled => 499,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
    }
}
