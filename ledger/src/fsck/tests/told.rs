//! What a report says beside its findings: how much there is, what vouches for it, and one damaged block as one finding.

use std::fs;

use tlog::{Checkpoint, Hash, TreeSize};

use super::world::World;
use crate::fsck::place;
use crate::store::RocksStore;
use crate::store::keyspace::ENTRIES;

/// Break it: let `is_same_damage` in `report.rs` say no.
#[test]
fn a_rotten_block_of_entries_is_told_once_and_how_many_are_lost() {
    let world = World::build(300);
    let store = world.folder().join("store");
    let tables = {
        let (open, _) = RocksStore::open_for_check(&store).unwrap();
        open.flush();
        open.files_of(ENTRIES)
    };
    // The first block of a table stands at its beginning.
    let table = store.join(&tables[0]);
    let mut bytes = fs::read(&table).unwrap();
    bytes[20] ^= 1;
    fs::write(&table, bytes).unwrap();
    let report = world.fsck();
    let lost = report.size - report.entries;
    assert!(lost > 1, "{report:#?}");
    for code in ["entry_unreadable", "unreadable"] {
        assert_eq!(report.found.get(code), Some(&1), "{code}: {:#?}", report.findings);
    }
    let told = report.findings.iter().find(|finding| finding.code == "entry_unreadable").unwrap();
    assert_eq!(told.more, lost - 1);
    let first = (0..report.size).find(|index| told.place == place::entry(*index)).unwrap();
    assert_eq!(told.last, Some(place::entry(first + lost - 1)));
}

/// Break it: say nothing of the checkpoint in `fsck_until`.
#[test]
fn the_checkpoint_that_the_entries_were_held_against_is_told() {
    let world = World::build(45);
    let file = world.folder().join("checkpoint");
    let report = world.fsck();
    assert_eq!(report.size, report.entries);
    let published = report.checkpoint.unwrap();
    assert_eq!(published.size.0, report.size);
    // An older one, as somebody kept it: nothing is wrong, and the report knows how far it reaches.
    let older = Checkpoint { size: TreeSize(0), root: Hash::empty_root(), ..published };
    fs::write(&file, older.sign(&World::log_key())).unwrap();
    let report = world.fsck();
    assert!(report.is_good(), "{:#?}", report.findings);
    assert_eq!(report.checkpoint, Some(older));
    fs::remove_file(file).unwrap();
    assert_eq!(world.fsck().checkpoint, None);
}
