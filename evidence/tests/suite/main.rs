//! A real log, exported and verified; then every way to tamper with the package that we could think of.

mod export;
mod sample;
mod tampering;
mod world;
