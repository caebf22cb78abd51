//! `exhibit fsck`: check a stopped ledger's folder.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use ledger::FsckReport;
use ledger::store::StoreError;
use serde_json::json;
use tlog::VerifyingKey;

use crate::failure::Failure;
use crate::say::say;

#[derive(Debug, Args)]
pub(crate) struct Fsck {
    /// The ledger's data folder; the ledger must not be running. It is opened, and so recovered, as by a start, which
    /// writes to it: give a copy where nothing may be written
    data_dir: PathBuf,
    /// The published checkpoint, when the ledger's checkpoint_file is not in its data folder
    #[arg(long, value_name = "FILE")]
    checkpoint_file: Option<PathBuf>,
    /// vkey of the log
    #[arg(long, value_name = "VKEY")]
    log: String,
    /// vkey of a recorder whose seals are verified; once for each key, old ones too
    #[arg(long, value_name = "VKEY")]
    recorder: Vec<String>,
}

impl Fsck {
    pub(crate) fn run(self, json: bool) -> Result<(), Failure> {
        let key = |vkey: &String| {
            VerifyingKey::parse(vkey)
                .map_err(|error| Failure::unusable("vkey", format!("{vkey:?}: {error}")))
        };
        let log = key(&self.log)?;
        let recorders = self.recorder.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        if !self.data_dir.join("store").is_dir() {
            let message = format!("{} holds no ledger", self.data_dir.display());
            return Err(Failure::unusable("no_ledger", message));
        }
        let bar = bar();
        let mut progress = |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        };
        let checkpoint = self.checkpoint_file.as_deref();
        let report = ledger::fsck(&self.data_dir, checkpoint, &log, &recorders, &mut progress)
            .map_err(|error| match error {
                StoreError::InUse { .. } => Failure::unusable("ledger_running", error),
                _ => Failure::failed("store", error),
            })?;
        let seconds = bar.elapsed().as_secs_f64().max(1e-9);
        bar.finish_and_clear();
        if json {
            say!("{}", as_json(&report, seconds));
        } else {
            print(&report, seconds);
        }
        if report.is_good() { Ok(()) } else { Err(Failure::reported()) }
    }
}

/// How far a check has come; drawn on stderr, and only on a terminal.
pub(super) fn bar() -> ProgressBar {
    ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} entries {per_sec} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    )
}

pub(super) fn print(report: &FsckReport, seconds: f64) {
    say!("entries      {}", report.entries);
    say!(
        "disclosures  {} ({} erased) under {} keys",
        report.disclosures,
        report.erased,
        report.keys
    );
    if report.purge_pending {
        say!(
            "purge        PENDING: erased bytes are still on the disk; the next start takes them off"
        );
    }
    say!("holds        {}", report.holds);
    say!("tiles        {}", report.tiles);
    say!("chains       {}", report.chains);
    say!("seals        {}", report.seals);
    for (key, seals) in &report.seals_without_key {
        let key = proto::terminal::shown(key);
        say!("seals        NOT CHECKED: {seals} by {key}; give its vkey with --recorder");
    }
    let (entries, megabytes) = rates(report, seconds);
    say!("rate         {entries:.0} entries/s, {megabytes:.1} MB/s, {seconds:.1} s");
    for finding in &report.findings {
        say!("FAIL         {finding}");
    }
    for (code, more) in not_shown(report) {
        say!("FAIL         and {more} more of {code}");
    }
    if report.is_good() {
        say!("good");
    }
}

fn rates(report: &FsckReport, seconds: f64) -> (f64, f64) {
    (report.entries as f64 / seconds, report.bytes as f64 / 1e6 / seconds)
}

/// Findings that are counted only, by kind.
fn not_shown(report: &FsckReport) -> impl Iterator<Item = (&str, u64)> {
    let more = |count: &u64| count.saturating_sub(ledger::MAX_FINDINGS_OF_A_KIND);
    report.found.iter().map(move |(code, count)| (*code, more(count))).filter(|(_, more)| *more > 0)
}

pub(super) fn as_json(report: &FsckReport, seconds: f64) -> serde_json::Value {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            json!({ "code": finding.code, "place": finding.place, "message": finding.message })
        })
        .collect();
    let (entries_per_second, megabytes_per_second) = rates(report, seconds);
    json!({
        "entries": report.entries, "disclosures": report.disclosures, "erased": report.erased,
        "keys": report.keys, "holds": report.holds, "purge_pending": report.purge_pending,
        "tiles": report.tiles, "chains": report.chains, "seals": report.seals,
        "seals_without_key": report.seals_without_key, "bytes": report.bytes,
        "entries_per_second": entries_per_second, "megabytes_per_second": megabytes_per_second,
        "findings": findings, "found": report.found
    })
}
