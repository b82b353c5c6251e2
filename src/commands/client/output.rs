//! Where answers go: tables for people, JSON for programs.

use std::io::{ErrorKind, IsTerminal as _, Write as _};

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

use super::text::steers;
use crate::cli::client::Remote;
use crate::commands::{Failure, Outcome};
use crate::pb;

/// Standard output, and who reads it.
#[derive(Debug)]
pub(super) struct Output {
    /// The contract, by which messages become JSON; absent where people read.
    contract: Option<DescriptorPool>,
    colours: bool,
    columns: Option<usize>,
}

/// How a text stands out on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Heading,
    Faint,
    Urgent,
}

impl Output {
    pub(super) fn new(remote: &Remote) -> Result<Self, Failure> {
        let output = std::io::stdout();
        let is_terminal = output.is_terminal();
        if remote.json || (!is_terminal && !remote.table) {
            let contract = DescriptorPool::decode(pb::DESCRIPTOR_SET).map_err(Failure::new)?;
            return Ok(Self { contract: Some(contract), colours: false, columns: None });
        }
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let columns = rustix::termios::tcgetwinsize(&output).map(|size| usize::from(size.ws_col));
        let columns = columns.ok().filter(|columns| is_terminal && *columns > 0);
        Ok(Self { contract: None, colours: is_terminal && !is_set("NO_COLOR") && !is_dumb, columns })
    }

    /// Whether programs read it.
    pub(super) fn is_json(&self) -> bool {
        self.contract.is_some()
    }

    /// How wide lines may be, where there is an end to it.
    pub(super) fn columns(&self) -> Option<usize> {
        self.columns
    }

    /// Prints a line. A reader who has seen enough ends the command, and that is no failure.
    pub(super) fn line(&self, line: &str) -> Outcome {
        writeln!(std::io::stdout(), "{line}").map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Failure::silent(),
            _ => Failure::new(format!("cannot write the result: {error}")),
        })
    }

    /// Prints a message for programs, or what the second argument makes of it for people.
    pub(super) fn answer<M: Message>(
        &self,
        kind: &str,
        message: &M,
        told: impl FnOnce() -> String,
    ) -> Outcome {
        match &self.contract {
            Some(contract) => self.line(&json(contract, kind, message)?),
            None => self.line(&told()),
        }
    }

    /// The text in a style, where the terminal has any.
    pub(super) fn styled(&self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Plain => return text.to_owned(),
            Style::Heading => "1",
            Style::Faint => "2",
            Style::Urgent => "31",
        };
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// A message in the JSON of protocol buffers, with the names that the gateway gives.
fn json<M: Message>(contract: &DescriptorPool, kind: &str, message: &M) -> Result<String, Failure> {
    let name = format!("taskwire.v1.{kind}");
    let descriptor = contract
        .get_message_by_name(&name)
        .ok_or_else(|| Failure::new(format!("the contract has no {name}")))?;
    let dynamic =
        DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).map_err(Failure::new)?;
    let mut written = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut written);
    dynamic.serialize_with_options(&mut serializer, &SerializeOptions::new()).map_err(Failure::new)?;
    let written = String::from_utf8(written).map_err(Failure::new)?;
    // JSON leaves some characters as they are that steer a terminal. They stand only in texts, where they can be escaped.
    Ok(written
        .chars()
        .map(|char| if steers(char) { format!("\\u{:04x}", u32::from(char)) } else { char.into() })
        .collect())
}
