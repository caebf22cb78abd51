//! `exhibit demo`: the whole way at once, from an MCP call to a package that proves itself.

mod ending;
mod setting;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use demo::chapters::{self, Counts, Kept};
use demo::{Auditor, DemoError, Page, Tokens};
use jiff::{Timestamp, TimestampRound, Unit};
use serde_json::json;

use super::export;
use crate::failure::Failure;
use crate::say::say;
use crate::stack::Stack;
use crate::stop_signal::StopSignal;
use setting::Setting;

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Folder for everything, new or empty; a fresh one among the temporary files without it
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Leave everything running until Ctrl-C
    #[arg(long)]
    keep_running: bool,
}

/// What the chapters found.
struct Told {
    counts: Counts,
    kept: Kept,
    tree_size: u64,
    period: (Timestamp, Timestamp),
    /// Leaf of the proved event.
    leaf: u64,
}

impl Demo {
    pub(crate) async fn run(self, json: bool) -> Result<(), Failure> {
        let mut signal = StopSignal::listen()?;
        let mut stack = Stack::default();
        let shown = tokio::select! {
            shown = self.show(&mut stack, json) => shown,
            () = signal.received() => {
                Err(Failure::failed("interrupted", "the demo was stopped before its end"))
            }
        };
        let ended = match shown {
            Ok(()) if self.keep_running => tokio::select! {
                failure = stack.failed() => Err(failure),
                () = signal.received() => Ok(()),
            },
            shown => shown,
        };
        stack.stop().await;
        ended
    }

    async fn show(&self, stack: &mut Stack, json: bool) -> Result<(), Failure> {
        let began = Instant::now();
        let prepared = Setting::prepare(self.dir.as_deref()).await?;
        let mut page = Page::new(std::io::stdout(), is_color_wanted());
        let setting = prepared.start(stack).await?;
        let told = tell(&setting, &mut page).await?;
        let ended = ending::end(&mut page, &setting, &told, self.keep_running, began.elapsed());
        if json {
            say!("{}", summary(&setting, &told));
        }
        ended.map_err(|error| DemoError::from(error).into())
    }
}

async fn tell(setting: &Setting, page: &mut Page) -> Result<Told, Failure> {
    let Setting { shop, tokens, dir, .. } = setting;
    ending::opening(page, setting).map_err(DemoError::from)?;
    let from = rounded(jiff::RoundMode::Floor)?;
    let people = Tokens {
        alice: tokens["alice"].clone(),
        bob: tokens["bob"].clone(),
        carol: tokens["carol"].clone(),
        expired: setting.expired_token.clone(),
        elsewhere: setting.elsewhere_token.clone(),
    };
    let performed = demo::perform(&setting.mcp_url(), &people).await?;
    let to = rounded(jiff::RoundMode::Ceil)?;
    let counts = chapters::seen(page, &performed, shop)?;

    // Everything before `to` is in the log once something of later is. That comes by itself, and so does the seal: a
    // recorder seals every second.
    let siem = Auditor::new(&setting.addresses.query, &tokens["siem"])?;
    let pulled = siem.pull_until(to, setting::GATEWAY).await?;
    let carol = Auditor::new(&setting.addresses.query, &tokens["carol"])?;
    let values = shop.regulated_values();
    let folders = [setting.ledger_data(), setting.query_data()];
    let folders = folders.each_ref().map(PathBuf::as_path);
    let kept = chapters::kept(page, &carol, &pulled, &values, &folders).await?;
    chapters::asked(page, &carol).await?;
    let leaf = chapters::proved(page, &carol, &setting.log).await?;

    let package = setting.package();
    export::fetch(carol.export(from, to), &package).await?;
    let trust = (setting.trust.as_path(), &evidence::Derivation as &dyn verifier::Rederive);
    let tree_size = chapters::packaged(page, &package, trust, &values)?;
    chapters::tampered(page, &package, &dir.join("tampered"), trust)?;
    Ok(Told { counts, kept, tree_size, period: (from, to), leaf })
}

/// The one object that programs read.
fn summary(setting: &Setting, told: &Told) -> serde_json::Value {
    let mut counts = json!(told.counts);
    counts["events"] = told.kept.by_kind.values().sum::<u64>().into();
    counts["events_by_kind"] = json!(told.kept.by_kind);
    json!({
        "dir": setting.dir,
        "package": setting.package(),
        "addresses": setting.addresses,
        "vkey": setting.log.to_string(),
        "trust": setting.trust,
        "tree_size": told.tree_size,
        "counts": counts,
        "tokens": setting.tokens,
        "period": { "from": told.period.0.to_string(), "to": told.period.1.to_string() },
    })
}

/// Now, in whole milliseconds.
fn rounded(mode: jiff::RoundMode) -> Result<Timestamp, Failure> {
    let round = TimestampRound::new().smallest(Unit::Millisecond).mode(mode);
    Timestamp::now().round(round).map_err(|error| Failure::failed("clock", error))
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        Failure::failed("demo_failed", format!("the demo stopped: {error}"))
    }
}

/// On a terminal, unless NO_COLOR is set (no-color.org).
fn is_color_wanted() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !refused
}
