//! Ways past the doors, for `benches/` alone: appending without a network, and the storage engine without the ledger.
//!
//! Not part of the crate's face. What is measured is what runs: [`Log`] is the sequencer on the real store and
//! [`Writer`] the checks of one recorder's stream, exactly as the Append door uses them.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use proto::ids::Id;
use proto::v1::{NewEvent, Opening};
use tlog::{LeafIndex, TreeSize, VerifyingKey};
use tokio::sync::oneshot;

use crate::intake::{Intake, Judged};
use crate::sequencer::{Arrival, Committed, Sequencer, Setup};
pub use crate::store::raw::{RawStore, Writes};
use crate::store::{Batch, RocksStore, Store, StoreError, StoredChain, StoredKey, TreeHead};
use crate::tree::TreeReader;

/// Why a benchmark cannot go on.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A log without doors and without a publisher.
pub struct Log {
    store: Arc<dyn Store>,
    sequencer: Sequencer,
    tree: TreeReader,
}

impl Log {
    /// Opens the log in `path`, or begins one, within a runtime. `max_batch_events`: most events in one commit;
    /// `None` is as the ledger ships.
    ///
    /// # Errors
    /// What the store or the sequencer says.
    pub fn open(path: &Path, max_batch_events: Option<usize>) -> Result<Self, Failure> {
        Self::on(Arc::new(RocksStore::open(path)?), max_batch_events)
    }

    fn on(store: Arc<dyn Store>, max_batch_events: Option<usize>) -> Result<Self, Failure> {
        let setup = Setup { max_batch_events, ..Setup::default() };
        let (sequencer, tree) = Sequencer::start(Arc::clone(&store), setup)?;
        Ok(Self { store, sequencer, tree })
    }

    /// The stream of a recorder that has appended nothing yet.
    pub fn writer(&self, origin: &str, key: VerifyingKey, epoch: Id) -> Writer {
        let intake = Intake::new(origin.into(), key, epoch, None, None, Arc::clone(&self.store));
        Writer { intake, sequencer: self.sequencer.clone() }
    }

    /// Entries that are durable.
    pub fn size(&self) -> TreeSize {
        self.sequencer.head().borrow().size
    }

    /// The tree as readers see it.
    pub fn tree(&self) -> &TreeReader {
        &self.tree
    }

    /// Serialized entries from `from`, at most `count`.
    ///
    /// # Errors
    /// What the store says.
    pub fn entries(&self, from: u64, count: usize) -> Result<Vec<Bytes>, Failure> {
        Ok(self.store.entries(LeafIndex(from), count, usize::MAX)?)
    }
}

/// One recorder's stream, past the handshake.
pub struct Writer {
    intake: Intake,
    sequencer: Sequencer,
}

impl Writer {
    /// Checks the events and queues them for one commit.
    ///
    /// # Errors
    /// What a recorder would be refused for.
    pub async fn append(&mut self, events: Vec<NewEvent>) -> Result<Durable, Failure> {
        let mut arrivals: Vec<Arrival> = Vec::with_capacity(events.len());
        for event in events {
            match self.intake.judge(event)? {
                Judged::Next(accepted) => arrivals.push(self.intake.seal(*accepted)?),
                other => return Err(format!("it does not follow its chain: {other:?}").into()),
            }
        }
        Ok(Durable(self.sequencer.submit(arrivals, None).await?))
    }
}

/// Events on their way to the disk.
pub struct Durable(oneshot::Receiver<Vec<Committed>>);

impl Durable {
    /// Waits until they are durable; the number of them.
    ///
    /// # Errors
    /// When they never will be.
    pub async fn wait(self) -> Result<usize, Failure> {
        Ok(self.0.await?.len())
    }
}

/// What the ledger writes for these batches of one recorder's events, to the byte but for the random keys.
///
/// # Errors
/// As [`Writer::append`].
pub async fn writes_of(
    origin: &str,
    key: VerifyingKey,
    epoch: Id,
    batches: Vec<Vec<NewEvent>>,
) -> Result<Vec<Writes>, Failure> {
    let store = Arc::new(Capture::default());
    let log = Log::on(Arc::clone(&store) as Arc<dyn Store>, None)?;
    let mut writer = log.writer(origin, key, epoch);
    for events in batches {
        writer.append(events).await?.wait().await?;
    }
    let mut captured = store.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *captured))
}

/// A store that keeps what it is told to write, and reads as empty.
#[derive(Default)]
pub(crate) struct Capture(Mutex<Vec<Writes>>);

impl Store for Capture {
    fn head(&self) -> Result<Option<TreeHead>, StoreError> {
        Ok(None)
    }
    fn append(&self, expected: TreeSize, batch: &Batch) -> Result<(), StoreError> {
        let mut captured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        captured.push(Writes::of(expected, batch));
        Ok(())
    }
    fn entries(&self, _: LeafIndex, _: usize, _: usize) -> Result<Vec<Bytes>, StoreError> {
        Ok(Vec::new())
    }
    fn openings(
        &self,
        _: LeafIndex,
        end: LeafIndex,
        _: usize,
    ) -> Result<(Vec<(LeafIndex, Opening)>, LeafIndex), StoreError> {
        Ok((Vec::new(), end))
    }
    fn tile(&self, _: u8, _: u64) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }
    fn disclosure_key(&self, _: &[u8; 16]) -> Result<StoredKey, StoreError> {
        Ok(StoredKey::Unknown)
    }
    fn chains(&self) -> Result<Vec<StoredChain>, StoreError> {
        Ok(Vec::new())
    }
}
