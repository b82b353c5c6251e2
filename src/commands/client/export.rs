//! Everything of one's own account, in a file that is whole or not there.

use std::io::{self, ErrorKind, Write};
use std::path::Path;

use futures_util::StreamExt as _;

use super::{Context, call};
use crate::cli::client::Remote;
use crate::commands::outcome::say_error;
use crate::commands::{Failure, Outcome};
use crate::transfer::Output;

/// How the last line begins.
const END: &[u8] = b"{\"end\":";
/// More than the last line has.
const TAIL_BYTES: usize = 4096;

/// Writes all of it to a file, or to standard output.
pub(in crate::commands) async fn export(remote: &Remote, file: &Path, force: bool) -> Outcome {
    let context = call(remote)?;
    if file == Path::new("-") {
        return copy(&context, io::stdout()).await;
    }
    let refused = |error: &dyn std::fmt::Display| Failure::new(format!("{} {error}", file.display()));
    let output = Output::create(file, force).map_err(|error| refused(&error))?;
    copy(&context, output.writer().map_err(|error| refused(&error))?).await?;
    output.finish(force).map_err(|error| refused(&error))?;
    say_error(&format!("everything of the account is in {}", file.display()));
    Ok(())
}

/// Writes what comes; fails where the last line is missing.
async fn copy(context: &Context, mut to: impl Write) -> Outcome {
    let refused = |error| context.service.refused(&error);
    let mut pieces = context.client.export().await.map_err(refused)?;
    let mut tail = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(refused)?;
        to.write_all(&piece).map_err(unwritten)?;
        tail.extend_from_slice(&piece);
        tail.drain(..tail.len().saturating_sub(TAIL_BYTES));
    }
    to.flush().map_err(unwritten)?;
    let last = tail.strip_suffix(b"\n").and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next());
    match last {
        Some(line) if line.starts_with(END) => Ok(()),
        _ => Err(Failure::new("the service ended in the middle: what came is not whole")),
    }
}

/// A reader who has seen enough ends the command, and that is no failure.
fn unwritten(error: io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::silent(),
        _ => Failure::new(format!("cannot write: {error}")),
    }
}
