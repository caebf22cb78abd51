//! `exhibit erase`: have disclosures erased, once somebody else approved.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::orders::{Door, Scope, how_to_approve};
use crate::failure::Failure;
use crate::say::say;

#[derive(Debug, Args)]
pub(crate) struct Erase {
    #[command(flatten)]
    scope: Scope,
    /// Of this retention class of the ledger's configuration
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// Why; it is recorded
    #[arg(long, value_name = "TEXT", required_unless_present = "approve")]
    reason: Option<String>,
    /// File with the token of somebody else, who has the role approver: erases at once
    #[arg(long, value_name = "FILE", conflicts_with = "approve")]
    approved_by: Option<PathBuf>,
    /// Approve an order that somebody else asked for
    #[arg(long, value_name = "ORDER", conflicts_with_all = ["reason", "subject", "session", "exchange", "from", "before", "class"])]
    approve: Option<String>,
    #[command(flatten)]
    door: Door,
}

impl Erase {
    pub(crate) async fn run(self, json: bool) -> Result<(), Failure> {
        let answer = match &self.approve {
            Some(order) => self.door.approve(order, &["erase"], json).await?,
            None => {
                let scope = self.scope.value_with(self.class.as_ref())?;
                let order = json!({ "kind": "erase", "scope": scope, "reason": self.reason });
                self.door.order(&order, self.approved_by.as_deref()).await?
            }
        };
        if json {
            say!("{answer}");
        } else {
            print(&answer);
        }
        Ok(())
    }
}

fn print(answer: &Value) {
    if answer["leaves"].is_u64() {
        say!(
            "disclosures  {} of {} leaves, under {} keys",
            answer["disclosures"],
            answer["leaves"],
            answer["keys"]
        );
    }
    if answer["open_exchanges"].as_u64().is_some_and(|open| open > 0) {
        say!("left out     {} exchanges that are still open", answer["open_exchanges"]);
    }
    let Some(erasure) = answer["erasure"].as_str() else {
        if answer["order"].is_string() {
            say!("{}", how_to_approve("erase", answer));
        }
        return;
    };
    say!("erasure      {}", proto::terminal::shown(erasure));
    if answer["purged"] == true {
        say!("purged       neither keys nor bytes are in the ledger's folder any more");
    } else {
        say!(
            "purge        PENDING: bytes are still on the disk; the ledger tries again, and its /readyz says why"
        );
    }
    say!(
        "query nodes  erase when they next follow the log: one that is stopped keeps its copy until it is started"
    );
    let made = answer["backups"]["made"].as_array().map(Vec::as_slice).unwrap_or_default();
    for backup in made {
        let folder = backup["folder"].as_str().unwrap_or_default();
        let folder = proto::terminal::shown(folder);
        let holds = if backup["unfinished"] == true {
            "was cut off, or is being made, and may hold part of it, until the next one there is done"
        } else {
            "still holds it, until it is removed there"
        };
        say!("backup       {} in {folder} {holds}", backup["backup"]);
    }
    if answer["backups"]["being_made"] == true {
        say!("backup       one was being made, and holds it too");
    }
    say!(
        "receipt      who asked and approved, why and about whom stays in the log; packages and what readers took away are out of reach"
    );
}
