//! `exhibit fsck`: check a stopped ledger's folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use ledger::FsckReport;
use ledger::store::StoreError;
use serde_json::json;
use tlog::VerifyingKey;

use crate::config::{Config, read_key};
use crate::failure::Failure;
use crate::say::say;
use crate::vkey;

/// So many findings of a kind are shown to a person; they say where to look, and one damaged block gives dozens.
const SHOWN_OF_A_KIND: u64 = 3;

#[derive(Debug, Args)]
pub(crate) struct Fsck {
    /// The ledger's data folder; the ledger must not be running. It is opened, and so recovered, as by a start, which
    /// writes to it: give a copy where nothing may be written
    #[arg(required_unless_present = "config")]
    data_dir: Option<PathBuf>,
    /// The ledger's configuration file: it names the folder, the checkpoint file and the keys that are not given here. What is
    /// checked then agrees with this file; an auditor gives keys from elsewhere
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The published checkpoint, when the ledger's checkpoint_file is not in its data folder
    #[arg(long, value_name = "FILE")]
    checkpoint_file: Option<PathBuf>,
    /// vkey of the log, the newest after a change of its key
    #[arg(long, value_name = "VKEY", required_unless_present = "config")]
    log: Option<String>,
    /// vkey of a recorder whose seals are verified; once for each key, old ones too
    #[arg(long, value_name = "VKEY")]
    recorder: Vec<String>,
}

/// What is checked, and with what.
struct Subject {
    data_dir: PathBuf,
    checkpoint_file: Option<PathBuf>,
    log: VerifyingKey,
    recorders: Vec<VerifyingKey>,
}

impl Fsck {
    pub(crate) fn run(self, json: bool) -> Result<(), Failure> {
        let Subject { data_dir, checkpoint_file, log, recorders } = self.subject()?;
        if !data_dir.join("store").is_dir() {
            let message = format!("{} holds no ledger", data_dir.display());
            return Err(Failure::unusable("no_ledger", message));
        }
        let checkpoint = checkpoint_file.as_deref();
        ledger::may_check(&data_dir, checkpoint, &log)
            .map_err(|refusal| Failure::unusable("not_checked", refusal))?;
        let bar = bar();
        let mut progress = |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        };
        let report = ledger::fsck(&data_dir, checkpoint, &log, &recorders, &mut progress).map_err(
            |error| match error {
                StoreError::InUse { .. } => Failure::unusable("ledger_running", error),
                _ => Failure::failed("store", error),
            },
        )?;
        let seconds = bar.elapsed().as_secs_f64().max(1e-9);
        bar.finish_and_clear();
        if json {
            say!("{}", as_json(&report, seconds));
        } else {
            print(&report, seconds);
        }
        if report.is_good() { Ok(()) } else { Err(Failure::reported()) }
    }

    /// From the command line, else from the configuration.
    fn subject(self) -> Result<Subject, Failure> {
        let log = self.log.as_deref().map(|log| vkey::read("--log", log)).transpose()?;
        let mut recorders = vkey::read_all("--recorder", &self.recorder)?;
        let Some(file) = &self.config else {
            // Both are required without a configuration.
            let (Some(data_dir), Some(log)) = (self.data_dir, log) else {
                return Err(Failure::unusable("usage", "give DATA_DIR and --log, or --config"));
            };
            let checkpoint_file = self.checkpoint_file;
            return Ok(Subject { data_dir, checkpoint_file, log, recorders });
        };
        let ledger = Config::read(file)?.ledger.ok_or_else(|| Config::missing("ledger"))?;
        let log = match log {
            Some(log) => log,
            None => read_key(&ledger.log_key_file)?.verifying_key(),
        };
        recorders.push(read_key(&ledger.recorder_key_file)?.verifying_key());
        recorders.extend(vkey::read_all("recorders", &ledger.recorders)?);
        // The checkpoint file is the configured folder's, and of no copy of it.
        let is_configured = self.data_dir.as_ref().is_none_or(|dir| *dir == ledger.data_dir);
        let checkpoint_file =
            self.checkpoint_file.or(ledger.checkpoint_file.filter(|_| is_configured));
        let data_dir = self.data_dir.unwrap_or(ledger.data_dir);
        Ok(Subject { data_dir, checkpoint_file, log, recorders })
    }
}

/// How far a check has come; drawn on stderr, and only on a terminal.
pub(super) fn bar() -> ProgressBar {
    ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} entries {per_sec} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    )
}

/// What was counted and found, and what to do about it.
fn print(report: &FsckReport, seconds: f64) {
    print_counts_and_findings(report, seconds);
    if !report.is_good() {
        say!(
            "Change nothing, copy the folder, and read \"When fsck says FAIL\" in docs/ledger.md; --json has more findings"
        );
    }
}

pub(super) fn print_counts_and_findings(report: &FsckReport, seconds: f64) {
    if report.is_opened {
        print_counts(report, seconds);
    } else {
        say!("NOTHING was counted: the store could not be opened");
    }
    let mut of_kind = BTreeMap::new();
    for finding in &report.findings {
        let shown: &mut u64 = of_kind.entry(finding.code).or_default();
        *shown += 1;
        if *shown <= SHOWN_OF_A_KIND {
            say!("FAIL         {finding}");
        }
    }
    for (code, count) in &report.found {
        let more = count.saturating_sub(SHOWN_OF_A_KIND);
        if more > 0 {
            say!("FAIL         and {more} more of {code}");
        }
    }
    let unchecked: u64 = report.seals_without_key.values().sum();
    if report.is_good() && unchecked > 0 {
        say!("good, but for {unchecked} seals that were not checked");
    } else if report.is_good() {
        say!("good");
    } else {
        let all: u64 = report.found.values().sum();
        let kinds = report.found.len();
        say!("NOT GOOD: {all} findings of {kinds} kinds. One damaged place may give several.");
    }
}

fn print_counts(report: &FsckReport, seconds: f64) {
    print_entries(report);
    say!(
        "disclosures  {} ({} erased) under {} keys",
        report.disclosures,
        report.erased,
        report.keys
    );
    if report.purge_pending {
        say!(
            "purge        PENDING: erased bytes are still on the disk; a ledger that runs takes them off, or its /readyz says why it cannot"
        );
    }
    if report.moment_left {
        say!(
            "snapshot     LEFT OVER from a backup that was cut off: the next start, or backup, removes it"
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
}

/// How many there are, and how many of them a checkpoint vouches for.
fn print_entries(report: &FsckReport) {
    match report.size.saturating_sub(report.entries) {
        0 => say!("entries      {}", report.entries),
        _ => say!("entries      {} of {}", report.entries, report.size),
    }
    let Some(checkpoint) = &report.checkpoint else {
        say!("checkpoint   NONE that the log signed: nobody but the store vouches for the entries");
        return;
    };
    let behind = match report.size.checked_sub(checkpoint.size.0) {
        None => "more than the store has".to_owned(),
        Some(0) => "all there are".to_owned(),
        Some(behind) => format!("for {behind} behind it nobody vouches but the store"),
    };
    say!("checkpoint   of {} entries, signed by {}; {behind}", checkpoint.size, checkpoint.origin);
}

fn rates(report: &FsckReport, seconds: f64) -> (f64, f64) {
    (report.entries as f64 / seconds, report.bytes as f64 / 1e6 / seconds)
}

pub(super) fn as_json(report: &FsckReport, seconds: f64) -> serde_json::Value {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "code": finding.code, "place": finding.place, "message": finding.message,
                "more": finding.more, "last": finding.last
            })
        })
        .collect();
    let checkpoint = report.checkpoint.as_ref().map(|checkpoint| {
        json!({ "origin": checkpoint.origin, "size": checkpoint.size.0, "root": checkpoint.root.to_string() })
    });
    let (entries_per_second, megabytes_per_second) = rates(report, seconds);
    json!({
        "good": report.is_good(), "opened": report.is_opened, "checkpoint": checkpoint, "size": report.size,
        "entries": report.entries, "disclosures": report.disclosures, "erased": report.erased,
        "keys": report.keys, "holds": report.holds, "purge_pending": report.purge_pending,
        "snapshot_left": report.moment_left,
        "tiles": report.tiles, "chains": report.chains, "seals": report.seals,
        "seals_without_key": report.seals_without_key, "bytes": report.bytes,
        "entries_per_second": entries_per_second, "megabytes_per_second": megabytes_per_second,
        "findings": findings, "found": report.found
    })
}
