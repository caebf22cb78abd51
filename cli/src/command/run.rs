//! `exhibit up`, `gateway`, `ledger`, `query`: run components until a signal.

use std::path::PathBuf;

use clap::Args;

use crate::config::Config;
use crate::failure::Failure;
use crate::say::say;
use crate::stack::{Listeners, Stack};
use crate::stop_signal::StopSignal;

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The configuration file
    #[arg(long, default_value = "exhibit.toml", value_name = "FILE")]
    config: PathBuf,
    /// The wall clock was set by hand, and is right now (ledger)
    #[arg(long)]
    confirm_clock_step: bool,
}

/// Which components run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    Gateway,
    Ledger,
    Query,
}

impl Run {
    pub(crate) async fn run(self, part: Part) -> Result<(), Failure> {
        let config = select(Config::read(&self.config)?, part)?;
        let options = ledger::Options { confirm_clock_step: self.confirm_clock_step };
        // Before anything starts, so that a stop is orderly however early it comes.
        let mut signal = StopSignal::listen()?;
        let mut stack = Stack::default();
        let running = async {
            stack.start(config, options, Listeners::default()).await?;
            for (name, address) in stack.addresses() {
                say!("{name:8} http://{address}");
            }
            Err(stack.failed().await)
        };
        let ended = tokio::select! {
            ended = running => ended,
            () = signal.received() => Ok(()),
        };
        stack.stop().await;
        ended
    }
}

fn select(mut config: Config, part: Part) -> Result<Config, Failure> {
    let (missing, table) = match part {
        Part::All => {
            let none =
                config.ledger.is_none() && config.gateway.is_none() && config.query.is_none();
            (none, "ledger")
        }
        Part::Gateway => (config.gateway.is_none(), "gateway"),
        Part::Ledger => (config.ledger.is_none(), "ledger"),
        Part::Query => (config.query.is_none(), "query"),
    };
    if missing {
        return Err(Config::missing(table));
    }
    let keep = |wanted: Part| part == Part::All || part == wanted;
    config.ledger = config.ledger.filter(|_| keep(Part::Ledger));
    config.gateway = config.gateway.filter(|_| keep(Part::Gateway));
    config.query = config.query.filter(|_| keep(Part::Query));
    config.evidence = config.evidence.filter(|_| keep(Part::Query));
    Ok(config)
}
