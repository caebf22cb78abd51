//! What is fuzzed: one function for each kind of outside bytes. Each asks more than that nothing panics: what is accepted
//! has one spelling, and what verifies does so for nothing else. Returns whether the bytes were accepted.

pub mod events;
pub mod log;
pub mod stored;
pub mod tokens;
pub mod witnessed;
