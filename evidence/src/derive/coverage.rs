//! When was recorded and when not: epochs of recorders, their seals, their silences, their clocks.

use std::collections::BTreeMap;

use proto::kind::Kind;
use proto::v1::ClockState;
use verifier::Material;
use verifier::layout::csv::CsvWriter;

use super::{Decoded, time_text};

/// A silence of a running recorder that is listed: seals come every 10 s at the latest.
const SILENCE_NS: u64 = 60_000_000_000;

/// One epoch of a recorder within the range.
struct Epoch {
    first: (u64, u64),
    last: (u64, u64),
    events: u64,
    first_sequence: u64,
    last_sequence: u64,
    seals: u64,
    started: bool,
    stopped: bool,
    longest_silence_ns: u64,
    clock: Option<ClockState>,
    unsynchronized: u64,
}

/// How many recorders there are.
pub(super) fn files(
    _material: &Material,
    decoded: &Decoded,
    put: &mut impl FnMut(&str, Vec<u8>),
) -> usize {
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
    let recorders = last_seen.len();
    for (file, bytes) in gaps.finish("coverage/gaps") {
        put(&file, bytes);
    }
    for (file, bytes) in recorder_rows(&epochs).finish("coverage/recorders") {
        put(&file, bytes);
    }
    recorders
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
