//! Bytes of the engine's own files are others: opening the store, or fsck, says so.

use std::fs;
use std::path::{Path, PathBuf};

use super::world::World;
use crate::fsck::{FsckReport, fsck};
use crate::store::keyspace::KEYS;
use crate::store::{RocksStore, Store, StoreError, wal};

/// Positions of one file that are flipped.
const SPREAD: usize = 40;
/// The end of a table file: its footer.
const FOOTER: usize = 53;

struct Copy<'a> {
    world: &'a World,
    from: PathBuf,
}

impl Copy<'_> {
    /// Files of the store with this extension.
    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let files = fs::read_dir(self.from.join("store")).unwrap();
        let mut files: Vec<_> = files
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|found| found == extension))
            .filter(|path| path.metadata().unwrap().len() > 0)
            .collect();
        files.sort();
        files
    }

    /// What fsck says of a copy in which one byte is another.
    fn flipped(&self, file: &Path, at: usize, mask: u8) -> FsckReport {
        let to = tempfile::tempdir().unwrap();
        copy(&self.from, to.path());
        let file = to.path().join("store").join(file.file_name().unwrap());
        let mut bytes = fs::read(&file).unwrap();
        bytes[at] ^= mask;
        fs::write(&file, bytes).unwrap();
        fsck(to.path(), None, &self.world.log, &self.world.recorders, &mut |_, _| ()).unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { fs::copy(&path, &to).map(|_| ()).unwrap() }
    }
}

fn spread(length: usize) -> Vec<usize> {
    (0..length).step_by(length.div_ceil(SPREAD)).collect()
}

#[test]
fn flipped_bytes_of_table_files_are_found() {
    let world = World::build(300);
    let (store, _) = RocksStore::open_for_check(&world.folder().join("store")).unwrap();
    store.flush();
    let with_filter = store.files_of(KEYS);
    drop(store);
    let copy = Copy { world: &world, from: world.folder() };
    let (mut flips, mut silent, mut in_filters) = (0, Vec::new(), 0);
    for file in copy.files("sst") {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let length = fs::read(&file).unwrap().len();
        for at in spread(length).into_iter().chain(length - FOOTER..length) {
            flips += 1;
            if !copy.flipped(&file, at, 0x10).is_good() {
                continue;
            }
            // RocksDB does not use a filter that is damaged, and does not tell. Every record was read all the same.
            if with_filter.contains(&name) && at < length - FOOTER {
                in_filters += 1;
            } else {
                silent.push((name.clone(), at, length));
            }
        }
    }
    println!(
        "{flips} flips in table files: {} found, {in_filters} in filters of keys, {} without a word",
        flips - in_filters - silent.len(),
        silent.len()
    );
    assert!(silent.is_empty(), "{silent:?}");
    assert!(in_filters <= 4, "{in_filters} flips in files of keys were not told");
}

#[test]
fn flipped_bytes_of_the_write_ahead_log_are_found() {
    let world = World::build(300);
    let copy = Copy { world: &world, from: world.folder() };
    let (mut flips, mut silent) = (0, Vec::new());
    let files = copy.files("log");
    assert!(!files.is_empty(), "nothing stands in a write-ahead log");
    for file in files {
        let bytes = fs::read(&file).unwrap();
        let records = headers(&bytes);
        let some = [0, 1, records.len() / 2, records.len() - 2, records.len() - 1];
        let of_header = |record: usize| (0..HEADER).map(move |at| (record, at));
        let in_headers = some.into_iter().flat_map(of_header);
        let in_headers = in_headers
            .flat_map(|(record, at)| [1, 4, 0x80].map(|mask| (records[record] + at, mask)));
        let spread = spread(bytes.len()).into_iter().map(|at| (at, 0x10));
        for (at, mask) in in_headers.chain(spread) {
            flips += 1;
            if copy.flipped(&file, at, mask).is_good() {
                silent.push((at, mask, bytes.len()));
            }
        }
    }
    println!("{flips} flips in the write-ahead log, {} without a word", silent.len());
    assert!(silent.is_empty(), "{silent:?}");
}

/// The header of a record in the write-ahead log: checksum, length, type.
const HEADER: usize = 7;

/// Where records begin.
fn headers(log: &[u8]) -> Vec<usize> {
    const BLOCK: usize = 32 << 10;
    let (mut at, mut headers) = (0, Vec::new());
    while at + HEADER <= log.len() {
        if BLOCK - at % BLOCK < HEADER {
            at = (at / BLOCK + 1) * BLOCK;
            continue;
        }
        headers.push(at);
        at += HEADER + usize::from(u16::from_le_bytes([log[at + 4], log[at + 5]]));
    }
    headers
}

#[test]
fn a_torn_end_of_the_write_ahead_log_is_no_damage() {
    let world = World::build(100);
    let copy = Copy { world: &world, from: world.folder() };
    let file = copy.files("log").pop().unwrap();
    let bytes = fs::read(&file).unwrap();
    let records = headers(&bytes);
    let last = records[records.len() - 1];
    let store = world.folder().join("store");
    let torn =
        [last + 1, last + HEADER - 1, last + HEADER, (last + bytes.len()) / 2, bytes.len() - 1];
    for end in torn {
        fs::write(&file, &bytes[..end]).unwrap();
        assert_eq!(wal::damages(&store).unwrap(), [], "cut at {end} of {}", bytes.len());
        // Room that was taken and not written.
        fs::write(&file, [&bytes[..last], &vec![0; 70_000]].concat()).unwrap();
        assert_eq!(wal::damages(&store).unwrap(), [], "zeros");
    }
    // But not where nothing is missing, or another record follows.
    let mut longer = bytes.clone();
    longer[last + 5] ^= 0x40;
    fs::write(&file, &longer).unwrap();
    assert_eq!(wal::damages(&store).unwrap()[0].offset, last as u64);
    let before = records[records.len() - 2];
    let mut longer = bytes.clone();
    longer[before + 5] ^= 0x40;
    fs::write(&file, &longer).unwrap();
    assert_eq!(wal::damages(&store).unwrap()[0].offset, before as u64);
    let mut zeros = bytes.clone();
    zeros[before..before + HEADER].fill(0);
    fs::write(&file, &zeros).unwrap();
    assert_eq!(wal::damages(&store).unwrap()[0].offset, before as u64);
    let refused = RocksStore::open(&store).err().unwrap();
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused}");
    assert_eq!(world.fsck().findings[0].code, "wal_damaged");
}

/// Why there is a look of our own: should this test turn red, RocksDB does it by itself.
#[test]
fn the_engine_alone_would_drop_commits_without_a_word() {
    let world = World::build(300);
    let file = Copy { world: &world, from: world.folder() }.files("log").pop().unwrap();
    let note = fs::read_to_string(world.folder().join("checkpoint")).unwrap();
    let size = tlog::open_checkpoint(&note, &world.log).unwrap().size;
    let mut bytes = fs::read(&file).unwrap();
    let records = headers(&bytes);
    bytes[records[records.len() - 3] + 5] ^= 0x40;
    fs::write(&file, bytes).unwrap();
    let opened = RocksStore::open_without_a_look(&world.folder().join("store")).unwrap();
    assert!(opened.head().unwrap().unwrap().size < size);
}
