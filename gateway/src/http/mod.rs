//! HTTP: which paths there are, whose requests are let in, which headers pass.

pub(crate) mod forwarded;
pub(crate) mod headers;
pub(crate) mod origin;
pub(crate) mod returned;
mod router;
mod wellknown;

pub(crate) use origin::Hosts;
pub(crate) use router::router;
