//! Packages that are not as they were made.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use tests::binary::Ran;
use tests::system::System;

use super::{export, files, flip, verify, verify_with, worked};

#[test]
fn one_flipped_byte_in_any_file_is_caught() -> Result<()> {
    tests::run(async {
        let Some(guarded) = worked().await? else { return Ok(()) };
        let system = &guarded.system;
        let package = export(&guarded, "package").await?;
        verify(system, &package).await?.ended(0)?;
        let files = files(&package)?;
        ensure!(files.len() > 30, "a package of {} files", files.len());
        let mut caught: BTreeMap<String, usize> = BTreeMap::new();
        for file in &files {
            let original = std::fs::read(file)?;
            flip(file)?;
            let report = verify(system, &package).await?;
            std::fs::write(file, original)?;
            let shown = file.strip_prefix(&package)?.display().to_string();
            let code = first_code(&report.ended(1).with_context(|| shown.clone())?)?;
            *caught.entry(code).or_default() += 1;
        }
        println!("{} files, one flipped byte each: {caught:?}", files.len());
        verify(system, &package).await?.ended(0)?;
        Ok(())
    })
}

#[test]
fn other_tampering_is_caught_with_its_code() -> Result<()> {
    tests::run(async {
        let Some(guarded) = worked().await? else { return Ok(()) };
        let system = &guarded.system;
        let package = export(&guarded, "package").await?;

        let stray = package.join("data/criteria/notes.txt");
        std::fs::write(&stray, "all good")?;
        caught(system, &package, "bag.stray").await?;
        std::fs::remove_file(&stray)?;

        let checkpoint = package.join("data/proofs/checkpoint");
        std::fs::rename(&checkpoint, system.path("checkpoint"))?;
        caught(system, &package, "bag.missing").await?;
        std::fs::rename(system.path("checkpoint"), &checkpoint)?;

        // A row goes, and the manifests are made to fit: the signature is not.
        let list = package.join("data/criteria/CC6.1/population.csv");
        let text = std::fs::read_to_string(&list)?;
        let shorter: Vec<&str> = text.split_inclusive('\n').collect();
        std::fs::write(&list, shorter[..shorter.len() - 1].concat())?;
        refit(&package)?;
        caught(system, &package, "signature.mismatch").await?;

        // Keys that the reader does not trust.
        let package = export(&guarded, "second").await?;
        let trust = std::fs::read_to_string(system.path("trust"))?;
        let swapped =
            |name: &str, other: &str| trust.replace(system.vkey(name), system.vkey(other));
        for (name, other) in [("packages", "gateway"), ("log", "packages")] {
            std::fs::write(system.path("other-trust"), swapped(name, other))?;
            let report = verify_with(system, &package, "other-trust").await?.ended(1)?;
            ensure!(!first_code(&report)?.is_empty(), "{}", report.stdout);
        }
        let missing = trust.replace(&format!("recorder {}\n", system.vkey("gateway")), "");
        std::fs::write(system.path("other-trust"), missing)?;
        verify_with(system, &package, "other-trust").await?.ended(1)?;
        std::fs::write(system.path("other-trust"), "log nonsense\n")?;
        let unusable = verify_with(system, &package, "other-trust").await?.ended(2)?;
        ensure!(unusable.error_code()? == "trust", "{}", unusable.stdout);
        verify(system, &package).await?.ended(0)?;
        Ok(())
    })
}

/// The package must be refused, and this code be among the reasons.
async fn caught(system: &System, package: &Path, code: &str) -> Result<()> {
    let report = verify(system, package).await?.ended(1)?.json()?;
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    ensure!(checks.iter().any(|check| check["code"] == code), "{code} is not in {report}");
    Ok(())
}

/// The code of the first check that failed.
fn first_code(ran: &Ran) -> Result<String> {
    let report = ran.json()?;
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    let failed = checks.iter().find(|check| check["outcome"] == "fail");
    let code = failed.and_then(|check| check["code"].as_str());
    code.map(str::to_owned).with_context(|| format!("no check failed with a code: {report}"))
}

/// Writes both manifests anew, for the files that are there now.
fn refit(package: &Path) -> Result<()> {
    for manifest in ["manifest-sha256.txt", "tagmanifest-sha256.txt"] {
        let path = package.join(manifest);
        let lines = std::fs::read_to_string(&path)?;
        let refitted: Vec<String> = lines
            .lines()
            .map(|line| {
                let name = line.split_once("  ").context("a line of a manifest")?.1;
                let digest = Sha256::digest(std::fs::read(package.join(name))?);
                Ok(format!("{}  {name}\n", hex::encode(digest)))
            })
            .collect::<Result<_>>()?;
        std::fs::write(&path, refitted.concat())?;
    }
    Ok(())
}
