//! Where signing keys are kept, and how they are asked for signatures.
//!
//! Every `*_key_file` of the configuration is a file of one line, which says by its first word what it is:
//!
//! | first word | the line is | it holds |
//! |---|---|---|
//! | `PRIVATE+KEY+…` | the key, as [`tlog::SigningKey`] writes it | the key |
//! | `ENCRYPTED+KEY+v1+…` | the same line under a passphrase, see [`sealed`] | nothing without the passphrase |
//! | `SSH+AGENT+KEY` | the vkey of a key that an ssh-agent holds, see [`agent`] | nothing |
//!
//! [`read`] opens any of them as a [`tlog::Signer`].

pub mod agent;
mod file;
pub mod openssh;
mod passphrase;
pub mod sealed;

pub use file::{Key, KeyFileError, read, read_key, read_text};
pub use passphrase::{PASSPHRASE_FILE, read_passphrase_file};
