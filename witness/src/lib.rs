//! A witness of transparency logs, as [C2SP tlog-witness](https://c2sp.org/tlog-witness) describes it.
//!
//! A log submits each new checkpoint with a proof that its tree only grew since the one before. The witness checks that
//! against what it remembers, remembers the new one, and only then answers a cosignature: a log that shows different
//! trees to different people, or goes back to an older one, gets none.
//!
//! [`Witness`] is what decides, [`router`] its HTTP door. [`AddCheckpoint`] is the wire format, for logs as well.

mod door;
mod request;
mod state;
mod witness;

#[cfg(test)]
mod tests;

pub use door::router;
pub use request::{
    AddCheckpoint, MAX_PROOF_LINES, MAX_REQUEST_BYTES, RequestError, SIZE_CONTENT_TYPE,
    format_size, parse_size,
};
pub use state::StateError;
pub use witness::{MAX_LOGS, OpenError, Refused, Witness};
