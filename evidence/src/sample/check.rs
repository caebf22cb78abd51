//! Is a sample the one that its package gives?

use std::path::Path;

use proto::terminal::shown;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use verifier::Package;
use verifier::layout::bag::{Bag, TAG_MANIFEST};
use verifier::layout::{DATA, SAMPLE};

use super::items::{FILLED_IN, SHEET};
use super::{SampleError, make};

/// What drawing a sample again found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleCheck {
    /// Criterion that was drawn for.
    pub criterion: String,
    /// The nonce it was drawn with.
    pub nonce: String,
    /// Rows drawn.
    pub size: usize,
    /// Rows drawn from.
    pub population: usize,
    /// Files compared.
    pub files: usize,
    /// Files that are other than drawn again, missing, or too many, each with what is wrong.
    pub wrong: Vec<String>,
    /// Somebody filled in the sheet.
    pub is_filled_in: bool,
}

/// What a sample says of itself.
#[derive(Deserialize)]
struct About {
    package_sha256: String,
    criterion: String,
    nonce: String,
    size: usize,
}

/// Draws the sample at `sample` again from its package, and compares. Whether the package is good is not asked here:
/// verify it first.
///
/// # Errors
/// [`SampleError`] when there is nothing to compare: no sample, or another package.
pub fn check_sample(sample: &Path, package: &Path) -> Result<SampleCheck, SampleError> {
    let place = sample.display().to_string();
    let sample = Package::open(sample)?;
    let package = Package::open(package)?;
    let about = sample.file(SAMPLE).ok_or_else(|| {
        SampleError::NotOfPackage(format!("{place} is no sample: it has no {SAMPLE}"))
    })?;
    let about: About = serde_json::from_slice(about).map_err(|error| {
        SampleError::NotOfPackage(format!(
            "{place}: {SAMPLE} cannot be read: {}",
            shown(&error.to_string())
        ))
    })?;
    let digest = package.file(TAG_MANIFEST).map(|bytes| hex::encode(Sha256::digest(bytes)));
    if digest.as_ref() != Some(&about.package_sha256) {
        return Err(SampleError::NotOfPackage(format!(
            "{place} was drawn from the package with the SHA-256 {:?}; this package has {}",
            about.package_sha256,
            digest.unwrap_or_else(|| format!("no {TAG_MANIFEST}"))
        )));
    }
    let made = make(&package, &about.criterion, &about.nonce, Some(about.size))?;
    let drawn = made.bag.files();
    let (mut wrong, mut is_filled_in) = (Vec::new(), false);
    let mut payload = made.payload.clone();
    for (path, bytes) in &mut payload {
        let Some(found) = sample.file(path).filter(|_| is_sheet(path)) else { continue };
        match (sheet(found), sheet(bytes)) {
            (Some((found, filled_in)), Some((drawn, _))) if found == drawn => {
                is_filled_in |= filled_in;
            }
            _ => {
                wrong.push(format!("{path}: its rows are not those that are drawn again"));
            }
        }
        // What is wrong is told once; the rest of the bag follows from the sheet as it was found.
        *bytes = found.to_vec();
    }
    let as_found = Bag::unsigned(payload, &made.info);
    let expected = as_found.files();
    for (path, bytes) in expected {
        match sample.file(path) {
            None => wrong.push(format!("{path}: missing")),
            Some(found) if found[..] == bytes[..] => {}
            // Nobody has to seal the bag again who filled in the sheet.
            Some(found) if drawn.get(path).is_some_and(|drawn| found[..] == drawn[..]) => {}
            Some(_) => wrong.push(format!("{path}: it is not the file that is drawn again")),
        }
    }
    let surplus = sample.paths().filter(|path| !expected.contains_key(*path));
    wrong.extend(surplus.map(|path| format!("{}: the draw gives no such file", shown(path))));
    let irregular = sample.irregular().iter();
    wrong.extend(irregular.map(|path| format!("{}: no plain file", shown(path))));
    Ok(SampleCheck {
        criterion: about.criterion,
        nonce: about.nonce,
        size: made.leaves.len(),
        population: made.population,
        files: expected.len(),
        wrong,
        is_filled_in,
    })
}

fn is_sheet(path: &str) -> bool {
    path.strip_prefix(DATA).is_some_and(|name| {
        name.starts_with(SHEET) && name.ends_with(".csv") && !name.contains('/')
    })
}

/// The rows of a sheet without what an auditor fills in, and whether anything is; `None` when it is no CSV.
fn sheet(bytes: &[u8]) -> Option<(Vec<Vec<String>>, bool)> {
    let (mut rows, mut filled_in) = (Vec::new(), false);
    for row in csv::ReaderBuilder::new().has_headers(false).from_reader(bytes).records() {
        let mut cells: Vec<String> = row.ok()?.iter().map(str::to_owned).collect();
        let own = cells.split_off(cells.len().checked_sub(FILLED_IN.len())?);
        filled_in |= own != FILLED_IN && own.iter().any(|cell| !cell.is_empty());
        rows.push(cells);
    }
    Some((rows, filled_in))
}
