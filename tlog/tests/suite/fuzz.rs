//! The fuzz targets of this crate's decoders, on a stable toolchain (see `fuzz/`).

#[allow(unreachable_pub, reason = "the same file is a module of the fuzzing crate")]
#[path = "../../../fuzz/src/log.rs"]
mod log;
#[allow(unreachable_pub, reason = "shared with the tests of another crate")]
#[path = "../../../fuzz/src/smoke.rs"]
mod smoke;

use smoke::smoke;

#[test]
fn note() {
    smoke("note", log::note);
}

#[test]
fn checkpoint() {
    smoke("checkpoint", log::checkpoint);
}

#[test]
fn tile_path() {
    smoke("tile_path", log::tile_path);
}

#[test]
fn bundle() {
    smoke("bundle", log::bundle);
}

#[test]
fn proof_file() {
    smoke("proof_file", log::proof_file);
}

#[test]
fn proof() {
    smoke("proof", log::proof);
}

#[test]
fn receipt() {
    smoke("receipt", log::receipt);
}

#[test]
fn policy() {
    smoke("policy", log::policy);
}
