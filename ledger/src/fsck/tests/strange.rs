//! Records that are missing, that nobody asks for, and whole stores that cannot be read.

use std::fs;

use bytes::Bytes;
use proto::decode_entry;
use proto::ids::Id;
use proto::v1::{Event, Recorder};
use tlog::LeafIndex;

use super::names;
use super::world::{ERASED, World};
use crate::fsck::absent::Absences;
use crate::fsck::disclosures::Disclosures;
use crate::fsck::{Finding, FsckReport, place};
use crate::store::RocksStore;
use crate::store::keyspace::{
    CHAINS, DEFAULT, DISCLOSURES, ENTRIES, KEYS, META, TILES, chain_key, chain_value,
    disclosure_key, entry_index, entry_key, parse_chain, tile_key,
};
use crate::vault;

/// What fsck says of a store in which this was done.
fn after(world: &World, change: impl FnOnce(&mut RocksStore)) -> FsckReport {
    let (mut store, _) = RocksStore::open_for_check(&world.folder().join("store")).unwrap();
    change(&mut store);
    drop(store);
    world.fsck()
}

#[track_caller]
fn expect<'a>(report: &'a FsckReport, code: &str, place: &str) -> &'a Finding {
    let found = report.findings.iter().find(|f| f.code == code && f.place == place);
    found.unwrap_or_else(|| panic!("no {code} at {place}: {:#?}", report.findings))
}

#[test]
fn what_nobody_asks_for_is_found() {
    let world = World::build(300);
    let report = after(&world, |store| {
        // Of a leaf that commits to nothing, of a slot that its leaf does not commit to, behind the last leaf.
        store.overwrite(DISCLOSURES, &disclosure_key(LeafIndex(0), 2), Some(b"x"));
        store.overwrite(DISCLOSURES, &disclosure_key(LeafIndex(5), 5), Some(b"x"));
        store.overwrite(DISCLOSURES, &disclosure_key(LeafIndex(9_999), 2), Some(b"x"));
        store.overwrite(KEYS, &[7; 16], Some(&[7; 32]));
        store.overwrite(TILES, &tile_key(0, 1), Some(&[7; 8_192]));
        store.overwrite(TILES, &tile_key(1, 0), Some(&[7; 8_192]));
        store.overwrite(ENTRIES, &entry_key(LeafIndex(9_999)), Some(b"x"));
        store.overwrite(ENTRIES, b"short", Some(b"x"));
        store.overwrite(CHAINS, &[&[7; 16], &b"nobody"[..]].concat(), Some(&[0; 49]));
        store.overwrite(META, b"foot", Some(b"x"));
        store.overwrite(DEFAULT, b"x", Some(b"x"));
        store.add_family("secrets");
    });
    for (code, place) in [
        ("disclosure_surplus", "entry 0, disclosure MESSAGE"),
        ("disclosure_surplus", "entry 5, disclosure REASON"),
        ("disclosure_surplus", "entry 9999, disclosure MESSAGE"),
        ("key_surplus", "key 07070707070707070707070707070707"),
        ("tile_surplus", "tile 0/1"),
        ("tile_surplus", "tile 1/0"),
        ("entry_surplus", "entry 9999"),
        ("entry_surplus", "record 73686f7274 of entries"),
        ("chain_surplus", "chain of nobody 07070707070707070707070707070707"),
        ("record_surplus", "record 666f6f74 of meta"),
        ("record_surplus", "record 78 of default"),
        ("family_unknown", "column family \"secrets\""),
    ] {
        expect(&report, code, place);
    }
    assert_eq!(report.findings.len(), 12, "{:#?}", report.findings);
}

#[test]
fn what_is_missing_is_found_and_the_walk_goes_on_behind() {
    let world = World::build(600);
    let report = after(&world, |store| {
        store.overwrite(ENTRIES, &entry_key(LeafIndex(100)), None);
        store.overwrite(ENTRIES, &entry_key(LeafIndex(101)), None);
        store.overwrite(TILES, &tile_key(0, 1), None);
    });
    expect(&report, "entry_missing", "entries 100 to 101");
    expect(&report, "tile_mismatch", "tile 0/1");
    // The tile has the hashes of the two: the root is known, and right. And no chain is called broken for what is lost.
    assert_eq!(report.findings.len(), 2, "{:#?}", report.findings);
    let stored = report.entries;
    let report = after(&world, |store| {
        store.overwrite(ENTRIES, &entry_key(LeafIndex(stored)), None);
    });
    expect(&report, "entry_missing", &place::entry(stored));
    expect(&report, "root_unknown", place::TREE_HEAD);
}

#[test]
fn one_lost_entry_is_not_told_as_a_forgery() {
    let world = World::build(300);
    let size = world.fsck().entries;
    for index in (0..size).step_by(5) {
        let key = entry_key(LeafIndex(index));
        let mut kept = None;
        let report = after(&world, |store| {
            kept = store.record(ENTRIES, &key).unwrap();
            store.overwrite(ENTRIES, &key, None);
        });
        assert!(!report.is_good());
        let accuses = |finding: &&Finding| {
            finding.code.starts_with("chain_") || finding.code.starts_with("seal_")
        };
        assert_eq!(report.findings.iter().find(accuses), None, "without entry {index}");
        after(&world, |store| store.overwrite(ENTRIES, &key, kept.as_deref()));
    }
}

#[test]
fn lost_tails_and_heads_are_told_apart() {
    let world = World::build(300);
    let size = world.fsck().entries;
    let last = place::entry(size - 1);
    let mut head = Vec::new();
    let report = after(&world, |store| {
        head = store.record(META, b"head").unwrap().unwrap();
        let mut longer = head.clone();
        longer[..8].copy_from_slice(&(size + 5).to_be_bytes());
        store.overwrite(META, b"head", Some(&longer));
    });
    let found = expect(&report, "head_size", place::TREE_HEAD);
    assert!(found.message.contains("they give its root"), "{found}");
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);

    let report = after(&world, |store| store.overwrite(META, b"head", None));
    expect(&report, "head_missing", place::TREE_HEAD);
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);

    let report = after(&world, |store| {
        store.overwrite(META, b"head", Some(&head));
        store.overwrite(ENTRIES, &entry_key(LeafIndex(size - 1)), None);
    });
    assert!(names(expect(&report, "head_size", place::TREE_HEAD), &last));
    expect(&report, "store_behind", place::CHECKPOINT);
}

#[test]
fn only_what_the_log_says_was_erased_may_be_absent() {
    let world = World::build_with(300, true);
    let alpha = world.recorders.iter().find(|key| key.name() == "alpha").unwrap();
    let epoch = vec![alpha.public_key()[0]; 16];
    let key_of = |exchange: u8| {
        let recorder_id = "alpha".into();
        let recorder = Recorder { recorder_id, epoch: epoch.clone().into(), ..Recorder::default() };
        let exchange_id = vec![exchange; 16].into();
        vault::key_id(&Event { recorder: Some(recorder), exchange_id, ..Event::default() })
    };
    let report = world.fsck();
    assert!(report.is_good() && report.erased == 2, "{:#?}", report.findings);
    assert!(report.purge_pending && report.holds == 1);
    let gone = place::key(&key_of(ERASED));
    let report = after(&world, |store| store.overwrite(KEYS, &key_of(ERASED), Some(&[1; 32])));
    expect(&report, "key_not_destroyed", &gone);
    let report = after(&world, |store| store.overwrite(KEYS, &key_of(ERASED), None));
    expect(&report, "key_forgotten", &gone);
    assert_eq!((report.found["key_forgotten"], report.findings.len()), (2, 2), "one a disclosure");
    let mut erased = Vec::new();
    let report = after(&world, |store| {
        store.overwrite(KEYS, &key_of(ERASED), Some(&[]));
        // Beside it in the log: the message of another exchange, sealed as it was.
        let is_erased = |index: u64| {
            let entry = store.record(ENTRIES, &entry_key(LeafIndex(index))).unwrap().unwrap();
            proto::decode_entry(&entry.into()).unwrap().event.exchange_id == [ERASED; 16][..]
        };
        let index = (0..100).find(|index| is_erased(*index)).unwrap();
        erased = disclosure_key(LeafIndex(index), 2).to_vec();
        store.overwrite(DISCLOSURES, &erased, Some(&[3; 80]));
    });
    expect(&report, "disclosure_not_erased", &place::record(DISCLOSURES, &erased));
    let report = after(&world, |store| store.overwrite(DISCLOSURES, &erased, None));
    assert!(report.is_good(), "{:#?}", report.findings);
    let report = after(&world, |store| store.overwrite(KEYS, &key_of(2), None));
    assert_eq!((report.erased, report.found["key_missing"]), (2, 4));
    assert!(report.findings.iter().all(|f| names(f, &place::key(&key_of(2)))));
    let report = after(&world, |store| store.overwrite(KEYS, &key_of(2), Some(&[1; 31])));
    expect(&report, "key_damaged", &place::key(&key_of(2)));
    assert_eq!(report.found["disclosure_unopened"], 4);
}

/// Retention erases more than any memory holds. Break it: let `insert` in `sorted.rs` forget what has no room.
#[test]
fn what_was_erased_and_what_is_lost_are_told_apart_however_little_fits() {
    let world = World::build_with(300, true);
    let (store, _) = RocksStore::open_for_check(&world.folder().join("store")).unwrap();
    let (lost, _) = store.all(DISCLOSURES).swap_remove(3);
    store.overwrite(DISCLOSURES, &lost, None);
    for bound in [1, 2, 1_000] {
        let absences = Absences::bounded(world.dir.path(), bound);
        let mut disclosures = Disclosures::with(&store, absences);
        let mut report = FsckReport::default();
        for (key, entry) in store.all(ENTRIES) {
            let LeafIndex(index) = entry_index(&key).unwrap();
            let leaf = decode_entry(&Bytes::from(entry)).unwrap();
            disclosures.check(index, &leaf.event, &mut report);
        }
        disclosures.finish(&mut report);
        expect(&report, "disclosure_missing", &place::record(DISCLOSURES, &lost));
        assert_eq!((report.erased, report.findings.len()), (2, 1), "with room for {bound}");
    }
}

#[test]
fn a_suspension_and_its_conflict_belong_together() {
    let world = World::build(300);
    for (recorder, to) in [("mallory", false), ("early", false), ("alpha", true), ("beta", true)] {
        let (mut place, mut value) = (String::new(), Vec::new());
        let report = after(&world, |store| {
            let of = |(key, _): &&(Box<[u8]>, _)| key.ends_with(recorder.as_bytes());
            let (key, stored) = store.all(CHAINS).iter().find(of).cloned().unwrap();
            let mut chain = parse_chain(&key, &stored).unwrap();
            place = place::chain(recorder, chain.epoch);
            chain.suspended = to;
            store.overwrite(CHAINS, &chain_key(&chain), Some(&chain_value(&chain)));
            value = stored.to_vec();
        });
        let found = expect(&report, "chain_mismatch", &place);
        assert!(found.message.contains("suspended"), "{found}");
        let report = after(&world, |store| {
            let epoch: Id = place
                .rsplit(' ')
                .next()
                .and_then(|hex| Id::from_slice(&hex::decode(hex).ok()?))
                .unwrap();
            store.overwrite(CHAINS, &[&epoch.0, recorder.as_bytes()].concat(), Some(&value));
        });
        assert!(report.is_good(), "{:#?}", report.findings);
    }
}

#[test]
fn tiles_of_the_second_level_are_checked() {
    let world = World::build(66_000);
    let report = world.fsck();
    assert!(report.is_good(), "{:#?}", report.findings);
    assert_eq!(report.tiles, report.entries / 256 + 1);
    let mut good = Vec::new();
    let report = after(&world, |store| {
        good = store.record(TILES, &tile_key(1, 0)).unwrap().unwrap();
        let mut flipped = good.clone();
        flipped[32 * 77 + 5] ^= 1;
        store.overwrite(TILES, &tile_key(1, 0), Some(&flipped));
    });
    assert!(names(expect(&report, "tile_mismatch", "tile 1/0"), "tile 0/77"));
    assert_eq!(report.findings.len(), 1);
    let report = after(&world, |store| {
        store.overwrite(TILES, &tile_key(1, 0), None);
        store.overwrite(TILES, &tile_key(1, 1), Some(&good));
    });
    expect(&report, "tile_mismatch", "tile 1/0");
    expect(&report, "tile_surplus", "tile 1/1");
}

#[test]
fn a_store_that_does_not_open_is_a_finding() {
    let world = World::build(45);
    fs::remove_file(world.folder().join("checkpoint")).unwrap();
    fs::write(world.folder().join("store/CURRENT"), "MANIFEST-999999\n").unwrap();
    let report = world.fsck();
    expect(&report, "checkpoint_missing", place::CHECKPOINT);
    expect(&report, "store_unreadable", place::STORE);
    assert_eq!(report.findings.len(), 2);
    assert!(!report.is_opened, "counts of what was not read");
}
