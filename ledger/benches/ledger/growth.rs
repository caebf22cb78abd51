//! A log that grows: what an event costs early and late, memory, start, and bytes on the disk.

use std::path::Path;
use std::time::{Duration, Instant};

use ledger::bench::Log;
use tokio::runtime::Runtime;

use crate::events::{Chain, ORIGIN};
use crate::measure::{self, Failure};
use crate::table::{Line, Table, Target, number};

/// Events of one submission, and submissions on their way.
const FRAME_EVENTS: usize = 1_024;
const IN_FLIGHT: usize = 4;
/// Costs are taken over so many events each.
const WINDOW: u64 = 1_000_000;
/// A store that was just left has its write-ahead log to read.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);

/// What a window cost.
struct Window {
    cpu_us: f64,
    wall_us: f64,
    resident_mib: f64,
}

/// Grows a log in `folder` to `entries` entries and measures it on the way.
pub(crate) fn run(
    runtime: &Runtime,
    folder: &Path,
    entries: u64,
    discloses: bool,
    table: &mut Table,
) -> Result<(), Failure> {
    let kind = if discloses { "with disclosures" } else { "leaves only" };
    let what = format!("{} M entries, {kind}", number(entries as f64 / 1e6));
    let (written, idle_mib) = (measure::written_bytes(), measure::resident_mib());
    let (windows, logical) = grow(runtime, folder, entries, discloses)?;
    // Whoever stops a ledger waits for this too: RocksDB finishes what it is doing.
    let (log, start) = open(runtime, folder)?;
    drop(log);
    let written = measure::written_bytes() - written;
    let stored = measure::folder_bytes(folder) as f64;

    // A machine is not as fast at one time as at another: the second million is made once more, of a new log.
    eprintln!("  a new log:");
    let beside = tempfile::tempdir_in(folder.parent().unwrap_or(folder))?;
    let (again, _) = grow(runtime, beside.path(), 2 * WINDOW, discloses)?;
    let (Some(second), Some(early), Some(late)) =
        (windows.get(1).or(windows.first()), again.last(), windows.last())
    else {
        return Err("no window was measured".into());
    };
    let costs = [("CPU", early.cpu_us, late.cpu_us), ("wall", early.wall_us, late.wall_us)];
    for (name, early, late) in costs {
        table.push(Line {
            what: format!("growth to {what}: {name} time of an append"),
            ours: format!("{} µs in the last million", number(late)),
            baseline: format!("{} µs in the second of a new log", number(early)),
            judged: late / early,
            target: Target::AtMost(1.1),
        });
    }
    let peak = windows.iter().map(|window| window.resident_mib).fold(0.0, f64::max);
    table.push(Line {
        what: format!("growth to {what}: resident memory, MiB"),
        ours: format!("{} MiB in the last million", number(late.resident_mib)),
        baseline: format!(
            "{} MiB in the second, {} before",
            number(second.resident_mib),
            number(idle_mib)
        ),
        judged: peak,
        target: Target::AtMost(512.0),
    });
    table.push(Line {
        what: format!("start on {what}, write-ahead log unread, s"),
        ours: format!("{:.2} s", start.as_secs_f64()),
        baseline: String::new(),
        judged: start.as_secs_f64(),
        target: Target::AtMost(2.0),
    });
    let entries = entries as f64;
    table.push(Line {
        what: format!("disk, {what}"),
        ours: format!("{} bytes an event", number(stored / entries)),
        baseline: format!("{} bytes sent", number(logical / entries)),
        judged: 0.0,
        target: Target::None,
    });
    table.push(Line {
        what: format!("write amplification, {what}"),
        ours: format!("{} bytes written an event", number(written / entries)),
        baseline: format!("{:.2} × what was sent", written / logical),
        judged: 0.0,
        target: Target::None,
    });
    Ok(())
}

fn grow(
    runtime: &Runtime,
    folder: &Path,
    entries: u64,
    discloses: bool,
) -> Result<(Vec<Window>, f64), Failure> {
    let mut chain = Chain::new(0, discloses)?;
    let mut windows = Vec::new();
    let mut logical = 0;
    runtime.block_on(async {
        let log = Log::open(folder, None)?;
        let mut writer = log.writer(ORIGIN, chain.key.verifying_key(), chain.epoch);
        let mut waiting = std::collections::VecDeque::new();
        let (mut wall, mut cpu) = (Instant::now(), measure::cpu_seconds());
        let mut sent = 0;
        while sent < entries {
            let frame = chain.frame(FRAME_EVENTS)?;
            sent += frame.len() as u64;
            logical += frame
                .iter()
                .map(|new| {
                    new.event.len() + new.openings.iter().map(|o| o.content.len()).sum::<usize>()
                })
                .sum::<usize>();
            waiting.push_back(writer.append(frame).await?);
            if waiting.len() == IN_FLIGHT
                && let Some(oldest) = waiting.pop_front()
            {
                oldest.wait().await?;
            }
            if sent / WINDOW > windows.len() as u64 {
                let used = measure::cpu_seconds();
                windows.push(Window {
                    cpu_us: (used - cpu) * 1e6 / WINDOW as f64,
                    wall_us: wall.elapsed().as_secs_f64() * 1e6 / WINDOW as f64,
                    resident_mib: measure::resident_mib(),
                });
                if let Some(window) = windows.last() {
                    eprintln!(
                        "  {} M entries: {:.2} µs CPU, {:.2} µs wall an event, {:.0} MiB",
                        windows.len(),
                        window.cpu_us,
                        window.wall_us,
                        window.resident_mib
                    );
                }
                (wall, cpu) = (Instant::now(), used);
            }
        }
        for durable in waiting {
            durable.wait().await?;
        }
        Ok((windows, logical as f64))
    })
}

/// Opens the log as a start does: the write-ahead log is read, the tree recovered.
pub(crate) fn open(runtime: &Runtime, folder: &Path) -> Result<(Log, Duration), Failure> {
    let _within = runtime.enter();
    // The thread of the log before may hold its lock for a moment.
    let deadline = Instant::now() + OPEN_TIMEOUT;
    loop {
        match measure::timed(|| Log::open(folder, None)) {
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::yield_now(),
            opened => return opened,
        }
    }
}
