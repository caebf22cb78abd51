//! Deciding on a call: what the policies see, and what follows from them.
//!
//! # What a caller's arguments become
//!
//! Policies read `context.arguments`. Cedar has no floating-point numbers and no null, so:
//!
//! | JSON | Cedar |
//! |---|---|
//! | string, `true`, `false` | String, Bool |
//! | integer that 64 bits hold | Long |
//! | any other number | String, as written (`"1.5"`, `"1e400"`, `"9223372036854775808"`) |
//! | `null` | nothing: the member or element is absent |
//! | array | Set (order and repetition are lost) |
//! | object | Record, whatever its member names: `__entity` and `__extn` are plain names |
//!
//! Arguments hold at most 50,000 values, of every depth together; a call with more is refused.
//!
//! A policy that compares a number of the wrong form fails to evaluate, and an evaluation that fails denies.

mod authorize;
mod bounds;
mod call;
mod data;
mod input;
mod message;
mod policies;
mod validate;

pub use authorize::Decision;
pub use call::{Arguments, CallFacts, PrincipalInput, PrincipalKind};
pub use input::{DecisionInput, InputError};
pub use message::{PARAMETER_PREFIX, is_parameter, name_of, naming_member, with_parameters};

pub(crate) use authorize::Engine;
pub(crate) use policies::PolicyFile;
