//! The gateway between clients and servers of the tests' own, recording in a real ledger: what is in the record is
//! read back and compared with what passed.
#![allow(clippy::unwrap_used)]

mod room;
mod strangers;
mod streams;
mod world;
