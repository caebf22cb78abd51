//! Signed-note verifier keys (C2SP signed-note): `name+id+base64(0x01 || Ed25519 key)`, with
//! id = the first 4 bytes of SHA-256(name || LF || 0x01 || key), in hex.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

const ED25519: u8 = 0x01;

/// The Ed25519 key of a vkey, or what is wrong with it. Weak (small-order) keys are refused: anyone
/// could sign for them.
pub(crate) fn parse(vkey: &str) -> Result<[u8; 32], &'static str> {
    const SHAPE: &str =
        "is not a verifier key: paste the line `name+id+base64` that `exhibit keygen` printed";
    let mut parts = vkey.splitn(3, '+');
    let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(SHAPE);
    };
    let typed = STANDARD.decode(encoded).map_err(|_| SHAPE)?;
    let (&[ED25519], key) = typed.split_at_checked(1).ok_or(SHAPE)? else {
        return Err("is not of type Ed25519 (0x01): make a key with `exhibit keygen`");
    };
    let key: [u8; 32] = key.try_into().map_err(|_| SHAPE)?;
    if name.is_empty() || name.contains(char::is_whitespace) || id != key_id(name, &key) {
        return Err("has an id that does not belong to its name and key: it was mistyped or cut");
    }
    match VerifyingKey::from_bytes(&key) {
        Ok(point) if !point.is_weak() => Ok(key),
        _ => Err("is not a usable Ed25519 key: make one with `exhibit keygen`"),
    }
}

/// The vkey of an Ed25519 key.
pub(crate) fn format(name: &str, key: &[u8; 32]) -> String {
    let mut typed = vec![ED25519];
    typed.extend_from_slice(key);
    format!("{name}+{}+{}", key_id(name, key), STANDARD.encode(typed))
}

fn key_id(name: &str, key: &[u8; 32]) -> String {
    let digest = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', ED25519])
        .chain_update(key)
        .finalize();
    hex::encode(&digest[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Verifier keys in public use: of the Go checksum database, and of the Go `note` package's
    /// documentation.
    const PUBLIC: [&str; 2] = [
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ];

    #[test]
    fn reads_and_writes_vkeys() {
        for vkey in PUBLIC {
            let (name, _) = vkey.split_once('+').unwrap();
            assert_eq!(format(name, &parse(vkey).unwrap()), vkey);
        }
    }

    #[test]
    fn refuses_what_is_not_one() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key().to_bytes();
        let good = format("q", &key);
        let encoded = good.splitn(3, '+').nth(2).unwrap().to_owned();
        let id = key_id("q", &key);
        let mut cosigner = vec![4];
        cosigner.extend_from_slice(&key);
        let weak = format("q", &[0; 32]);
        for bad in [
            String::new(),
            "q".to_owned(),
            encoded.clone(),
            format!("p+{id}+{encoded}"),
            format!("q+00000000+{encoded}"),
            format!("q+{id}+{}", &encoded[..40]),
            format!("q+{id}+{}", STANDARD.encode(cosigner)),
            weak,
        ] {
            assert!(parse(&bad).is_err(), "{bad}");
        }
    }
}
