//! Proofs out of a large log, on one thread.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use ledger::bench::Log;
use tlog::{LeafIndex, RangeProof, TreeSize, leaf_hash, prove_inclusion, verify_inclusion};
use tokio::runtime::Runtime;

use crate::growth;
use crate::measure::Failure;
use crate::table::{Line, Table, Target, number};

/// Leaves of one range.
const RANGE: u64 = 1 << 20;

/// Proves leaves of the log in `folder`.
pub(crate) fn run(runtime: &Runtime, folder: &Path, table: &mut Table) -> Result<(), Failure> {
    let (log, _) = growth::open(runtime, folder)?;
    let size = log.size();
    let millions = number(size.0 as f64 / 1e6);
    check(&log, size)?;

    let mut state = 88_172_645_463_325_252_u64;
    let mut random = || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % size.0
    };
    // As often as there are tiles to be met; then as a ledger runs on.
    let met = (size.0 / 100).max(100_000);
    let cold = rate(&log, (0..met).map(|_| random()))?;
    let warm = rate(&log, (0..100_000).map(|_| random()))?;
    let near = rate(&log, (size.0 / 2..size.0).take(400_000))?;
    let first = format!("{}/s right after the start", number(cold));
    let lines =
        [("random leaves", warm, first, 50_000.0), ("neighbours", near, String::new(), 300_000.0)];
    for (name, rate, baseline, target) in lines {
        table.push(Line {
            what: format!("inclusion proofs, {millions} M entries, {name}"),
            ours: format!("{}/s on one core", number(rate)),
            baseline,
            judged: rate,
            target: Target::AtLeast(target),
        });
    }
    range(&log, size, table)
}

/// Proofs of these leaves in a second.
fn rate(log: &Log, leaves: impl Iterator<Item = u64>) -> Result<f64, Failure> {
    let size = log.size();
    let (start, mut proofs) = (Instant::now(), 0);
    for leaf in leaves {
        black_box(prove_inclusion(LeafIndex(leaf), size, &log.tree().nodes())?);
        proofs += 1;
    }
    Ok(f64::from(proofs) / start.elapsed().as_secs_f64())
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
