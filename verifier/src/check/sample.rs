//! A sample is a bag too, but proves nothing by itself.

use proto::terminal::shown;
use serde::Deserialize;

use crate::layout;
use crate::read::Package;

/// What a sample says of itself; the rest of the file is for whoever draws it again.
#[derive(Deserialize)]
struct Sample {
    package_sha256: String,
    criterion: String,
    population: u64,
    size: u64,
}

/// What the sample is and how it is checked; `None` for a package.
pub(super) fn recognise(package: &Package) -> Option<String> {
    if package.file(layout::PARAMETERS).is_some() {
        return None;
    }
    let file = package.file(layout::SAMPLE)?;
    let what = serde_json::from_slice(file).map_or_else(
        |error| format!("its {} cannot be read ({error})", layout::SAMPLE),
        |Sample { package_sha256, criterion, population, size }| {
            format!(
                "{size} of {population} rows for {criterion:?}, drawn from the package whose tag manifest has the SHA-256 \
                 {package_sha256:?}"
            )
        },
    );
    let what = shown(&what);
    Some(format!(
        "{what}. A sample is not signed and proves nothing by itself; it is checked by drawing it again from its \
         package: exhibit verify SAMPLE --of PACKAGE --trust TRUST_FILE verifies the package, draws, and compares"
    ))
}
