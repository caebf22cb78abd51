//! `make bench-ledger`: how fast the ledger is, each line beside its baseline of the same run.
//!
//! What is measured and how is told in `docs/benchmarks.md`.

mod append;
mod events;
mod growth;
mod grpc;
mod measure;
mod proofs;
mod raw;
mod table;

use std::path::PathBuf;

use measure::Failure;
use table::Table;

/// As the command has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "\
Usage: make bench-ledger ARGS='[PART…] [--dir DIR] [--batch N] [--entries N] [--leaves N]'

  PART         append, grpc, growth (and proofs out of it); all of them when none is named
  --dir DIR    a folder on the disk to be measured; default: the system's folder for temporary files
  --batch N    of append only the throughput with N events a commit, as a profiler wants it
  --entries N  growth with disclosures ends there; default 10,000,000 (20 GB)
  --leaves N   growth with leaves alone as well, up to there (50,000,000: 20 GB and many minutes); default: not";

struct Plan {
    parts: Vec<String>,
    dir: PathBuf,
    batch: Option<usize>,
    entries: u64,
    leaves: u64,
}

fn main() -> Result<(), Failure> {
    let plan = Plan::parse(std::env::args().skip(1))?;
    if cfg!(debug_assertions) {
        eprintln!("Built with debug assertions: these numbers are too low.");
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let mut table = Table::default();
    let wants = |part: &str| plan.parts.is_empty() || plan.parts.iter().any(|named| named == part);
    if wants("append") {
        append::run(&runtime, &plan.dir, plan.batch, &mut table)?;
    }
    if wants("grpc") {
        grpc::run(&runtime, &plan.dir, &mut table)?;
    }
    if wants("growth") {
        let grown = [(plan.entries, true), (plan.leaves, false)];
        for (entries, discloses) in grown.into_iter().filter(|(entries, _)| *entries > 0) {
            let folder = tempfile::tempdir_in(&plan.dir)?;
            growth::run(&runtime, folder.path(), entries, discloses, &mut table)?;
            proofs::run(&runtime, folder.path(), &mut table)?;
        }
    }
    println!("{table}");
    Ok(())
}

impl Plan {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let (parts, dir) = (Vec::new(), std::env::temp_dir());
        let mut plan = Self { parts, dir, batch: None, entries: 10_000_000, leaves: 0 };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--dir" => plan.dir = value()?.into(),
                "--batch" => plan.batch = Some(value()?.parse()?),
                "--entries" => plan.entries = value()?.replace([',', '_'], "").parse()?,
                "--leaves" => plan.leaves = value()?.replace([',', '_'], "").parse()?,
                "append" | "grpc" | "growth" => plan.parts.push(argument),
                other => return Err(format!("{other:?} is not known\n{USAGE}").into()),
            }
        }
        Ok(plan)
    }
}
