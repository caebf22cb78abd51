//! Signing keys as they are kept and changed: under a passphrase, in an ssh-agent, old and new side by side.

mod agent;
mod encrypted;
mod rotation;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tests::binary::Tool;
use tests::system::System;

/// Changes the configuration file.
fn edit(system: &System, change: impl FnOnce(String) -> String) -> Result<()> {
    let path = system.path("exhibit.toml");
    let before = std::fs::read_to_string(&path)?;
    let after = change(before.clone());
    ensure!(after != before, "nothing was changed in {before}");
    std::fs::write(path, after)?;
    Ok(())
}

/// `exhibit keygen` within the system's folder; the vkey.
async fn keygen(system: &System, args: &[&str]) -> Result<String> {
    let made = Tool::exhibit([&["keygen"][..], args].concat())?.within(system.dir());
    Ok(made.succeed().await?.stdout.trim().to_owned())
}

/// `exhibit ledger`, which must end by itself with this code; what it said.
async fn refused(system: &System, environment: &[(&str, &Path)], code: i32) -> Result<String> {
    let mut tool = Tool::exhibit(["ledger", "--config", "exhibit.toml"])?.within(system.dir());
    for (name, value) in environment {
        tool = tool.env(name, value);
    }
    Ok(tool.run().await?.ended(code)?.stderr)
}

/// What `/readyz` of the ledger says when it is not 200.
async fn trouble(system: &System) -> Result<Option<String>> {
    let answer = reqwest::get(format!("{}/readyz", system.ledger())).await?;
    if answer.status().is_success() {
        return Ok(None);
    }
    Ok(Some(answer.text().await.context("the reason")?))
}
