//! `exhibit up`, `gateway`, `ledger`, `query`: run components until a signal.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use jiff::civil::Date;
use tokio::time::timeout;

use crate::config::{Config, refuse};
use crate::failure::Failure;
use crate::say::say;
use crate::stack::{Listeners, Stack};
use crate::stop_signal::StopSignal;

/// How long a start may go on after a stop was asked for; one that waits for something away is broken off then.
const START_ENDS: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The configuration file
    #[arg(long, default_value = "exhibit.toml", value_name = "FILE")]
    config: PathBuf,
    /// The wall clock was set by hand, and is right now (ledger)
    #[arg(long)]
    confirm_clock_step: bool,
    /// Store and checkpoint are the newest, though the quorum of witnesses does not vouch for it now (ledger)
    #[arg(long)]
    without_quorum: bool,
    /// The restored copy is the newest state of its log, though nobody else vouches for it: the entries under the newest
    /// checkpoint that anybody has seen, which are those of the copy (ledger)
    #[arg(long, value_name = "SIZE")]
    restored_is_newest: Option<u64>,
    /// Today's date, as YYYY-MM-DD: the clock and [ledger.retention] are looked at, and retention may erase by them, though a
    /// class is kept shorter than before, or the ledger was stopped for long. A date further than a day from the clock's confirms
    /// nothing (ledger)
    #[arg(long, value_name = "DATE")]
    retention_confirmed: Option<Date>,
    /// Only show what is there: nothing is recorded, published or changed (ledger)
    #[arg(long)]
    read_only: bool,
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
        if self.read_only && part != Part::Ledger {
            let message = "--read-only goes with `exhibit ledger`: every other part records";
            return Err(Failure::unusable("usage", message));
        }
        let config = select(Config::read(&self.config)?, part)?;
        // Before anything starts: a log that was begun with the wrong key has a data folder that is that key's.
        refuse(&self.config, &config.disagreements())?;
        if let (Some(said), Some(ledger)) = (self.restored_is_newest, &config.ledger) {
            is_newest(&ledger.data_dir, said)?;
        }
        let options = ledger::Options {
            confirm_clock_step: self.confirm_clock_step,
            without_quorum: self.without_quorum,
            restored_is_newest: self.restored_is_newest.is_some(),
            retention_confirmed: self.retention_confirmed.and_then(unix_day),
            read_only: self.read_only,
        };
        // Before anything starts, so that a stop is orderly however early it comes.
        let mut signal = StopSignal::listen()?;
        let mut stack = Stack::default();
        let started = {
            let mut start = pin!(stack.start(config, options, Listeners::default()));
            tokio::select! {
                started = &mut start => started.map(|()| true),
                // What has recorded its start is to record its stop, too.
                () = signal.received() => match timeout(START_ENDS, start).await {
                    Ok(started) => started.map(|()| false),
                    Err(_) => Ok(false),
                },
            }
        };
        let ended = match started {
            Ok(true) => {
                for (name, url) in stack.addresses() {
                    say!("{name:8} {url}");
                }
                tokio::select! {
                    failure = stack.failed() => Err(failure),
                    () = signal.received() => Ok(()),
                }
            }
            Ok(false) => Ok(()),
            Err(failure) => Err(failure),
        };
        stack.stop().await;
        ended
    }
}

/// Days since 1970-01-01.
fn unix_day(date: Date) -> Option<u64> {
    u64::try_from(date.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24).ok()
}

/// Who says that a copy is the newest has looked how large the newest is.
fn is_newest(data_dir: &Path, said: u64) -> Result<(), Failure> {
    let restored = ledger::restored_checkpoint(data_dir);
    let restored = restored.map_err(|error| Failure::failed(error.code(), error))?;
    let Some(found) = restored.map(|checkpoint| checkpoint.size.0).filter(|found| *found != said)
    else {
        return Ok(());
    };
    let message = format!(
        "{} has {found} entries under its checkpoint, and --restored-is-newest says {said}: this is not the newest state of \
         the log. An older copy may be looked at (--read-only), or be continued by a new log (`exhibit restore \
         --as-new-log`)",
        data_dir.display()
    );
    Err(Failure::failed("store_behind", message))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::keygen::write_key;

    #[test]
    fn a_date_is_counted_in_days() {
        let day = |text: &str| unix_day(text.parse().unwrap());
        assert_eq!((day("1970-01-02"), day("2000-03-01")), (Some(1), Some(11_017)));
        assert_eq!(day("1969-12-31"), None);
    }

    #[tokio::test]
    async fn tables_that_disagree_leave_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let key = |name: &str| write_key(name, &dir.path().join(format!("{name}.key"))).unwrap();
        let (wrong, right, query) = (key("wrong"), key("right"), key("query"));
        key("ledger");
        let config = dir.path().join("exhibit.toml");
        let text = format!(
            r#"
            [ledger]
            listen = "127.0.0.1:7691"
            data_dir = "data"
            log_key_file = "wrong.key"
            recorder_key_file = "ledger.key"
            recorders = ["{query}"]
            [query]
            listen = "127.0.0.1:7692"
            public_url = "http://127.0.0.1:7692"
            ledger = "http://127.0.0.1:7691"
            log_vkey = "{right}"
            recorder_key_file = "query.key"
            data_dir = "copy"
            "#
        );
        std::fs::write(&config, text).unwrap();
        let run = Run {
            config,
            confirm_clock_step: false,
            without_quorum: false,
            restored_is_newest: None,
            retention_confirmed: None,
            read_only: false,
        };
        let failure = run.run(Part::All).await.unwrap_err();
        let told = failure.to_string();
        assert!(told.contains(&wrong) && told.contains(&right), "{told}");
        assert!(!dir.path().join("data").exists() && !dir.path().join("copy").exists());
    }
}
