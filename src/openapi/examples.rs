//! The examples of the comments, in the form in which the gateway takes them.

use serde_json::{Map, Value};

/// The example with its keys in camel case, as the document names the fields.
pub(super) fn camel(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (camel_key(key), camel(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(camel).collect()),
        other => other.clone(),
    }
}

fn camel_key(key: &str) -> String {
    let mut words = key.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}

/// What stands at a path such as `task.name`.
pub(super) fn at<'a>(example: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(example, |value, key| value.get(camel_key(key)))
}

/// The example without what stands at a path.
pub(super) fn without(mut example: Value, path: &str) -> Value {
    let mut keys: Vec<String> = path.split('.').map(camel_key).collect();
    let Some(last) = keys.pop() else { return example };
    let parent: Option<&mut Map<String, Value>> =
        keys.iter().try_fold(&mut example, |value, key| value.get_mut(key)).and_then(Value::as_object_mut);
    if let Some(parent) = parent {
        parent.remove(&last);
    }
    example
}
