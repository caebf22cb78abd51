//! The `exhibit` command: composes the components, and nothing else.

mod command;
mod config;
mod failure;
mod say;
mod serve;
mod service;
mod stack;
mod stop_signal;
mod tls;
mod trust;
mod vkey;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;

use command::Exhibit;
use failure::Failure;

/// Events are made on one thread and let go of on another, which this one is quick at (docs/benchmarks.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let exhibit = match Exhibit::try_parse() {
        Ok(exhibit) => exhibit,
        Err(error) => return usage(&error),
    };
    let json = exhibit.json;
    start_log(exhibit.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("exhibit: the runtime could not be started: {error}");
            return ExitCode::from(3);
        }
    };
    let ran = exhibit.trust.settle().and_then(|()| runtime.block_on(exhibit.run()));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

/// Help and version are what was asked for; anything else is unusable input, told to programs as other failures are.
fn usage(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    // Coloured only when it is printed.
    let message = error.to_string();
    let holds_key = tlog::without_keys(&message) != message;
    if error.exit_code() == 0 || !wants_json && !holds_key {
        error.exit();
    }
    let message = message.trim_start_matches("error: ").trim_end();
    Failure::unusable("usage", message).report(wants_json)
}

/// Logs go to stderr: `RUST_LOG` chooses what, warnings and our own notices by default.
fn start_log(format: command::LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,witness=info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        command::LogFormat::Text => log.init(),
        command::LogFormat::Json => log.json().init(),
    }
}
