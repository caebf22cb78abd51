//! Proofs out of a large log, on one thread.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use ledger::bench::Log;
use tlog::{LeafIndex, RangeProof, TreeSize, leaf_hash, prove_inclusion, verify_inclusion};
use tokio::runtime::Runtime;

use crate::measure::Failure;
use crate::table::{Line, Table, Target, number};

/// Leaves of one range.
const RANGE: u64 = 1 << 20;

/// Proves leaves of the log in `folder`.
pub(crate) fn run(runtime: &Runtime, folder: &Path, table: &mut Table) -> Result<(), Failure> {
    let log = {
        let _within = runtime.enter();
        Log::open(folder, None)?
    };
    let size = log.size();
    let millions = number(size.0 as f64 / 1e6);
    check(&log, size)?;

    let mut state = 88_172_645_463_325_252_u64;
    let random = (0..100_000).map(|_| {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % size.0
    });
    let random: Vec<u64> = random.collect();
    let middle = size.0 / 2;
    let neighbours: Vec<u64> = (middle..size.0).take(400_000).collect();
    let lines = [("random leaves", random, 50_000.0), ("neighbours", neighbours, 300_000.0)];
    for (name, leaves, target) in lines {
        let start = Instant::now();
        for leaf in &leaves {
            black_box(prove_inclusion(LeafIndex(*leaf), size, &log.tree().nodes())?);
        }
        let rate = leaves.len() as f64 / start.elapsed().as_secs_f64();
        table.push(Line {
            what: format!("inclusion proofs, {millions} M entries, {name}"),
            ours: format!("{}/s on one core", number(rate)),
            baseline: String::new(),
            judged: rate,
            target: Target::AtLeast(target),
        });
    }
    range(&log, size, table)
}

/// What is measured must be right.
fn check(log: &Log, size: TreeSize) -> Result<(), Failure> {
    let root = log.tree().root_at(size)?;
    for leaf in [0, size.0 / 3, size.0 - 1] {
        let proof = prove_inclusion(LeafIndex(leaf), size, &log.tree().nodes())?;
        let entry = log.entries(leaf, 1)?;
        let hash = leaf_hash(entry.first().ok_or("the entry is missing")?);
        verify_inclusion(LeafIndex(leaf), size, &hash, &proof, &root)?;
    }
    Ok(())
}

fn range(log: &Log, size: TreeSize, table: &mut Table) -> Result<(), Failure> {
    let start = size.0 / 3;
    let end = (start + RANGE).min(size.0);
    let root = log.tree().root_at(size)?;
    let proof = RangeProof::prove(start, end, size, String::new(), &log.tree().nodes())?;
    let count = usize::try_from(end - start)?;
    let mut entries = Vec::with_capacity(count);
    while entries.len() < count {
        entries
            .extend(log.entries(start + entries.len() as u64, (count - entries.len()).min(4_096))?);
    }
    let hashes: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let begun = Instant::now();
    proof.verify(size, &root, hashes)?;
    let joined = count as f64 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    proof.verify(size, &root, entries.iter().map(|entry| leaf_hash(entry)))?;
    let whole = count as f64 / begun.elapsed().as_secs_f64();
    table.push(Line {
        what: "verification of a range, from leaf hashes".into(),
        ours: format!("{} leaves/s on one core", number(joined)),
        baseline: format!("{} leaves/s with hashing of the entries", number(whole)),
        judged: joined,
        target: Target::AtLeast(3_000_000.0),
    });
    Ok(())
}
