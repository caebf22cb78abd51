//! `exhibit orders`: what waits for somebody's approval.

use clap::{Args, Subcommand};

use super::orders::{Door, how_to_approve, tell};
use crate::failure::Failure;
use crate::say::say;

#[derive(Debug, Args)]
pub(crate) struct Waiting {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print all orders that wait: what, about whom, why, who asked, until when
    List {
        #[command(flatten)]
        door: Door,
    },
    /// Print one, and how it is approved
    Show {
        /// The order, 32 hex digits
        order: String,
        #[command(flatten)]
        door: Door,
    },
    /// Take one back, before somebody approves it
    Withdraw {
        /// The order, 32 hex digits
        order: String,
        #[command(flatten)]
        door: Door,
    },
}

impl Waiting {
    pub(crate) async fn run(self, json: bool) -> Result<(), Failure> {
        match self.action {
            Action::List { door } => {
                let answer = door.list("/v1/orders").await?;
                if json {
                    say!("{answer}");
                    return Ok(());
                }
                let orders = answer["orders"].as_array().map(Vec::as_slice).unwrap_or_default();
                for order in orders {
                    tell(order);
                    say!("");
                }
                say!("{} orders wait", orders.len());
            }
            Action::Show { order, door } => {
                let waiting = door.waiting(&order).await?;
                if json {
                    say!("{waiting}");
                    return Ok(());
                }
                tell(&waiting);
                let kind = waiting["kind"].as_str().unwrap_or_default();
                say!("{}", how_to_approve(kind, &waiting));
            }
            Action::Withdraw { order, door } => {
                let withdrawn = door.withdraw(&order).await?;
                if json {
                    say!("{withdrawn}");
                    return Ok(());
                }
                say!("withdrawn    {order}: nobody can approve it any more");
            }
        }
        Ok(())
    }
}
