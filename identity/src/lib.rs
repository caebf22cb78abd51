//! One way to know a caller, used by every door.
//!
//! A [`Verifier`] turns a bearer token into a [`Principal`], or into an [`AuthError`] that says
//! what was wrong and what to do. It accepts two kinds of token: JWTs of configured OIDC issuers
//! (keys found by discovery and JWKS), and JWTs that a configured machine signed itself with its
//! Ed25519 key ([`MachineKey`] makes those).
//!
//! What always holds: `iss` is matched exactly, `aud` must name the door that asks, `exp` is
//! required, the algorithm comes from the issuer's pinned list and fits the key, and `none` and
//! shared-secret algorithms do not exist here. No token, and no key, is ever part of an error or a
//! log line; foreign text in them is escaped and cut.
//!
//! [`tls`] reads the certificates of listeners and of clients; they say who may knock, never who somebody is.
//!
//! Sources: RFC 7515, 7517, 7518, 7519, 8725 (JWT), RFC 6750 (Bearer), RFC 9728 (resource
//! metadata), RFC 8414 and OpenID Connect Discovery 1.0.

mod bearer;
mod claims;
mod config;
mod discovery;
mod error;
mod foreign;
mod jwk;
mod jwks;
pub mod knocks;
mod machine;
mod principal;
mod resource_metadata;
mod secret_file;
mod secure_url;
pub mod tls;
mod token;
mod verified;
mod verifier;
mod vkey;

pub use bearer::BearerToken;
pub use config::{Algorithm, ConfigError, IdentityConfig, IssuerConfig, MachineConfig};
pub use error::AuthError;
pub use machine::{MachineKey, MintError};
pub use principal::{Principal, PrincipalKind};
pub use resource_metadata::{
    challenge, protected_resource_metadata, protected_resource_metadata_url,
};
pub use secret_file::{read_secret_file, user_of_process};
pub use secure_url::is_loopback;
pub use token::{MAX_TOKEN_BYTES, token_parts};
pub use verifier::Verifier;

#[cfg(test)]
mod tests;
