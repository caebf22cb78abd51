//! A real log, exported and verified; then every way to tamper with the package that we could think of.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod export;
mod sample;
mod tampering;
mod world;
