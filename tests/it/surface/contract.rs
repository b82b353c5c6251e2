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
        descriptors::methods().into_keys().filter(|path| path.starts_with("/taskwire.v1.")).collect();
    assert!(!methods.is_empty());
    for method in methods {
        let name = method.rsplit('/').next().unwrap();
        let (_, path) = bindings.get(name).unwrap_or_else(|| panic!("{method} has none"));
        assert!(path.starts_with("/v1/"), "{method}: {path}");
    }
    let mut distinct: Vec<&(&str, String)> = bindings.values().collect();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), bindings.len(), "two methods share a binding: {bindings:#?}");
}

/// What clients of the gateway rely on.
const BINDINGS: [(&str, &str, &str); 60] = [
    ("CreateTask", "post", "/v1/{parent=users/*}/tasks"),
    ("GetTask", "get", "/v1/{name=users/*/tasks/*}"),
    ("ListTasks", "get", "/v1/{parent=users/*}/tasks"),
    ("UpdateTask", "patch", "/v1/{task.name=users/*/tasks/*}"),
    ("DeleteTask", "delete", "/v1/{name=users/*/tasks/*}"),
    ("UndeleteTask", "post", "/v1/{name=users/*/tasks/*}:undelete"),
    ("BatchGetTasks", "get", "/v1/{parent=users/*}/tasks:batchGet"),
    ("BatchCreateTasks", "post", "/v1/{parent=users/*}/tasks:batchCreate"),
    ("BatchUpdateTasks", "post", "/v1/{parent=users/*}/tasks:batchUpdate"),
    ("BatchDeleteTasks", "post", "/v1/{parent=users/*}/tasks:batchDelete"),
    ("ImportTasks", "post", "/v1/{parent=users/*}/tasks:import"),
    ("GetCalendar", "get", "/v1/{parent=users/*}/tasks:ics"),
    ("CountTasks", "get", "/v1/{parent=users/*}/tasks:count"),
    ("ListTaskChanges", "get", "/v1/{parent=users/*}/taskChanges"),
    ("WatchTasks", "get", "/v1/{parent=users/*}/tasks:watch"),
    ("UndoChanges", "post", "/v1/{parent=users/*}/taskChanges:undo"),
    ("ListTaskRevisions", "get", "/v1/{name=users/*/tasks/*}:listRevisions"),
    ("RollbackTask", "post", "/v1/{name=users/*/tasks/*}:rollback"),
    ("MoveTask", "post", "/v1/{name=users/*/tasks/*}:move"),
    ("SkipOccurrence", "post", "/v1/{name=users/*/tasks/*}:skipOccurrence"),
    ("PreviewOccurrences", "post", "/v1/{parent=users/*}/tasks:previewOccurrences"),
    ("CreateTaskList", "post", "/v1/{parent=users/*}/taskLists"),
    ("GetTaskList", "get", "/v1/{name=users/*/taskLists/*}"),
    ("ListTaskLists", "get", "/v1/{parent=users/*}/taskLists"),
    ("UpdateTaskList", "patch", "/v1/{task_list.name=users/*/taskLists/*}"),
    ("DeleteTaskList", "delete", "/v1/{name=users/*/taskLists/*}"),
    ("UndeleteTaskList", "post", "/v1/{name=users/*/taskLists/*}:undelete"),
    ("MoveTaskList", "post", "/v1/{name=users/*/taskLists/*}:move"),
    ("CreateUser", "post", "/v1/users"),
    ("GetUser", "get", "/v1/{name=users/*}"),
    ("UpdateUser", "patch", "/v1/{user.name=users/*}"),
    ("Login", "post", "/v1/sessions:login"),
    ("RefreshSession", "post", "/v1/sessions:refresh"),
    ("Logout", "post", "/v1/sessions:logout"),
    ("DeleteUser", "post", "/v1/{name=users/*}:delete"),
    ("ListUsers", "get", "/v1/users"),
    ("DisableUser", "post", "/v1/{name=users/*}:disable"),
    ("EnableUser", "post", "/v1/{name=users/*}:enable"),
    ("ChangePassword", "post", "/v1/{name=users/*}:changePassword"),
    ("ListSessions", "get", "/v1/{parent=users/*}/sessions"),
    ("RevokeSession", "delete", "/v1/{name=users/*/sessions/*}"),
    ("RevokeAllSessions", "post", "/v1/{parent=users/*}/sessions:revokeAll"),
    ("CreateApiKey", "post", "/v1/{parent=users/*}/apiKeys"),
    ("ListApiKeys", "get", "/v1/{parent=users/*}/apiKeys"),
    ("RevokeApiKey", "delete", "/v1/{name=users/*/apiKeys/*}"),
    ("ListAuditEvents", "get", "/v1/{parent=users/*}/auditEvents"),
    ("CompleteLogin", "post", "/v1/sessions:completeLogin"),
    ("ExportUserData", "get", "/v1/{name=users/*}:exportData"),
    ("BeginTotpEnrolment", "post", "/v1/{name=users/*}:beginTotpEnrolment"),
    ("ConfirmTotpEnrolment", "post", "/v1/{name=users/*}:confirmTotpEnrolment"),
    ("DisableTotp", "post", "/v1/{name=users/*}:disableTotp"),
    ("RegenerateRecoveryCodes", "post", "/v1/{name=users/*}:regenerateRecoveryCodes"),
    ("RequestPasswordReset", "post", "/v1/passwords:requestReset"),
    ("ResetPassword", "post", "/v1/passwords:reset"),
    ("SendVerification", "post", "/v1/emails:sendVerification"),
    ("VerifyEmail", "post", "/v1/emails:verify"),
    ("RequestEmailChange", "post", "/v1/{name=users/*}:requestEmailChange"),
    ("ConfirmEmailChange", "post", "/v1/emails:confirmChange"),
    ("CreateServiceAccount", "post", "/v1/users:createServiceAccount"),
    ("ExchangeToken", "post", "/v1/tokens:exchange"),
];

#[test]
fn bindings_are_those_of_the_contract() {
    let bindings = bindings(taskwire::pb::DESCRIPTOR_SET);
    for (method, verb, path) in BINDINGS {
        assert_eq!(bindings.get(method), Some(&(verb, path.to_owned())), "{method}");
    }
}

/// Method → verb and path of its `google.api.http`. Read off the encoded descriptors, because decoding them drops
/// extensions.
fn bindings(set: &[u8]) -> BTreeMap<String, (&'static str, String)> {
    // FileDescriptorSet.file = 1, FileDescriptorProto.service = 6, ServiceDescriptorProto.method = 2
    let services = fields(set, 1).into_iter().flat_map(|file| fields(file, 6));
    let methods = services.flat_map(|service| fields(service, 2));
    methods
        .filter_map(|method| {
            // MethodDescriptorProto.name = 1, .options = 4
            let name = *fields(method, 1).first()?;
            let options = *fields(method, 4).first()?;
            let rule = *fields(options, HTTP).first()?;
            // HttpRule.pattern
            let verbs = [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (6, "patch")];
            let pattern = |(field, verb)| fields(rule, field).first().map(|path| (verb, text(path)));
            Some((text(name), verbs.into_iter().find_map(pattern)?))
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
