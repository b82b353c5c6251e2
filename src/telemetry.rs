//! Logs: readable on a terminal, JSON elsewhere, always on standard error. Traces, where somebody collects them.
//!
//! Lines are handed to a thread that writes them. When nobody reads them, it has room for so many; what comes then
//! is given up and counted, as a call must not wait for a log.

mod json_lines;

use std::io::{self, BufWriter, IsTerminal as _, Write, stderr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::ValueEnum;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::server::{LogLevel, SPANS};

/// Targets that write out statements, parameters or frames below `info`. They stay there whatever is asked for.
const TALKATIVE: [&str; 4] = ["tokio_postgres=info", "h2=info", "hyper=info", "hyper_util=info"];

/// Lines that may wait to be written, of some 300 bytes each.
const LINES_WAITING_MAX: usize = 16 * 1024;

/// Lines that came meanwhile are written together, as far as they fit.
const LINES_TOGETHER_BYTES: usize = 64 * 1024;

/// How long a line waits for others after one was written.
const LINES_TOGETHER_WITHIN: Duration = Duration::from_millis(5);

/// How long the last traces may take on their way.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What is logged and traced, and how.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The filter of the log.
    pub log: &'a str,
    /// How log lines look.
    pub format: LogFormat,
    /// Where traces go, over OTLP; empty for nowhere.
    pub trace_endpoint: &'a str,
    /// The share of calls that is traced, of those that come without a decision.
    pub trace_ratio: f64,
}

/// Reads a filter.
///
/// # Errors
/// When it is none.
pub fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    let mut filter = EnvFilter::builder().parse(text)?;
    for directive in TALKATIVE {
        filter = filter.add_directive(directive.parse()?);
    }
    // Spans are for traces; in the log they would say nothing and cost.
    Ok(filter.add_directive(format!("{SPANS}=off").parse()?))
}

/// Writes what it was given, and then rests for a moment: whoever logs meanwhile need not wake its thread, and what
/// came together is written together.
struct Paced<W>(W);

impl<W: Write> Write for Paced<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    /// The log's thread asks for this when there are no more lines.
    #[expect(clippy::disallowed_methods, reason = "it is a thread of its own, that nobody waits for")]
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        std::thread::sleep(LINES_TOGETHER_WITHIN);
        Ok(())
    }
}

/// Logs and traces, as long as this is there.
#[derive(Debug)]
pub struct Telemetry {
    level: Arc<Level>,
    lines: NonBlocking,
    traces: Option<SdkTracerProvider>,
    _writer: WorkerGuard,
}

impl Telemetry {
    /// Starts both. Called once, by `serve`, within the runtime.
    ///
    /// # Errors
    /// When traces cannot be sent where they should go.
    pub fn start(wanted: Wanted<'_>) -> Result<Self, String> {
        let filter = filter(wanted.log).map_err(|error| error.to_string())?;
        let (filter, handle) = reload::Layer::new(filter);
        let level = Arc::new(Level { handle, text: Mutex::new(wanted.log.to_owned()) });
        let (lines, writer) = NonBlockingBuilder::default()
            .buffered_lines_limit(LINES_WAITING_MAX)
            .lossy(true)
            .thread_name("log")
            .finish(Paced(BufWriter::with_capacity(LINES_TOGETHER_BYTES, stderr())));
        let traces = traces(wanted)?;
        let spans = traces.as_ref().map(|traces| {
            tracing_opentelemetry::layer()
                .with_tracer(traces.tracer("taskwire"))
                .with_location(false)
                .with_threads(false)
                .with_filter(tracing_subscriber::filter::filter_fn(|metadata| metadata.target() == SPANS))
        });
        let log = log_layer(wanted.format, lines.clone()).with_filter(filter);
        let started = tracing_subscriber::registry().with(log).with(spans).try_init();
        // Only a second start fails, and then there are logs already.
        drop(started);
        Ok(Self { level, lines, traces, _writer: writer })
    }

    /// What is logged, and how that is changed.
    pub fn level(&self) -> Arc<dyn LogLevel> {
        Arc::<Level>::clone(&self.level)
    }

    /// Tells how many lines were given up because nobody read them.
    pub fn lines_dropped(&self) -> Arc<dyn Fn() -> u64 + Send + Sync> {
        let counter = self.lines.error_counter();
        Arc::new(move || counter.dropped_lines() as u64)
    }

    /// Whether traces go anywhere.
    pub const fn traces(&self) -> bool {
        self.traces.is_some()
    }

    /// Sends what is left.
    pub async fn end(self) {
        if let Some(traces) = self.traces {
            // It waits for work of the runtime, and so must not hold up a worker.
            let flushed =
                tokio::task::spawn_blocking(move || traces.shutdown_with_timeout(FLUSH_TIMEOUT)).await;
            if let Ok(Err(error)) = flushed {
                tracing::warn!(%error, "the last traces could not be sent");
            }
        }
    }
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

fn log_layer(format: LogFormat, lines: NonBlocking) -> BoxedLayer {
    let terminal = stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_writer(lines).with_ansi(terminal);
    match format {
        LogFormat::Auto if terminal => layer.with_target(false).boxed(),
        LogFormat::Text => layer.with_target(false).boxed(),
        LogFormat::Auto | LogFormat::Json => layer.event_format(json_lines::JsonLines).boxed(),
    }
}

fn traces(wanted: Wanted<'_>) -> Result<Option<SdkTracerProvider>, String> {
    let endpoint = wanted.trace_endpoint;
    if endpoint.is_empty() {
        return Ok(None);
    }
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| format!("traces cannot be sent: {error}"))?;
    let resource = Resource::builder()
        .with_service_name("taskwire")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(wanted.trace_ratio)));
    let traces = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(sampler)
        .with_resource(resource)
        .build();
    Ok(Some(traces))
}

/// The filter in force.
#[derive(Debug)]
struct Level {
    handle: reload::Handle<EnvFilter, Registry>,
    text: Mutex<String>,
}

impl LogLevel for Level {
    fn get(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, text: &str) -> Result<(), String> {
        let filter = filter(text).map_err(|error| error.to_string())?;
        let mut current = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        self.handle.reload(filter).map_err(|error| error.to_string())?;
        *current = text.to_owned();
        drop(current);
        tracing::info!(filter = text, "the log level has changed");
        Ok(())
    }
}
