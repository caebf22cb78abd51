//! TLS of listeners and of clients: configuration tables, and files of certificates that are checked when they are read.
//!
//! A certificate protects the way and, with `client_ca_file`, says who may knock at all. Who may record or read is decided
//! behind it as without TLS: by the recorder's key, by the reader's token.

mod client;
mod hint;
mod pem;
mod server;

pub use client::{ClientFiles, ClientTls};
pub use hint::{hint, hint_in_clear};
pub use server::{TlsConfig, listener_mistakes};

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The one implementation of cryptography, named where it is used: a process may link others.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests;
