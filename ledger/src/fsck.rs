//! Checks everything a stopped ledger has stored, from the entries up.
//!
//! Root and tiles are rebuilt from the entries and compared with what is stored and published; every leaf is
//! decoded; time, chains and seals are followed; every disclosure is opened and held against its commitment.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;

use proto::chain::{Position, position};
use proto::disclosure::{check_opening, slot_name};
use proto::ids::Id;
use proto::kind::Kind;
use proto::{ChainHead, decode_entry};
use tlog::{CompactRange, Hash, LeafIndex, TILE_HEIGHT, VerifyingKey, leaf_hash, open_checkpoint};

use crate::publish::default_file;
use crate::store::{RocksStore, Store, StoreError};

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable name of the kind of finding.
    pub code: &'static str,
    /// Which record: `entry 17`, `tile 0/3`, `checkpoint`.
    pub place: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.place, self.message, self.code)
    }
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FsckReport {
    /// Entries read.
    pub entries: u64,
    /// Disclosures opened.
    pub disclosures: u64,
    /// Disclosures whose key is erased.
    pub erased: u64,
    /// Hash tiles compared.
    pub tiles: u64,
    /// Seals verified.
    pub seals: u64,
    /// Seals that were not verified, by recorder: no key of that name was given.
    pub seals_without_key: BTreeMap<String, u64>,
    /// Everything wrong; empty is good. At most [`MAX_FINDINGS`], the first ones.
    pub findings: Vec<Finding>,
}

/// A ruined store is reported by its first findings.
pub const MAX_FINDINGS: usize = 100;

const ENTRIES_AT_ONCE: usize = 1_024;
const BYTES_AT_ONCE: usize = 8 << 20;

/// Checks the ledger folder `data_dir`, which no ledger may be using.
///
/// The published checkpoint is in `checkpoint_file`, or else in `data_dir`. `log` is the log's vkey; seals are verified
/// with the recorder keys in `recorders`. `progress` is told the number of entries done and of all.
///
/// # Errors
/// [`StoreError::InUse`] when a ledger runs on the folder; other [`StoreError`]s when the store cannot even be read.
pub fn fsck(
    data_dir: &Path,
    checkpoint_file: Option<&Path>,
    log: &VerifyingKey,
    recorders: &[VerifyingKey],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<FsckReport, StoreError> {
    let store = RocksStore::open(&data_dir.join("store"))?;
    let head = store.head()?;
    let size = head.map_or(0, |head| head.size.0);
    let mut walk = Walk::new(&store, log, recorders);
    let checkpoint = checkpoint_file.map_or_else(|| default_file(data_dir), Path::to_owned);
    let published = walk.read_checkpoint(&checkpoint, size);
    let mut next = 0;
    while next < size && walk.report.findings.len() < MAX_FINDINGS {
        let count = usize::try_from(size - next).unwrap_or(ENTRIES_AT_ONCE).min(ENTRIES_AT_ONCE);
        let entries = match store.entries(LeafIndex(next), count, BYTES_AT_ONCE) {
            Ok(entries) if !entries.is_empty() => entries,
            Ok(_) => {
                walk.find("entry_missing", format!("entry {next}"), "is missing");
                break;
            }
            Err(error) => {
                walk.find("entry_unreadable", format!("entry {next} or later"), error);
                break;
            }
        };
        for entry in entries {
            walk.entry(next, &entry)?;
            next += 1;
            if let Some((size, root)) = published
                && size == next
                && walk.root() != root
            {
                let message = format!("its root is not that of the first {size} entries");
                walk.find("checkpoint_contradicted", "checkpoint".into(), message);
            }
        }
        progress(next, size);
    }
    if let Some(head) = head
        && next == size
    {
        if walk.root() != head.root {
            walk.find("root_mismatch", "tree head".into(), "entries give another root");
        }
        if walk.recorded_at_ns != head.recorded_at_ns {
            walk.find("head_time", "tree head".into(), "its time is not that of the last entry");
        }
        walk.compare_chains()?;
    }
    Ok(walk.report)
}

struct Walk<'a> {
    store: &'a RocksStore,
    log: &'a VerifyingKey,
    keys: HashMap<&'a str, &'a VerifyingKey>,
    range: CompactRange,
    recorded_at_ns: u64,
    chains: HashMap<(String, Id), ChainHead>,
    report: FsckReport,
}

impl<'a> Walk<'a> {
    fn new(store: &'a RocksStore, log: &'a VerifyingKey, recorders: &'a [VerifyingKey]) -> Self {
        Self {
            store,
            log,
            keys: recorders.iter().map(|key| (key.name(), key)).collect(),
            range: CompactRange::new(0),
            recorded_at_ns: 0,
            chains: HashMap::new(),
            report: FsckReport::default(),
        }
    }

    fn find(&mut self, code: &'static str, place: String, message: impl fmt::Display) {
        if self.report.findings.len() < MAX_FINDINGS {
            self.report.findings.push(Finding { code, place, message: message.to_string() });
        }
    }

    fn root(&self) -> Hash {
        self.range.root().unwrap_or_else(Hash::empty_root)
    }

    fn read_checkpoint(&mut self, path: &Path, size: u64) -> Option<(u64, Hash)> {
        let note = match std::fs::read_to_string(path) {
            Ok(note) => note,
            Err(error) => {
                let message = format!("{} cannot be read: {error}", path.display());
                self.find("checkpoint_unreadable", "checkpoint".into(), message);
                return None;
            }
        };
        match open_checkpoint(&note, self.log) {
            Ok(checkpoint) if checkpoint.size.0 > size => {
                let message = format!("covers {} entries; the store has {size}", checkpoint.size);
                self.find("store_behind", "checkpoint".into(), message);
                None
            }
            Ok(checkpoint) => Some((checkpoint.size.0, checkpoint.root)),
            Err(error) => {
                self.find("checkpoint_invalid", "checkpoint".into(), error);
                None
            }
        }
    }

    fn entry(&mut self, index: u64, bytes: &bytes::Bytes) -> Result<(), StoreError> {
        let place = format!("entry {index}");
        self.report.entries += 1;
        self.append(leaf_hash(bytes))?;
        let leaf = match decode_entry(bytes) {
            Ok(leaf) => leaf,
            Err(error) => {
                self.find("entry_invalid", place, error);
                return Ok(());
            }
        };
        if leaf.recorded_at_ns <= self.recorded_at_ns {
            self.find("time_not_increasing", place.clone(), "is not later than the one before");
        }
        self.recorded_at_ns = leaf.recorded_at_ns;
        self.chain(&place, &leaf);
        self.disclosures(index, &leaf.event)
    }

    /// Extends the tree and compares each tile it completes with the stored one.
    fn append(&mut self, leaf: Hash) -> Result<(), StoreError> {
        let mut completed = Vec::new();
        self.range.append_visit(leaf, &mut |level, index, hash| {
            if level > 0 && level % TILE_HEIGHT == 0 {
                completed.push((level / TILE_HEIGHT - 1, index, hash));
            }
        });
        for (level, index, root) in completed {
            self.report.tiles += 1;
            let stored = self.store.tile(level, index)?;
            let found =
                stored.as_deref().and_then(|tile| tlog::node_from_tile(tile, TILE_HEIGHT, 0));
            if found != Some(root) {
                let message = if stored.is_none() { "is missing" } else { "has other hashes" };
                self.find("tile_mismatch", format!("tile {level}/{index}"), message);
            }
        }
        Ok(())
    }

    fn chain(&mut self, place: &str, leaf: &proto::entry::Leaf) {
        let Some(recorder) = &leaf.event.recorder else { return };
        let Some(epoch) = Id::from_slice(&recorder.epoch) else { return };
        let key = (recorder.recorder_id.clone(), epoch);
        let before = self.chains.get(&key).copied();
        if position(before.as_ref(), recorder) != Position::Next {
            let message = format!("does not follow the chain of {} {epoch}", recorder.recorder_id);
            self.find("chain_broken", place.to_owned(), message);
        }
        if let Some(Kind::RecorderSeal(seal)) = &leaf.event.kind {
            let id = &recorder.recorder_id;
            let of_head = before
                .is_some_and(|head| head.sequence == seal.sequence && head.hash == seal.hash[..]);
            match self.keys.get(id.as_str()) {
                _ if !of_head => {
                    let message = "the seal is not of the event before it in its chain";
                    self.find("seal_invalid", place.to_owned(), message);
                }
                Some(vkey) if proto::seal::verify(seal, self.log.name(), id, epoch, vkey) => {
                    self.report.seals += 1;
                }
                Some(_) => {
                    self.find("seal_invalid", place.to_owned(), "the seal does not verify");
                }
                None => {
                    *self.report.seals_without_key.entry(id.clone()).or_default() += 1;
                }
            }
        }
        let hash = proto::event_hash(&leaf.event_bytes);
        self.chains.insert(key, ChainHead { sequence: recorder.sequence, hash });
    }

    fn disclosures(&mut self, index: u64, event: &proto::v1::Event) -> Result<(), StoreError> {
        if event.disclosures.is_empty() {
            return Ok(());
        }
        let place = |slot| format!("entry {index}, disclosure {}", slot_name(slot));
        let read = self.store.openings(LeafIndex(index), LeafIndex(index + 1), usize::MAX);
        let openings = match read {
            Ok((openings, _)) => openings,
            Err(error @ StoreError::Damaged(_)) => {
                self.find("disclosure_damaged", format!("entry {index}"), error);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for disclosure in &event.disclosures {
            let opening = openings.iter().find(|(_, opening)| opening.slot == disclosure.slot);
            let Some((_, opening)) = opening else {
                self.report.erased += 1;
                continue;
            };
            self.report.disclosures += 1;
            if let Err(error) = check_opening(disclosure, &opening.salt, &opening.content) {
                self.find("disclosure_mismatch", place(disclosure.slot), error);
            }
        }
        Ok(())
    }

    fn compare_chains(&mut self) -> Result<(), StoreError> {
        for stored in self.store.chains()? {
            let key = (stored.recorder_id.clone(), stored.epoch);
            let found = self.chains.get(&key).copied();
            let empty_fork = stored.suspended && found.is_none();
            if found != Some(stored.head) && !empty_fork {
                let place = format!("chain of {} {}", stored.recorder_id, stored.epoch);
                self.find("chain_head_mismatch", place, "its stored head is not its last event");
            }
        }
        Ok(())
    }
}
