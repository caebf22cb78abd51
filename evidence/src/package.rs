//! From a request to a released package.

mod asked;
mod error;
mod request;
mod since;
mod staged;

use std::path::Path;

use query::Archive;
use recorder::Recorder;
use tlog::Signer;
use tokio_util::sync::CancellationToken;
use verifier::Material;
use verifier::layout::bag::{Bag, BagInfo};
use verifier::layout::{DATA, Files, MAX_FILE_BYTES, MAX_PACKAGE_BYTES, material_files};

pub use error::ExportError;
pub use request::{ExportRequest, Exported};
pub use since::SinceError;
pub use verifier::EXPORT_ROLES;

use asked::material;
use staged::Staged;

use crate::derive::{Derivation, Effort};
use crate::journal::{Journal, Release, RequesterJournal};
use crate::source::Source;

/// Exports a period into the new folder `into`.
///
/// The package is a pure function of the archive's checkpoint, the request, the erasures and this version. It is
/// written beside `into`, recorded as an access, and only then renamed to `into`.
///
/// # Errors
/// [`ExportError`]; nothing is then at `into`.
pub async fn export(
    archive: &Archive,
    recorder: &Recorder,
    signer: &(impl Signer + Clone + 'static),
    request: ExportRequest,
    into: &Path,
) -> Result<Exported, ExportError> {
    let journal = RequesterJournal { recorder, principal: request.requester.clone() };
    export_from(archive, &journal, signer, request, into).await
}

/// As [`export`], from any source and into any journal.
///
/// # Errors
/// [`ExportError`]; nothing is then at `into`.
pub async fn export_from(
    source: &impl Source,
    journal: &impl Journal,
    signer: &(impl Signer + Clone + 'static),
    request: ExportRequest,
    into: &Path,
) -> Result<Exported, ExportError> {
    export_while(source, journal, signer, request, into, &CancellationToken::new()).await
}

/// As [`export_from`], until `stopping` is cancelled. Work on other threads ends then, and when the future is dropped.
pub(crate) async fn export_while(
    source: &impl Source,
    journal: &impl Journal,
    signer: &(impl Signer + Clone + 'static),
    request: ExportRequest,
    into: &Path,
    stopping: &CancellationToken,
) -> Result<Exported, ExportError> {
    if into.exists() {
        return Err(ExportError::Exists(into.to_owned()));
    }
    let end = stopping.child_token();
    let _ended_with_this = end.clone().drop_guard();
    let material = material(source, &request, signer).await?;
    let parameters = material.parameters.clone();
    let making = tokio::task::spawn_blocking({
        let (signer, into) = (signer.clone(), into.to_owned());
        move || {
            let (bag, row_counts) = make(&material, &signer, &end)?;
            Ok((bag.digest(), row_counts, Staged::write(&bag, &into)?))
        }
    });
    let aborted = || ExportError::Derive("it was aborted".to_owned());
    let (digest, row_counts, staged) = making.await.unwrap_or_else(|_| Err(aborted()))?;
    journal
        .record(&Release {
            role: request.role,
            checkpoint_size: parameters.checkpoint.size,
            leaves: parameters.range.start..parameters.range.end,
            digest,
            query: parameters.to_json().into(),
        })
        .await?;
    staged.release()?;
    Ok(Exported { path: into.to_owned(), digest, parameters, row_counts })
}

fn make(
    material: &Material,
    signer: &dyn Signer,
    end: &CancellationToken,
) -> Result<(Bag, Vec<(String, u64)>), ExportError> {
    let mut payload: Files = material_files(material).map_err(ExportError::Derive)?;
    for (path, bytes) in Derivation.files(material, &Effort::of_exporter(end))? {
        payload.insert(format!("{DATA}{path}"), bytes);
    }
    let sizes = || payload.values().map(|bytes| bytes.len() as u64);
    if sizes().any(|size| size > MAX_FILE_BYTES) || sizes().sum::<u64>() > MAX_PACKAGE_BYTES {
        return Err(ExportError::TooLarge);
    }
    let counts = row_counts(&payload);
    let info = BagInfo::of_package(&material.parameters);
    Ok((Bag::seal(payload, &info, signer).map_err(ExportError::Derive)?, counts))
}

/// From `ipe/row_counts.csv`.
fn row_counts(payload: &Files) -> Vec<(String, u64)> {
    let file = payload.get("data/ipe/row_counts.csv").map(Vec::as_slice).unwrap_or_default();
    let mut rows = csv::Reader::from_reader(file);
    let rows = rows.records().filter_map(Result::ok);
    rows.filter_map(|row| {
        let name = row.get(0)?;
        let name = name.strip_prefix("criteria/").unwrap_or(name);
        Some((name.to_owned(), row.get(1)?.parse().ok()?))
    })
    .collect()
}
