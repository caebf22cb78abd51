//! The package signature: SSHSIG
//! ([PROTOCOL.sshsig](https://cvsweb.openbsd.org/src/usr.bin/ssh/PROTOCOL.sshsig)), so that
//! `ssh-keygen -Y verify` accepts it.

use ssh_key::public::{Ed25519PublicKey, KeyData};
use ssh_key::{Algorithm, HashAlg, LineEnding, PublicKey, Signature, SshSig};
use tlog::{Signer, VerifyingKey};

/// Keeps signatures over packages apart from every other use of a key.
pub const NAMESPACE: &str = "exhibit-package@v1";

/// Why a package signature is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not an SSHSIG of the expected form.
    #[error("the file is not an SSH signature (Ed25519, namespace {NAMESPACE}): {0}")]
    Malformed(String),
    /// Signed by a key that the trust file does not name.
    #[error("it is signed by the key {0}, which is no `signer` of the trust file")]
    Untrusted(String),
    /// The signature is not over these bytes.
    #[error("the signature does not fit the manifest: one of the two was altered")]
    Mismatch,
}

/// Signs a tag manifest. Ed25519 is deterministic: the same bytes and key give the same file.
///
/// # Errors
/// When the key does not sign, or the signature cannot be encoded.
pub fn sign(key: &dyn Signer, message: &[u8]) -> Result<String, String> {
    let failed =
        |error: ssh_key::Error| format!("the package signature cannot be encoded: {error}");
    let signed = SshSig::signed_data(NAMESPACE, HashAlg::Sha512, message).map_err(failed)?;
    let signed = key.sign_bytes(&signed).map_err(|error| error.to_string())?;
    let encode = || -> ssh_key::Result<String> {
        let signature = Signature::new(Algorithm::Ed25519, signed)?;
        let public = key_data(&key.verifying_key());
        SshSig::new(public, NAMESPACE, HashAlg::Sha512, signature)?.to_pem(LineEnding::LF)
    };
    encode().map_err(failed)
}

/// Checks a signature against the trusted keys and returns the one that made it.
///
/// # Errors
/// [`SignatureError`] says which part is wrong.
pub fn verify<'k>(
    pem: &[u8],
    message: &[u8],
    trusted: &'k [VerifyingKey],
) -> Result<&'k VerifyingKey, SignatureError> {
    let malformed = |error: &dyn std::fmt::Display| SignatureError::Malformed(error.to_string());
    let parsed = SshSig::from_pem(pem).map_err(|error| malformed(&error))?;
    // One spelling: the file is covered by no manifest.
    let canonical = parsed.to_pem(LineEnding::LF).map_err(|error| malformed(&error))?;
    if canonical.as_bytes() != pem {
        return Err(malformed(&"it is not in its canonical spelling"));
    }
    if parsed.namespace() != NAMESPACE {
        return Err(malformed(&format_args!("its namespace is {:?}", parsed.namespace())));
    }
    let KeyData::Ed25519(Ed25519PublicKey(public)) = parsed.public_key() else {
        return Err(malformed(&"its key is not Ed25519"));
    };
    let Some(key) = trusted.iter().find(|key| key.public_key() == public) else {
        let openssh = PublicKey::from(parsed.public_key().clone()).to_openssh();
        return Err(SignatureError::Untrusted(openssh.unwrap_or_default()));
    };
    let signature: &[u8; 64] =
        parsed.signature_bytes().try_into().map_err(|_| malformed(&"it is not 64 bytes long"))?;
    let signed = SshSig::signed_data(NAMESPACE, parsed.hash_alg(), message)
        .map_err(|error| malformed(&error))?;
    if key.verify(&signed, signature) { Ok(key) } else { Err(SignatureError::Mismatch) }
}

/// The line of an `allowed_signers` file for `ssh-keygen -Y verify -I <name>`.
///
/// # Errors
/// When the key cannot be encoded.
pub fn allowed_signer(key: &VerifyingKey) -> Result<String, String> {
    let openssh = PublicKey::from(key_data(key)).to_openssh().map_err(|error| error.to_string())?;
    Ok(format!("{} namespaces=\"{NAMESPACE}\" {openssh}", key.name()))
}

fn key_data(key: &VerifyingKey) -> KeyData {
    KeyData::Ed25519(Ed25519PublicKey(*key.public_key()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::SigningKey;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed("packages.example", [seed; 32]).unwrap()
    }

    #[test]
    fn a_signature_is_good_for_its_bytes_and_key_only() {
        let pem = sign(&key(1), b"manifest").unwrap();
        let trusted = [key(2).verifying_key(), key(1).verifying_key()];
        assert_eq!(verify(pem.as_bytes(), b"manifest", &trusted), Ok(&trusted[1]));
        assert_eq!(verify(pem.as_bytes(), b"Manifest", &trusted), Err(SignatureError::Mismatch));
        assert!(matches!(
            verify(pem.as_bytes(), b"manifest", &trusted[..1]),
            Err(SignatureError::Untrusted(_))
        ));
    }

    #[test]
    fn no_changed_byte_of_the_file_is_accepted() {
        let pem = sign(&key(1), b"manifest").unwrap().into_bytes();
        let trusted = [key(1).verifying_key()];
        for at in 0..pem.len() {
            let mut changed = pem.clone();
            changed[at] ^= 1;
            assert!(verify(&changed, b"manifest", &trusted).is_err(), "byte {at}");
        }
    }
}
