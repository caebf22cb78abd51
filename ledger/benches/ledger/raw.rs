//! The baselines: RocksDB alone, and a file alone, writing the same bytes in the same commits.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use ledger::bench::{RawStore, Writes, writes_of};
use tokio::runtime::Runtime;

use crate::events::{Chain, ORIGIN};
use crate::measure::{Failure, Times};

/// What the ledger writes for `commits` commits of `events` events each.
pub(crate) fn commits(
    runtime: &Runtime,
    commits: usize,
    events: usize,
) -> Result<Vec<Writes>, Failure> {
    let mut chain = Chain::new(9, true)?;
    let frames = chain.frames(commits, events)?;
    let key = chain.key.verifying_key();
    runtime.block_on(writes_of(ORIGIN, key, chain.epoch, frames))
}

/// One synced WriteBatch after the other.
pub(crate) fn rocksdb(folder: &Path, commits: &[Writes]) -> Result<Times, Failure> {
    let store = RawStore::open(&folder.join("raw"))?;
    each(commits, |writes| Ok(store.write(writes)?))
}

/// One write and fdatasync after the other, at the end of one file.
pub(crate) fn fdatasync(folder: &Path, commits: &[Writes]) -> Result<Times, Failure> {
    let mut file = File::create(folder.join("file"))?;
    each(commits, |writes| {
        file.write_all(writes.bytes())?;
        Ok(file.sync_data()?)
    })
}

fn each(
    commits: &[Writes],
    mut commit: impl FnMut(&Writes) -> Result<(), Failure>,
) -> Result<Times, Failure> {
    let mut times = Times::default();
    for writes in commits {
        let start = Instant::now();
        commit(writes)?;
        times.push(start.elapsed());
    }
    Ok(times)
}
