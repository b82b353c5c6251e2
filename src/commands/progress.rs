//! How far a long command is: one line that changes on a terminal, JSON lines elsewhere, both on standard error. And its end by
//! a signal.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use super::outcome::Failure;

/// Between two changes of the line on a terminal.
const ON_TERMINAL: Duration = Duration::from_millis(250);
/// Between two lines elsewhere.
const ELSEWHERE: Duration = Duration::from_secs(5);

/// How far it is.
#[derive(Debug)]
pub(super) struct State {
    command: &'static str,
    step: Mutex<String>,
    /// 0 where there are none.
    round: AtomicU64,
    rows: AtomicU64,
    /// Of what is done and of the whole, in whatever unit; a whole of 0 is not known.
    pub(super) done: Arc<AtomicU64>,
    whole: AtomicU64,
    begin: Instant,
}

impl State {
    /// What is done now, as the name of a table.
    pub(super) fn step(&self, name: &str) {
        name.clone_into(&mut self.step.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The round that begins, of a command that goes over everything more than once.
    pub(super) fn round(&self, number: usize) {
        self.round.store(number as u64, Ordering::Relaxed);
    }

    /// So many rows more.
    pub(super) fn add_rows(&self, count: u64) {
        self.rows.fetch_add(count, Ordering::Relaxed);
    }

    /// How much there is to do.
    pub(super) fn set_whole(&self, whole: u64) {
        self.whole.store(whole, Ordering::Relaxed);
    }

    fn seconds_left(&self, seconds: f64) -> Option<u64> {
        let (done, whole) = (self.done.load(Ordering::Relaxed), self.whole.load(Ordering::Relaxed));
        let left = whole.checked_sub(done).filter(|_| done > 0)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a guess, and above zero"
        )]
        Some((seconds * left as f64 / done as f64).ceil() as u64)
    }

    fn line(&self, is_terminal: bool, is_end: bool) -> String {
        let seconds = self.begin.elapsed().as_secs_f64();
        let rows = self.rows.load(Ordering::Relaxed);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, and above zero")]
        let rate = (rows as f64 / seconds.max(0.001)) as u64;
        let left = self.seconds_left(seconds).filter(|_| !is_end);
        let round = Some(self.round.load(Ordering::Relaxed)).filter(|round| *round > 0);
        let step = self.step.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !is_terminal {
            let line = serde_json::json!({
                "command": self.command, "round": round, "step": step, "rows": rows, "rows_per_second": rate,
                "seconds": seconds.round(), "seconds_left": left, "done": is_end,
            });
            return format!("{line}\n");
        }
        let left = left.map_or_else(String::new, |left| format!(", {left} s left"));
        let round = round.map_or_else(String::new, |round| format!("round {round}, "));
        format!("\r\x1b[K{}: {round}{step}, {rows} rows, {rate}/s{left}", self.command)
    }
}

/// Tells how far a command is until this is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) state: Arc<State>,
    teller: JoinHandle<()>,
    is_terminal: bool,
}

impl Progress {
    pub(super) fn of(command: &'static str) -> Self {
        let state = Arc::new(State {
            command,
            step: Mutex::default(),
            round: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            done: Arc::default(),
            whole: AtomicU64::new(0),
            begin: Instant::now(),
        });
        let is_terminal = std::io::stderr().is_terminal();
        let told = Arc::clone(&state);
        let teller = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(if is_terminal { ON_TERMINAL } else { ELSEWHERE });
            ticks.tick().await;
            loop {
                ticks.tick().await;
                let _ = std::io::stderr().write_all(told.line(is_terminal, false).as_bytes());
            }
        });
        Self { state, teller, is_terminal }
    }

    /// The command is done.
    pub(super) fn end(self) {
        if !self.is_terminal {
            let _ = std::io::stderr().write_all(self.state.line(false, true).as_bytes());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.teller.abort();
        if self.is_terminal {
            let _ = std::io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

/// Does the work unless Ctrl-C or SIGTERM comes before it is done: then `what_is_left` is told, and what the work holds goes.
pub(super) async fn unless_interrupted<T>(
    what_is_left: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return Err(Failure::new("signals cannot be watched"));
    };
    tokio::select! {
        biased;
        _ = terminate.recv() => Err(Failure::interrupted(what_is_left)),
        _ = interrupt.recv() => Err(Failure::interrupted(what_is_left)),
        done = work => done,
    }
}
