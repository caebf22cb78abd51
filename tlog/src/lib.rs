//! Pure Merkle log: hashing, proofs, tiles, signed notes, checkpoints, cosignatures, policies,
//! receipts.
//!
//! The tree is that of [RFC 6962, Section 2.1](https://www.rfc-editor.org/rfc/rfc6962#section-2.1)
//! with SHA-256; files and signatures follow [C2SP](https://c2sp.org): `signed-note`,
//! `tlog-checkpoint`, `tlog-tiles`, `tlog-cosignature`, `tlog-proof` and `tlog-policy`; receipts
//! are those of [RFC 9942](https://www.rfc-editor.org/rfc/rfc9942). The one format of our own is
//! the [`RangeProof`], which shows that a run of leaves is complete.
//!
//! Nothing here does I/O, reads a clock, or draws randomness. Every parser is strict (one spelling
//! for each value), bounded, and returns an error on anything else; none panics on any input.

pub mod checkpoint;
pub mod compact;
pub mod cose;
pub mod cosignature;
pub mod hash;
pub mod key;
pub mod note;
pub mod policy;
pub mod position;
pub mod proof;
pub mod signer;
pub mod source;
pub mod tile;
pub mod tlog_proof;

mod decimal;
mod lines;

pub use checkpoint::{Checkpoint, CheckpointError, open_checkpoint};
pub use compact::{CompactRange, CompactRangeError};
pub use cose::{ReceiptError, SignedRoot, verify_receipt};
pub use cosignature::{CosignatureError, WitnessKey, WitnessSigningKey};
pub use hash::{Hash, HashParseError, leaf_hash, node_hash};
pub use key::{KeyError, SigningKey, VerifyingKey, without_keys};
pub use note::{Note, NoteError, NoteSignature};
pub use policy::{Group, Policy, PolicyError, Quorum, VerifiedCheckpoint, Witness};
pub use position::{LeafIndex, TreeSize, TreeSizeError};
pub use proof::{
    HashLinesError, ProofError, ProveError, RangeProof, RangeProofParseError, format_hash_lines,
    parse_hash_lines, prove_consistency, prove_inclusion, verify_consistency, verify_inclusion,
};
pub use signer::{SignError, Signer};
pub use source::{NodeSource, tree_root};
pub use tile::{
    BundleError, NodeInTile, TILE_HEIGHT, TILE_WIDTH, Tile, TileError, TileKind, TileNodes,
    decode_bundle, encode_bundle, node_from_tile, tile_of, tiles_between,
};
pub use tlog_proof::{TlogProof, TlogProofError};
