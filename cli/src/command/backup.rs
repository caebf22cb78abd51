//! `exhibit backup`: a copy of everything the ledger has stored, made by the ledger that runs, or without it.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use ledger::store::StoreError;
use ledger::{BackupError, BackupKeys, LedgerConfig, Verdict};
use serde_json::{Value, json};

use crate::config::{Config, read_key};
use crate::failure::Failure;
use crate::say::say;
use crate::service::{ask, client_builder, read_token};
use crate::vkey;

/// Kept when neither the command nor the configuration says how many.
const DEFAULT_KEEP: u32 = 7;

/// What keeps a ledger from being asked, if one runs at all.
const NOBODY_ASKED: [&str; 3] = ["service_unreachable", "token_missing", "ledger_running"];

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The ledger's configuration file
    #[arg(long, default_value = "exhibit.toml", value_name = "FILE")]
    config: PathBuf,
    /// Folder of the backups; that of [ledger.backup] without it. A ledger that runs puts them only there
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// How many backups are kept in the folder; as [ledger.backup] says, or 7, without it (stopped ledger)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Read it back when it is made, and check all of it as fsck does, before older ones go. That takes as long as fsck does,
    /// and once more the reading of all bytes
    #[arg(long)]
    verify: bool,
    /// Only list the backups of the folder: their dates, and which were read back and are good
    #[arg(long, conflicts_with_all = ["keep", "verify"])]
    list: bool,
    /// File with an admin's bearer token, for a ledger that runs; without it EXHIBIT_TOKEN is used
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Backup {
    pub(crate) async fn run(self, json: bool) -> Result<(), Failure> {
        // A copy of the folder can be listed where there is no configuration.
        if let (true, Some(folder)) = (self.list, &self.to) {
            return list(folder, json);
        }
        let config = Config::read(&self.config)?;
        let ledger = config.ledger.ok_or_else(|| Config::missing("ledger"))?;
        let configured = ledger.backup.as_ref();
        let folder = self.to.as_deref().or(configured.map(|backup| &*backup.folder));
        let Some(folder) = folder else {
            let message = "where to? give --to DIR, or `folder` in [ledger.backup]";
            return Err(Failure::unusable("no_backup_folder", message));
        };
        if self.list {
            return list(folder, json);
        }
        let keep = self.keep.or(configured.map(|backup| backup.keep)).unwrap_or(DEFAULT_KEEP);
        let file = ledger.checkpoint_file.as_deref();
        let made = match self.verify.then(|| keys_of(&ledger)).transpose() {
            Ok(keys) => {
                match ledger::backup_stopped(&ledger.data_dir, file, folder, keep, keys.as_ref()) {
                    Ok(made) => told(&made),
                    Err(BackupError::Store(StoreError::InUse { .. })) => self.ask(&ledger).await?,
                    Err(error @ BackupError::OtherOwner(_)) => {
                        self.ask_or(&ledger, failure(&error)).await?
                    }
                    Err(error) => return Err(failure(&error)),
                }
            }
            Err(unreadable) => self.ask_or(&ledger, unreadable).await?,
        };
        if json {
            say!("{made}");
        } else {
            print(&made);
        }
        Ok(())
    }

    /// Asks the ledger, if one runs: another user than its own can do nothing else.
    async fn ask_or(&self, ledger: &LedgerConfig, otherwise: Failure) -> Result<Value, Failure> {
        match self.ask(ledger).await {
            Err(asked) if NOBODY_ASKED.contains(&asked.code()) => Err(otherwise),
            asked => asked,
        }
    }

    /// Asks the ledger that runs.
    async fn ask(&self, ledger: &LedgerConfig) -> Result<Value, Failure> {
        let configured = ledger.backup.as_ref().map(|backup| &backup.folder);
        let configured_keep = ledger.backup.as_ref().map(|backup| backup.keep);
        let is_there = |to: &PathBuf| configured.is_some_and(|folder| is_same(to, folder));
        if !self.to.as_ref().is_none_or(is_there) {
            let message = format!(
                "a ledger runs on {}: it makes backups itself, into the folder of [ledger.backup] ({}). Leave --to out, or \
                 stop the ledger",
                ledger.data_dir.display(),
                configured
                    .map_or("none is configured".into(), |folder| folder.display().to_string())
            );
            return Err(Failure::unusable("ledger_running", message));
        }
        if self.keep.is_some_and(|keep| configured_keep != Some(keep)) {
            let message = format!(
                "a ledger runs on {}: it keeps as many backups as `keep` in [ledger.backup] says. Leave --keep out; or set it \
                 there, and restart the ledger; or stop the ledger",
                ledger.data_dir.display()
            );
            return Err(Failure::unusable("ledger_running", message));
        }
        let token = read_token(self.token_file.as_deref())?;
        let client =
            client_builder().build().map_err(|error| Failure::unusable("client", error))?;
        let url = format!("{}/v1/backups", ledger.public_url.trim_end_matches('/'));
        let how = json!({ "verify": self.verify });
        let answer = ask(client.post(url).bearer_auth(token).json(&how)).await;
        // As the command itself ends when it made the backup.
        let answer = answer.map_err(|failure| match failure.code() {
            code @ ("backup_not_good" | "backup_damaged") => Failure::failed(code, &failure),
            _ => failure,
        })?;
        answer.json().await.map_err(|error| Failure::unreachable("answer_unreadable", error))
    }
}

/// A backup that the command made itself, as the ledger tells one.
fn told(made: &ledger::Backup) -> Value {
    json!({
        "backup": made.backup, "folder": made.folder, "origin": made.checkpoint.origin,
        "size": made.checkpoint.size.0, "root": made.checkpoint.root.to_string(),
        "files": made.files, "bytes": made.bytes, "bytes_copied": made.bytes_copied, "purged": made.purged,
        "mended": made.mended, "lost": made.lost, "verified": made.verified, "not_good": made.not_good
    })
}

/// The keys with which a backup is checked that is read back, as the configuration has them.
fn keys_of(ledger: &LedgerConfig) -> Result<BackupKeys, Failure> {
    let log = read_key(&ledger.log_key_file)?.verifying_key();
    let mut recorders = vkey::read_all("recorders", &ledger.recorders)?;
    recorders.push(read_key(&ledger.recorder_key_file)?.verifying_key());
    Ok(BackupKeys { log, recorders })
}

fn list(folder: &Path, json: bool) -> Result<(), Failure> {
    let (listed, unreadable) = ledger::backups_in(folder).map_err(|error| failure(&error))?;
    let made_at = |made_at_ns: u64| {
        Timestamp::from_nanosecond(made_at_ns.into())
            .map(|at| format!("{at:.0}"))
            .unwrap_or_default()
    };
    if json {
        let backups: Vec<_> = listed
            .iter()
            .map(|made| {
                json!({
                    "backup": made.backup, "made_at": made_at(made.made_at_ns), "origin": made.origin,
                    "size": made.size, "root": made.root, "bytes": made.bytes,
                    "verdict": made.verdict.map(word)
                })
            })
            .collect();
        let unreadable: Vec<_> = unreadable.iter().map(|(number, _)| number).collect();
        say!("{}", json!({ "folder": folder, "backups": backups, "unreadable": unreadable }));
        return Ok(());
    }
    for made in &listed {
        let (at, size) = (made_at(made.made_at_ns), made.size);
        let verdict = match made.verdict {
            Some(Verdict::Good) => "verified",
            Some(Verdict::Bad) => "NOT GOOD",
            None => "not read back",
        };
        say!(
            "{:>6}  {at}  {verdict:13}  {size} entries of {}, {} bytes",
            made.backup,
            made.origin,
            made.bytes
        );
    }
    for (number, error) in &unreadable {
        say!("{number:>6}  LOST: {error}");
    }
    Ok(())
}

/// What a read-back said, for scripts.
fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::Bad => "bad",
    }
}

/// Whether two paths lead to one folder.
fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

fn print(made: &Value) {
    let text = |field: &str| match &made[field] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    say!("backup       {} in {}", text("backup"), text("folder"));
    say!("log          {}", text("origin"));
    say!("size         {} entries", text("size"));
    say!("root         {}", text("root"));
    say!(
        "files        {}, {} bytes, {} of them new",
        text("files"),
        text("bytes"),
        text("bytes_copied")
    );
    if made["verified"] == true {
        say!("verified     it was read back, and all of it is good");
    }
    if made["purged"].as_array().is_some_and(|purged| !purged.is_empty()) {
        say!("removed      {}", text("purged"));
    }
    if let Some(not_good) = made["not_good"].as_u64() {
        say!(
            "NOT GOOD     backup {not_good}, the last one that was read back or looked at: nothing older goes until one is good \
             (--verify)"
        );
    }
    if made["mended"].as_u64().is_some_and(|mended| mended > 0) {
        let mended = text("mended");
        say!(
            "MENDED       {mended} files of earlier backups were damaged, and were copied again: look after the disk"
        );
    }
    if made["lost"].as_array().is_some_and(|lost| !lost.is_empty()) {
        let lost = text("lost");
        say!(
            "LOST         the backups {lost} need a file that is damaged: they cannot be restored"
        );
    }
}

/// What keeps a backup from being made, or brought back. A backup that is not what was written is evidence that failed.
pub(super) fn failure(error: &BackupError) -> Failure {
    match error {
        BackupError::Damaged { .. }
        | BackupError::NotGood { .. }
        | BackupError::Checkpoint { .. }
        | BackupError::NewestContradicts { .. } => Failure::failed(error.code(), error),
        BackupError::Store(StoreError::InUse { .. }) => Failure::unusable(error.code(), error),
        BackupError::Store(_) => Failure::failed(error.code(), error),
        _ => Failure::unusable(error.code(), error),
    }
}
