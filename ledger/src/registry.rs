//! Who may record, and where each recorder's chain stands.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::ChainHead;
use proto::ids::Id;
use proto::v1::RecorderHead;
use tlog::{LeafIndex, VerifyingKey};

use crate::store::StoredChain;

/// Most bytes that a mark of all recorders may need, so that it is an event.
pub(crate) const MAX_MARK_BYTES: usize = 60_000;

/// How many bytes these recorders need in a mark at most, each with an active snapshot.
pub(crate) fn largest_mark<'k>(keys: impl IntoIterator<Item = &'k VerifyingKey>) -> usize {
    // Beside its name, twice: the rest of the vkey (54), epoch, sequence, hash, snapshot digest, and what frames them.
    keys.into_iter().map(|key| 2 * key.name().len() + 170).sum()
}

/// Why a recorder may not open a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error(
        "no recorder named {0:?} is registered; add its vkey to `recorders` in the ledger's configuration"
    )]
    Unknown(String),
    #[error(
        "recorder {0:?} has an open stream for this epoch; close it first, or wait until it ends"
    )]
    AlreadyOpen(String),
    #[error(
        "recorder {0:?} is suspended because it forked its chain (see its RecorderConflict event); register a \
         new key under a new name"
    )]
    Suspended(String),
}

impl Refused {
    /// Stable name of the refusal.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Refused::Unknown(_) => "recorder_unknown",
            Refused::AlreadyOpen(_) => "recorder_already_open",
            Refused::Suspended(_) => "recorder_suspended",
        }
    }
}

/// All registered recorders and their chains.
pub(crate) struct Registry {
    keys: HashMap<String, VerifyingKey>,
    chains: Mutex<Chains>,
}

#[derive(Default)]
struct Chains {
    stored: HashMap<(String, Id), StoredChain>,
    open: HashSet<(String, Id)>,
    /// Recorders that forked a chain, in whichever epoch.
    suspended: HashSet<String>,
}

impl Registry {
    pub(crate) fn new(
        keys: impl IntoIterator<Item = VerifyingKey>,
        stored: Vec<StoredChain>,
    ) -> Self {
        let keys = keys.into_iter().map(|key| (key.name().to_owned(), key)).collect();
        let suspended = stored
            .iter()
            .filter(|chain| chain.suspended)
            .map(|chain| chain.recorder_id.clone())
            .collect();
        let stored = stored
            .into_iter()
            .map(|chain| ((chain.recorder_id.clone(), chain.epoch), chain))
            .collect();
        let chains = Chains { stored, open: HashSet::new(), suspended };
        Self { keys, chains: Mutex::new(chains) }
    }

    /// The key that must answer the challenge of a recorder that wants to append.
    ///
    /// # Errors
    /// [`Refused::Unknown`], [`Refused::Suspended`].
    pub(crate) fn key(&self, recorder_id: &str) -> Result<&VerifyingKey, Refused> {
        let key =
            self.keys.get(recorder_id).ok_or_else(|| Refused::Unknown(recorder_id.to_owned()))?;
        self.check_not_suspended(recorder_id)?;
        Ok(key)
    }

    /// Whether the recorder may go on: a fork of one epoch ends the streams of all.
    ///
    /// # Errors
    /// [`Refused::Suspended`].
    pub(crate) fn check_not_suspended(&self, recorder_id: &str) -> Result<(), Refused> {
        if self.is_suspended(recorder_id) {
            return Err(Refused::Suspended(recorder_id.to_owned()));
        }
        Ok(())
    }

    /// Takes the one stream of an epoch.
    ///
    /// # Errors
    /// [`Refused::AlreadyOpen`].
    pub(crate) fn lease(self: &Arc<Self>, recorder_id: &str, epoch: Id) -> Result<Lease, Refused> {
        let place = (recorder_id.to_owned(), epoch);
        let mut chains = self.chains();
        if !chains.open.insert(place.clone()) {
            return Err(Refused::AlreadyOpen(recorder_id.to_owned()));
        }
        let chain = chains.stored.get(&place).cloned();
        let previous = chains
            .stored
            .values()
            .filter(|other| other.recorder_id == recorder_id && other.epoch != epoch)
            .max_by_key(|other| other.leaf_index)
            .cloned();
        drop(chains);
        Ok(Lease { registry: Arc::clone(self), place, chain, previous })
    }

    /// The newest chain of every registered recorder, sorted by name.
    pub(crate) fn heads(&self) -> Vec<RecorderHead> {
        let mut heads: Vec<_> = self
            .keys
            .iter()
            .map(|(recorder_id, key)| {
                let newest = self.newest(recorder_id);
                let newest = newest.as_ref();
                RecorderHead {
                    recorder_id: recorder_id.clone(),
                    vkey: key.to_string(),
                    epoch: newest.map(|chain| chain.epoch.to_bytes()).unwrap_or_default(),
                    sequence: newest.map_or(0, |chain| chain.head.sequence),
                    hash: newest.map(|chain| chain.head.hash.to_vec().into()).unwrap_or_default(),
                    suspended: self.is_suspended(recorder_id),
                }
            })
            .collect();
        heads.sort_by(|a, b| a.recorder_id.cmp(&b.recorder_id));
        heads
    }

    /// Digests of the policy snapshots that are active, sorted, each once.
    pub(crate) fn active_snapshots(&self) -> Vec<[u8; 32]> {
        let mut digests: Vec<_> = self
            .keys
            .keys()
            .filter_map(|recorder_id| self.newest(recorder_id)?.active_snapshot)
            .collect();
        digests.sort_unstable();
        digests.dedup();
        digests
    }

    fn newest(&self, recorder_id: &str) -> Option<StoredChain> {
        self.chains()
            .stored
            .values()
            .filter(|chain| chain.recorder_id == recorder_id)
            .max_by_key(|chain| chain.leaf_index)
            .cloned()
    }

    fn is_suspended(&self, recorder_id: &str) -> bool {
        self.chains().suspended.contains(recorder_id)
    }

    fn chains(&self) -> MutexGuard<'_, Chains> {
        self.chains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one open stream of an epoch. Dropping it lets the recorder open the next.
pub(crate) struct Lease {
    registry: Arc<Registry>,
    place: (String, Id),
    chain: Option<StoredChain>,
    previous: Option<StoredChain>,
}

impl Lease {
    /// The epoch's chain as far as it was durable when the stream opened.
    pub(crate) fn chain(&self) -> Option<&StoredChain> {
        self.chain.as_ref()
    }

    /// The newest chain of another epoch of this recorder.
    pub(crate) fn previous(&self) -> Option<&StoredChain> {
        self.previous.as_ref()
    }

    /// Events became durable.
    pub(crate) fn advance(
        &mut self,
        head: ChainHead,
        leaf_index: LeafIndex,
        active_snapshot: Option<[u8; 32]>,
    ) {
        self.store(StoredChain {
            recorder_id: self.place.0.clone(),
            epoch: self.place.1,
            head,
            leaf_index,
            active_snapshot,
            suspended: false,
        });
    }

    /// The recorder forked this chain. Returns what the store must remember.
    pub(crate) fn suspend(&mut self) -> StoredChain {
        let chain = StoredChain {
            suspended: true,
            ..self.chain.clone().unwrap_or_else(|| StoredChain {
                recorder_id: self.place.0.clone(),
                epoch: self.place.1,
                head: ChainHead { sequence: 0, hash: [0; 32] },
                leaf_index: LeafIndex(0),
                active_snapshot: None,
                suspended: true,
            })
        };
        self.store(chain.clone());
        chain
    }

    fn store(&mut self, chain: StoredChain) {
        let mut chains = self.registry.chains();
        if chain.suspended {
            chains.suspended.insert(chain.recorder_id.clone());
        }
        chains.stored.insert(self.place.clone(), chain.clone());
        drop(chains);
        self.chain = Some(chain);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.registry.chains().open.remove(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::SigningKey;

    #[test]
    fn a_mark_of_as_many_recorders_as_may_be_is_an_event() {
        for name_bytes in [1, 20, 128] {
            let key = |n: u32| SigningKey::from_seed(&format!("{n:0>name_bytes$}"), [1; 32]);
            let mut keys = Vec::new();
            while largest_mark(&keys) <= MAX_MARK_BYTES {
                keys.push(key(keys.len() as u32).unwrap().verifying_key());
            }
            keys.pop();
            let chains = keys.iter().map(|key| StoredChain {
                recorder_id: key.name().to_owned(),
                epoch: Id([0xff; 16]),
                head: ChainHead { sequence: u64::MAX, hash: [0xff; 32] },
                leaf_index: LeafIndex(u64::MAX),
                active_snapshot: Some(proto::event_hash(key.name().as_bytes())),
                suspended: true,
            });
            let registry = Registry::new(keys.clone(), chains.collect());
            let mark = proto::v1::LogMark {
                recorders: registry.heads(),
                snapshot_digests: registry
                    .active_snapshots()
                    .iter()
                    .map(|digest| digest.to_vec().into())
                    .collect(),
                vkeys: vec![key(0).unwrap().verifying_key().to_string()],
            };
            assert!(mark.recorders.len() >= 140, "{} recorders", mark.recorders.len());
            let own = "l".repeat(128);
            let event = proto::v1::Event {
                event_id: vec![1; 16].into(),
                occurred_at_ns: u64::MAX,
                recorder: Some(proto::chain::next(None, &own, &[1; 16])),
                kind: Some(proto::kind::Kind::LogMark(mark)),
                ..Default::default()
            };
            proto::canonical::encode_event(&event).unwrap();
        }
    }

    #[test]
    fn one_stream_an_epoch_and_none_after_a_fork() {
        let key = SigningKey::from_seed("r", [1; 32]).unwrap().verifying_key();
        let registry = Arc::new(Registry::new([key], Vec::new()));
        assert_eq!(registry.key("other"), Err(Refused::Unknown("other".into())));
        let (one, two) = (Id([1; 16]), Id([2; 16]));
        let mut lease = registry.lease("r", one).unwrap();
        assert!(matches!(registry.lease("r", one), Err(Refused::AlreadyOpen(_))));
        lease.advance(ChainHead { sequence: 3, hash: [3; 32] }, LeafIndex(9), Some([7; 32]));
        drop(lease);
        assert_eq!(registry.lease("r", two).unwrap().previous().unwrap().epoch, one);
        let mut lease = registry.lease("r", one).unwrap();
        assert_eq!(lease.chain().unwrap().head.sequence, 3);
        assert_eq!(registry.active_snapshots(), [[7; 32]]);
        assert!(lease.suspend().suspended);
        assert_eq!(registry.key("r"), Err(Refused::Suspended("r".into())));
        let suspended = lease.chain().cloned().unwrap();
        let key = SigningKey::from_seed("r", [1; 32]).unwrap().verifying_key();
        let restarted = Registry::new([key], vec![suspended]);
        assert_eq!(restarted.check_not_suspended("r"), Err(Refused::Suspended("r".into())));
    }
}
