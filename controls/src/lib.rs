//! The pure functions of a control: facts, authorization, masking, and the canonical snapshot of all that
//! decides.
//!
//! Everything here is a function of bytes: no I/O, no clock, no randomness. So a verifier that holds a
//! [`Snapshot`] and the recorded [`DecisionInput`]s performs every decision again, years later and offline.
//!
//! The way of a message: [`Document::parse`] refuses what two parsers could read differently;
//! [`with_parameters`] puts arguments from headers among the others;
//! [`Snapshot::mask_message`] replaces sensitive values; [`Snapshot::facts`] reduces the raw bytes to labels;
//! [`DecisionInput::new`] fixes what the policies see, masked arguments and facts; [`Snapshot::authorize`]
//! decides on nothing else.

mod decision;
mod detect;
mod facts;
pub mod json;
mod mask;
mod snapshot;

pub use decision::{
    Arguments, CallFacts, Decision, DecisionInput, InputError, PARAMETER_PREFIX, PrincipalInput,
    PrincipalKind, is_parameter, name_of, naming_member, with_parameters,
};
pub use detect::{DEFAULT_DETECTORS, Detector};
pub use json::{Document, JsonError, JsonErrorKind, Node};
pub use mask::{MaskError, Masked, MaskedText, RULES};
pub use snapshot::{
    DEFAULT_SCHEMA, ENGINE, MaskingConfig, Mistake, NamedText, Server, Snapshot, SnapshotError,
    SnapshotSource,
};
