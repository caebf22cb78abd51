//! A folder of backups, cut off and changed in every way.

use super::rot::TURNS;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use tlog::{Checkpoint, Hash, TreeSize};

fn make(depot: &Depot, store: &Path, stop: bool) -> Result<(Manifest, u64), BackupError> {
    let stop = AtomicBool::new(stop);
    let known = depot.manifests()?.pop();
    let (mut files, mut copied) = (Vec::new(), 0);
    for path in entries(store)? {
        let (file, bytes) = depot.take(&path, known.as_ref(), &stop)?;
        files.push(file);
        copied += bytes;
    }
    let checkpoint = Checkpoint { origin: "log".into(), size: TreeSize(1), root: Hash([1; 32]) };
    let manifest =
        Manifest::new(depot.next_number()?, 1, &checkpoint, "note", String::new(), files);
    depot.keep(&manifest)?;
    Ok((manifest, copied))
}

fn names(depot: &Depot, part: &str) -> usize {
    fs::read_dir(depot.dir.join(part)).unwrap().count()
}

#[test]
fn only_what_is_new_is_copied_and_only_what_is_needed_stays() {
    let scratch = tempfile::tempdir().unwrap();
    let store = scratch.path().join("store");
    fs::create_dir(&store).unwrap();
    let depot = Depot::open(&scratch.path().join("backups")).unwrap();
    assert!(matches!(depot.find(None), Err(BackupError::Missing { .. })));
    fs::write(store.join("1.sst"), [1; 1000]).unwrap();
    fs::write(store.join("CURRENT"), "one").unwrap();
    assert_eq!(make(&depot, &store, false).unwrap().1, 1003);
    fs::write(store.join("2.sst"), [2; 100]).unwrap();
    fs::write(store.join("CURRENT"), "two").unwrap();
    assert_eq!(make(&depot, &store, false).unwrap().1, 103);
    assert_eq!(names(&depot, "files"), 4);
    // A table that is gone goes with the last backup that holds it.
    fs::remove_file(store.join("1.sst")).unwrap();
    assert_eq!(make(&depot, &store, false).unwrap().1, 0);
    assert_eq!(depot.purge(1).unwrap(), Some(vec![1, 2]));
    assert_eq!((names(&depot, "files"), names(&depot, "backups")), (2, 1));
    assert_eq!(depot.find(None).unwrap().backup, 3);
    let error = depot.find(Some(1)).unwrap_err().to_string();
    assert!(error.contains("no backup 1; there are: 3"), "{error}");
}

#[test]
fn what_was_cut_off_harms_nothing_and_is_removed() {
    let scratch = tempfile::tempdir().unwrap();
    let store = scratch.path().join("store");
    fs::create_dir(&store).unwrap();
    let depot = Depot::open(&scratch.path().join("backups")).unwrap();
    fs::write(store.join("1.sst"), [1; 1000]).unwrap();
    make(&depot, &store, false).unwrap();
    fs::write(store.join("2.sst"), [2; 1000]).unwrap();
    assert!(matches!(make(&depot, &store, true), Err(BackupError::Stopped)));
    // As a kill leaves it: a part, a whole file that nothing names, a manifest without its name.
    let unnamed = format!("files/{}", "a".repeat(64));
    for odd in ["files/.tmpX", unnamed.as_str(), "backups/.tmpY"] {
        fs::write(depot.dir.join(odd), "cut").unwrap();
    }
    assert_eq!(depot.find(None).unwrap().backup, 1);
    make(&depot, &store, false).unwrap();
    assert_eq!(depot.purge(9).unwrap(), Some(Vec::new()));
    assert_eq!((names(&depot, "files"), names(&depot, "backups")), (2, 2));
    let file = &depot.find(Some(1)).unwrap().files[0];
    depot.give(file, &scratch.path().join("back")).unwrap();
    assert_eq!(fs::read(scratch.path().join("back")).unwrap(), [1; 1000]);
}

#[test]
fn one_changed_byte_is_found_and_named() {
    let scratch = tempfile::tempdir().unwrap();
    let store = scratch.path().join("store");
    fs::create_dir(&store).unwrap();
    let depot = Depot::open(&scratch.path().join("backups")).unwrap();
    fs::write(store.join("1.sst"), [1; 1000]).unwrap();
    let (manifest, _) = make(&depot, &store, false).unwrap();
    let path = depot.path(&manifest.files[0]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[500] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = depot.give(&manifest.files[0], &scratch.path().join("back")).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("1.sst") && error.contains(&manifest.files[0].sha256), "{error}");
    assert!(error.contains("all in this folder do"), "{error}");
    // Who does not need it may come back. Break it: tell of all in `those_without`.
    fs::remove_file(store.join("1.sst")).unwrap();
    for n in 2..=3 {
        fs::write(store.join("CURRENT"), n.to_string()).unwrap();
        make(&depot, &store, false).unwrap();
    }
    depot.judge(&[2], Verdict::Good).unwrap();
    let error = depot.give(&manifest.files[0], &scratch.path().join("once more")).unwrap_err();
    assert!(error.to_string().contains("these do not: 3, 2 (verified) ("), "{error}");
    fs::remove_file(&path).unwrap();
    let error = depot.give(&manifest.files[0], &scratch.path().join("again")).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}

#[test]
fn one_at_a_time() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("backups");
    let first = Depot::open(&dir).unwrap();
    assert!(matches!(Depot::open(&dir), Err(BackupError::Busy(_))));
    assert!(matches!(Depot::read(&dir), Err(BackupError::Busy(_))));
    drop(first);
    let reading = (Depot::read(&dir).unwrap(), Depot::read(&dir).unwrap());
    assert!(matches!(Depot::open(&dir), Err(BackupError::BeingRead(_))));
    drop(reading);
    // Who only looks is in nobody's way.
    let _looking = Depot::look(&dir).unwrap();
    let _making = Depot::open(&dir).unwrap();
    Depot::look(&dir).unwrap();
}

/// Makes a backup as a ledger does: what is there is looked at first.
fn make_again(depot: &Depot, store: &Path) -> (Manifest, u64, Vec<u64>) {
    let never = AtomicBool::new(false);
    let damaged = depot.look_again(depot.next_number().unwrap(), &never).unwrap();
    let (manifest, _) = make(depot, store, false).unwrap();
    let (mended, lost) = depot.mended(&damaged).unwrap();
    (manifest, mended, lost)
}

#[test]
fn a_byte_that_rots_is_found_within_a_few_backups_and_written_anew() {
    let scratch = tempfile::tempdir().unwrap();
    let store = scratch.path().join("store");
    fs::create_dir(&store).unwrap();
    let depot = Depot::open(&scratch.path().join("backups")).unwrap();
    fs::write(store.join("1.sst"), [1; 1000]).unwrap();
    fs::write(store.join("2.sst"), [2; 1000]).unwrap();
    let (first, ..) = make_again(&depot, &store);
    for file in &first.files {
        let mut bytes = fs::read(depot.path(file)).unwrap();
        bytes[500] ^= 1;
        fs::write(depot.path(file), bytes).unwrap();
    }
    // What the store does not have any more nobody can write anew.
    fs::remove_file(store.join("2.sst")).unwrap();
    let (mut mended, mut lost) = (0, Vec::new());
    let mut newest = first.clone();
    for _ in 0..TURNS {
        let (made, again, gone) = make_again(&depot, &store);
        (mended, newest) = (mended + again, made);
        lost.extend(gone);
    }
    assert_eq!((mended, lost), (1, vec![1]));
    depot.give(&newest.files[0], &scratch.path().join("back")).unwrap();
    assert_eq!(fs::read(scratch.path().join("back")).unwrap(), [1; 1000]);
    let aside = |file: &StoredFile| depot.path(file).with_extension("damaged").exists();
    assert!(first.files.iter().all(aside), "what was damaged is not there to be looked at");
    let error = depot.give(&first.files[1], &scratch.path().join("gone")).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    // What was put aside goes with the last backup that names it: of one file the newest does, of the other none.
    depot.purge(1).unwrap();
    assert!(aside(&first.files[0]) && !aside(&first.files[1]));
    fs::write(store.join("1.sst"), [3; 1000]).unwrap();
    make(&depot, &store, false).unwrap();
    depot.purge(1).unwrap();
    assert!(!aside(&first.files[0]), "bytes of no backup are left");
    assert_eq!(names(&depot, "files"), 1);
}

/// Break it: go on in `purge` where `needed` knows nothing.
#[test]
fn while_a_manifest_cannot_be_read_nothing_goes_and_then_all_of_it_does() {
    let scratch = tempfile::tempdir().unwrap();
    let store = scratch.path().join("store");
    fs::create_dir(&store).unwrap();
    let depot = Depot::open(&scratch.path().join("backups")).unwrap();
    for n in 1..=3 {
        fs::write(store.join("CURRENT"), n.to_string()).unwrap();
        make(&depot, &store, false).unwrap();
    }
    let (_, second) = depot.names().unwrap()[1].clone();
    fs::write(depot.dir.join("backups").join(second), "{}").unwrap();
    assert_eq!(depot.purge(2).unwrap(), None);
    assert_eq!((depot.numbers().unwrap(), names(&depot, "files")), (vec![1, 2, 3], 3));
    fs::write(store.join("CURRENT"), "4").unwrap();
    make(&depot, &store, false).unwrap();
    assert_eq!(depot.purge(2).unwrap(), Some(vec![1, 2]));
    assert_eq!((depot.numbers().unwrap(), names(&depot, "files")), (vec![3, 4], 2));
}

#[test]
fn a_damaged_file_is_not_taken_for_one_of_the_same_digest() {
    let scratch = tempfile::tempdir().unwrap();
    let store = scratch.path().join("store");
    fs::create_dir(&store).unwrap();
    let depot = Depot::open(&scratch.path().join("backups")).unwrap();
    fs::write(store.join("CURRENT"), "one").unwrap();
    let (first, _) = make(&depot, &store, false).unwrap();
    fs::write(depot.path(&first.files[0]), "two").unwrap();
    assert_eq!(make(&depot, &store, false).unwrap().1, 3);
    assert_eq!(fs::read_to_string(depot.path(&first.files[0])).unwrap(), "one");
}

#[test]
fn nothing_is_put_where_the_disk_of_the_backups_is_away() {
    let scratch = tempfile::tempdir().unwrap();
    let away = scratch.path().join("mnt/elsewhere/backups");
    assert!(matches!(Depot::open(&away), Err(BackupError::NoFolderAbove(_))));
    // Somebody else's, and one level too high: neither is taken, nor closed. Break it: let `is_own` find nothing.
    let taken = scratch.path().join("taken");
    for name in ["lost+found", "backups"] {
        fs::create_dir_all(taken.join(name)).unwrap();
    }
    fs::set_permissions(&taken, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(taken.join("backups/lock"), "").unwrap();
    assert!(matches!(Depot::open(&taken), Err(BackupError::Foreign { .. })));
    fs::rename(taken.join("backups/lock"), taken.join("report.pdf")).unwrap();
    assert!(matches!(Depot::open(&taken), Err(BackupError::Foreign { .. })));
    assert_eq!(fs::metadata(&taken).unwrap().permissions().mode() & 0o777, 0o755);
    fs::remove_file(taken.join("report.pdf")).unwrap();
    assert!(Depot::open(&taken).is_ok());
    assert!(!scratch.path().join("mnt").exists());
    // The mount point is there, and nothing is mounted on it.
    let folder = scratch.path().join("backups");
    drop(Depot::open(&folder).unwrap());
    assert!(is_one(&folder));
    fs::remove_dir_all(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    assert!(!is_one(&folder));
}

/// Break it: look at no verdict in `split` of `purge.rs`; judge by the number alone in `verdicts`.
#[test]
fn the_newest_good_backup_stays_and_while_the_newest_verdict_is_bad_all_do() {
    let scratch = tempfile::tempdir().unwrap();
    let store = scratch.path().join("store");
    fs::create_dir(&store).unwrap();
    let depot = Depot::open(&scratch.path().join("backups")).unwrap();
    let more = |count: u64| {
        for _ in 0..count {
            fs::write(store.join("CURRENT"), depot.next_number().unwrap().to_string()).unwrap();
            make(&depot, &store, false).unwrap();
        }
    };
    more(4);
    depot.judge(&[1, 2], Verdict::Good).unwrap();
    assert_eq!(depot.purge(1).unwrap(), Some(vec![1, 3]));
    assert_eq!(depot.verdicts().unwrap().newest(), Some((2, Verdict::Good)));
    depot.judge(&[4], Verdict::Bad).unwrap();
    more(2);
    assert_eq!(depot.purge(1).unwrap(), Some(Vec::new()), "behind a bad one");
    depot.judge(&[6], Verdict::Good).unwrap();
    assert_eq!(depot.purge(1).unwrap(), Some(vec![2, 4, 5]));

    // What was said cannot be read: nobody knows which is the good one, until another is read back.
    more(1);
    fs::write(depot.verdicts_path(), "{").unwrap();
    assert_eq!(depot.purge(1).unwrap(), Some(Vec::new()));
    depot.judge(&[7], Verdict::Good).unwrap();
    assert_eq!(depot.purge(1).unwrap(), Some(vec![6]));

    // Another backup of the same number has none of its verdicts.
    let (_, name) = depot.names().unwrap().remove(0);
    fs::remove_file(depot.dir.join("backups").join(name)).unwrap();
    fs::write(store.join("1.sst"), "another").unwrap();
    fs::write(depot.dir.join("backups/0000000006.x.json"), "").unwrap();
    more(1);
    assert_eq!(depot.verdicts().unwrap().of(7), None);
}
