//! `exhibit hold`: legal holds, which beat erasure and retention.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::orders::{Door, Scope, covered, how_to_approve, tell};
use crate::failure::Failure;
use crate::say::say;

#[derive(Debug, Args)]
pub(crate) struct Hold {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Hold exchanges: nothing of them is erased until the hold is released
    Place {
        #[command(flatten)]
        scope: Scope,
        #[command(flatten)]
        asked: Asked,
    },
    /// Release a hold
    Release {
        /// The hold, 32 hex digits
        hold: String,
        #[command(flatten)]
        asked: Asked,
    },
    /// Approve what somebody else asked for
    Approve {
        /// The order, 32 hex digits
        order: String,
        #[command(flatten)]
        door: Door,
    },
    /// Print the holds in force, and the orders that wait
    List {
        #[command(flatten)]
        door: Door,
    },
}

#[derive(Debug, Args)]
struct Asked {
    /// Why; it is recorded
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// File with the token of somebody else, who has the role approver: done at once
    #[arg(long, value_name = "FILE")]
    approved_by: Option<PathBuf>,
    #[command(flatten)]
    door: Door,
}

impl Asked {
    async fn order(&self, mut order: Value) -> Result<Value, Failure> {
        order["reason"] = self.reason.as_str().into();
        self.door.order(&order, self.approved_by.as_deref()).await
    }
}

impl Hold {
    pub(crate) async fn run(self, json: bool) -> Result<(), Failure> {
        let answer = match self.action {
            Action::Place { scope, asked } => {
                asked.order(json!({ "kind": "hold", "scope": scope.value()? })).await?
            }
            Action::Release { hold, asked } => {
                asked.order(json!({ "kind": "release", "hold": hold })).await?
            }
            Action::Approve { order, door } => {
                door.approve(&order, &["hold", "release"], json).await?
            }
            Action::List { door } => {
                let mut answer = door.list("/v1/holds").await?;
                answer["orders"] = door.list("/v1/orders").await?["orders"].take();
                answer
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
    let shown =
        |value: &Value| proto::terminal::shown(value.as_str().unwrap_or_default()).into_owned();
    if let (Some(holds), Some(orders)) = (answer["holds"].as_array(), answer["orders"].as_array()) {
        for told in holds.iter().chain(orders) {
            tell(told);
            say!("");
        }
        say!("{} holds in force, {} orders wait", holds.len(), orders.len());
        let damaged = holds.iter().filter(|hold| !hold["damaged"].is_null()).count();
        if damaged > 0 {
            say!(
                "{damaged} of these holds cannot be read, so nothing is erased: see \"A hold that cannot be read\" in docs/ledger.md"
            );
        }
        return;
    }
    if let Some(covers) = answer["covers"].as_u64() {
        say!("covers       {}", covered(covers));
    }
    if answer["order"].is_string() {
        say!("{}", how_to_approve("hold", answer));
    } else if answer["released"].is_string() {
        say!("released     {}", shown(&answer["released"]));
    } else {
        say!("hold         {}", shown(&answer["hold"]));
    }
}
