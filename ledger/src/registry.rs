//! Who may record, and where each recorder's chain stands.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use proto::ids::Id;
use proto::v1::RecorderHead;
use proto::{ChainHead, Duty};
use tlog::{LeafIndex, VerifyingKey};

use crate::limits::{Allowance, Limits};
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
    /// The same for a name that nobody has and for a wrong key, so that strangers learn no names.
    #[error(
        "no recorder named {0:?} with this key is registered; add its vkey to `recorders` in the ledger's configuration"
    )]
    Unknown(String),
    #[error(
        "recorder {recorder_id:?} has {most} streams open, as many as it may (limits.streams_per_recorder); try again \
         when one has ended"
    )]
    TooManyStreams { recorder_id: String, most: u32 },
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
            Refused::TooManyStreams { .. } => "recorder_streams",
            Refused::AlreadyOpen(_) => "recorder_already_open",
            Refused::Suspended(_) => "recorder_suspended",
        }
    }
}

/// Keys that one recorder may have registered: one, and while it changes, the old and the new.
pub(crate) const MAX_KEYS: usize = 2;

/// All registered recorders and their chains.
pub(crate) struct Registry {
    /// By name; none is empty.
    keys: HashMap<String, Vec<VerifyingKey>>,
    duties: HashMap<String, Duty>,
    limits: Limits,
    allowances: HashMap<String, Arc<Allowance>>,
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
        let mut by_name: HashMap<String, Vec<VerifyingKey>> = HashMap::new();
        for key in keys {
            by_name.entry(key.name().to_owned()).or_default().push(key);
        }
        let suspended = stored
            .iter()
            .filter(|chain| chain.suspended)
            .map(|chain| chain.recorder_id.clone())
            .collect();
        let stored = stored
            .into_iter()
            .map(|chain| ((chain.recorder_id.clone(), chain.epoch), chain))
            .collect();
        let chains = Mutex::new(Chains { stored, open: HashSet::new(), suspended });
        let registry = Self {
            keys: by_name,
            duties: HashMap::new(),
            limits: Limits::default(),
            allowances: HashMap::new(),
            chains,
        };
        registry.with(HashMap::new(), Limits::default())
    }

    /// The same recorders, with what each is, and what each may take.
    pub(crate) fn with(mut self, duties: HashMap<String, Duty>, limits: Limits) -> Self {
        let now = Instant::now();
        let allowance = |name: &String| (name.clone(), Arc::new(Allowance::new(&limits, now)));
        self.allowances = self.keys.keys().map(allowance).collect();
        (self.duties, self.limits) = (duties, limits);
        self
    }

    /// What a recorder is.
    pub(crate) fn duty(&self, recorder_id: &str) -> Duty {
        self.duties.get(recorder_id).copied().unwrap_or(Duty::Any)
    }

    /// What a registered recorder may take.
    ///
    /// # Errors
    /// [`Refused::Unknown`].
    pub(crate) fn allowance(&self, recorder_id: &str) -> Result<Arc<Allowance>, Refused> {
        let allowance = self.allowances.get(recorder_id).cloned();
        allowance.ok_or_else(|| Refused::Unknown(recorder_id.to_owned()))
    }

    /// The registered key by which a recorder signed the answer to its challenge. Whoever has none is refused alike, and
    /// as late, whether the name is registered or not.
    ///
    /// # Errors
    /// [`Refused::Unknown`], [`Refused::Suspended`].
    pub(crate) fn authenticate(
        &self,
        recorder_id: &str,
        challenge: &[u8],
        answer: &[u8],
    ) -> Result<&VerifyingKey, Refused> {
        let registered = self.keys.get(recorder_id);
        // Somebody's keys, whose signature counts for nothing under another name.
        let tried = registered.or_else(|| self.keys.values().next());
        let mut signed = None;
        if let (Some(tried), Ok(answer)) = (tried, <&[u8; 64]>::try_from(answer)) {
            // As often for one key as for two.
            for at in 0..MAX_KEYS {
                let key = tried.get(at).or_else(|| tried.first());
                let is_this = key.is_some_and(|key| key.verify(challenge, answer));
                signed = signed.or(key.filter(|_| is_this));
            }
        }
        let Some(key) = signed.filter(|_| registered.is_some()) else {
            let is_registered = registered.is_some();
            tracing::info!(recorder_id, is_registered, "a recorder did not prove a registered key");
            return Err(Refused::Unknown(recorder_id.to_owned()));
        };
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
    /// [`Refused::AlreadyOpen`], [`Refused::TooManyStreams`].
    pub(crate) fn lease(self: &Arc<Self>, recorder_id: &str, epoch: Id) -> Result<Lease, Refused> {
        let place = (recorder_id.to_owned(), epoch);
        let mut chains = self.chains();
        if chains.open.contains(&place) {
            return Err(Refused::AlreadyOpen(recorder_id.to_owned()));
        }
        let most = self.limits.streams_per_recorder;
        if chains.open.iter().filter(|(of, _)| of == recorder_id).count() >= most as usize {
            return Err(Refused::TooManyStreams { recorder_id: recorder_id.to_owned(), most });
        }
        chains.open.insert(place.clone());
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

    /// The newest chain of every registered recorder, sorted by name; once for each of its keys.
    pub(crate) fn heads(&self) -> Vec<RecorderHead> {
        let mut heads: Vec<_> = self
            .keys
            .iter()
            .flat_map(|(recorder_id, keys)| keys.iter().map(move |key| (recorder_id, key)))
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
        heads.sort_by(|a, b| (&a.recorder_id, &a.vkey).cmp(&(&b.recorder_id, &b.vkey)));
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

    /// Whether a recorder of this name may append.
    pub(crate) fn is_registered(&self, recorder_id: &str) -> bool {
        self.keys.contains_key(recorder_id)
    }

    /// Whether a stream of an epoch is open.
    pub(crate) fn is_streaming(&self, recorder_id: &str, epoch: Id) -> bool {
        self.chains().open.contains(&(recorder_id.to_owned(), epoch))
    }

    /// The epoch in which a recorder, registered or not, appended last.
    pub(crate) fn newest_epoch(&self, recorder_id: &str) -> Option<Id> {
        self.newest(recorder_id).map(|chain| chain.epoch)
    }

    /// Where the last event of an epoch stands.
    pub(crate) fn head_of(&self, recorder_id: &str, epoch: Id) -> Option<LeafIndex> {
        let place = (recorder_id.to_owned(), epoch);
        self.chains().stored.get(&place).map(|chain| chain.leaf_index)
    }

    fn newest(&self, recorder_id: &str) -> Option<StoredChain> {
        self.chains()
            .stored
            .values()
            .filter(|chain| chain.recorder_id == recorder_id)
            .max_by_key(|chain| chain.leaf_index)
            .cloned()
    }

    /// Whether a recorder forked a chain: it appends nothing any more, in no epoch.
    pub(crate) fn is_suspended(&self, recorder_id: &str) -> bool {
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
mod tests;
