//! The auditor's sample: drawn offline, after the package was received, so that nobody could prepare for it.
//!
//! `seed = SHA-256(lp("exhibit/sample/v1") ‖ lp(tag manifest digest) ‖ lp(criterion) ‖ lp(nonce))`, where `lp(x)` is the
//! length of `x` as u64 big-endian, then `x`. Rows of the population are ranked by
//! `SHA-256(seed ‖ leaf_index as u64 big-endian)`, lowest first.

mod check;
mod draw;
mod items;
mod tree;

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use verifier::layout::Files;
use verifier::layout::bag::{BAGIT, Bag, BagInfo, TAG_MANIFEST};
use verifier::{Package, PackageError, read_material};

pub use check::{SampleCheck, check_sample};

use crate::criteria::{Mapping, UnknownCriterion};
use crate::derive::EXHIBIT_VERSION;

/// Most rows of a sample.
pub(crate) const MAX_SAMPLE: usize = 10_000;

/// A sample that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sampled {
    /// The folder of the second bag.
    pub path: PathBuf,
    /// Rows of the population.
    pub population: usize,
    /// Leaves drawn, in the order of their rank.
    pub leaves: Vec<u64>,
}

/// Why no sample was drawn.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// Not a package.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A package that cannot be read as a whole.
    #[error(
        "verify the package first (exhibit verify PACKAGE --trust TRUST_FILE): it cannot be sampled as it is: {0}"
    )]
    Damaged(String),
    /// No such criterion in the mapping.
    #[error(transparent)]
    Criterion(#[from] UnknownCriterion),
    /// The package does not have its lists.
    #[error("the package has no lists for {0}: ask for an export that includes it")]
    NotExported(String),
    /// Nothing to draw from.
    #[error("the population of {0} is empty in this package: there is nothing to draw")]
    Empty(String),
    /// A size or nonce that cannot be used.
    #[error("{0}")]
    Request(String),
    /// Something is there already.
    #[error("{0} exists already; choose another place, nothing is overwritten")]
    Exists(PathBuf),
    /// The sample would stand in the package.
    #[error(
        "{out} is inside the package {package}: a file that its manifests do not name would make it fail; choose a folder \
         beside it, such as ../sample"
    )]
    Inside {
        /// Where the sample was to go.
        out: PathBuf,
        /// The package.
        package: PathBuf,
    },
    /// Not a sample, or one of another package.
    #[error("{0}")]
    NotOfPackage(String),
    /// The disk failed.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl SampleError {
    /// Stable name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Package(_) => "package_unusable",
            Self::Damaged(_) => "package_damaged",
            Self::Criterion(_) => "criterion_unknown",
            Self::NotExported(_) => "criterion_not_exported",
            Self::Empty(_) => "population_empty",
            Self::Request(_) => "sample_request",
            Self::Inside { .. } => "place_inside_package",
            Self::NotOfPackage(_) => "sample_not_of_package",
            Self::Exists(_) => "place_taken",
            Self::Io { .. } => "disk",
        }
    }
}

/// Draws `size` rows of a criterion's population (the mapping's usual number when `None`), and writes test-of-one files
/// as a second bag into the new folder `out`. The same package, criterion, nonce and size give the same bag.
///
/// # Errors
/// [`SampleError`].
pub fn sample(
    package: &Path,
    criterion: &str,
    nonce: &str,
    size: Option<usize>,
    out: &Path,
) -> Result<Sampled, SampleError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| SampleError::Io { path, source }
    };
    if out.exists() {
        return Err(SampleError::Exists(out.to_owned()));
    }
    if is_inside(out, package) {
        return Err(SampleError::Inside { out: out.to_owned(), package: package.to_owned() });
    }
    let made = make(&Package::open(package)?, criterion, nonce, size)?;
    made.bag.write(out).map_err(io(out))?;
    Ok(Sampled { path: out.to_owned(), population: made.population, leaves: made.leaves })
}

/// Would files at `out` be files of the bag folder `package`?
fn is_inside(out: &Path, package: &Path) -> bool {
    let Ok(package) = package.canonicalize() else { return false };
    let out = std::path::absolute(out).unwrap_or_else(|_| out.to_owned());
    let place = out.ancestors().find_map(|place| place.canonicalize().ok());
    package.join(BAGIT).is_file() && place.is_some_and(|place| place.starts_with(&package))
}

/// A sample in memory.
struct Made {
    bag: Bag,
    payload: Files,
    info: BagInfo,
    population: usize,
    leaves: Vec<u64>,
}

fn make(
    package: &Package,
    criterion: &str,
    nonce: &str,
    size: Option<usize>,
) -> Result<Made, SampleError> {
    if nonce.is_empty() || nonce.len() > 256 {
        return Err(SampleError::Request(
            "a nonce is 1 to 256 bytes that the exporter could not foresee, such as today's date and a die".to_owned(),
        ));
    }
    let material = read_material(package).map_err(SampleError::Damaged)?;
    let mapping = Mapping::parse(&material.mapping).map_err(SampleError::Damaged)?;
    let known = mapping.criterion(criterion)?;
    let size = size.unwrap_or(known.sample_size);
    if size == 0 || size > MAX_SAMPLE {
        return Err(SampleError::Request(format!(
            "a sample has 1 to {MAX_SAMPLE} rows, not {size}"
        )));
    }
    let tag_manifest = package
        .file(TAG_MANIFEST)
        .ok_or_else(|| SampleError::Damaged(format!("it has no {TAG_MANIFEST}")))?;
    let digest: [u8; 32] = Sha256::digest(tag_manifest).into();
    let population = draw::population(package, criterion)?;
    if population.rows.is_empty() {
        return Err(SampleError::Empty(criterion.to_owned()));
    }
    let seed = draw::seed(&digest, criterion, nonce);
    let drawn = draw::draw(&seed, &population.indexes(), size);
    let request = items::Request {
        criterion: known,
        nonce,
        digest: &digest,
        seed: &seed,
        population: &population,
        drawn: &drawn,
    };
    let payload = items::files(&material, &request).map_err(SampleError::Damaged)?;
    let info = BagInfo {
        description: format!(
            "Sample of {} for {criterion}, {} items",
            material.parameters.origin,
            drawn.len()
        ),
        identifier: format!("{}/sample/{criterion}", hex::encode(digest)),
        exhibit_version: EXHIBIT_VERSION.to_owned(),
    };
    Ok(Made {
        bag: Bag::unsigned(payload.clone(), &info),
        payload,
        info,
        population: population.rows.len(),
        leaves: drawn.iter().map(|drawn| drawn.leaf_index).collect(),
    })
}
