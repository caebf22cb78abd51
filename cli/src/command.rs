//! The commands, one room each.

mod backup;
mod config;
mod demo;
mod erase;
mod export;
mod fsck;
mod hold;
mod keygen;
mod orders;
mod proof;
mod restore;
mod run;
mod sample;
mod sql;
mod tail;
mod verify;
mod waiting;
mod witness;

use clap::{Parser, Subcommand, ValueEnum};

use crate::failure::Failure;

/// Evidence for MCP: every tool call decided, masked and recorded in a log that proves itself.
#[derive(Debug, Parser)]
#[command(name = "exhibit", version, after_help = EXIT_CODES)]
pub(crate) struct Exhibit {
    /// Print results and errors as JSON, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How log lines on stderr are written; RUST_LOG chooses which
    #[arg(long, global = true, value_enum, default_value = "text", value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
    #[command(flatten)]
    pub(crate) trust: crate::trust::TrustArgs,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done and good, 1 the evidence or the check failed, 2 unusable input, \
                          configuration or usage, 3 a service could not be reached.";

/// How log lines are written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every component of the configuration in one process
    Up(run::Run),
    /// Run the gateway alone
    Gateway(run::Run),
    /// Run the ledger alone
    Ledger(run::Run),
    /// Run the query node, with exports, alone
    Query(run::Run),
    /// See everything at work: a guarded MCP server, calls, evidence, a package verified
    Demo(demo::Demo),
    /// Ask a question in SQL
    Sql(sql::Sql),
    /// Export a period as a package that proves itself
    Export(export::Export),
    /// Check a package, offline
    Verify(verify::Verify),
    /// Draw an auditor's sample from a package, offline
    Sample(sample::Sample),
    /// Fetch and check the proof that an event is in the log
    Proof(proof::Proof),
    /// Print events as they are recorded
    Tail(tail::Tail),
    /// Check everything a stopped ledger has stored
    Fsck(fsck::Fsck),
    /// Make a backup of a ledger, whether it runs or not
    Backup(backup::Backup),
    /// Bring a backup back into an empty folder, and check it
    Restore(restore::Restore),
    /// Have disclosures erased: asked for by one person, approved by another
    Erase(erase::Erase),
    /// Hold disclosures, so that nothing erases them
    Hold(hold::Hold),
    /// Show the orders of erasures and holds that wait for somebody's approval
    Orders(waiting::Waiting),
    /// Witness logs: cosign their checkpoints as long as they only grow
    Witness(witness::Witness),
    /// Make a signing key
    Keygen(keygen::Keygen),
    /// Check or print a configuration
    Config(config::ConfigCommand),
}

impl Exhibit {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let json = self.json;
        match self.command {
            Command::Up(run) => run.run(run::Part::All).await,
            Command::Gateway(run) => run.run(run::Part::Gateway).await,
            Command::Ledger(run) => run.run(run::Part::Ledger).await,
            Command::Query(run) => run.run(run::Part::Query).await,
            Command::Demo(demo) => demo.run(json).await,
            Command::Sql(sql) => sql.run(json).await,
            Command::Export(export) => export.run(json).await,
            Command::Verify(verify) => verify.run(json),
            Command::Sample(sample) => sample.run(json),
            Command::Proof(proof) => proof.run(json).await,
            Command::Tail(tail) => tail.run(json).await,
            Command::Fsck(fsck) => fsck.run(json),
            Command::Backup(backup) => backup.run(json).await,
            Command::Restore(restore) => restore.run(json),
            Command::Erase(erase) => erase.run(json).await,
            Command::Hold(hold) => hold.run(json).await,
            Command::Orders(orders) => orders.run(json).await,
            Command::Witness(witness) => witness.run().await,
            Command::Keygen(keygen) => keygen.run(json),
            Command::Config(config) => config.run(),
        }
    }
}
