//! Every file of a package that is not material, as one pure function of the material.
//!
//! The exporter makes the files with it and the verifier makes them again; no clock, no randomness, no order but
//! that of the leaves.

mod coverage;
mod custody;
mod disclosed;
mod events;
mod glossary;
mod lists;
mod queries;
mod readme;
mod scripts;

use proto::entry::Leaf;
use verifier::layout::{DATA, Files, snapshot_files};
use verifier::{DisclosureRow, LeafRow, Material, Opening, Rederive};

use crate::criteria::Mapping;
use crate::report;
pub(crate) use coverage::Coverage;
pub(crate) use disclosed::disclosed;
pub(crate) use events::event_row;
pub(crate) use lists::{Count, Lists, is_custom_id};
pub(crate) use queries::Effort;

/// Version of the functions that derive; a package names the one that made it.
pub const EXHIBIT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Derives with the control mapping that the package carries.
#[derive(Debug, Clone, Copy, Default)]
pub struct Derivation;

/// Why derived files cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeriveError {
    /// A query of the requester cannot be run, with a stable name of why.
    #[error("custom query {id:?}: {reason}")]
    CustomQuery { id: String, code: &'static str, reason: String },
    /// A list of the mapping passes a bound.
    #[error("{0}")]
    ListTooLarge(String),
    /// Told to end.
    #[error("it was told to end")]
    Ended,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl From<String> for DeriveError {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

impl Rederive for Derivation {
    fn derive(&self, material: &Material) -> Result<Files, String> {
        self.files(material, &Effort::of_verifier()).map_err(|error| error.to_string())
    }

    fn exhibit_version(&self) -> &str {
        EXHIBIT_VERSION
    }

    fn own_mapping(&self) -> verifier::Mapping {
        Mapping::soc2().identity()
    }
}

impl Derivation {
    pub(crate) fn files(self, material: &Material, effort: &Effort) -> Result<Files, DeriveError> {
        let mapping = &Mapping::parse(&material.mapping)?;
        if material.parameters.mapping != mapping.identity() {
            let named = &material.parameters.mapping;
            return Err(format!(
                "the parameters name the control mapping {} {} ({}), the package carries {} {} ({})",
                named.name,
                named.version,
                named.sha256,
                mapping.name,
                mapping.version,
                mapping.sha256
            )
            .into());
        }
        let decoded = Decoded::of(material)?;
        let lists = queries::run(material, mapping, effort)?;
        let mut files = Files::new();
        let mut put = |path: &str, bytes: Vec<u8>| {
            files.insert(path.to_owned(), bytes);
        };
        events::files(material, &mut put)?;
        lists::files(material, mapping, &lists, &mut put);
        let coverage = coverage::files(material, &decoded, &mut put);
        let accesses = custody::file(material, &decoded, &mut put);
        scripts::files(&mut put);
        glossary::file(&mut put);
        put("README.md", readme::text(material, mapping, &coverage)?.into_bytes());
        let tables = files.keys().filter(|path| path.ends_with(".csv")).cloned().collect();
        let coverage = &coverage;
        let facts = report::Facts { material, mapping, lists: &lists, coverage, accesses, tables };
        let page = report::html(&facts);
        let mut put = |path: &str, bytes: Vec<u8>| {
            files.insert(path.to_owned(), bytes);
        };
        put("report.html", page.into_bytes());
        for (path, bytes) in snapshot_files(material)? {
            put(path.strip_prefix(DATA).unwrap_or(&path), bytes);
        }
        Ok(files)
    }
}

/// Leaves of a material, decoded once, by index: those of the range and those from outside.
pub(crate) struct Decoded {
    pub(crate) leaves: Vec<(u64, Leaf)>,
    pub(crate) context: Vec<(u64, Leaf)>,
}

impl Decoded {
    pub(crate) fn of(material: &Material) -> Result<Self, String> {
        let decode = |row: &LeafRow| {
            let leaf = proto::decode_entry(&row.bytes);
            leaf.map(|leaf| (row.index, leaf))
                .map_err(|error| format!("leaf {}: {error}", row.index))
        };
        Ok(Self {
            leaves: material.leaves.iter().map(decode).collect::<Result<_, _>>()?,
            context: material
                .context
                .iter()
                .map(|context| decode(&context.row))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// An opening as the SQL engine takes it.
pub(crate) fn opening_of(row: &DisclosureRow) -> Option<(u64, proto::v1::Opening)> {
    let Opening { salt, content } = row.opening.as_ref()?;
    let opening = proto::v1::Opening {
        slot: row.slot.into(),
        salt: bytes::Bytes::copy_from_slice(salt),
        content: content.clone(),
    };
    Some((row.index, opening))
}

/// A time as packages spell it: RFC 3339, UTC, nanoseconds.
pub(crate) fn time_text(nanoseconds: u64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(nanoseconds))
        .map_or_else(|_| nanoseconds.to_string(), |time| format!("{time:.9}"))
}
