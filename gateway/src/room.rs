//! How much is done at once, and that no caller takes what all share.

pub(crate) mod bytes;
pub(crate) mod compute;
pub(crate) mod places;
