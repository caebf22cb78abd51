//! The fuzz targets of this crate's decoders, on a stable toolchain (see `fuzz/`).

#[allow(unreachable_pub, reason = "the same file is a module of the fuzzing crate")]
#[path = "../../fuzz/src/events.rs"]
mod events;
#[allow(unreachable_pub, reason = "shared with the tests of another crate")]
#[path = "../../fuzz/src/smoke.rs"]
mod smoke;

use smoke::smoke;

#[test]
fn entry() {
    smoke("entry", events::entry);
}

#[test]
fn event() {
    smoke("event", events::event);
}

#[test]
fn append() {
    smoke("append", events::append);
}

#[test]
fn subscribed() {
    smoke("subscribed", events::subscribed);
}
