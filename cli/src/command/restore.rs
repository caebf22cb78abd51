//! `exhibit restore`: a backup comes back, every byte compared and everything checked.

use std::path::PathBuf;

use clap::Args;
use ledger::Restored;
use serde_json::json;

use super::backup::failure;
use super::fsck;
use crate::config::read_key;
use crate::failure::{self as failures, Failure};
use crate::say::say;
use crate::vkey;

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Folder of the backups
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The data folder to be: empty, or not there
    #[arg(long, value_name = "DATA_DIR")]
    to: PathBuf,
    /// Which backup; the newest without it
    #[arg(long, value_name = "N")]
    backup: Option<u64>,
    /// vkey of the log that was backed up, from a source other than the backup
    #[arg(long, value_name = "VKEY")]
    log: String,
    /// vkey of a recorder whose seals are verified; once for each key, old ones too
    #[arg(long, value_name = "VKEY")]
    recorder: Vec<String>,
    /// The copy is older than what others have seen: begin a new log that continues it. The copy goes into `previous`
    /// below the data folder, and may be looked at (`exhibit ledger --read-only`)
    #[arg(long, requires = "log_key")]
    as_new_log: bool,
    /// File with the key of the new log, whose name is another origin (`exhibit keygen`)
    #[arg(long, value_name = "FILE", requires = "as_new_log")]
    log_key: Option<PathBuf>,
    /// The newest checkpoint of the log that anybody has kept: what it has more than the copy is told, and a new log names it.
    /// The backup's without it
    #[arg(long, value_name = "FILE")]
    newest_checkpoint: Option<PathBuf>,
}

impl Restore {
    pub(crate) fn run(self, json: bool) -> Result<(), Failure> {
        let log = vkey::read("--log", &self.log)?;
        let recorders = vkey::read_all("--recorder", &self.recorder)?;
        let new_log = self.log_key.as_deref().map(read_key).transpose()?;
        let new_log = new_log.map(|key| key.verifying_key());
        let read = |file: &PathBuf| {
            std::fs::read_to_string(file).map_err(|error| failures::file(file, &error))
        };
        let newest = self.newest_checkpoint.as_ref().map(read).transpose()?;
        let ask = ledger::Restore {
            from: &self.from,
            to: &self.to,
            backup: self.backup,
            log: &log,
            recorders: &recorders,
            new_log: new_log.as_ref(),
            newest: newest.as_deref(),
        };
        let bar = fsck::bar();
        let mut progress = |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        };
        let restored = ledger::restore(&ask, &mut progress).map_err(|error| failure(&error))?;
        let seconds = bar.elapsed().as_secs_f64().max(1e-9);
        bar.finish_and_clear();
        if json {
            say!("{}", self.as_json(&restored, seconds));
        } else {
            self.print(&restored, seconds);
        }
        if restored.report.is_good() { Ok(()) } else { Err(Failure::reported()) }
    }

    fn print(&self, restored: &Restored, seconds: f64) {
        let Restored { backup, data_dir, checkpoint, note, bytes, newest_size, newer, report } =
            restored;
        say!("backup       {backup}, {bytes} bytes, in {}", data_dir.display());
        say!("size         {} entries under the checkpoint", checkpoint.size);
        say!("root         {}", checkpoint.root);
        for line in note.trim_end().lines() {
            say!("checkpoint   {line}");
        }
        fsck::print_counts_and_findings(report, seconds);
        match newest_size.saturating_sub(report.entries) {
            0 => {}
            1 => say!("LOST         entry {}", report.entries),
            lost => say!("LOST         {lost} entries, {} to {}", report.entries, newest_size - 1),
        }
        if let Some((newer, size)) = newer {
            say!(
                "BEHIND       this folder holds backup {newer}, of {size} entries under its checkpoint"
            );
        }
        if self.newest_checkpoint.is_some() && newest_size <= &report.entries {
            say!(
                "newest       the checkpoint that was given is of {newest_size} entries, and the copy has all of them"
            );
        }
        let is_behind = newest_size > &report.entries || newer.is_some();
        if report.is_good() && is_behind && !self.as_new_log {
            eprintln!(
                "this copy is BEHIND what is known of the log, and is never the log again. Look at it: exhibit ledger --read-only. \
                 To go on recording: exhibit restore --as-new-log, into another folder"
            );
        } else if !report.is_good() && report.is_readable() {
            eprintln!(
                "the log is whole, and some of its disclosures, or of its legal holds, are not: exhibit ledger --read-only shows \
                 the copy without them, and no ledger records on it. Another backup may have them (--backup N)"
            );
        } else if !report.is_good() {
            eprintln!(
                "the copy is not good, and no ledger starts on it: bring back another backup (--backup N)"
            );
        } else if self.as_new_log {
            eprintln!(
                "next: exhibit ledger, with the new key, the data_dir {}, and no checkpoint of the old log",
                self.to.display()
            );
        } else {
            eprintln!(
                "next: exhibit ledger, if something else vouches that this is the newest state (a checkpoint_file that was \
                 kept elsewhere, witnesses); else exhibit ledger --read-only"
            );
        }
    }

    fn as_json(&self, restored: &Restored, seconds: f64) -> serde_json::Value {
        json!({
            "backup": restored.backup, "data_dir": restored.data_dir, "origin": restored.checkpoint.origin,
            "size": restored.checkpoint.size.0, "root": restored.checkpoint.root.to_string(),
            "checkpoint": restored.note, "bytes": restored.bytes, "as_new_log": self.as_new_log,
            "newest_size": restored.newest_size, "newer_backup": restored.newer.map(|(newer, _)| newer),
            "lost": restored.newest_size.saturating_sub(restored.report.entries),
            "fsck": fsck::as_json(&restored.report, seconds)
        })
    }
}
