//! The comments of the contract: the text of each part, the example in it, and the errors that it lists.

use std::collections::HashMap;

use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, MessageDescriptor, MethodDescriptor,
    ServiceDescriptor,
};
use serde_json::Value;
use tonic::Code;

/// Every comment, by the file and the path of what it stands at.
#[derive(Debug)]
pub(super) struct Comments {
    texts: HashMap<(String, Vec<i32>), String>,
}

/// An error that a comment lists: the code and the reason.
pub(super) type Listed = (Code, String);

const CODES: [(&str, Code); 11] = [
    ("INVALID_ARGUMENT", Code::InvalidArgument),
    ("DEADLINE_EXCEEDED", Code::DeadlineExceeded),
    ("NOT_FOUND", Code::NotFound),
    ("ALREADY_EXISTS", Code::AlreadyExists),
    ("PERMISSION_DENIED", Code::PermissionDenied),
    ("RESOURCE_EXHAUSTED", Code::ResourceExhausted),
    ("FAILED_PRECONDITION", Code::FailedPrecondition),
    ("ABORTED", Code::Aborted),
    ("OUT_OF_RANGE", Code::OutOfRange),
    ("UNAVAILABLE", Code::Unavailable),
    ("UNAUTHENTICATED", Code::Unauthenticated),
];

impl Comments {
    pub(super) fn of(pool: &DescriptorPool) -> Self {
        let mut texts = HashMap::new();
        for file in pool.files() {
            let Some(info) = &file.file_descriptor_proto().source_code_info else { continue };
            for location in &info.location {
                if let Some(text) = &location.leading_comments {
                    texts.insert((file.name().to_owned(), location.path.clone()), unindented(text));
                }
            }
        }
        Self { texts }
    }

    fn at(&self, file: &FileDescriptor, path: &[i32]) -> &str {
        self.texts.get(&(file.name().to_owned(), path.to_vec())).map_or("", String::as_str)
    }

    pub(super) fn of_service(&self, service: &ServiceDescriptor) -> &str {
        self.at(&service.parent_file(), service.path())
    }

    pub(super) fn of_method(&self, method: &MethodDescriptor) -> &str {
        self.at(&method.parent_file(), method.path())
    }

    pub(super) fn of_message(&self, message: &MessageDescriptor) -> &str {
        self.at(&message.parent_file(), message.path())
    }

    pub(super) fn of_field(&self, field: &FieldDescriptor) -> &str {
        self.at(&field.parent_file(), field.path())
    }

    pub(super) fn of_enum(&self, kind: &EnumDescriptor) -> String {
        let mut text = self.at(&kind.parent_file(), kind.path()).to_owned();
        for value in kind.values() {
            let meaning = self.at(&kind.parent_file(), value.path()).replace('\n', " ");
            text.push_str(&format!("\n- `{}`: {meaning}", value.name()));
        }
        text
    }
}

/// The compiler keeps the blank after `//`.
fn unindented(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    lines.join("\n").trim().to_owned()
}

/// The first sentence, without its full stop.
pub(super) fn summary(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let end = paragraph.find(". ").map_or(paragraph.len(), |at| at);
    paragraph.get(..end).unwrap_or_default().trim_end_matches('.').to_owned()
}

const EXAMPLE: &str = "```json\n";

/// The text without its example, and the example.
pub(super) fn split_example(text: &str) -> (String, Option<Value>) {
    let Some((before, rest)) = text.split_once(EXAMPLE) else { return (text.to_owned(), None) };
    let Some((example, after)) = rest.split_once("```") else { return (text.to_owned(), None) };
    // What follows explains the example.
    let shown = if after.trim().is_empty() { before.trim().to_owned() } else { text.to_owned() };
    (shown, serde_json::from_str(example).ok())
}

/// The errors of a list such as ``- `NOT_FOUND` / `TASK_NOT_FOUND`: …``.
pub(super) fn errors(text: &str) -> Vec<Listed> {
    let mut found = Vec::new();
    for item in text.split("\n- ").skip(1) {
        // Beyond the first blank line it is no longer the list.
        let head = item.split("\n\n").next().unwrap_or_default();
        let mut pieces = head.split('`');
        let mut code = None;
        let mut between = pieces.next().unwrap_or_default();
        while let (Some(quoted), Some(after)) = (pieces.next(), pieces.next()) {
            match CODES.iter().find(|(name, _)| *name == quoted) {
                Some((_, known)) if after.trim() == "/" => code = Some(*known),
                _ if code.is_some() && ["/", ",", "or"].contains(&between.trim()) => {
                    found.extend(code.map(|code| (code, quoted.to_owned())));
                }
                _ => break,
            }
            between = after;
        }
    }
    found
}
