//! `exhibit fsck`: check a stopped ledger's folder.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use ledger::store::StoreError;
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
    /// vkey of a recorder whose seals are verified; once for each
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
        // Drawn on stderr, and only on a terminal.
        let bar = ProgressBar::new(0).with_style(
            ProgressStyle::with_template("{bar:40} {pos}/{len} entries {per_sec} {eta}")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
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
        let seconds = bar.elapsed().as_secs_f64();
        bar.finish_and_clear();
        if json {
            say!("{}", as_json(&report));
        } else {
            print(&report, seconds);
        }
        if report.findings.is_empty() { Ok(()) } else { Err(Failure::reported()) }
    }
}

fn print(report: &ledger::FsckReport, seconds: f64) {
    say!("entries      {}", report.entries);
    say!("disclosures  {} ({} erased)", report.disclosures, report.erased);
    say!("tiles        {}", report.tiles);
    say!("seals        {} verified", report.seals);
    for (recorder, seals) in &report.seals_without_key {
        let recorder = proto::terminal::shown(recorder);
        say!("seals        {seals} of {recorder} NOT CHECKED: give its vkey with --recorder");
    }
    say!("rate         {:.0} entries/s", report.entries as f64 / seconds.max(1e-9));
    for finding in &report.findings {
        say!("FAIL         {finding}");
    }
    if report.findings.is_empty() {
        say!("good");
    }
}

fn as_json(report: &ledger::FsckReport) -> serde_json::Value {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            serde_json::json!({
                "code": finding.code, "place": finding.place, "message": finding.message
            })
        })
        .collect();
    serde_json::json!({
        "entries": report.entries, "disclosures": report.disclosures, "erased": report.erased,
        "tiles": report.tiles, "seals": report.seals, "seals_without_key": report.seals_without_key,
        "findings": findings
    })
}
