//! Which format a file has, by how it begins.

use super::{Format, Unreadable};

/// So much of the beginning is looked at.
pub const HEAD_BYTES: usize = 64 * 1024;

/// Tells the format of a file by its first bytes.
///
/// # Errors
/// What it is instead, and what to do.
pub fn detect(head: &[u8]) -> Result<Format, Unreadable> {
    readable(head)?;
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let begins = |word: &str| text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
    if begins("BEGIN:VCALENDAR") {
        return Ok(Format::Ical);
    }
    if text.starts_with(['{', '[']) {
        return json(text);
    }
    let first = text.lines().next().unwrap_or_default();
    let columns: Vec<&str> =
        first.split([',', ';', '\t']).map(|cell| cell.trim().trim_matches('"')).collect();
    if columns.contains(&"TYPE") && columns.contains(&"CONTENT") {
        return Ok(Format::Todoist);
    }
    if columns.contains(&"title") {
        return Ok(Format::Csv);
    }
    Err(Unreadable::format("is of no format that is known by its beginning: name it with --from"))
}

/// Checks that a file can be read at all, whatever its format.
///
/// # Errors
/// What it is instead, and what to do.
pub(super) fn readable(head: &[u8]) -> Result<(), Unreadable> {
    let begins = |magic: &[u8]| head.starts_with(magic);
    let why = if head.is_empty() {
        "is empty"
    } else if begins(b"PK\x03\x04") || begins(b"PK\x05\x06") {
        "is a zip archive: unzip it first. Vikunja has its tasks in data.json, Google Takeout in Tasks/Tasks.json"
    } else if begins(b"\x1f\x8b") || begins(b"\x28\xb5\x2f\xfd") {
        "is compressed: unpack it first"
    } else if begins(b"\xff\xfe") || begins(b"\xfe\xff") {
        "is UTF-16: save it as UTF-8"
    } else {
        return Ok(());
    };
    Err(Unreadable::format(why))
}

fn json(text: &str) -> Result<Format, Unreadable> {
    let compact: String = text.chars().filter(|char| !char.is_ascii_whitespace()).take(HEAD_BYTES).collect();
    let own = ["{\"export\":", "{\"task\":{", "{\"taskList\":{", "{\"task_list\":{", "{\"name\":\"users/"];
    if own.iter().any(|begin| compact.starts_with(begin)) {
        return Ok(Format::JsonLines);
    }
    let has = |words: &[&str]| words.iter().any(|word| compact.contains(word));
    if has(&["\"tasks#task", "\"tasks#taskLists\""]) {
        return Ok(Format::Google);
    }
    if has(&[
        "\"@odata.",
        "\"checklistItems\":",
        "\"wellknownListName\":",
        "\"importance\":",
        "\"displayName\":",
    ]) {
        return Ok(Format::Microsoft);
    }
    if compact.starts_with('[')
        && has(&["\"parent_project_id\":", "\"project_id\":", "\"hex_color\":", "\"namespace_id\":"])
    {
        return Ok(Format::Vikunja);
    }
    if compact.starts_with('{') {
        return Ok(Format::JsonLines);
    }
    Err(Unreadable::format("is JSON of no format that is known by its beginning: name it with --from"))
}
