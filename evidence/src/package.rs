//! From a request to a released package.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use proto::Role;
use query::Archive;
use recorder::Recorder;
use tlog::SigningKey;
use verifier::layout::bag::{Bag, BagInfo};
use verifier::layout::{DATA, Files, MAX_FILE_BYTES, MAX_PACKAGE_BYTES, material_files};
use verifier::{CheckpointId, CustomQuery, Material, Parameters, Range};

use crate::collect::{CollectError, collect};
use crate::criteria::{Mapping, UnknownCriterion};
use crate::derive::{Derivation, DeriveError, EXHIBIT_VERSION, is_custom_id};
use crate::journal::{Journal, Release, RequesterJournal, Unrecorded};
use crate::period::{Period, PeriodError};
use crate::source::Source;

/// Roles that may export.
pub const EXPORT_ROLES: [Role; 3] = [Role::Auditor, Role::Compliance, Role::Admin];

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRequest {
    /// First instant of the period.
    pub from: jiff::Timestamp,
    /// First instant after it.
    pub to: jiff::Timestamp,
    /// Whose eyes it is for.
    pub role: Role,
    /// Accept a period that is not over.
    pub open: bool,
    /// Ids of criteria; none = all of the mapping.
    pub criteria: Vec<String>,
    /// The requester's own queries; marked as such.
    pub custom_queries: Vec<CustomQuery>,
    /// Who asks, as JSON: recorded as the access's PRINCIPAL.
    pub requester: Bytes,
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The folder of the bag.
    pub path: PathBuf,
    /// SHA-256 of its tag manifest, as recorded.
    pub digest: [u8; 32],
    /// What it says of itself.
    pub parameters: Parameters,
    /// Rows by list, such as `("CC6.1/exceptions", 3)`: sorted by path.
    pub row_counts: Vec<(String, u64)>,
}

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The period has none.
    #[error(transparent)]
    Period(#[from] PeriodError),
    /// The role may not export.
    #[error("the role {0} may not export evidence; auditor, compliance and admin may")]
    Role(Role),
    /// No such criterion.
    #[error(transparent)]
    Criterion(#[from] UnknownCriterion),
    /// A custom query cannot be used.
    #[error("custom query {id:?}: {reason}")]
    CustomQuery {
        /// Its id.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// The log does not give the material.
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// The files cannot be made.
    #[error("the package cannot be made: {0}")]
    Derive(String),
    /// Larger than a verifier reads.
    #[error(
        "the package would pass the size that a verifier reads ({MAX_PACKAGE_BYTES} bytes, {MAX_FILE_BYTES} a file): export shorter periods"
    )]
    TooLarge,
    /// The place is taken.
    #[error("{0} exists already; choose another place, nothing is overwritten")]
    Exists(PathBuf),
    /// The disk failed.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The export could not be recorded.
    #[error(transparent)]
    Unrecorded(#[from] Unrecorded),
}

impl ExportError {
    /// Stable name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Period(PeriodError::Reversed { .. }) => "period_reversed",
            Self::Period(PeriodError::OutOfTime(_)) => "period_out_of_time",
            Self::Period(PeriodError::Empty { .. }) => "period_empty",
            Self::Period(PeriodError::NotClosed { .. }) => "period_not_closed",
            Self::Period(PeriodError::Source(_)) | Self::Collect(CollectError::Source(_)) => {
                "log_unreadable"
            }
            Self::Role(_) => "role_required",
            Self::Criterion(_) => "criterion_unknown",
            Self::CustomQuery { .. } => "custom_query",
            Self::Collect(CollectError::Leaf { .. }) => "log_unreadable",
            Self::Collect(CollectError::Undisclosed { .. }) => "disclosure_not_here",
            Self::Collect(CollectError::TooLarge) | Self::TooLarge => "period_too_large",
            Self::Derive(_) => "package_not_made",
            Self::Exists(_) => "place_taken",
            Self::Io { .. } => "disk",
            Self::Unrecorded(_) => "access_not_recorded",
        }
    }

    /// Is it something that the requester can put right?
    pub fn is_callers_fault(&self) -> bool {
        !matches!(
            self.code(),
            "log_unreadable"
                | "disclosure_not_here"
                | "package_not_made"
                | "disk"
                | "access_not_recorded"
        )
    }
}

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
    signer: &SigningKey,
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
    signer: &SigningKey,
    request: ExportRequest,
    into: &Path,
) -> Result<Exported, ExportError> {
    if into.exists() {
        return Err(ExportError::Exists(into.to_owned()));
    }
    let material = material(source, &request, signer).await?;
    let parameters = material.parameters.clone();
    let making = tokio::task::spawn_blocking({
        let (signer, into) = (signer.clone(), into.to_owned());
        move || {
            let (bag, row_counts) = make(&material, &signer)?;
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

async fn material(
    source: &impl Source,
    request: &ExportRequest,
    signer: &SigningKey,
) -> Result<Material, ExportError> {
    if !EXPORT_ROLES.contains(&request.role) {
        return Err(ExportError::Role(request.role));
    }
    let mapping = Mapping::soc2();
    let mut criteria = request.criteria.clone();
    if criteria.is_empty() {
        criteria.extend(mapping.criteria.iter().map(|criterion| criterion.id.clone()));
    }
    criteria.sort_unstable();
    criteria.dedup();
    for id in &criteria {
        mapping.criterion(id)?;
    }
    let mut custom_queries = request.custom_queries.clone();
    custom_queries.sort_by(|a, b| a.id.cmp(&b.id));
    for (at, custom) in custom_queries.iter().enumerate() {
        let twice = custom_queries[..at].iter().any(|other| other.id == custom.id);
        if !is_custom_id(&custom.id) || twice {
            let reason = "an id is 1 to 64 of A-Z a-z 0-9 _ -, and used once".to_owned();
            return Err(ExportError::CustomQuery { id: custom.id.clone(), reason });
        }
    }
    let period = Period { from: request.from, to: request.to };
    let located = period.locate(source, request.open).await?;
    let (checkpoint, _) = source.checkpoint();
    let parameters = Parameters {
        format: Parameters::FORMAT.to_owned(),
        exhibit_version: EXHIBIT_VERSION.to_owned(),
        origin: checkpoint.origin,
        signer: signer.verifying_key().to_string(),
        from: request.from,
        to: request.to,
        open: located.open,
        role: request.role.as_str().to_owned(),
        range: Range { start: located.leaves.start, end: located.leaves.end },
        checkpoint: CheckpointId { size: checkpoint.size.0, root: checkpoint.root.to_string() },
        mapping: mapping.identity(),
        criteria,
        custom_queries,
        custody_omitted: 0,
    };
    Ok(collect(source, request.role, located.leaves, parameters).await?)
}

impl From<DeriveError> for ExportError {
    fn from(error: DeriveError) -> Self {
        match error {
            DeriveError::CustomQuery { id, reason } => Self::CustomQuery { id, reason },
            DeriveError::Failed(reason) => Self::Derive(reason),
        }
    }
}

fn make(
    material: &Material,
    signer: &SigningKey,
) -> Result<(Bag, Vec<(String, u64)>), ExportError> {
    let mut payload: Files = material_files(material).map_err(ExportError::Derive)?;
    for (path, bytes) in Derivation.files(material)? {
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

/// A package that is on disk, but not yet at its place. Dropped without release, it is removed.
struct Staged {
    staging: PathBuf,
    into: PathBuf,
    released: bool,
}

impl Staged {
    fn write(bag: &Bag, into: &Path) -> Result<Self, ExportError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| ExportError::Io { path, source }
        };
        let mut name = std::ffi::OsString::from(".");
        name.push(into.file_name().unwrap_or_default());
        name.push(format!(".{}.partial", recorder::random_id()));
        let parent = into.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(io(parent))?;
        let staging = parent.join(name);
        let staged = Self { staging: staging.clone(), into: into.to_owned(), released: false };
        bag.write(&staging).map_err(io(&staging))?;
        Ok(staged)
    }

    fn release(mut self) -> Result<(), ExportError> {
        let io = |source| ExportError::Io { path: self.into.clone(), source };
        if self.into.exists() {
            return Err(ExportError::Exists(self.into.clone()));
        }
        std::fs::rename(&self.staging, &self.into).map_err(io)?;
        self.released = true;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.released
            && let Err(error) = std::fs::remove_dir_all(&self.staging)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.staging.display(), %error, "an unreleased package could not be removed");
        }
    }
}
