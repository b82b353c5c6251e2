//! The configuration file: TOML, with the settings' own names. It is what the defaults are when it is there.

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;

use clap::{Arg, Args as _, Command};
use toml::{Spanned, Value};

use super::Settings;

/// Largest file that is read, in bytes.
const BYTES_MAX: u64 = 256 * 1024;
/// What stands for numbers in the usage of a setting.
const NUMBERS: [&str; 6] = ["COUNT", "SECONDS", "MILLISECONDS", "DAYS", "BYTES", "RATIO"];

/// One setting of a file.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name, as in `log_format`.
    pub key: String,
    /// The value, as a flag would have it.
    pub text: String,
}

/// Every setting that there is, by itself: without the environment, and without defaults that come from elsewhere.
pub fn known() -> Command {
    Settings::augment_args(Command::new("taskwire").no_binary_name(true))
        .mut_args(|argument| argument.env(None::<&'static str>))
}

/// Reads a file.
///
/// # Errors
/// Everything that is wrong with it, a line each.
pub fn read(path: &str) -> Result<Vec<Entry>, Vec<String>> {
    let failed = |text: String| vec![format!("TASKWIRE_CONFIG (--config): {path}: {text}")];
    let metadata = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if !metadata.is_file() || metadata.len() > BYTES_MAX {
        return Err(failed(format!("must be a file of at most {BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let parsed: BTreeMap<Spanned<String>, Spanned<Value>> = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| line(&text, &span));
        // The key alone: what comes after it may be secret.
        let key = text.lines().nth(line - 1).and_then(|line| line.split_once('='));
        let key = key.map(|(key, _)| format!("{}: ", key.trim())).unwrap_or_default();
        vec![format!("{path}:{line}: {key}{}", error.message())]
    })?;

    let known = known();
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    for (key, value) in &parsed {
        let line = line(&text, &key.span());
        let name = key.get_ref();
        match entry(&known, name, value.get_ref()) {
            Ok(entry) => entries.push((key.span().start, entry)),
            Err(problem) => problems.push((line, format!("{path}:{line}: {name}: {problem}"))),
        }
        // The file is a secret as soon as it holds one.
        if matches!(name.as_str(), "database_url" | "read_urls") && metadata.mode() & 0o007 != 0 {
            let problem = "a file that holds it must be closed to other users (chmod 600)";
            problems.push((line, format!("{path}:{line}: {name}: {problem}")));
        }
    }
    if !problems.is_empty() {
        problems.sort();
        return Err(problems.into_iter().map(|(_, problem)| problem).collect());
    }
    entries.sort_by_key(|(begin, _)| *begin);
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

fn line(text: &str, span: &Range<usize>) -> usize {
    text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count() + 1
}

fn entry(known: &Command, key: &str, value: &Value) -> Result<Entry, String> {
    let argument = known
        .get_arguments()
        .find(|argument| argument.get_id() == key && key != "config")
        .ok_or_else(|| "there is no such setting".to_owned())?;
    let text = text_of(argument, value)?;
    match problem(known, argument, &text) {
        None => Ok(Entry { key: key.to_owned(), text }),
        Some(problem) => Err(format!("{problem} ({})", names(argument))),
    }
}

/// The variable and the flag of a setting.
fn names(argument: &Arg) -> String {
    let flag = argument.get_long().unwrap_or_default();
    format!("TASKWIRE_{}, --{flag}", flag.to_uppercase().replace('-', "_"))
}

fn text_of(argument: &Arg, value: &Value) -> Result<String, String> {
    let kind = argument.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Boolean(value) if kind == "BOOL" => Ok(value.to_string()),
        Value::Integer(number) if NUMBERS.contains(&kind) => Ok(number.to_string()),
        Value::Float(number) if kind == "RATIO" => Ok(number.to_string()),
        other => {
            let wanted = match kind {
                "BOOL" => "true or false",
                kind if NUMBERS.contains(&kind) => "a number",
                _ => "a string",
            };
            Err(format!("must be {wanted}, not a TOML {} ({})", other.type_str(), names(argument)))
        }
    }
}

/// What is wrong with one setting's value, taken by itself. Never repeats a value that may be secret.
pub fn problem(known: &Command, argument: &Arg, text: &str) -> Option<String> {
    let flag = format!("--{}={text}", argument.get_long()?);
    let error = known.clone().try_get_matches_from([flag]).err()?;
    if argument.is_hide_env_values_set() {
        return Some("cannot be read".to_owned());
    }
    let first = error.to_string();
    let first = first.lines().next().unwrap_or_default();
    Some(first.trim_start_matches("error: ").to_owned())
}

/// The same command, in which these settings are the defaults.
pub fn with_defaults(command: Command, entries: &[Entry]) -> Command {
    let takes_settings = command.get_arguments().any(|argument| argument.get_id() == "config");
    let mut command = command.mut_subcommands(|inner| with_defaults(inner, entries));
    if takes_settings {
        for entry in entries {
            let text = entry.text.clone();
            command = command.mut_arg(&entry.key, |argument| argument.default_value(text));
        }
    }
    command
}

/// Variables of the environment that look like settings and are none. A cluster sets some for each service
/// (`TASKWIRE_SERVICE_HOST`, `TASKWIRE_PORT_…`), callers have theirs in the same shell, and the tests have their own.
pub fn unknown_variables(of_callers: &[&str]) -> Vec<String> {
    let command = Settings::augment_args(Command::new("taskwire"));
    let known: Vec<&str> =
        command.get_arguments().filter_map(|argument| argument.get_env()?.to_str()).collect();
    let others = |name: &str| {
        name == "TASKWIRE_SOAK"
            || of_callers.contains(&name)
            || ["TASKWIRE_TEST_", "TASKWIRE_REQUIRE_"].iter().any(|begin| name.starts_with(begin))
            || ["_SERVICE_HOST", "_PORT"].iter().any(|end| name.ends_with(end))
            || ["_SERVICE_PORT", "_PORT_"].iter().any(|part| name.contains(part))
    };
    let mut unknown: Vec<String> = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("TASKWIRE_") && !known.contains(&name.as_str()) && !others(name))
        .collect();
    unknown.sort();
    unknown.iter().map(|name| format!("{name}: there is no such setting")).collect()
}
