//! When was recorded and when not: epochs of recorders, their seals, their silences, their clocks.

use std::collections::{BTreeMap, BTreeSet};

use proto::entry::Leaf;
use proto::kind::{Kind, call_of};
use proto::v1::ClockState;
use verifier::Material;
use verifier::layout::csv::CsvWriter;

use super::{Decoded, time_text};

/// What the files of `coverage/` say, in numbers.
pub(crate) struct Coverage {
    /// Recorders with a leaf in the range.
    pub(crate) recorders: Vec<String>,
    /// Recorders with a leaf anywhere in the package.
    pub(crate) recorders_with_context: usize,
    /// Servers named by leaves of the period.
    pub(crate) servers: Vec<String>,
    /// Seals in the range.
    pub(crate) seals: u64,
    /// Seals among the leaves from outside the range.
    pub(crate) context_seals: u64,
    /// Longest time in which a running recorder recorded nothing, in seconds.
    pub(crate) longest_silence_seconds: u64,
    /// Leaves of the period.
    pub(crate) period_leaves: usize,
    /// Leaves from before and after it that show its bounds.
    pub(crate) boundary_leaves: usize,
}

/// A silence of a running recorder that is listed: seals come every 10 s at the latest.
const SILENCE_NS: u64 = 60_000_000_000;

/// One epoch of a recorder within the range.
struct Epoch {
    first: (u64, u64),
    last: (u64, u64),
    events: u64,
    events_of_period: u64,
    first_sequence: u64,
    last_sequence: u64,
    seals: u64,
    started: bool,
    stopped: bool,
    longest_silence_ns: u64,
    clock: Option<ClockState>,
    unsynchronized: u64,
}

/// `coverage/…`.
pub(super) fn files(
    material: &Material,
    decoded: &Decoded,
    put: &mut impl FnMut(&str, Vec<u8>),
) -> Coverage {
    let period = material.parameters.from_ns()..material.parameters.to_ns();
    let mut gaps = CsvWriter::new([
        "recorder_id",
        "epoch",
        "from",
        "to",
        "seconds",
        "after_leaf_index",
        "before_leaf_index",
        "why",
    ]);
    let mut epochs: BTreeMap<(String, String), Epoch> = BTreeMap::new();
    // Where each recorder was last seen, and whether it had said that it stops.
    let mut last_seen: BTreeMap<String, (u64, u64, bool)> = BTreeMap::new();
    for (index, leaf) in &decoded.leaves {
        let Some(recorder) = &leaf.event.recorder else { continue };
        let (id, epoch) = (recorder.recorder_id.clone(), hex::encode(&recorder.epoch));
        let at = (*index, leaf.recorded_at_ns);
        let kind = leaf.event.kind.as_ref();
        let starts = matches!(kind, Some(Kind::RecorderStarted(_)));
        let stops = matches!(kind, Some(Kind::RecorderStopped(_)));
        let stopped = last_seen.get(&id).is_some_and(|(.., stopped)| *stopped);
        // A last seal may stand after the stop.
        let ended = stops || (stopped && matches!(kind, Some(Kind::RecorderSeal(_))));
        if let Some((before, time, _)) = last_seen.insert(id.clone(), (at.0, at.1, ended)) {
            let silence = at.1.saturating_sub(time);
            let why = match (stopped, starts) {
                (true, true) => Some("stopped and started again"),
                (false, true) => Some("started again without having stopped"),
                _ if silence >= SILENCE_NS => Some("silence while running"),
                _ => None,
            };
            if let Some(why) = why {
                gaps.row([
                    id.as_str(),
                    &epoch,
                    &time_text(time),
                    &time_text(at.1),
                    &(silence / 1_000_000_000).to_string(),
                    &before.to_string(),
                    &at.0.to_string(),
                    why,
                ]);
            }
        }
        let entry = epochs.entry((id, epoch)).or_insert_with(|| Epoch {
            first: at,
            last: at,
            events: 0,
            events_of_period: 0,
            first_sequence: recorder.sequence,
            last_sequence: recorder.sequence,
            seals: 0,
            started: false,
            stopped: false,
            longest_silence_ns: 0,
            clock: None,
            unsynchronized: 0,
        });
        entry.longest_silence_ns = entry.longest_silence_ns.max(at.1.saturating_sub(entry.last.1));
        entry.last = at;
        entry.events += 1;
        entry.events_of_period += u64::from(period.contains(&leaf.recorded_at_ns));
        entry.last_sequence = recorder.sequence;
        entry.started |= starts;
        entry.stopped |= stops;
        let clock = match kind {
            Some(Kind::RecorderSeal(seal)) => {
                entry.seals += 1;
                seal.clock
            }
            Some(Kind::RecorderStarted(start)) => start.clock,
            _ => None,
        };
        if let Some(clock) = clock {
            entry.unsynchronized += u64::from(clock.known && !clock.synchronized);
            entry.clock = Some(clock);
        }
    }
    for (file, bytes) in gaps.finish("coverage/gaps") {
        put(&file, bytes);
    }
    for (file, bytes) in recorder_rows(&epochs).finish("coverage/recorders") {
        put(&file, bytes);
    }
    let (rows, period_leaves) = period_rows(decoded, &period);
    for (file, bytes) in rows.finish("coverage/period") {
        put(&file, bytes);
    }
    let recorders: Vec<String> = last_seen.into_keys().collect();
    let ids = |leaves: &[(u64, Leaf)]| -> BTreeSet<String> {
        let recorders = leaves.iter().filter_map(|(_, leaf)| leaf.event.recorder.as_ref());
        recorders.map(|recorder| recorder.recorder_id.clone()).collect()
    };
    let seals = |leaf: &&(u64, Leaf)| matches!(leaf.1.event.kind, Some(Kind::RecorderSeal(_)));
    Coverage {
        recorders_with_context: ids(&decoded.leaves).union(&ids(&decoded.context)).count(),
        recorders,
        servers: servers(decoded, &period),
        seals: decoded.leaves.iter().filter(seals).count() as u64,
        context_seals: decoded.context.iter().filter(seals).count() as u64,
        longest_silence_seconds: epochs
            .values()
            .map(|epoch| epoch.longest_silence_ns / 1_000_000_000)
            .max()
            .unwrap_or(0),
        period_leaves,
        boundary_leaves: decoded.leaves.len() - period_leaves,
    }
}

/// Which leaves are of the period, and which only show its bounds.
fn period_rows(decoded: &Decoded, period: &std::ops::Range<u64>) -> (CsvWriter, usize) {
    let mut rows = CsvWriter::new([
        "part",
        "leaves",
        "first_leaf_index",
        "last_leaf_index",
        "first_recorded_at",
        "last_recorded_at",
    ]);
    let mut of_period = 0;
    type Holds = fn(u64, &std::ops::Range<u64>) -> bool;
    let parts: [(&str, Holds); 3] = [
        ("boundary before the period", |time, period| time < period.start),
        ("period", |time, period| period.contains(&time)),
        ("boundary after the period", |time, period| time >= period.end),
    ];
    for (part, holds) in parts {
        let leaves: Vec<_> = decoded
            .leaves
            .iter()
            .filter(|(_, leaf)| holds(leaf.recorded_at_ns, period))
            .map(|(index, leaf)| (index.to_string(), time_text(leaf.recorded_at_ns)))
            .collect();
        if part == "period" {
            of_period = leaves.len();
        }
        let end = |leaf: Option<&(String, String)>| leaf.cloned().unwrap_or_default();
        let (first, last) = (end(leaves.first()), end(leaves.last()));
        let count = leaves.len().to_string();
        rows.row([part, &count, &first.0, &last.0, &first.1, &last.1]);
    }
    (rows, of_period)
}

/// Servers that leaves of the period name.
fn servers(decoded: &Decoded, period: &std::ops::Range<u64>) -> Vec<String> {
    let within = decoded.leaves.iter().filter(|(_, leaf)| period.contains(&leaf.recorded_at_ns));
    let named: BTreeSet<&str> = within
        .filter_map(|(_, leaf)| match leaf.event.kind.as_ref()? {
            Kind::SessionOpened(event) => Some(event.server.as_str()),
            Kind::AuthenticationFailed(event) => Some(event.server.as_str()),
            Kind::ToolInventoryObserved(event) => Some(event.server.as_str()),
            other => call_of(other).map(|call| call.server.as_str()),
        })
        .filter(|server| !server.is_empty())
        .collect();
    named.into_iter().map(str::to_owned).collect()
}

fn recorder_rows(epochs: &BTreeMap<(String, String), Epoch>) -> CsvWriter {
    let mut rows = CsvWriter::new([
        "recorder_id",
        "epoch",
        "first_leaf_index",
        "last_leaf_index",
        "first_recorded_at",
        "last_recorded_at",
        "events",
        "events_of_period",
        "first_sequence",
        "last_sequence",
        "seals",
        "started_here",
        "stopped_here",
        "longest_silence_seconds",
        "clock_last",
        "clock_max_error_us",
        "seals_unsynchronized",
    ]);
    for ((id, name), epoch) in epochs {
        let (clock, error) = match &epoch.clock {
            Some(clock) if !clock.known => ("unknown", String::new()),
            Some(clock) if clock.synchronized => ("synchronized", clock.max_error_us.to_string()),
            Some(clock) => ("not synchronized", clock.max_error_us.to_string()),
            None => ("", String::new()),
        };
        rows.row([
            id.as_str(),
            name,
            &epoch.first.0.to_string(),
            &epoch.last.0.to_string(),
            &time_text(epoch.first.1),
            &time_text(epoch.last.1),
            &epoch.events.to_string(),
            &epoch.events_of_period.to_string(),
            &epoch.first_sequence.to_string(),
            &epoch.last_sequence.to_string(),
            &epoch.seals.to_string(),
            yes_no(epoch.started),
            yes_no(epoch.stopped),
            &(epoch.longest_silence_ns / 1_000_000_000).to_string(),
            clock,
            &error,
            &epoch.unsynchronized.to_string(),
        ]);
    }
    rows
}

fn yes_no(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}
