//! One byte changed.

use std::fs;
use std::path::Path;

use verifier::{Outcome, Rederive, layout};

use super::packaged::{row, verify};
use crate::error::DemoError;
use crate::page::{Cell, Page, Tone};

/// Copies the package to `copy`, flips one bit of one byte in its events, and verifies the copy.
///
/// # Errors
/// When the change is not noticed.
pub fn tampered(
    page: &mut Page,
    package: &Path,
    copy: &Path,
    (trust, rederive): (&Path, &dyn Rederive),
) -> Result<(), DemoError> {
    copy_folder(package, copy)?;
    let path = copy.join(layout::LEAVES);
    let mut bytes = fs::read(&path).map_err(DemoError::file(&path))?;
    let at = bytes.len() / 2;
    let byte = bytes
        .get_mut(at)
        .ok_or_else(|| DemoError::Broken(format!("{} is empty", layout::LEAVES)))?;
    let before = *byte;
    *byte ^= 1;
    let after = *byte;
    fs::write(&path, &bytes).map_err(DemoError::file(&path))?;
    page.heading("6  One byte changed")?;
    page.text(&format!(
        "A copy of the package, byte {at} of {} in {} changed from {before:#04x} to {after:#04x}:",
        bytes.len(),
        layout::LEAVES,
    ))?;
    page.gap()?;
    let report = verify(copy, trust, rederive)?;
    let failed: Vec<Vec<Cell>> = report
        .checks
        .iter()
        .filter(|check| matches!(check.outcome, Outcome::Fail { .. }))
        .map(|check| row(check.title, &check.outcome))
        .collect();
    if report.ok() || failed.is_empty() {
        return Err(DemoError::Broken("a changed byte was not noticed".to_owned()));
    }
    page.table(&["result", "check", "the first wrong thing"], &[], &failed)?;
    page.gap()?;
    let others = report.checks.len() - failed.len();
    page.tinted(
        &format!(
            "The copy is NOT verified: {} of {} checks failed.",
            failed.len(),
            failed.len() + others
        ),
        Tone::Good,
    )?;
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), DemoError> {
    fs::create_dir_all(to).map_err(DemoError::file(to))?;
    for entry in fs::read_dir(from).map_err(DemoError::file(from))? {
        let entry = entry.map_err(DemoError::file(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_folder(&source, &target)?;
        } else {
            fs::copy(&source, &target).map_err(DemoError::file(&source))?;
        }
    }
    Ok(())
}
