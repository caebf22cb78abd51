//! The crate against test vectors, independent oracles, its own golden files, and garbage.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod cose;
mod golden;
mod huge;
mod keys_and_notes;
mod never_panic;
mod oracle;
mod policy;
mod range;
mod tiles;
mod tree;
mod vectors;
