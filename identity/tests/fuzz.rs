//! The fuzz targets of this crate's decoders, on a stable toolchain (see `fuzz/`).

#[allow(unreachable_pub, reason = "shared with the tests of another crate")]
#[path = "../../fuzz/src/smoke.rs"]
mod smoke;
#[allow(unreachable_pub, reason = "the same file is a module of the fuzzing crate")]
#[path = "../../fuzz/src/tokens.rs"]
mod tokens;

use smoke::smoke;

#[test]
fn token() {
    smoke("token", tokens::token);
}
