//! What a backup leaves in its folder, wherever it was cut off: every byte is of a backup that the ledger's list names, since
//! an erasure names those and no others.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::system::System;

/// Files of the folder that no manifest names, and the numbers of the backups: those that are there, and those that the list
/// names.
struct Left {
    strays: Vec<String>,
    there: BTreeSet<u64>,
    listed: BTreeSet<u64>,
}

/// Whatever stands there is named.
pub(super) fn is_named(system: &System) -> Result<()> {
    let Left { strays, there, listed } = look(system)?;
    ensure!(there.is_subset(&listed), "backups {there:?} are there, {listed:?} are listed");
    let is_cut_off = listed.last() > there.last();
    ensure!(strays.is_empty() || is_cut_off, "{strays:?} are of no backup in {listed:?}");
    Ok(())
}

/// Nothing stands there but what a backup needs, and the list names no other.
pub(super) fn is_clean(system: &System) -> Result<()> {
    let Left { strays, there, listed } = look(system)?;
    ensure!(strays.is_empty(), "{strays:?} are of no backup in {there:?}");
    ensure!(there == listed, "backups {there:?} are there, {listed:?} are listed");
    Ok(())
}

fn look(system: &System) -> Result<Left> {
    let list = fs::read_to_string(system.path("ledger/backups")).unwrap_or_default();
    let number = |made: &Value| made["backup"].as_u64().context("a number");
    let listed = list.lines().map(|line| number(&serde_json::from_str(line)?));
    let listed = listed.collect::<Result<BTreeSet<_>>>()?;
    let (mut there, mut needed) = (BTreeSet::new(), BTreeSet::new());
    let mut strays = Vec::new();
    for name in names(&system.path("backups/backups"))? {
        if name == "verdicts.json" {
            continue;
        }
        if !name.ends_with(".json") {
            strays.push(name);
            continue;
        }
        let text = fs::read_to_string(system.path("backups/backups").join(&name))?;
        let manifest: Value = serde_json::from_str(&text)?;
        there.insert(number(&manifest)?);
        let files = manifest["files"].as_array().context("files")?;
        needed.extend(files.iter().filter_map(|file| file["sha256"].as_str().map(str::to_owned)));
    }
    let files = names(&system.path("backups/files"))?;
    strays.extend(files.into_iter().filter(|name| !needed.contains(name)));
    if system.path("backups/read-back").exists() {
        strays.push("read-back".to_owned());
    }
    Ok(Left { strays, there, listed })
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let name = |entry: std::io::Result<fs::DirEntry>| {
        anyhow::Ok(entry?.file_name().to_string_lossy().into_owned())
    };
    fs::read_dir(folder)?.map(name).collect()
}
