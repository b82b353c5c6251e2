//! How a command ends, and how it says so.

use std::io::Write as _;
use std::process::ExitCode;

/// Wrong usage or configuration (EX_USAGE of sysexits.h).
pub const USAGE: u8 = 64;

/// Ended by a signal, as shells have it for Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Why a command ends without success: the lines to print, and the status.
#[derive(Debug)]
pub struct Failure {
    pub(super) lines: Vec<String>,
    pub(super) status: u8,
}

impl Failure {
    pub(super) fn new(line: impl std::fmt::Display) -> Self {
        Self { lines: vec![line.to_string()], status: 1 }
    }

    pub(super) fn lines(lines: impl Into<Vec<String>>) -> Self {
        Self { lines: lines.into(), status: 1 }
    }

    /// Whoever reads the answer has seen enough of it.
    pub(super) fn silent() -> Self {
        Self { lines: Vec::new(), status: 0 }
    }

    /// Somebody asked for the end before it.
    pub(super) fn interrupted(what_is_left: &str) -> Self {
        Self { lines: vec![format!("interrupted: {what_is_left}")], status: INTERRUPTED }
    }

    /// Tells of something that does not keep the command from being done.
    pub(super) fn warn(&self) {
        self.lines.iter().for_each(|line| say_error(line));
    }

    pub(super) fn usage(lines: Vec<String>) -> Self {
        Self { lines, status: USAGE }
    }

    /// Prints the lines; answers the status.
    pub fn report(&self) -> ExitCode {
        for line in &self.lines {
            say_error(line);
        }
        ExitCode::from(self.status)
    }
}

pub(super) type Outcome = Result<(), Failure>;

pub(super) fn print_bytes(bytes: &[u8]) -> Outcome {
    let mut output = std::io::stdout().lock();
    output
        .write_all(bytes)
        .and_then(|()| output.flush())
        .map_err(|error| Failure::new(format!("cannot write to standard output: {error}")))
}

/// Prints a line of the result. A reader who has gone away is a failure, not a panic.
pub(super) fn say(line: &str) -> Outcome {
    writeln!(std::io::stdout(), "{line}")
        .map_err(|error| Failure::new(format!("cannot write the result: {error}")))
}

/// Prints a line about what went wrong.
pub fn say_error(line: &str) {
    // Where even this cannot be written, the exit status alone has to say it.
    let _ = writeln!(std::io::stderr(), "taskwire: {line}");
}
