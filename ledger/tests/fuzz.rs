//! The fuzz targets of this crate's decoders, on a stable toolchain (see `fuzz/`).

#[allow(unreachable_pub, reason = "shared with the tests of another crate")]
#[path = "../../fuzz/src/smoke.rs"]
mod smoke;
#[allow(unreachable_pub, reason = "the same file is a module of the fuzzing crate")]
#[path = "../../fuzz/src/stored.rs"]
mod stored;

use smoke::smoke;

#[test]
fn manifest() {
    smoke("manifest", stored::manifest);
}

#[test]
fn wal() {
    smoke("wal", stored::wal);
}
