//! The life of the process on one screen: arguments, runtime, signals, the command, the exit status.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use taskwire::cli::{self, Cli, Command, Misunderstood};
use taskwire::commands::{self, say_error};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Many small pieces of memory come and go with each call; this allocator is the quicker one at that
/// (`docs/PERFORMANCE.md` has the figures).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::understand(std::env::args_os()) {
        Ok(cli) => cli,
        Err(Misunderstood::Usage(error, others)) => {
            let status = report_usage(&error);
            others.iter().for_each(|other| say_error(other));
            return status;
        }
        Err(Misunderstood::Settings(problems)) => {
            problems.iter().for_each(|problem| say_error(problem));
            return ExitCode::from(commands::USAGE);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say_error(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        let stopped = CancellationToken::new();
        // Every other command may be interrupted as any program may.
        if matches!(cli.command, Command::Serve { .. }) {
            tokio::spawn(watch_signals(stopped.clone()));
        }
        commands::run(cli, stopped).await
    });
    // Work that nobody waits for any more must not hold up the exit.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Help and version are answers; anything else is wrong usage, and names the environment variable as well, since
/// clap names the flag alone.
fn report_usage(error: &clap::Error) -> ExitCode {
    let is_answer = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    // A closed output is no reason to fail differently.
    let _ = error.print();
    if is_answer && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return ExitCode::SUCCESS;
    }
    if let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg)
        && let Some(flag) = argument.split_whitespace().next().and_then(|flag| flag.strip_prefix("--"))
        && let Some(variable) = cli::variable_of(flag, std::env::args_os())
    {
        say_error(&format!("--{flag} can also come from the environment variable {variable}"));
    }
    ExitCode::from(commands::USAGE)
}

/// The first signal asks for an orderly end, the second one insists.
async fn watch_signals(stopped: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        say_error("signals cannot be watched; stopping will not be orderly");
        return;
    };
    for told in 1.. {
        let signal = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        if told > 1 {
            #[expect(
                clippy::disallowed_methods,
                reason = "whoever signals twice wants the process gone now"
            )]
            std::process::exit(130);
        }
        tracing::info!(signal, "stopping: calls under way may finish");
        stopped.cancel();
    }
}
