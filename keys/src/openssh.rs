//! A key as an OpenSSH private key, so that `ssh-add` can give it to an agent.

use ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey};
use ssh_key::public::Ed25519PublicKey;
use ssh_key::{LineEnding, PrivateKey};
use tlog::SigningKey;
use zeroize::Zeroizing;

/// The key in OpenSSH's format, not encrypted (`ssh-keygen -p` does that); its comment is the key's name.
///
/// # Errors
/// When it cannot be encoded, which no key gives it reason to.
pub fn private_key(key: &SigningKey) -> Result<Zeroizing<String>, ssh_key::Error> {
    let pair = Ed25519Keypair {
        public: Ed25519PublicKey(*key.verifying_key().public_key()),
        private: Ed25519PrivateKey::from_bytes(&key.seed()),
    };
    PrivateKey::new(pair.into(), key.name())?.to_openssh(LineEnding::LF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_the_same_key() {
        let key = SigningKey::from_seed("log.example", [1; 32]).unwrap();
        let pem = private_key(&key).unwrap();
        let read = PrivateKey::from_openssh(pem.as_str()).unwrap();
        let pair = read.key_data().ed25519().unwrap();
        assert_eq!(pair.public.0, *key.verifying_key().public_key());
        assert_eq!(pair.private.to_bytes(), *key.seed());
        assert_eq!(read.comment(), "log.example");
    }
}
