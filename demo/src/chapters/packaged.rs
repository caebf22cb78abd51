//! The package, verified as its receiver does.

use std::path::Path;

use verifier::{Options, Outcome, Rederive, Report, Trust};

use crate::error::DemoError;
use crate::page::{Cell, Page, Tone};
use crate::residue::search;

/// The exported package and every check of it. Returns the size of the log that it was checked against.
///
/// # Errors
/// When it does not verify, or holds a value that must be nowhere.
pub fn packaged(
    page: &mut Page,
    package: &Path,
    (trust, rederive): (&Path, &dyn Rederive),
    values: &[String],
) -> Result<u64, DemoError> {
    let report = verify(package, trust, rederive)?;
    page.heading("5  The period as a package that proves itself")?;
    page.text("Exported over HTTP, as the auditor does it. Verified offline, with the trust file and no server:")?;
    page.gap()?;
    let subject = report.subject.as_ref();
    let subject =
        subject.ok_or_else(|| DemoError::Broken("the package has no parameters".to_owned()))?;
    let about = [
        ("package", package.display().to_string()),
        ("period", format!("{} to {}", subject.from, subject.to)),
        ("leaves", format!("{} to {} of {}", subject.start, subject.end - 1, subject.tree_size)),
    ];
    for (name, text) in about {
        page.line(&format!("{name:<9}{text}"))?;
    }
    page.gap()?;
    let rows: Vec<Vec<Cell>> =
        report.checks.iter().map(|check| row(check.title, &check.outcome)).collect();
    page.table(&["result", "check", "what was checked"], &[], &rows)?;
    page.gap()?;
    for remark in &report.remarks {
        page.text(&format!("{}: {}", remark.word, remark.meaning))?;
    }
    if !report.ok() {
        return Err(DemoError::Broken(format!(
            "the package is not verified: {:?}",
            report.codes()
        )));
    }
    let residue = search(&[package], values)?;
    if let Some((path, _)) = residue.found.first() {
        let message = format!("a value that must not be stored stands in {}", path.display());
        return Err(DemoError::Broken(message));
    }
    page.tinted("The package is verified.", Tone::Good)?;
    Ok(subject.tree_size)
}

/// All checks, the derived files made again included.
pub(super) fn verify(
    package: &Path,
    trust: &Path,
    rederive: &dyn Rederive,
) -> Result<Report, DemoError> {
    let trust = Trust::read(trust).map_err(|error| DemoError::service("the trust file", error))?;
    let options = Options { rederive: Some(rederive), ..Options::default() };
    verifier::verify(package, &trust, &options, &mut |_| {})
        .map_err(|error| DemoError::service("the package", error))
}

pub(super) fn row(title: &str, outcome: &Outcome) -> Vec<Cell> {
    let (word, tone, text) = match outcome {
        Outcome::Pass { detail } => ("PASS", Tone::Good, detail.clone()),
        Outcome::Fail { code, detail, at } => {
            let at = at.as_ref().map(|at| format!("{at}: ")).unwrap_or_default();
            ("FAIL", Tone::Bad, format!("{at}{detail} [{code}]"))
        }
        Outcome::NotChecked { reason } => ("not checked", Tone::Faint, reason.clone()),
    };
    vec![Cell::new(word, tone), title.into(), text.into()]
}
