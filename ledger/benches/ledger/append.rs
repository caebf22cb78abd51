//! In this process: throughput at several batch sizes, acknowledgement at half load, one lone recorder.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use ledger::bench::{Log, Writer};
use proto::v1::NewEvent;
use tokio::runtime::Runtime;

use crate::events::{Chain, ORIGIN};
use crate::measure::{Failure, Times, cpu_seconds, median};
use crate::raw;
use crate::table::{Line, Table, Target, number};

/// Recorders that append at once.
const WRITERS: u8 = 2;
/// Submissions of each that may be on their way: while one is committed, the next is there.
const IN_FLIGHT: usize = 2;
/// Most events of a frame, as recorders send them.
const FRAME: usize = 512;
/// Each measurement is made so often, in turn with its baselines; the median counts.
const ROUNDS: usize = 3;
/// Batch sizes, and how many batches are written in one round.
const SIZES: [(usize, usize); 4] = [(1, 10_000), (64, 2_000), (1_024, 150), (4_096, 48)];

/// What half of the load is, and what the engine alone takes.
struct Measured {
    size: usize,
    events_per_second: f64,
    raw: Times,
}

pub(crate) fn run(
    runtime: &Runtime,
    dir: &Path,
    only: Option<usize>,
    table: &mut Table,
) -> Result<(), Failure> {
    let mut measured = Vec::new();
    for (size, batches) in
        SIZES.into_iter().filter(|(size, _)| only.is_none_or(|only| only == *size))
    {
        measured.push(throughput(runtime, dir, size, batches, table)?);
    }
    if only.is_some() {
        return Ok(());
    }
    merging(runtime, dir, table)?;
    for measured in measured.iter().filter(|measured| measured.size > 1) {
        half_load(runtime, dir, measured, table)?;
    }
    lone(runtime, dir, table)
}

/// Commits of exactly `size` events, ours beside the engine's own.
fn throughput(
    runtime: &Runtime,
    dir: &Path,
    size: usize,
    batches: usize,
    table: &mut Table,
) -> Result<Measured, Failure> {
    let events = (size * batches) as f64;
    let writes = raw::commits(runtime, batches, size)?;
    let (mut ours, mut rocksdb, mut file) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ours_cpu, mut rocksdb_cpu) = (Vec::new(), Vec::new());
    let mut raw_times = Times::default();
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir_in(dir)?;
        let (start, cpu) = (Instant::now(), cpu_seconds());
        raw_times.extend(raw::rocksdb(folder.path(), &writes)?);
        rocksdb.push(events / start.elapsed().as_secs_f64());
        rocksdb_cpu.push((cpu_seconds() - cpu) * 1e6 / events);
        let start = Instant::now();
        raw::fdatasync(folder.path(), &writes)?;
        file.push(events / start.elapsed().as_secs_f64());
        let Rate { events_per_second, cpu_us } = rate(runtime, dir, Some(size), size, batches)?;
        ours.push(events_per_second);
        ours_cpu.push(cpu_us);
    }
    let (ours, rocksdb, file) = (median(ours), median(rocksdb), median(file));
    let (ours_cpu, rocksdb_cpu) = (number(median(ours_cpu)), number(median(rocksdb_cpu)));
    table.push(Line {
        what: format!("append in process, {size} events a commit"),
        ours: format!("{} events/s, {ours_cpu} µs CPU", number(ours)),
        baseline: format!(
            "RocksDB {}, {rocksdb_cpu} µs CPU; write + fdatasync {}",
            number(rocksdb),
            number(file)
        ),
        judged: ours / rocksdb,
        target: Target::AtLeast(0.7),
    });
    Ok(Measured { size, events_per_second: ours, raw: raw_times })
}

/// As the ledger ships: what waits is committed together, up to its own bound.
fn merging(runtime: &Runtime, dir: &Path, table: &mut Table) -> Result<(), Failure> {
    let rates: Result<Vec<_>, _> =
        (0..ROUNDS).map(|_| rate(runtime, dir, None, FRAME, 400)).collect();
    let rates = rates?;
    let ours = median(rates.iter().map(|rate| rate.events_per_second).collect());
    let cpu_us = median(rates.iter().map(|rate| rate.cpu_us).collect());
    table.push(Line {
        what: "append in process, as it ships, frames of 512".into(),
        ours: format!("{} events/s, {} µs CPU", number(ours), number(cpu_us)),
        baseline: String::new(),
        judged: ours,
        target: Target::AtLeast(100_000.0),
    });
    Ok(())
}

struct Rate {
    events_per_second: f64,
    /// An event's, of all threads.
    cpu_us: f64,
}

/// From the first check to the last acknowledgement; the events are made before.
fn rate(
    runtime: &Runtime,
    dir: &Path,
    bound: Option<usize>,
    size: usize,
    batches: usize,
) -> Result<Rate, Failure> {
    let folder = tempfile::tempdir_in(dir)?;
    let each = batches / usize::from(WRITERS);
    let mut parts = Vec::new();
    for number in 0..WRITERS {
        let mut chain = Chain::new(number, true)?;
        let frames = chain.frames(each, size)?;
        parts.push((chain, frames));
    }
    runtime.block_on(async {
        let log = Log::open(folder.path(), bound)?;
        let (start, cpu) = (Instant::now(), cpu_seconds());
        let mut tasks = tokio::task::JoinSet::new();
        for (chain, frames) in parts {
            let writer = log.writer(ORIGIN, chain.key.verifying_key(), chain.epoch);
            tasks.spawn(append_all(writer, frames));
        }
        while let Some(appended) = tasks.join_next().await {
            appended??;
        }
        let seconds = start.elapsed().as_secs_f64();
        let events = (each * usize::from(WRITERS) * size) as f64;
        let cpu_us = (cpu_seconds() - cpu) * 1e6 / events;
        Ok(Rate { events_per_second: events / seconds, cpu_us })
    })
}

async fn append_all(mut writer: Writer, frames: Vec<Vec<NewEvent>>) -> Result<(), Failure> {
    let mut waiting = VecDeque::new();
    for frame in frames {
        waiting.push_back(writer.append(frame).await?);
        if waiting.len() == IN_FLIGHT
            && let Some(oldest) = waiting.pop_front()
        {
            oldest.wait().await?;
        }
    }
    for durable in waiting {
        durable.wait().await?;
    }
    Ok(())
}

/// One batch after the other at half the rate, whether the one before is acknowledged or not. A recorder sends at most
/// [`FRAME`] events at once; the batch is there when its last frame is durable.
fn half_load(
    runtime: &Runtime,
    dir: &Path,
    measured: &Measured,
    table: &mut Table,
) -> Result<(), Failure> {
    let size = measured.size;
    let interval = Duration::from_secs_f64(2.0 * size as f64 / measured.events_per_second);
    let batches = (4.0 / interval.as_secs_f64()) as usize;
    let folder = tempfile::tempdir_in(dir)?;
    let mut chain = Chain::new(0, true)?;
    let parts = size.div_ceil(FRAME);
    let mut batch = || chain.frames(parts, size / parts);
    let batches = (0..batches).map(|_| batch()).collect::<Result<Vec<_>, _>>()?;
    let log = {
        let _within = runtime.enter();
        Log::open(folder.path(), Some(size))?
    };
    let mut writer = log.writer(ORIGIN, chain.key.verifying_key(), chain.epoch);
    let mut acknowledgements = Vec::new();
    let mut due = Instant::now();
    for batch in batches {
        due += interval;
        let now = Instant::now();
        // A caller that wakes late has not waited; one that is held up by the batch before has.
        let handed = if now < due {
            std::thread::sleep(due - now);
            Instant::now()
        } else {
            due
        };
        let mut durables = Vec::with_capacity(parts);
        for frame in batch {
            durables.push(runtime.block_on(writer.append(frame))?);
        }
        acknowledgements.push(runtime.spawn(async move {
            for durable in durables {
                durable.wait().await?;
            }
            Ok::<_, Failure>(handed.elapsed())
        }));
    }
    let mut times = Times::default();
    for acknowledgement in acknowledgements {
        times.push(runtime.block_on(acknowledgement)??);
    }
    for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
        let (ours, raw) = (times.quantile_us(part), measured.raw.quantile_us(part));
        table.push(Line {
            what: format!("acknowledgement at half load, {size} events, {name}"),
            ours: format!("{} µs", number(ours)),
            baseline: format!("RocksDB commit {} µs", number(raw)),
            judged: ours / raw,
            target: Target::AtMost(2.0),
        });
    }
    Ok(())
}

/// One event in flight: what stands between a caller and the disk.
fn lone(runtime: &Runtime, dir: &Path, table: &mut Table) -> Result<(), Failure> {
    const EVENTS: usize = 2_000;
    let writes = raw::commits(runtime, EVENTS, 1)?;
    let (mut ours, mut rocksdb, mut file) = (Times::default(), Times::default(), Times::default());
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir_in(dir)?;
        rocksdb.extend(raw::rocksdb(folder.path(), &writes)?);
        file.extend(raw::fdatasync(folder.path(), &writes)?);
        let mut chain = Chain::new(0, true)?;
        let frames = chain.frames(EVENTS, 1)?;
        let times = runtime.block_on(async {
            let log = Log::open(&folder.path().join("log"), None)?;
            let mut writer = log.writer(ORIGIN, chain.key.verifying_key(), chain.epoch);
            let mut times = Times::default();
            for frame in frames {
                let start = Instant::now();
                writer.append(frame).await?.wait().await?;
                times.push(start.elapsed());
            }
            Ok::<_, Failure>(times)
        })?;
        ours.extend(times);
    }
    let (ours, raw) = (ours.quantile_us(0.5), rocksdb.quantile_us(0.5));
    table.push(Line {
        what: "one lone recorder, in process, p50".into(),
        ours: format!("{} µs", number(ours)),
        baseline: format!(
            "RocksDB commit {} µs, write + fdatasync {} µs",
            number(raw),
            number(file.quantile_us(0.5))
        ),
        judged: ours / raw,
        target: Target::AtMost(1.2),
    });
    Ok(())
}
