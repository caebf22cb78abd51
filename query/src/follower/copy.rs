//! The local copy of the log: chain, nodes, rows and state together, all of it blocking I/O.
//!
//! Order of what becomes durable at a checkpoint: segments, erasures in sidecars, nodes, then `state.json`. So a
//! crash leaves at worst files beyond the state; they are removed, and their rows read again.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::v1::SubscribeResponse;
use proto::v1::subscribe_response::Item;
use tlog::{CompactRange, Hash, VerifyingKey};

use super::chain::Chain;
use super::contradiction::{Contradiction, Kept};
use super::marks::{Mark, Marks};
use super::nodes::NodeWriter;
use super::state::{State, VERSION};
use super::view::View;
use crate::config::Limits;
use crate::rows::RowError;
use crate::rows::columns::Row;
use crate::rows::segment::Segment;
use crate::rows::store::Store;

#[derive(Debug)]
pub(crate) struct LocalCopy {
    dir: PathBuf,
    log: VerifyingKey,
    chain: Chain,
    nodes: NodeWriter,
    store: Store,
    marks: Marks,
    /// Leaves that the state on disk names as sealed.
    saved: u64,
}

/// Why following stopped for good.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    #[error(transparent)]
    Contradiction(#[from] Box<Contradiction>),
    #[error(transparent)]
    Rows(#[from] RowError),
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Files are missing, unreadable or not what was written.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// The folder is a copy of another log.
    #[error("{dir} is a copy of the log with the key {found}, which is another log than that of {wanted}: use another data_dir", dir = dir.display())]
    OtherLog {
        /// The folder.
        dir: PathBuf,
        /// The key in its state.
        found: String,
        /// The key in the configuration.
        wanted: String,
    },
    /// Nodes, tree and checkpoint of the folder do not fit each other.
    #[error("{dir} is damaged ({reason}): delete it to follow the log anew", dir = dir.display())]
    Damaged {
        /// The folder.
        dir: PathBuf,
        /// What does not fit.
        reason: String,
    },
}

impl LocalCopy {
    pub(crate) fn open(dir: &Path, log: VerifyingKey, limits: &Limits) -> Result<Self, OpenError> {
        let segments = dir.join("segments");
        fs::create_dir_all(&segments).map_err(RowError::io(&segments))?;
        let state = State::load(dir)?;
        // The key may have changed since, under the same name: see `resume`.
        let kept_key = state.as_ref().map(|state| VerifyingKey::parse(&state.log_vkey));
        if let (Some(state), Some(kept_key)) = (&state, &kept_key)
            && kept_key.as_ref().map(VerifyingKey::name) != Ok(log.name())
        {
            return Err(OpenError::OtherLog {
                dir: dir.to_owned(),
                found: state.log_vkey.clone(),
                wanted: log.to_string(),
            });
        }
        let sealed = state.as_ref().map_or(0, State::sealed);
        let nodes = NodeWriter::open(&dir.join("nodes"), sealed)?;
        let chain = match (&state, kept_key) {
            (Some(state), Some(Ok(kept_key))) => resume(dir, &kept_key, &log, state, &nodes)?,
            _ => Chain::new(log.clone()),
        };
        let records = state.map(|state| state.segments).unwrap_or_default();
        let bounds = (limits.segment_rows, limits.segment_bytes());
        let store = Store::open(segments.clone(), records, bounds)?;
        remove_strangers(&segments, &store)?;
        let marks = Marks::open(dir)?;
        Ok(Self { dir: dir.to_owned(), log, chain, nodes, store, marks, saved: sealed })
    }

    pub(crate) fn next_index(&self) -> u64 {
        self.chain.size()
    }

    /// Leaves that no checkpoint covers yet?
    pub(crate) fn is_waiting(&self) -> bool {
        self.chain.verified().is_none_or(|(known, _)| known.size.0 < self.chain.size())
    }

    /// Takes what the ledger sent. A new view when a checkpoint was verified.
    pub(crate) fn take(
        &mut self,
        message: SubscribeResponse,
    ) -> Result<Option<Arc<View>>, CopyError> {
        let outcome = match message.item {
            Some(Item::Entries(entries)) => self.take_entries(entries).map(|()| None),
            Some(Item::Checkpoint(note)) => self.take_checkpoint(&note),
            None => Ok(None),
        };
        if let Err(CopyError::Contradiction(contradiction)) = &outcome {
            Kept::new(contradiction).save(&self.dir)?;
        }
        outcome
    }

    /// The ledger says that it has fewer leaves than we read: kept as any other contradiction.
    pub(crate) fn beyond(&self, message: &str) -> CopyError {
        let contradiction = self.chain.beyond(message);
        match Kept::new(&contradiction).save(&self.dir) {
            Ok(()) => contradiction.into(),
            Err(error) => error.into(),
        }
    }

    /// What is verified now, if all leaves under the newest known checkpoint have been read.
    pub(crate) fn view(&self) -> Option<Arc<View>> {
        let (checkpoint, note) = self.chain.verified()?;
        (checkpoint.size.0 == self.chain.size()).then(|| {
            Arc::new(View {
                log: self.log.clone(),
                checkpoint: checkpoint.clone(),
                note: note.into(),
                parts: self.store.parts(),
                nodes: self.nodes.nodes(),
                marks: self.marks.all(),
            })
        })
    }

    fn take_entries(&mut self, entries: proto::v1::Entries) -> Result<(), CopyError> {
        for (index, entry) in (entries.first_index..).zip(entries.entries) {
            let nodes = &mut self.nodes;
            let mut keep = |level: u8, _: u64, hash: Hash| nodes.push(level, &hash);
            let accepted = self.chain.entry(index, &entry, &mut keep)?;
            let row = Row { index, hash: accepted.hash, entry: entry.entry, leaf: accepted.leaf };
            self.store.push(row, entry.openings)?;
        }
        Ok(self.nodes.flush_if_full()?)
    }

    fn take_checkpoint(&mut self, note: &str) -> Result<Option<Arc<View>>, CopyError> {
        self.chain.checkpoint(note)?;
        self.store.settle()?;
        self.nodes.flush()?;
        let mark = Mark {
            size: self.chain.size(),
            recorded_at_ns: self.chain.last_recorded_at_ns(),
            note: note.to_owned(),
        };
        self.marks.offer(mark)?;
        if self.store.sealed() > self.saved {
            self.save()?;
        }
        Ok(self.view())
    }

    fn save(&mut self) -> Result<(), CopyError> {
        let sealed = self.store.sealed();
        self.nodes.sync()?;
        let tree = CompactRange::read(0, sealed, &self.nodes.nodes())
            .map_err(RowError::io(self.dir.join("nodes")))?;
        let state = State {
            version: VERSION,
            log_vkey: self.log.to_string(),
            tree: tree.hashes().iter().map(ToString::to_string).collect(),
            // Set: this runs after a checkpoint was verified.
            checkpoint: self.chain.known_note().unwrap_or_default().to_owned(),
            segments: self.store.segments().map(|segment| segment.record.clone()).collect(),
        };
        state.save(&self.dir)?;
        self.saved = sealed;
        Ok(())
    }
}

/// The chain as the folder has it, whose checkpoint was signed by the key that the folder names. What the log shows from
/// here on must be signed by the configured one and contain all that was read before, so it is the same log.
fn resume(
    dir: &Path,
    kept_key: &VerifyingKey,
    log: &VerifyingKey,
    state: &State,
    nodes: &NodeWriter,
) -> Result<Chain, OpenError> {
    let damaged = |reason: String| OpenError::Damaged { dir: dir.to_owned(), reason };
    let tree = state.tree().ok_or_else(|| damaged("the tree in state.json is no tree".into()))?;
    let on_disk = CompactRange::read(0, tree.end(), &nodes.nodes())
        .map_err(|error| damaged(format!("nodes: {error}")))?;
    if on_disk != tree {
        return Err(damaged("the nodes on disk are not those of the tree in state.json".into()));
    }
    let (last, note) = (state.last_recorded_at_ns(), state.checkpoint.clone());
    let chain = Chain::resume(kept_key.clone(), tree, last, note);
    Ok(chain.map_err(|kind| damaged(kind.to_string()))?.under(log.clone()))
}

/// Removes what a crash left beyond the state.
fn remove_strangers(dir: &Path, store: &Store) -> Result<(), RowError> {
    let known: HashSet<_> = store.segments().flat_map(Segment::file_names).collect();
    for file in fs::read_dir(dir).map_err(RowError::io(dir))? {
        let file = file.map_err(RowError::io(dir))?;
        if !known.contains(file.file_name().as_os_str()) {
            fs::remove_file(file.path()).map_err(RowError::io(file.path()))?;
        }
    }
    Ok(())
}
