//! The keys that sign for the log: one, or while it changes its key, the old and the new.
//!
//! While there are two, every checkpoint is signed by both, so that whoever believes either can verify it.

use std::sync::Arc;

use tlog::{Checkpoint, CheckpointError, SignError, Signer, VerifyingKey, open_checkpoint};

use crate::publish::Published;
use crate::store::TreeHead;

/// The keys of the log; all of one name, which is the origin. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LogKeys {
    current: (Arc<dyn Signer>, VerifyingKey),
    next: Option<(Arc<dyn Signer>, VerifyingKey)>,
}

impl LogKeys {
    /// The key of the log, and the one that is to follow it, if any.
    pub(crate) fn new(current: Arc<dyn Signer>, next: Option<Arc<dyn Signer>>) -> Self {
        let with_key = |signer: Arc<dyn Signer>| {
            let key = signer.verifying_key();
            (signer, key)
        };
        Self { current: with_key(current), next: next.map(with_key) }
    }

    pub(crate) fn origin(&self) -> &str {
        self.current.1.name()
    }

    /// The key by which the log is known: the old one, as long as there is one.
    pub(crate) fn verifying(&self) -> &VerifyingKey {
        &self.current.1
    }

    /// The signer of that key; it alone signs roots for receipts.
    pub(crate) fn signer(&self) -> &Arc<dyn Signer> {
        &self.current.0
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &VerifyingKey> {
        std::iter::once(&self.current.1).chain(self.next.iter().map(|(_, key)| key))
    }

    /// Their vkeys, sorted.
    pub(crate) fn vkeys(&self) -> Vec<String> {
        let mut vkeys: Vec<_> = self.all().map(VerifyingKey::to_string).collect();
        vkeys.sort_unstable();
        vkeys
    }

    /// Reads a checkpoint that any of the keys signed.
    ///
    /// # Errors
    /// When none did, or it is no checkpoint of this log.
    pub(crate) fn open(&self, note: &str) -> Result<Checkpoint, CheckpointError> {
        let opened = open_checkpoint(note, &self.current.1);
        match (&opened, &self.next) {
            (Err(CheckpointError::NotSigned { .. }), Some((_, next))) => {
                open_checkpoint(note, next)
            }
            _ => opened,
        }
    }

    /// Signs `head` as a checkpoint. It may take as long as the keepers of the keys do.
    ///
    /// # Errors
    /// When one of the keys does not sign: there is no checkpoint then.
    pub(crate) fn sign(&self, head: &TreeHead) -> Result<Published, SignError> {
        let origin = self.origin().to_owned();
        let checkpoint = Checkpoint { origin, size: head.size, root: head.root };
        let signers = std::iter::once(&self.current).chain(&self.next);
        let signers: Vec<&dyn Signer> = signers.map(|(signer, _)| &**signer).collect();
        let note = checkpoint.sign_with(&signers)?.into();
        Ok(Published { checkpoint, note })
    }

    /// As [`LogKeys::sign`], on a thread that may wait.
    ///
    /// # Errors
    /// As [`LogKeys::sign`].
    pub(crate) async fn sign_elsewhere(&self, head: TreeHead) -> Result<Published, SignError> {
        let keys = self.clone();
        let signing = tokio::task::spawn_blocking(move || keys.sign(&head));
        signing.await.unwrap_or_else(|aborted| Err(SignError::new(aborted)))
    }
}

impl From<tlog::SigningKey> for LogKeys {
    fn from(key: tlog::SigningKey) -> Self {
        Self::new(Arc::new(key), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::{Hash, SigningKey, TreeSize};

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed("log.example", [seed; 32]).unwrap()
    }

    #[test]
    fn while_there_are_two_both_sign_and_either_is_believed() {
        let head = TreeHead { size: TreeSize(7), root: Hash([1; 32]), recorded_at_ns: 1 };
        let [old, new] = [1, 2].map(|seed| LogKeys::from(key(seed)));
        let both = LogKeys::new(Arc::new(key(1)), Some(Arc::new(key(2))));
        let published = both.sign(&head).unwrap();
        for keys in [&old, &new, &both] {
            assert_eq!(keys.open(&published.note).unwrap(), published.checkpoint);
        }
        // A start with both goes on from what either signed; one with the wrong one does not.
        for signed in [old.sign(&head).unwrap(), new.sign(&head).unwrap()] {
            assert!(both.open(&signed.note).is_ok());
        }
        let only_old = old.sign(&head).unwrap();
        assert!(matches!(new.open(&only_old.note), Err(CheckpointError::NotSigned { .. })));
        assert_eq!(both.vkeys().len(), 2);
        assert_eq!(both.verifying(), &key(1).verifying_key());
    }

    /// Somebody whose key cannot be had.
    #[derive(Debug)]
    struct Away;

    impl Signer for Away {
        fn verifying_key(&self) -> VerifyingKey {
            key(2).verifying_key()
        }
        fn sign_bytes(&self, _: &[u8]) -> Result<[u8; 64], SignError> {
            Err(SignError::new("away"))
        }
    }

    #[test]
    fn a_checkpoint_has_all_signatures_or_is_none() {
        let head = TreeHead { size: TreeSize(7), root: Hash([1; 32]), recorded_at_ns: 1 };
        let both = LogKeys::new(Arc::new(key(1)), Some(Arc::new(Away)));
        assert_eq!(both.sign(&head).unwrap_err(), SignError::new("away"));
    }
}
