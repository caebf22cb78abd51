//! A stop is orderly however early it comes.

use anyhow::{Context, Result};
use tests::system::{Plan, Shape, System};
use tokio::net::TcpListener;

#[test]
fn a_start_that_waits_for_the_ledger_can_be_stopped() -> Result<()> {
    tests::run(async {
        let mut system = System::start(Shape::LedgerAlone, &Plan::default(), None).await?;
        system.stop("ledger").await?;
        // Stands where the ledger stood, and answers nothing.
        let address = system.ledger();
        let silent = TcpListener::bind(address.trim_start_matches("http://")).await?;
        system.spawn("query")?;
        let _asked = silent.accept().await.context("nobody asks for the ledger")?;
        system.stop("query").await
    })
}
