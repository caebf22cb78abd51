//! What a follower believes, as a pure function of what it was sent.

use proto::disclosure::check_opening;
use proto::entry::Leaf;
use proto::v1::{Opening, SubscribedEntry};
use tlog::{Checkpoint, CompactRange, Hash, TreeSize, VerifyingKey, leaf_hash, open_checkpoint};

use super::contradiction::{Contradiction, ContradictionKind};

/// The tree so far, and the newest checkpoint that proved to be true. No I/O, no clock.
#[derive(Debug, Clone)]
pub struct Chain {
    log: VerifyingKey,
    tree: CompactRange,
    last_recorded_at_ns: u64,
    verified: Option<Verified>,
}

#[derive(Debug, Clone)]
struct Verified {
    checkpoint: Checkpoint,
    note: String,
    /// After a restart the leaves below the checkpoint are read again; this tells whether they led to its root.
    reached: Reached,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    NotYet,
    Same,
    Other,
}

/// A leaf that fits.
#[derive(Debug)]
pub struct Accepted {
    /// Its index.
    pub index: u64,
    /// Its hash.
    pub hash: Hash,
    /// What it says.
    pub leaf: Leaf,
}

impl Chain {
    /// A follower that knows nothing but the log's key.
    pub fn new(log: VerifyingKey) -> Self {
        Self { log, tree: CompactRange::new(0), last_recorded_at_ns: 0, verified: None }
    }

    /// A follower that goes on behind `tree`, and knows a checkpoint, perhaps of a larger tree.
    ///
    /// # Errors
    /// When the note is no checkpoint of this log, or smaller than the tree, or of another tree of that size.
    pub fn resume(
        log: VerifyingKey,
        tree: CompactRange,
        last_recorded_at_ns: u64,
        note: String,
    ) -> Result<Self, ContradictionKind> {
        let checkpoint = open_checkpoint(&note, &log)?;
        let size = TreeSize(tree.end());
        if checkpoint.size < size {
            return Err(ContradictionKind::SizeWentBack { known: size, offered: checkpoint.size });
        }
        let mut verified = Verified { checkpoint, note, reached: Reached::NotYet };
        verified.look(&tree);
        if verified.reached == Reached::Other {
            return Err(ContradictionKind::OtherHistory { size });
        }
        Ok(Self { log, tree, last_recorded_at_ns, verified: Some(verified) })
    }

    /// The log has another key of its name from here on: checkpoints to come must be signed by it, and continue this.
    pub fn under(self, log: VerifyingKey) -> Self {
        Self { log, ..self }
    }

    /// Leaves read so far: the index of the next one.
    pub fn size(&self) -> u64 {
        self.tree.end()
    }

    /// The tree over the leaves read so far.
    pub fn tree(&self) -> &CompactRange {
        &self.tree
    }

    /// When the last leaf was recorded, Unix ns; 0 before the first.
    pub fn last_recorded_at_ns(&self) -> u64 {
        self.last_recorded_at_ns
    }

    /// The newest verified checkpoint and its note, once its leaves have all been read.
    pub fn verified(&self) -> Option<(&Checkpoint, &str)> {
        let verified =
            self.verified.as_ref().filter(|verified| verified.reached == Reached::Same)?;
        Some((&verified.checkpoint, &verified.note))
    }

    /// The newest checkpoint ever verified, even if its leaves are being read again.
    pub fn known_note(&self) -> Option<&str> {
        self.verified.as_ref().map(|verified| verified.note.as_str())
    }

    /// Takes the entry at `index`; shows `visit` every tree node that it completes (level, index, hash).
    ///
    /// # Errors
    /// When it is not the next one, no leaf of this log, not later than the one before, or comes with openings
    /// that it does not commit to.
    pub fn entry(
        &mut self,
        index: u64,
        entry: &SubscribedEntry,
        visit: &mut dyn FnMut(u8, u64, Hash),
    ) -> Result<Accepted, Box<Contradiction>> {
        let (leaf, hash) =
            self.check(index, entry).map_err(|kind| self.contradicted(kind, None))?;
        self.last_recorded_at_ns = leaf.recorded_at_ns;
        self.tree.append_visit(hash, visit);
        if let Some(verified) = &mut self.verified {
            verified.look(&self.tree);
        }
        Ok(Accepted { index, hash, leaf })
    }

    /// Takes a checkpoint, which must be of exactly the tree that was read. `true` when it is news.
    ///
    /// # Errors
    /// When it is not signed by the log, or of another tree, or contradicts an earlier one.
    pub fn checkpoint(&mut self, note: &str) -> Result<bool, Box<Contradiction>> {
        let checkpoint = open_checkpoint(note, &self.log)
            .map_err(ContradictionKind::from)
            .and_then(|checkpoint| self.check_checkpoint(checkpoint))
            .map_err(|kind| self.contradicted(kind, Some(note)))?;
        let is_news = self.verified().is_none_or(|(known, _)| *known != checkpoint);
        // The same tree with more cosignatures replaces the note, too.
        self.verified =
            Some(Verified { checkpoint, note: note.to_owned(), reached: Reached::Same });
        Ok(is_news)
    }

    /// The ledger says that the next index lies beyond its tree. It only sends what it published before, so that is
    /// a tree that went back.
    pub fn beyond(&self, message: &str) -> Box<Contradiction> {
        let read = TreeSize(self.size());
        self.contradicted(ContradictionKind::Beyond { read, message: message.to_owned() }, None)
    }

    fn check(
        &self,
        index: u64,
        entry: &SubscribedEntry,
    ) -> Result<(Leaf, Hash), ContradictionKind> {
        if index != self.size() {
            return Err(ContradictionKind::Gap { expected: self.size(), offered: index });
        }
        let leaf = proto::decode_entry(&entry.entry)
            .map_err(|source| ContradictionKind::Leaf { index, source })?;
        if leaf.recorded_at_ns <= self.last_recorded_at_ns {
            return Err(ContradictionKind::Time {
                index,
                recorded_at_ns: leaf.recorded_at_ns,
                previous_ns: self.last_recorded_at_ns,
            });
        }
        check_openings(index, &leaf, &entry.openings)?;
        Ok((leaf, leaf_hash(&entry.entry)))
    }

    fn check_checkpoint(&self, checkpoint: Checkpoint) -> Result<Checkpoint, ContradictionKind> {
        if let Some(known) = &self.verified {
            if checkpoint.size < known.checkpoint.size {
                return Err(ContradictionKind::SizeWentBack {
                    known: known.checkpoint.size,
                    offered: checkpoint.size,
                });
            }
            if checkpoint.size == known.checkpoint.size && checkpoint.root != known.checkpoint.root
            {
                return Err(ContradictionKind::SplitView { size: checkpoint.size });
            }
            if known.reached == Reached::Other {
                return Err(ContradictionKind::OtherHistory { size: known.checkpoint.size });
            }
        }
        if checkpoint.size.0 != self.size() {
            return Err(ContradictionKind::Size {
                read: TreeSize(self.size()),
                offered: checkpoint.size,
            });
        }
        let root = self.root();
        if checkpoint.root != root {
            return Err(ContradictionKind::Root {
                size: checkpoint.size,
                computed: root,
                offered: checkpoint.root,
            });
        }
        Ok(checkpoint)
    }

    fn root(&self) -> Hash {
        // A range that begins at 0 has a root.
        self.tree.root().unwrap_or_else(Hash::empty_root)
    }

    fn contradicted(&self, kind: ContradictionKind, note: Option<&str>) -> Box<Contradiction> {
        Box::new(Contradiction {
            kind,
            size: self.size(),
            root: self.root(),
            known_note: self.known_note().map(str::to_owned),
            offered_note: note.map(str::to_owned),
        })
    }
}

impl Verified {
    fn look(&mut self, tree: &CompactRange) {
        if tree.end() == self.checkpoint.size.0 && self.reached == Reached::NotYet {
            let is_same = tree.root() == Some(self.checkpoint.root);
            self.reached = if is_same { Reached::Same } else { Reached::Other };
        }
    }
}

fn check_openings(index: u64, leaf: &Leaf, openings: &[Opening]) -> Result<(), ContradictionKind> {
    let mut last = 0;
    for opening in openings {
        let commitment = leaf.event.disclosures.iter().find(|d| d.slot == opening.slot);
        let (Some(commitment), true) = (commitment, opening.slot > last) else {
            let slot = proto::disclosure::slot_name(opening.slot);
            return Err(ContradictionKind::Opening {
                index,
                source: proto::disclosure::OpeningError::Surplus(slot),
            });
        };
        last = opening.slot;
        check_opening(commitment, &opening.salt, &opening.content)
            .map_err(|source| ContradictionKind::Opening { index, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn never_panics(
            indexes in prop::collection::vec(0u64..3, 1..6),
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            note in "(log\\.example\n)?[0-9]{0,3}\n.{0,60}\n\n.{0,90}\n",
        ) {
            let log = tlog::SigningKey::from_seed("log.example", [1; 32]).unwrap().verifying_key();
            let mut chain = Chain::new(log.clone());
            let opening = Opening { slot: 1, salt: Bytes::from(bytes.clone()), content: Bytes::new() };
            for index in indexes {
                let entry = SubscribedEntry { entry: bytes.clone().into(), openings: vec![opening.clone()] };
                prop_assert!(chain.entry(index, &entry, &mut |_, _, _| ()).is_err());
            }
            prop_assert!(chain.checkpoint(&note).is_err());
            prop_assert!(Chain::resume(log, CompactRange::new(0), 0, note).is_err());
            prop_assert_eq!(chain.size(), 0);
        }
    }
}
