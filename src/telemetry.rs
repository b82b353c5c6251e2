//! Logs: readable on a terminal, JSON elsewhere, always on standard error.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::LogFormat;

/// Targets that write out statements, parameters or frames below `info`. They stay there whatever is asked for.
const TALKATIVE: [&str; 4] = ["tokio_postgres=info", "h2=info", "hyper=info", "hyper_util=info"];

/// Reads a filter.
///
/// # Errors
/// When it is none.
pub fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    let mut filter = EnvFilter::builder().parse(text)?;
    for directive in TALKATIVE {
        filter = filter.add_directive(directive.parse()?);
    }
    Ok(filter)
}

/// Starts logging. Called once, by `main`.
pub fn start(log: &str, format: LogFormat) {
    let filter = filter(log).unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(terminal);
    let started = if json {
        registry
            .with(layer.json().flatten_event(true).with_current_span(false).with_span_list(false))
            .try_init()
    } else {
        registry.with(layer.with_target(false)).try_init()
    };
    // Only a second start fails, and then there are logs already.
    drop(started);
}
