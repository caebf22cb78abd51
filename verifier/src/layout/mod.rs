//! The layout of a package, defined here once: which files it has, and how each is written.
//!
//! A package is a BagIt 1.0 bag ([RFC 8493](https://www.rfc-editor.org/rfc/rfc8493)). Its files are of two
//! sorts. *Material* ([`Material`](crate::Material)) is what the log holds: leaves, disclosures, proofs,
//! parameters. Every other file is *derived* from the material by a pure function, so that a verifier can
//! make it again and compare.

pub mod bag;
pub(crate) mod columns;
pub mod csv;
mod snapshots;
pub mod sshsig;
pub mod tables;

use std::collections::BTreeMap;

use crate::material::Material;
pub use snapshots::snapshot_files;

/// Files by their path below the bag's root, such as `data/README.md`.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Where the payload of a bag stands.
pub const DATA: &str = "data/";
/// Parameters of the export: the one material file that a person reads first.
pub const PARAMETERS: &str = "data/ipe/parameters.json";
/// The control mapping that made the lists, verbatim; its SHA-256 stands in the parameters.
pub const MAPPING: &str = "data/ipe/mapping.yaml";
/// What a sample is, in a bag that `exhibit sample` wrote; no package has it.
pub const SAMPLE: &str = "data/sample.json";
/// Leaves of the range, with their index.
pub const LEAVES: &str = "data/population/leaves.parquet";
/// One row per commitment of the range.
pub const DISCLOSURES: &str = "data/population/disclosures.parquet";
/// Leaves of the range, decoded, as columns.
pub const EVENTS_PARQUET: &str = "data/population/events.parquet";
/// Leaves of the range, decoded, one JSON object a line, with the leaf in base64.
pub const EVENTS_NDJSON: &str = "data/population/events.ndjson";
/// Needed leaves from outside the range.
pub const CONTEXT_LEAVES: &str = "data/context/leaves.parquet";
/// One row per commitment of the context leaves.
pub const CONTEXT_DISCLOSURES: &str = "data/context/disclosures.parquet";
/// The checkpoint that everything is proved against, verbatim.
pub const CHECKPOINT: &str = "data/proofs/checkpoint";
/// The range proof, which repeats the checkpoint.
pub const RANGE_PROOF: &str = "data/proofs/range.proof";
/// Older checkpoints of the log, named by their size.
pub const CHECKPOINTS: &str = "data/proofs/checkpoints/";
/// Consistency proofs `<old size>-<new size>` from these to the package's checkpoint.
pub const CONSISTENCY: &str = "data/proofs/consistency/";
/// Policy snapshots, one folder per digest.
pub const SNAPSHOTS: &str = "data/snapshots/";

/// Largest file of a package, in bytes, after decompression.
pub const MAX_FILE_BYTES: u64 = 1 << 30;
/// Largest package, in bytes, after decompression. It is read into memory.
pub const MAX_PACKAGE_BYTES: u64 = 4 << 30;
/// Most files of a package.
pub const MAX_FILES: usize = 100_000;

/// Path of a context leaf's inclusion proof.
pub fn context_proof_path(index: u64) -> String {
    format!("data/context/{index}.tlog-proof")
}

/// Is this the path of a file that a verifier takes from the package, rather than makes again?
pub fn is_material(path: &str) -> bool {
    matches!(
        path,
        PARAMETERS
            | MAPPING
            | LEAVES
            | DISCLOSURES
            | CONTEXT_LEAVES
            | CONTEXT_DISCLOSURES
            | CHECKPOINT
            | RANGE_PROOF
    ) || path.starts_with(CHECKPOINTS)
        || path.starts_with(CONSISTENCY)
        || (path.starts_with("data/context/") && path.ends_with(".tlog-proof"))
}

/// Is this the path of a derived file for reading, or for a tool? Another version of Exhibit may write it otherwise, and
/// then nothing shows whether it says what lists, tables and coverage say: a verifier of this version cannot vouch for it.
pub fn is_presentation(path: &str) -> bool {
    matches!(path, "data/README.md" | "data/report.html" | "data/columns.csv")
        || path.starts_with("data/verify/")
}

/// The material's own files, in their one encoding.
///
/// # Errors
/// When a table cannot be encoded; the text says which.
pub fn material_files(material: &Material) -> Result<Files, String> {
    let mut files = Files::from([
        (PARAMETERS.to_owned(), material.parameters.to_json().into_bytes()),
        (MAPPING.to_owned(), material.mapping.clone().into_bytes()),
        (LEAVES.to_owned(), tables::write_leaves(&material.leaves)?),
        (DISCLOSURES.to_owned(), tables::write_disclosures(&material.disclosures)?),
        (CONTEXT_DISCLOSURES.to_owned(), tables::write_disclosures(&material.context_disclosures)?),
        (CHECKPOINT.to_owned(), material.proof.checkpoint.clone().into_bytes()),
        (RANGE_PROOF.to_owned(), material.proof.to_string().into_bytes()),
    ]);
    let context: Vec<_> = material.context.iter().map(|context| context.row.clone()).collect();
    files.insert(CONTEXT_LEAVES.to_owned(), tables::write_leaves(&context)?);
    for context in &material.context {
        let text = context.proof.to_string();
        files.insert(context_proof_path(context.row.index), text.into_bytes());
    }
    for earlier in &material.earlier {
        let (old, new) = (earlier.size, material.parameters.checkpoint.size);
        files.insert(format!("{CHECKPOINTS}{old}"), earlier.note.clone().into_bytes());
        let hashes = tlog::format_hash_lines(&earlier.consistency);
        files.insert(format!("{CONSISTENCY}{old}-{new}"), hashes.into_bytes());
    }
    Ok(files)
}
