//! The sequencer on a real store: what it commits is what a restart finds.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proto::canonical::encode_event;
use proto::disclosure::disclose;
use proto::ids::Id;
use proto::kind::Kind;
use proto::v1::{Event, MediaType, Opening, RecorderStopped, Slot};
use proto::{ChainHead, chain, decode_entry, event_hash};
use tlog::{CompactRange, Hash, LeafIndex, Tile, TileKind, TreeSize, leaf_hash};

use crate::bench::Capture;
use crate::sequencer::{Arrival, Sequencer, Setup};
use crate::store::{RocksStore, Store, StoreError};
use crate::tree::TreeReader;
use crate::vault::Sealer;

const EPOCH: Id = Id([7; 16]);

/// Events of one chain, each with a disclosure.
struct Chain(Option<ChainHead>, Sealer);

/// A chain without events; it never asks its store.
fn new_chain() -> Chain {
    Chain(None, Sealer::new(Arc::new(Capture::default()), false))
}

impl Chain {
    fn next(&mut self) -> Arrival {
        let salt = [9; 32];
        let content = format!("{{\"n\":{}}}", self.0.map_or(0, |head| head.sequence + 1));
        let recorder = chain::next(self.0.as_ref(), "r", &EPOCH.0);
        let sequence = recorder.sequence;
        let event = Event {
            event_id: Bytes::from_static(&[1; 16]),
            occurred_at_ns: 1,
            recorder: Some(recorder),
            disclosures: vec![disclose(Slot::Message, MediaType::Json, &salt, content.as_bytes())],
            kind: Some(Kind::RecorderStopped(RecorderStopped { drained: true })),
            ..Event::default()
        };
        let event_bytes = encode_event(&event).unwrap();
        let head = ChainHead { sequence, hash: event_hash(&event_bytes) };
        self.0 = Some(head);
        let opening = Opening {
            slot: Slot::Message.into(),
            salt: Bytes::copy_from_slice(&salt),
            content: content.into(),
        };
        let sealed = self.1.seal(&event, sequence, &[opening]).unwrap();
        Arrival {
            event_bytes,
            sealed,
            recorder_id: "r".into(),
            epoch: EPOCH,
            head,
            active_snapshot: None,
        }
    }

    fn take(&mut self, count: usize) -> Vec<Arrival> {
        (0..count).map(|_| self.next()).collect()
    }
}

fn open(path: &Path) -> (Arc<dyn Store>, Sequencer, TreeReader) {
    // The thread of a dropped sequencer may hold the lock for a moment longer.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let store: Arc<dyn Store> = loop {
        match RocksStore::open(path) {
            Ok(store) => break Arc::new(store),
            Err(error) if std::time::Instant::now() > deadline => panic!("{error}"),
            Err(_) => std::thread::yield_now(),
        }
    };
    let (sequencer, tree) = Sequencer::start(Arc::clone(&store), Setup::default()).unwrap();
    (store, sequencer, tree)
}

fn all_entries(store: &dyn Store) -> Vec<Bytes> {
    let mut entries = Vec::new();
    loop {
        let read = store.entries(LeafIndex(entries.len() as u64), 512, 1 << 20).unwrap();
        if read.is_empty() {
            return entries;
        }
        entries.extend(read);
    }
}

fn root_of(entries: &[Bytes]) -> Hash {
    let mut range = CompactRange::new(0);
    entries.iter().for_each(|entry| range.append(leaf_hash(entry)));
    range.root().unwrap()
}

#[tokio::test]
async fn restarts_find_what_was_committed() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = new_chain();
    let mut size = 0;
    // Around tile boundaries of the first and second level.
    for count in [1, 254, 1, 1, 300, 66_000 - 557, 3] {
        let (store, sequencer, tree) = open(folder.path());
        for arrivals in chunks(chain.take(count), 1_000) {
            let first = size;
            size += arrivals.len() as u64;
            let committed = sequencer.submit(arrivals, None).await.unwrap().await.unwrap();
            assert_eq!(committed[0].leaf_index, LeafIndex(first));
        }
        let head = store.head().unwrap().unwrap();
        let entries = all_entries(&*store);
        assert_eq!(head.size, TreeSize(size));
        assert_eq!(entries.len() as u64, size);
        assert_eq!(head.root, root_of(&entries));
        for at in [1, size / 2 + 1, size] {
            let expected = root_of(&entries[..usize::try_from(at).unwrap()]);
            assert_eq!(tree.root_at(TreeSize(at)).unwrap(), expected, "root at {at} of {size}");
        }
        let stored = store.chains().unwrap();
        assert_eq!(stored.len(), 1);
        assert_eq!((stored[0].head, stored[0].leaf_index.0), (chain.0.unwrap(), size - 1));
    }
}

#[tokio::test]
async fn time_increases_and_disclosures_open() {
    let folder = tempfile::tempdir().unwrap();
    let (store, sequencer, _tree) = open(folder.path());
    let mut chain = new_chain();
    for arrivals in chunks(chain.take(50), 7) {
        sequencer.submit(arrivals, None).await.unwrap().await.unwrap();
    }
    let mut last = 0;
    for (index, entry) in (0..).zip(all_entries(&*store)) {
        let leaf = decode_entry(&entry).unwrap();
        assert!(leaf.recorded_at_ns > last);
        last = leaf.recorded_at_ns;
        let (openings, complete) =
            store.openings(LeafIndex(index), LeafIndex(index + 1), usize::MAX).unwrap();
        assert_eq!((openings.len(), complete), (1, LeafIndex(index + 1)));
        let openings: Vec<_> = openings.into_iter().map(|(_, opening)| opening).collect();
        proto::disclosure::check_openings(&leaf.event, &openings).unwrap();
    }
}

#[tokio::test]
async fn openings_stop_at_whole_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let (store, sequencer, _tree) = open(folder.path());
    let arrivals = new_chain().take(20);
    sequencer.submit(arrivals, None).await.unwrap().await.unwrap();
    let mut next = LeafIndex(0);
    let mut read = 0;
    while next < LeafIndex(20) {
        let (openings, complete) = store.openings(next, LeafIndex(20), 300).unwrap();
        assert!(complete > next);
        assert_eq!(openings.len() as u64, complete.0 - next.0);
        read += openings.len();
        next = complete;
    }
    assert_eq!(read, 20);
}

#[tokio::test]
async fn tiles_are_those_of_the_tree_at_every_width() {
    let folder = tempfile::tempdir().unwrap();
    let (store, sequencer, tree) = open(folder.path());
    let arrivals = new_chain().take(600);
    sequencer.submit(arrivals, None).await.unwrap().await.unwrap();
    let hashes: Vec<Hash> = all_entries(&*store).iter().map(|entry| leaf_hash(entry)).collect();
    let size = TreeSize(600);
    for (index, width) in [(0, 256), (0, 17), (1, 256), (2, 88), (2, 1)] {
        let kind = TileKind::Hashes { level: 0 };
        let bytes = tree.tile_bytes(&Tile { kind, index, width }, size).unwrap().unwrap();
        let first = usize::try_from(index).unwrap() * 256;
        let expected: Vec<u8> =
            hashes[first..first + usize::from(width)].iter().flat_map(|hash| hash.0).collect();
        assert_eq!(bytes, expected);
    }
    let outside = Tile { kind: TileKind::Hashes { level: 0 }, index: 2, width: 89 };
    assert_eq!(tree.tile_bytes(&outside, size).unwrap(), None);
}

#[tokio::test]
async fn a_second_writer_is_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let (store, sequencer, _tree) = open(folder.path());
    let second = RocksStore::open(folder.path()).err().unwrap();
    assert!(matches!(second, StoreError::InUse { .. }), "{second}");
    let arrivals = new_chain().take(1);
    sequencer.submit(arrivals, None).await.unwrap().await.unwrap();
    let head = store.head().unwrap().unwrap();
    let batch = crate::store::Batch {
        entries: vec![Bytes::from_static(b"x")],
        disclosures: Vec::new(),
        keys: Vec::new(),
        tiles: Vec::new(),
        chains: Vec::new(),
        head,
        changes: Default::default(),
    };
    let error = store.append(TreeSize(0), &batch).unwrap_err();
    assert!(matches!(error, StoreError::Conflict { expected: 0, found: 1 }));
}

/// The write-ahead log of a store that was closed after commits of one event each.
async fn write_ahead_log(folder: &Path, commits: usize) -> std::path::PathBuf {
    let (store, sequencer, tree) = open(folder);
    for arrival in new_chain().take(commits) {
        sequencer.submit(vec![arrival], None).await.unwrap().await.unwrap();
    }
    drop((store, sequencer, tree));
    let logs = || {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| {
            path.extension().is_some_and(|extension| extension == "log")
                && path.metadata().unwrap().len() > 0
        })
    };
    logs().max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}

#[tokio::test]
async fn a_damaged_commit_is_never_dropped_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let log = write_ahead_log(folder.path(), 20).await;
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let error = opened_from(folder.path(), &log, &bytes).err().unwrap();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
}

#[tokio::test]
async fn a_commit_that_was_cut_short_is_dropped_alone() {
    let folder = tempfile::tempdir().unwrap();
    let log = write_ahead_log(folder.path(), 20).await;
    let mut bytes = std::fs::read(&log).unwrap();
    bytes.truncate(bytes.len() - 40);
    let store = opened_from(folder.path(), &log, &bytes).unwrap();
    assert_eq!(store.head().unwrap().unwrap().size, TreeSize(19));
    assert_eq!(all_entries(&store).len(), 19);
}

/// Opens a copy of the store with other bytes in its write-ahead log.
fn opened_from(folder: &Path, log: &Path, bytes: &[u8]) -> Result<RocksStore, StoreError> {
    let copy = folder.join("copy");
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
        }
    }
    std::fs::write(copy.join(log.file_name().unwrap()), bytes).unwrap();
    RocksStore::open(&copy)
}

fn chunks(mut arrivals: Vec<Arrival>, size: usize) -> Vec<Vec<Arrival>> {
    let mut chunks = Vec::new();
    while arrivals.len() > size {
        let rest = arrivals.split_off(size);
        chunks.push(std::mem::replace(&mut arrivals, rest));
    }
    chunks.push(arrivals);
    chunks
}
