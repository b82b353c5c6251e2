//! The contract itself: everything is commented, every method has its REST binding.

use std::collections::BTreeMap;

use super::{descriptors, files, shown};

/// `google.api.http`, an extension of `MethodOptions`.
const HTTP: u64 = 72_295_728;

#[test]
fn every_field_method_and_type_has_a_comment() {
    let mut bare = Vec::new();
    let mut seen = 0;
    for path in files("proto/taskwire", "proto") {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut above = "";
        for (number, line) in text.lines().map(str::trim).enumerate() {
            if declares(line) {
                seen += 1;
                if !above.starts_with("//") {
                    bare.push(format!("{}:{}: {line}", shown(&path), number + 1));
                }
            }
            above = line;
        }
    }
    assert!(bare.is_empty(), "without a comment: {bare:#?}");
    let fields: usize = descriptors::ours()
        .iter()
        .flat_map(|file| &file.message_type)
        .map(|message| message.field.len())
        .sum();
    assert!(seen > fields, "the scan saw {seen} declarations, but there are {fields} fields");
}

/// Whether a line begins a type, a method, a field or a value.
fn declares(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let first = words.next().unwrap_or_default();
    if ["message", "enum", "service", "rpc", "oneof"].contains(&first) {
        return true;
    }
    let is_comment_or_option = line.starts_with("//") || ["option", "syntax"].contains(&first);
    // `string name = 1 [` and `ROLE_USER = 1;`
    let number = line.split(" = ").nth(1).unwrap_or_default();
    !is_comment_or_option && number.starts_with(|char: char| char.is_ascii_digit())
}

#[test]
fn every_method_has_a_rest_binding() {
    let bindings = bindings(taskwire::pb::DESCRIPTOR_SET);
    let methods: Vec<String> =
        descriptors::methods().into_iter().filter(|path| path.starts_with("/taskwire.v1.")).collect();
    assert!(!methods.is_empty());
    for method in methods {
        let name = method.rsplit('/').next().unwrap();
        let rule = bindings.get(name).unwrap_or_else(|| panic!("{method} has none"));
        assert!(rule.contains("/v1/"), "{method}: {rule}");
    }
}

#[test]
fn bindings_are_those_of_the_contract() {
    let bindings = bindings(taskwire::pb::DESCRIPTOR_SET);
    let wanted = [
        ("CreateTask", "/v1/{parent=users/*}/tasks"),
        ("GetTask", "/v1/{name=users/*/tasks/*}"),
        ("ListTasks", "/v1/{parent=users/*}/tasks"),
        ("UpdateTask", "/v1/{task.name=users/*/tasks/*}"),
        ("DeleteTask", "/v1/{name=users/*/tasks/*}"),
        ("UndeleteTask", "/v1/{name=users/*/tasks/*}:undelete"),
        ("CreateUser", "/v1/users"),
        ("GetUser", "/v1/{name=users/*}"),
        ("UpdateUser", "/v1/{user.name=users/*}"),
        ("Login", "/v1/sessions:login"),
        ("RefreshSession", "/v1/sessions:refresh"),
        ("Logout", "/v1/sessions:logout"),
    ];
    for (method, path) in wanted {
        let rule = bindings.get(method).map(String::as_str).unwrap_or_default();
        assert!(rule.contains(path), "{method}: {rule:?} is not {path}");
    }
}

/// Method → the bytes of its `google.api.http`, as text. Read off the encoded descriptors, because decoding them
/// drops extensions.
fn bindings(set: &[u8]) -> BTreeMap<String, String> {
    // FileDescriptorSet.file = 1, FileDescriptorProto.service = 6, ServiceDescriptorProto.method = 2
    let services = fields(set, 1).into_iter().flat_map(|file| fields(file, 6));
    let methods = services.flat_map(|service| fields(service, 2));
    methods
        .filter_map(|method| {
            // MethodDescriptorProto.name = 1, .options = 4
            let name = *fields(method, 1).first()?;
            let options = *fields(method, 4).first()?;
            let rule = *fields(options, HTTP).first()?;
            Some((text(name), text(rule)))
        })
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The values of one length-delimited field of a message.
fn fields(message: &[u8], wanted: u64) -> Vec<&[u8]> {
    let mut rest = message;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let key = varint(&mut rest);
        match key & 7 {
            0 => {
                varint(&mut rest);
            }
            1 => rest = &rest[8..],
            5 => rest = &rest[4..],
            2 => {
                let length = usize::try_from(varint(&mut rest)).unwrap();
                let (value, after) = rest.split_at(length);
                rest = after;
                if key >> 3 == wanted {
                    found.push(value);
                }
            }
            kind => panic!("wire type {kind}"),
        }
    }
    found
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, after) = rest.split_first().unwrap();
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}
