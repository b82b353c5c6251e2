//! The report as JSON, for whoever compares runs.

use serde_json::json;

use crate::report::Report;
use crate::run::Outcome;
use crate::{Options, Result};

/// One document.
pub(crate) fn render(options: &Options, outcome: &Outcome, report: &Report) -> Result<String> {
    let document = json!({
        "machine": outcome.machine,
        "load": {
            "rounds": options.repeat,
            "seconds": options.seconds,
            "callers": options.callers,
            "connections": options.channels,
            "users": options.users,
            "tasks_per_user": options.tasks,
            "service_log": options.log,
        },
        "measurements": report.rows,
        "facts": report.facts,
        "start_ms": outcome.start_ms,
        "by_users": outcome.spread,
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}
