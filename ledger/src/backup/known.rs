//! The backups that a folder which was brought back has to name: whatever may hold what is erased from it later.
//!
//! The list of the data folder is lost with it. So each backup has it as it was then, and later ones have it as it was later.
//! What stands beside them is counted by name, since a backup that cannot be restored still holds bytes; and what one left
//! that was cut off has the number that the next one will take, as it would have had in the list.

use std::collections::BTreeMap;

use super::BackupError;
use super::depot::Depot;
use super::list::{self, BackupMade};
use super::manifest::Manifest;

/// The list of a folder into which this backup is brought back, the oldest first. It may name one that is gone.
pub(super) fn known(
    depot: &Depot,
    brought_back: &Manifest,
) -> Result<Vec<BackupMade>, BackupError> {
    let of = |backup| (depot.dir().to_owned(), backup);
    // What is known of one by its number alone.
    let here = |backup| BackupMade {
        folder: depot.dir().to_owned(),
        backup,
        made_at_ns: 0,
        size: 0,
        unfinished: false,
    };
    let mut known = BTreeMap::new();
    let manifests = depot.manifests()?;
    for manifest in manifests.iter().filter(|other| other.backup >= brought_back.backup) {
        let listed = list::parse(&manifest.backups).map_err(BackupError::file(depot.dir()))?;
        known.extend(listed.into_iter().map(|made| ((made.folder.clone(), made.backup), made)));
    }
    for number in depot.numbers()? {
        known.entry(of(number)).or_insert_with(|| here(number));
    }
    for Manifest { backup, made_at_ns, size, .. } in manifests {
        known.insert(of(backup), BackupMade { made_at_ns, size, ..here(backup) });
    }
    if depot.may_hold_strays()? {
        let next = depot.next_number()?;
        known.entry(of(next)).or_insert_with(|| BackupMade { unfinished: true, ..here(next) });
    }
    let mut known: Vec<_> = known.into_values().collect();
    known.sort_by_key(|made| made.made_at_ns);
    Ok(known)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use tlog::{Checkpoint, Hash, TreeSize};

    use super::*;

    /// A backup without files, with this list.
    fn make(depot: &Depot, made_at_ns: u64, backups: &[BackupMade]) -> Manifest {
        let origin = "log".into();
        let checkpoint = Checkpoint { origin, size: TreeSize(made_at_ns), root: Hash([1; 32]) };
        let next = depot.next_number().unwrap();
        let made = Manifest::new(next, made_at_ns, &checkpoint, "note", String::new(), Vec::new());
        let made = made.with_backups(list::text(backups).unwrap());
        depot.keep(&made).unwrap();
        made
    }

    /// Where, which, when; and whether it is unfinished.
    type Told = (&'static str, u64, u64, bool);

    fn told(known: &[BackupMade]) -> Vec<Told> {
        let told = known.iter().map(|made| {
            let folder = if made.folder.ends_with("backups") { "here" } else { "there" };
            (folder, made.backup, made.made_at_ns, made.unfinished)
        });
        told.collect()
    }

    /// Break it: leave out, in `known`, the lists of the manifests, or the numbers by name, or what may be strays.
    #[test]
    fn every_backup_that_may_hold_what_is_erased_later_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let depot = Depot::open(&scratch.path().join("backups")).unwrap();
        let elsewhere = |backup, made_at_ns| BackupMade {
            folder: scratch.path().join("second"),
            backup,
            made_at_ns,
            size: 1,
            unfinished: false,
        };
        make(&depot, 10, &[]);
        let second = make(&depot, 20, &[elsewhere(1, 5)]);
        let first = depot.find(Some(1)).unwrap();
        let all: [Told; 3] =
            [("there", 1, 5, false), ("here", 1, 10, false), ("here", 2, 20, false)];
        assert_eq!(told(&known(&depot, &second).unwrap()), all);
        // Also into an older copy: the later backup knows it.
        assert_eq!(told(&known(&depot, &first).unwrap()), all);

        // One that cannot be read, and what one left that was killed.
        make(&depot, 30, &[elsewhere(1, 5), elsewhere(2, 25)]);
        let mut manifests =
            fs::read_dir(depot.dir().join("backups")).unwrap().map(|file| file.unwrap().path());
        let is_third =
            |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("0000000003.");
        fs::write(manifests.find(is_third).unwrap(), "{}").unwrap();
        let unknown: [Told; 2] = [("here", 3, 0, false), ("here", 4, 0, true)];
        assert_eq!(told(&known(&depot, &second).unwrap()), [&unknown[..], &all[..]].concat());
    }

    /// Break it: let `may_hold_strays` say no where all manifests can be read.
    #[test]
    fn what_a_killed_backup_left_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let depot = Depot::open(&scratch.path().join("backups")).unwrap();
        let first = make(&depot, 10, &[]);
        assert_eq!(told(&known(&depot, &first).unwrap()), [("here", 1, 10, false)]);
        let whole = "a".repeat(64);
        for stray in ["files/.tmpX", "backups/.tmpY", &*format!("files/{whole}")] {
            let path = depot.dir().join(stray);
            fs::write(&path, "cut").unwrap();
            let both: [Told; 2] = [("here", 2, 0, true), ("here", 1, 10, false)];
            assert_eq!(told(&known(&depot, &first).unwrap()), both, "{stray}");
            fs::remove_file(path).unwrap();
        }
    }
}
