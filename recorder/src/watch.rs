//! Every recorder watches the log: its acknowledged head must stand in a published checkpoint, and each
//! checkpoint must continue the one before, also over a new stream and, with a file, over a restart.

use std::time::{Duration, Instant};

use proto::v1::{Watch, Watched};
use tlog::{
    Checkpoint, Hash, LeafIndex, VerifyingKey, open_checkpoint, verify_consistency,
    verify_inclusion,
};

use crate::memory::Memory;
use crate::unacknowledged::{AcknowledgedHead, Contradiction};

/// What this recorder has verified of the log.
pub(crate) struct Watcher {
    log: VerifyingKey,
    memory: Memory,
    /// The newest acknowledged head that was found published.
    published: Option<LeafIndex>,
    /// The head that is being asked about.
    asked: Option<AcknowledgedHead>,
    /// Since when something durable is not known to be published.
    unpublished_since: Option<Instant>,
}

impl Watcher {
    pub(crate) fn new(log: VerifyingKey, memory: Memory) -> Self {
        Self { log, memory, published: None, asked: None, unpublished_since: None }
    }

    /// Key of the log.
    pub(crate) fn log(&self) -> &VerifyingKey {
        &self.log
    }

    /// The newest checkpoint that was verified.
    pub(crate) fn verified(&self) -> Option<&Checkpoint> {
        self.memory.verified()
    }

    /// What to ask on a new stream before anything is sent: that the log continues what was verified. (A proof is
    /// asked for by a leaf; the last one of that tree is as good as any.)
    pub(crate) fn continuation(&self) -> Option<Watch> {
        let known_size = self.verified()?.size.0;
        let leaf_index = known_size.checked_sub(1)?;
        Some(Watch { leaf_index, known_size })
    }

    /// Verifies the answer to [`Watcher::continuation`].
    ///
    /// # Errors
    /// [`Contradiction`]: the log is not the log it was.
    pub(crate) fn continued(&mut self, watched: &Watched) -> Result<(), Contradiction> {
        let checkpoint = self.open(watched)?;
        self.memory.verify(checkpoint, &watched.checkpoint);
        Ok(())
    }

    /// What to ask the ledger about the newest acknowledged head; nothing while it is known to be published or
    /// an answer is due.
    pub(crate) fn question(
        &mut self,
        head: Option<AcknowledgedHead>,
        now: Instant,
    ) -> Option<Watch> {
        let head = head?;
        if self.published.is_some_and(|published| head.leaf_index <= published) {
            return None;
        }
        self.unpublished_since.get_or_insert(now);
        if self.asked.is_some() {
            return None;
        }
        self.asked = Some(head);
        let known_size = self.verified().map_or(0, |checkpoint| checkpoint.size.0);
        Some(Watch { leaf_index: head.leaf_index.0, known_size })
    }

    /// A new stream: an answer to an old question will not come. What the ledger said to be durable only by
    /// its head (`settled`) has no place to ask about. The next head that is found published covers it: each
    /// event names the hash of the one before, so one that was left out leaves a gap in the log.
    pub(crate) fn reopened(&mut self, settled: bool, now: Instant) {
        self.asked = None;
        if settled {
            self.unpublished_since.get_or_insert(now);
        }
    }

    /// How long something durable has been missing from published checkpoints, if longer than `allowed`.
    pub(crate) fn overdue(&self, now: Instant, allowed: Duration) -> Option<Duration> {
        let age = now.saturating_duration_since(self.unpublished_since?);
        (age > allowed).then_some(age)
    }

    /// Verifies the ledger's answer.
    ///
    /// # Errors
    /// [`Contradiction`]: the log does not hold what it acknowledged, or is not the log it was.
    pub(crate) fn answer(&mut self, watched: &Watched) -> Result<(), Contradiction> {
        let Some(asked) = self.asked.filter(|head| head.leaf_index.0 == watched.leaf_index) else {
            return Err(contradiction("protocol", "an answer to no question".to_owned()));
        };
        let checkpoint = self.open(watched)?;
        let proof = hashes(&watched.inclusion)?;
        verify_inclusion(
            asked.leaf_index,
            checkpoint.size,
            &asked.leaf_hash,
            &proof,
            &checkpoint.root,
        )
        .map_err(|error| {
            contradiction(
                "acknowledged_event_missing",
                format!(
                    "event at index {} was acknowledged, but the published tree of {} entries does not hold \
                     it: {error}",
                    asked.leaf_index, checkpoint.size
                ),
            )
        })?;
        self.memory.verify(checkpoint, &watched.checkpoint);
        self.published = Some(asked.leaf_index);
        self.asked = None;
        self.unpublished_since = None;
        Ok(())
    }

    /// The checkpoint of an answer: of this log, and a continuation of the one before.
    fn open(&self, watched: &Watched) -> Result<Checkpoint, Contradiction> {
        let checkpoint = open_checkpoint(&watched.checkpoint, &self.log).map_err(|error| {
            contradiction("checkpoint_invalid", format!("its checkpoint does not verify: {error}"))
        })?;
        let Some(known) = self.verified() else { return Ok(checkpoint) };
        if checkpoint.size < known.size {
            let message = format!(
                "it shows a checkpoint of {} entries, one of {} was verified before",
                checkpoint.size, known.size
            );
            return Err(contradiction("ledger_lost_events", message));
        }
        let proof = hashes(&watched.consistency)?;
        verify_consistency(known.size, checkpoint.size, &known.root, &checkpoint.root, &proof)
            .map_err(|error| {
                contradiction(
                    "checkpoint_contradicted",
                    format!(
                        "its checkpoint of size {} does not continue the one of size {}: {error}",
                        checkpoint.size, known.size
                    ),
                )
            })?;
        Ok(checkpoint)
    }
}

fn contradiction(code: &'static str, message: String) -> Contradiction {
    Contradiction { code, message }
}

fn hashes(list: &[bytes::Bytes]) -> Result<Vec<Hash>, Contradiction> {
    list.iter()
        .map(|hash| Hash::try_from(&hash[..]))
        .collect::<Result<_, _>>()
        .map_err(|_| contradiction("proof_invalid", "a proof holds no hashes".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::{CompactRange, SigningKey, TreeSize};

    fn key() -> SigningKey {
        SigningKey::from_seed("log.example", [1; 32]).unwrap()
    }

    fn nodes(leaves: &[Hash]) -> impl Fn(u8, u64) -> Result<Hash, std::convert::Infallible> {
        |level, index| {
            let width = 1usize << level;
            let first = index as usize * width;
            let mut part = CompactRange::new(0);
            leaves[first..first + width].iter().for_each(|leaf| part.append(*leaf));
            Ok(part.root().unwrap())
        }
    }

    fn consistency(leaves: &[Hash], known: u64) -> Vec<bytes::Bytes> {
        let size = TreeSize(leaves.len() as u64);
        let proof = tlog::prove_consistency(TreeSize(known), size, &nodes(leaves)).unwrap();
        proof.iter().map(|hash| hash.0.to_vec().into()).collect()
    }

    fn watched(leaves: &[Hash], index: u64) -> Watched {
        let mut range = CompactRange::new(0);
        leaves.iter().for_each(|leaf| range.append(*leaf));
        let size = TreeSize(leaves.len() as u64);
        let checkpoint =
            Checkpoint { origin: "log.example".into(), size, root: range.root().unwrap() };
        let proof = tlog::prove_inclusion(LeafIndex(index), size, &nodes(leaves)).unwrap();
        Watched {
            leaf_index: index,
            checkpoint: checkpoint.sign(&key()),
            inclusion: proof.iter().map(|hash| hash.0.to_vec().into()).collect(),
            consistency: Vec::new(),
        }
    }

    fn asked(leaf_hash: Hash) -> Watcher {
        let mut watcher = Watcher::new(key().verifying_key(), Memory::default());
        let head = AcknowledgedHead { leaf_index: LeafIndex(1), leaf_hash };
        let question = watcher.question(Some(head), Instant::now()).unwrap();
        assert_eq!((question.leaf_index, question.known_size), (1, 0));
        assert!(watcher.question(Some(head), Instant::now()).is_none());
        watcher
    }

    #[test]
    fn a_published_head_is_verified_and_no_longer_asked_about() {
        let leaves = [Hash([1; 32]), Hash([2; 32]), Hash([3; 32])];
        let mut watcher = asked(leaves[1]);
        watcher.answer(&watched(&leaves, 1)).unwrap();
        assert_eq!(watcher.verified().unwrap().size, TreeSize(3));
        assert!(watcher.overdue(Instant::now(), Duration::ZERO).is_none());
    }

    #[test]
    fn what_only_a_head_vouched_for_is_overdue_until_a_later_head_is_published() {
        let leaves = [Hash([1; 32]), Hash([2; 32]), Hash([3; 32])];
        let mut watcher = Watcher::new(key().verifying_key(), Memory::default());
        let now = Instant::now();
        watcher.reopened(false, now);
        assert!(watcher.overdue(now + Duration::from_secs(2), Duration::ZERO).is_none());
        watcher.reopened(true, now);
        watcher.reopened(true, now + Duration::from_secs(1));
        let age = watcher.overdue(now + Duration::from_secs(2), Duration::ZERO);
        assert_eq!(age, Some(Duration::from_secs(2)));
        let head = AcknowledgedHead { leaf_index: LeafIndex(1), leaf_hash: leaves[1] };
        assert!(watcher.question(Some(head), now).is_some());
        watcher.answer(&watched(&leaves, 1)).unwrap();
        assert!(watcher.overdue(now + Duration::from_secs(2), Duration::ZERO).is_none());
    }

    #[test]
    fn a_log_that_dropped_the_event_is_found_out() {
        let leaves = [Hash([1; 32]), Hash([9; 32]), Hash([3; 32])];
        let mut watcher = asked(Hash([2; 32]));
        let error = watcher.answer(&watched(&leaves, 1)).unwrap_err();
        assert_eq!(error.code, "acknowledged_event_missing");
    }

    #[test]
    fn a_log_that_was_rewritten_is_found_out() {
        let leaves = [Hash([1; 32]), Hash([2; 32]), Hash([3; 32])];
        let mut watcher = asked(leaves[1]);
        watcher.answer(&watched(&leaves, 1)).unwrap();
        let other = [Hash([7; 32]), Hash([2; 32]), Hash([3; 32]), Hash([4; 32])];
        let head = AcknowledgedHead { leaf_index: LeafIndex(3), leaf_hash: other[3] };
        assert_eq!(watcher.question(Some(head), Instant::now()).unwrap().known_size, 3);
        let error = watcher.answer(&watched(&other, 3)).unwrap_err();
        assert_eq!(error.code, "checkpoint_contradicted");
    }
    #[test]
    fn a_new_stream_must_continue_what_was_verified() {
        let leaves: Vec<Hash> = (1..=5).map(|leaf| Hash([leaf; 32])).collect();
        let mut watcher = asked(leaves[1]);
        assert!(watcher.continuation().is_none());
        watcher.answer(&watched(&leaves[..3], 1)).unwrap();
        let asked = watcher.continuation().unwrap();
        assert_eq!((asked.leaf_index, asked.known_size), (2, 3));
        watcher.continued(&watched(&leaves[..3], 2)).unwrap();
        let mut grown = watched(&leaves, 2);
        grown.consistency = consistency(&leaves, 3);
        watcher.continued(&grown).unwrap();
        assert_eq!(watcher.verified().unwrap().size, TreeSize(5));
        // Put back to 3 entries, then grown again with other ones.
        let error = watcher.continued(&watched(&leaves[..3], 2)).unwrap_err();
        assert_eq!(error.code, "ledger_lost_events");
        let other = [&leaves[..3], &[Hash([8; 32]), Hash([9; 32]), Hash([10; 32])]].concat();
        let mut forked = watched(&other, 4);
        forked.consistency = consistency(&other, 5);
        let error = watcher.continued(&forked).unwrap_err();
        assert_eq!(error.code, "checkpoint_contradicted");
    }
}
