//! What safety rests on, as the engine itself writes it down.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::RocksStore;
use crate::store::keyspace::FAMILIES;

/// The newest OPTIONS file of a store: section, name, value. RocksDB writes there what is in force, after it has
/// mended what did not fit together.
fn options_in_force(store: &Path) -> HashMap<(String, String), String> {
    let files = fs::read_dir(store).unwrap().map(|file| file.unwrap().path());
    let newest = files
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("OPTIONS-"))
        .max()
        .unwrap();
    let text = fs::read_to_string(newest).unwrap();
    let mut section = String::new();
    let mut options = HashMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.replace('"', "");
        } else if let Some((name, value)) = line.split_once('=') {
            options.insert((section.clone(), name.to_owned()), value.to_owned());
        }
    }
    options
}

#[test]
fn the_options_in_force_are_those_that_safety_rests_on() {
    let folder = tempfile::tempdir().unwrap();
    drop(RocksStore::open(folder.path()).unwrap());
    let options = options_in_force(folder.path());
    let mut wrong = Vec::new();
    let mut expect = |section: &str, expected: &[(&str, &str)]| {
        for (name, value) in expected {
            let found = options.get(&(section.to_owned(), (*name).to_owned()));
            if found.map(String::as_str) != Some(value) {
                wrong.push(format!("[{section}] {name} is {found:?}, not {value:?}"));
            }
        }
    };
    expect(
        "DBOptions",
        &[
            // What a power cut leaves: a torn tail is dropped, all other damage refuses to open. See `database_options`.
            ("wal_recovery_mode", "kTolerateCorruptedTailRecords"),
            ("recycle_log_file_num", "0"),
            ("best_efforts_recovery", "false"),
            ("avoid_flush_during_recovery", "false"),
            // A commit is in the write-ahead log, in order, and the log is on the disk, when it returns.
            ("manual_wal_flush", "false"),
            ("unordered_write", "false"),
            ("two_write_queues", "false"),
            ("allow_2pc", "false"),
            ("allow_mmap_writes", "false"),
            ("async_wal_precreate", "false"),
            // No log goes before what it holds is in tables.
            ("track_and_verify_wals_in_manifest", "true"),
            ("WAL_ttl_seconds", "0"),
            ("WAL_size_limit_MB", "0"),
            // What is read is what was written.
            ("paranoid_checks", "true"),
            ("verify_sst_unique_id_in_manifest", "true"),
            ("flush_verify_memtable_count", "true"),
            ("compaction_verify_record_count", "true"),
            ("max_open_files", "-1"),
        ],
    );
    for family in FAMILIES {
        expect(
            &format!("CFOptions {family}"),
            &[
                ("force_consistency_checks", "true"),
                ("inplace_update_support", "false"),
                ("disable_auto_compactions", "false"),
            ],
        );
        expect(
            &format!("TableOptions/BlockBasedTable {family}"),
            &[("checksum", "kXXH3"), ("format_version", "6")],
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// RocksDB's own rule: with this recovery mode it does not reuse log files, whatever it was told.
#[test]
fn the_engine_refuses_to_reuse_logs_in_this_recovery_mode() {
    let folder = tempfile::tempdir().unwrap();
    let mut told = super::database_options();
    told.set_recycle_log_file_num(4);
    drop(rocksdb::DB::open(&told, folder.path()).unwrap());
    let options = options_in_force(folder.path());
    let key = ("DBOptions".to_owned(), "recycle_log_file_num".to_owned());
    assert_eq!(options[&key], "0");
}
