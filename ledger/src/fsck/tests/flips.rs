//! One byte of one record is another, and the storage engine vouches for it: fsck finds it and says where.

use std::collections::BTreeMap;
use std::fs;

use super::names;
use super::world::World;
use crate::fsck::chains::Keys;
use crate::fsck::{FsckReport, check, head, place};
use crate::store::RocksStore;
use crate::store::keyspace::{
    CHAINS, DISCLOSURES, ENTRIES, FAMILIES, KEYS, META, PURGE_KEY, TILES,
};

/// How flips of one kind of record were found.
#[derive(Default)]
struct Row {
    records: u64,
    flips: u64,
    /// By a finding that names the record.
    named: u64,
    /// By a finding that names a few entries, of which the record is one.
    narrowed: u64,
}

/// Where the time of an entry stands. Behind the last full tile it has no second witness but the root.
const TIME: std::ops::Range<usize> = 1..9;

/// Values of at most so many bytes are flipped at each of them.
const SMALL: usize = 100;

/// So many flips of a value, and of a key, that is not small.
fn spread(family: &str) -> (usize, usize) {
    match family {
        ENTRIES => (4, 2),
        DISCLOSURES => (6, 3),
        TILES => (200, 9),
        _ => (usize::MAX, usize::MAX),
    }
}

/// Positions of a record of this length: all of them, or `most`, which are others for each record.
fn positions(length: usize, most: usize, number: usize) -> Vec<usize> {
    if most >= length {
        return (0..length).collect();
    }
    let step = length.div_ceil(most);
    (0..most).map(|part| (part * step + number * 7 % step).min(length - 1)).collect()
}

#[test]
fn every_flipped_byte_of_every_record_is_found_and_named() {
    // With a hold, an erased exchange, and the note that it is not purged yet.
    let world = World::build_with(300, true);
    let mut table = BTreeMap::new();
    let mut unnamed = Vec::new();
    let (store, _) = RocksStore::open_for_check(&world.folder().join("store")).unwrap();
    let note = fs::read(world.folder().join("checkpoint")).unwrap();
    let published = head::judge_checkpoint(&note, &world.log, &mut FsckReport::default()).unwrap();
    let keys = Keys { log: &world.log, recorders: &world.recorders };
    let fsck = || {
        let mut report = FsckReport::default();
        check(&store, Some(&published), keys, &mut |_, _| true, &mut report);
        report
    };
    assert!(fsck().is_good());
    for family in FAMILIES {
        let row: &mut Row = table.entry(family).or_default();
        let mut judge = |key: &[u8], what: String| {
            row.flips += 1;
            let report = fsck();
            let place = place::record(family, key);
            if report.findings.iter().any(|finding| names(finding, &place)) {
                row.named += 1;
            } else if family == ENTRIES && is_narrowed(&report, key) {
                row.narrowed += 1;
            } else {
                unnamed.push(format!("{place}, {what}: {:#?}", report.findings));
            }
        };
        let records = store.all(family);
        assert!(!records.is_empty(), "nothing of {family} is stored");
        for (number, (key, value)) in records.iter().enumerate() {
            let (of_values, of_keys) = spread(family);
            let of_values = if value.len() <= SMALL { usize::MAX } else { of_values };
            let mut at_value = positions(value.len(), of_values, number);
            if family == ENTRIES && number >= 256 {
                at_value.extend(TIME);
            }
            for at in at_value {
                let mut flipped = value.to_vec();
                flipped[at] ^= 1 << ((number + at) % 8);
                store.overwrite(family, key, Some(&flipped));
                judge(key, format!("byte {at} of {}", value.len()));
                store.overwrite(family, key, Some(value));
            }
            for at in positions(key.len(), of_keys, number) {
                let mut flipped = key.to_vec();
                flipped[at] ^= 1 << ((number + at) % 8);
                let there = store.record(family, &flipped).unwrap();
                store.overwrite(family, key, None);
                store.overwrite(family, &flipped, Some(value));
                // A purge that nobody wrote down is not missing; what was moved is found where it is.
                let found_at = if **key == *PURGE_KEY { &flipped[..] } else { &key[..] };
                judge(found_at, format!("byte {at} of its key"));
                store.overwrite(family, &flipped, there.as_deref());
                store.overwrite(family, key, Some(value));
            }
        }
        row.records = records.len() as u64;
    }
    assert!(fsck().is_good(), "a flip was not undone");

    let row: &mut Row = table.entry("checkpoint").or_default();
    row.records = 1;
    for at in 0..note.len() {
        for bit in 0..8 {
            let mut flipped = note.clone();
            flipped[at] ^= 1 << bit;
            row.flips += 1;
            let mut report = FsckReport::default();
            let read = head::judge_checkpoint(&flipped, &world.log, &mut report);
            if read.is_none() && names(&report.findings[0], place::CHECKPOINT) {
                row.named += 1;
            } else {
                unnamed.push(format!("byte {at} of the checkpoint, bit {bit}"));
            }
        }
    }

    println!(
        "{:12} {:>8} {:>8} {:>8} {:>8}",
        "records of", "records", "flips", "named", "narrowed"
    );
    for (kind, row) in &table {
        println!(
            "{kind:12} {:>8} {:>8} {:>8} {:>8}",
            row.records, row.flips, row.named, row.narrowed
        );
    }
    assert!(unnamed.is_empty(), "{} were not named, such as {}", unnamed.len(), unnamed[0]);
    let entries = &table[ENTRIES];
    let behind_tiles = entries.records % 256;
    assert!(
        (1..=behind_tiles * 8).contains(&entries.narrowed),
        "{} of {behind_tiles}",
        entries.narrowed
    );
    assert!([KEYS, META, CHAINS].iter().all(|family| table[family].flips > 50));
    assert_eq!(table[META].records, 3, "the head, a hold, and what to purge");
}

/// Does a finding on the tree head name a few entries, of which this is one?
fn is_narrowed(report: &FsckReport, key: &[u8]) -> bool {
    let index = u64::from_be_bytes(key.try_into().unwrap());
    let root = report.findings.iter().find(|finding| finding.code == "root_mismatch");
    let range = root.and_then(|finding| {
        let (_, words) = finding.message.split_once("one of entries ")?;
        let mut numbers = words.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
        Some(numbers.next()?..=numbers.next()?)
    });
    range.is_some_and(|range: std::ops::RangeInclusive<u64>| {
        range.contains(&index) && range.end() - range.start() < 256
    })
}
