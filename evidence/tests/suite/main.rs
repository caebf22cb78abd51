//! A real log, exported and verified; then every way to tamper with the package that we could think of.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod chains;
mod claims;
mod counted;
mod custom;
mod doctored;
mod export;
mod grown;
mod later;
mod policies;
mod resealed;
mod resigned;
mod sample;
mod schemas;
mod seals;
mod since;
mod tampering;
mod times;
mod unread;
mod versions;
mod world;
