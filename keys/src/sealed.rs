//! A key under a passphrase, in one line:
//!
//! ```text
//! ENCRYPTED+KEY+v1+<name>+<key id, 8 hex digits>+<base64 of salt (16) ‖ nonce (12) ‖ ciphertext and tag>
//! ```
//!
//! Version 1: the key of the cipher is Argon2id (RFC 9106; version 0x13, 64 MiB, 3 passes, 1 lane, 32 bytes) of the
//! passphrase's UTF-8 bytes and the salt; the cipher is AES-256-GCM; what is encrypted is the whole line
//! `PRIVATE+KEY+…`; and the line up to the last plus, that included, is authenticated with it. Name and key id tell a
//! person which key it is; they are those of the key inside, or the line does not open.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

const FIRST_WORDS: &str = "ENCRYPTED+KEY+";
const VERSION_1: &str = "ENCRYPTED+KEY+v1+";
const PLAIN: &str = "PRIVATE+KEY+";
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
const LANES: u32 = 1;
/// The longest line that is read.
const MAX_LINE_BYTES: usize = 4 << 10;

/// Why a line could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenSealedError {
    /// The passphrase does not fit.
    #[error(
        "the passphrase does not open it: it is another key's passphrase, or the file was altered"
    )]
    Passphrase,
    /// A later program wrote it.
    #[error("it is encrypted in a way that this version does not know; it knows {VERSION_1}…")]
    Version,
    /// It is cut off, or not what was written.
    #[error(
        "it is not `{VERSION_1}<name>+<8 hex digits>+<base64>`: it may be cut off; bring back a copy of the file"
    )]
    Form,
    /// There is not enough memory, or no randomness.
    #[error("the system could not do what the encryption needs: {0}")]
    System(String),
}

/// Whether the line says that it is an encrypted key, of whichever version.
pub fn is_sealed(line: &str) -> bool {
    line.starts_with(FIRST_WORDS)
}

/// Encrypts a line `PRIVATE+KEY+<name>+<key id>+…`.
///
/// # Errors
/// [`OpenSealedError::Form`] when it is no such line, or the passphrase is empty; [`OpenSealedError::System`].
pub fn seal(line: &str, passphrase: &str) -> Result<String, OpenSealedError> {
    let header = header_of(line).ok_or(OpenSealedError::Form)?;
    if passphrase.is_empty() {
        return Err(OpenSealedError::Form);
    }
    let mut random = [0; SALT_BYTES + NONCE_BYTES];
    getrandom::fill(&mut random).map_err(system)?;
    let mut body = random.to_vec();
    let (salt, nonce) = random.split_at(SALT_BYTES);
    let nonce = <[u8; NONCE_BYTES]>::try_from(nonce).map_err(system)?;
    let payload = Payload { msg: line.as_bytes(), aad: header.as_bytes() };
    let sealed = cipher(passphrase, salt)?.encrypt(&Nonce::from(nonce), payload);
    body.extend(sealed.map_err(system)?);
    Ok(format!("{header}{}", STANDARD.encode(body)))
}

/// The line that was encrypted.
///
/// # Errors
/// [`OpenSealedError`].
pub fn open(line: &str, passphrase: &str) -> Result<Zeroizing<String>, OpenSealedError> {
    if !line.starts_with(VERSION_1) {
        return Err(OpenSealedError::Version);
    }
    // Behind "ENCRYPTED+KEY+v1+": name, key id, base64, which may hold a plus.
    let parts: Vec<&str> = line.splitn(6, '+').collect();
    let [_, _, _, name, id, base64] = parts[..] else { return Err(OpenSealedError::Form) };
    if line.len() > MAX_LINE_BYTES {
        return Err(OpenSealedError::Form);
    }
    let body = STANDARD.decode(base64).map_err(|_| OpenSealedError::Form)?;
    let (Some(salt), Some(nonce), Some(sealed)) = (
        body.get(..SALT_BYTES),
        body.get(SALT_BYTES..SALT_BYTES + NONCE_BYTES),
        body.get(SALT_BYTES + NONCE_BYTES..),
    ) else {
        return Err(OpenSealedError::Form);
    };
    let nonce = <[u8; NONCE_BYTES]>::try_from(nonce).map_err(|_| OpenSealedError::Form)?;
    let header = format!("{VERSION_1}{name}+{id}+");
    let payload = Payload { msg: sealed, aad: header.as_bytes() };
    let opened = cipher(passphrase, salt)?.decrypt(&Nonce::from(nonce), payload);
    let opened = Zeroizing::new(opened.map_err(|_| OpenSealedError::Passphrase)?);
    let text = std::str::from_utf8(&opened).map_err(|_| OpenSealedError::Form)?;
    if header_of(text) != Some(header) {
        return Err(OpenSealedError::Form);
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// What stands before the ciphertext of this key.
fn header_of(line: &str) -> Option<String> {
    let (name, rest) = line.strip_prefix(PLAIN)?.split_once('+')?;
    let (id, _) = rest.split_once('+')?;
    Some(format!("{VERSION_1}{name}+{id}+"))
}

fn cipher(passphrase: &str, salt: &[u8]) -> Result<Aes256Gcm, OpenSealedError> {
    let mut key = Zeroizing::new([0; 32]);
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(key.len())).map_err(system)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(passphrase.as_bytes(), salt, &mut *key).map_err(system)?;
    let mut of_cipher = Key::<Aes256Gcm>::from(*key);
    let cipher = Aes256Gcm::new(&of_cipher);
    zeroize::Zeroize::zeroize(of_cipher.as_mut_slice());
    Ok(cipher)
}

fn system(error: impl std::fmt::Display) -> OpenSealedError {
    OpenSealedError::System(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Zeroizing<String> {
        tlog::SigningKey::from_seed("log.example", [1; 32]).unwrap().encode()
    }

    #[test]
    fn it_opens_with_its_passphrase_alone_and_says_whose_it_is() {
        let sealed = seal(&line(), "correct horse").unwrap();
        let vkey = tlog::SigningKey::parse(&line()).unwrap().verifying_key().to_string();
        let of_vkey = vkey.rsplit_once('+').unwrap().0;
        assert!(sealed.starts_with(&format!("ENCRYPTED+KEY+v1+{of_vkey}+")), "{sealed}");
        assert!(!sealed.contains(line().rsplit('+').next().unwrap()));
        assert_eq!(open(&sealed, "correct horse").unwrap(), line());
        assert_eq!(open(&sealed, "correct horst"), Err(OpenSealedError::Passphrase));
        assert_ne!(seal(&line(), "correct horse").unwrap(), sealed, "a fresh salt each time");
    }

    #[test]
    fn altered_and_foreign_lines_do_not_open() {
        let sealed = seal(&line(), "p").unwrap();
        let renamed = sealed.replace("log.example", "log.examplf");
        assert_eq!(open(&renamed, "p"), Err(OpenSealedError::Passphrase));
        let later = sealed.replace("+v1+", "+v2+");
        assert_eq!(open(&later, "p"), Err(OpenSealedError::Version));
        for cut in ["ENCRYPTED+KEY+v1+", "ENCRYPTED+KEY+v1+a+b", "ENCRYPTED+KEY+v1+a+b+AAAA"] {
            assert_eq!(open(cut, "p"), Err(OpenSealedError::Form), "{cut}");
        }
        assert!(open(&sealed[..sealed.len() - 4], "p").is_err());
        assert_eq!(seal("no key", "p"), Err(OpenSealedError::Form));
        assert_eq!(seal(&line(), ""), Err(OpenSealedError::Form));
    }

    /// What was written once opens for ever. These bytes are not ours: they were made after the text above with OpenSSL's
    /// Argon2id and AES-GCM.
    #[test]
    fn the_first_version_stays_readable() {
        let golden = include_str!("../testdata/encrypted.key");
        assert_eq!(open(golden.trim_end(), "correct horse battery staple").unwrap(), line());
    }
}
