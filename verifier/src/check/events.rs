//! Do the tables that people read say what the leaves say?

use arrow::array::{
    Array, BinaryArray, BooleanArray, RecordBatch, StringArray, TimestampNanosecondArray,
    UInt64Array,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::kind::{call_of, kind_name};
use proto::v1::{AuthMethod, Verdict};

use super::case::{Case, Decoded, need};
use crate::layout;
use crate::layout::tables::{Budget, TableError, each_batch};
use crate::read::table_stop;
use crate::report::{Checked, Stop, fail_at};

/// Each row of `events.parquet` and `events.ndjson` is its leaf, decoded; none is missing, none added.
///
/// This is a second implementation of the columns that matter most; all columns are covered when the derived
/// files are made again.
pub(super) fn check(case: &Case<'_>) -> Checked {
    let population = need(&case.population, "the leaves")?;
    let file = |path| {
        let missing = || fail_at("events.missing", path, "the file is missing");
        case.package.file(path).ok_or_else(missing)
    };
    let columns = parquet(population, file(layout::EVENTS_PARQUET)?)?;
    ndjson(population, file(layout::EVENTS_NDJSON)?)?;
    Ok(format!(
        "{} rows in both files, {columns} columns read again from the leaves",
        population.len()
    ))
}

/// What a row must say under a column's name.
enum Expected {
    Count(u64),
    Time(u64),
    Text(Option<String>),
    Flag(Option<bool>),
    Bytes(bytes::Bytes),
}

fn expected(decoded: &Decoded) -> Vec<(&'static str, Expected)> {
    let event = &decoded.leaf.event;
    let recorder = event.recorder.as_ref();
    let call = event.kind.as_ref().and_then(call_of);
    let hex_text = |bytes: &[u8]| Expected::Text((!bytes.is_empty()).then(|| hex::encode(bytes)));
    let text = |text: Option<&str>| {
        Expected::Text(text.filter(|text| !text.is_empty()).map(str::to_owned))
    };
    let word = |number: Option<i32>, name: fn(i32) -> Option<&'static str>, prefix: &str| {
        let name = number.filter(|number| *number != 0).and_then(name);
        Expected::Text(name.map(|name| name.trim_start_matches(prefix).to_ascii_lowercase()))
    };
    let mut columns = vec![
        ("leaf_index", Expected::Count(decoded.index)),
        ("recorded_at", Expected::Time(decoded.leaf.recorded_at_ns)),
        ("occurred_at", Expected::Time(event.occurred_at_ns)),
        ("event_id", hex_text(&event.event_id)),
        ("kind", text(event.kind.as_ref().map(kind_name))),
        ("recorder_id", text(recorder.map(|recorder| recorder.recorder_id.as_str()))),
        ("epoch", hex_text(recorder.map_or(&[], |recorder| &recorder.epoch))),
        ("sequence", Expected::Count(recorder.map_or(0, |recorder| recorder.sequence))),
        ("session_id", hex_text(&event.session_id)),
        ("exchange_id", hex_text(&event.exchange_id)),
        ("trace_id", hex_text(&event.trace_id)),
        ("leaf_hash", Expected::Text(Some(format!("{:?}", decoded.hash)))),
    ];
    if let Some(call) = call {
        columns.extend([
            ("server", text(Some(&call.server))),
            ("method", text(Some(&call.method))),
            ("tool", text(Some(&call.name))),
            ("policy_ids", text(Some(&call.policy_ids.join(",")))),
            ("snapshot_digest", hex_text(&call.snapshot_digest)),
            ("evaluation_error", Expected::Flag(Some(call.evaluation_error))),
            (
                "verdict",
                word(
                    Some(call.verdict),
                    |n| Verdict::try_from(n).ok().map(|v| v.as_str_name()),
                    "VERDICT_",
                ),
            ),
            (
                "auth_method",
                word(
                    Some(call.auth_method),
                    |n| AuthMethod::try_from(n).ok().map(|v| v.as_str_name()),
                    "AUTH_METHOD_",
                ),
            ),
        ]);
    }
    columns.push((
        "leaf",
        Expected::Bytes(proto::encode_entry(
            decoded.leaf.recorded_at_ns,
            &decoded.leaf.event_bytes,
        )),
    ));
    columns
}

/// How many columns were compared. The rows are not kept: of the table, only what is decoded at once is in memory.
fn parquet(population: &[Decoded], file: &bytes::Bytes) -> Result<usize, Stop> {
    let at = layout::EVENTS_PARQUET;
    let wrong_count = |rows: &str| {
        let detail = format!("it has {rows} rows, the range has {} leaves", population.len());
        Unequal::Row(fail_at("events.count", at, detail))
    };
    let (mut rows, mut compared) = (0, 0);
    let read = each_batch(file, &mut Budget::default(), |batch| {
        for row in 0..batch.num_rows() {
            let decoded = population.get(rows).ok_or_else(|| wrong_count("more"))?;
            rows += 1;
            let columns = expected(decoded);
            compared = compared.max(columns.len());
            let differs =
                columns.iter().find(|(name, expected)| !is_cell(batch, name, row, expected));
            if let Some((name, _)) = differs {
                let index = decoded.index;
                let detail =
                    format!("column {name} of leaf {index} does not say what the leaf says");
                return Err(Unequal::Row(fail_at("events.differs", at, detail)));
            }
        }
        Ok(())
    });
    let ended = read.and_then(|()| match rows {
        rows if rows == population.len() => Ok(()),
        rows => Err(wrong_count(&rows.to_string())),
    });
    match ended {
        Ok(()) => Ok(compared),
        Err(Unequal::Row(stop)) => Err(stop),
        Err(Unequal::Table(error)) => Err(table_stop(error, "events.malformed", at)),
    }
}

/// Why the table does not say what the leaves say.
enum Unequal {
    Row(Stop),
    Table(TableError),
}

impl From<TableError> for Unequal {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

fn is_cell(batch: &RecordBatch, name: &str, row: usize, expected: &Expected) -> bool {
    let Some(column) = batch.column_by_name(name) else {
        // A package made for another version may lack the exact leaf, which stands in leaves.parquet.
        return name == "leaf";
    };
    let any = column.as_any();
    let null = column.is_null(row);
    match expected {
        Expected::Count(count) => any
            .downcast_ref::<UInt64Array>()
            .is_some_and(|cells| !null && cells.value(row) == *count),
        Expected::Time(time) => {
            any.downcast_ref::<TimestampNanosecondArray>().is_some_and(|cells| {
                !null && cells.value(row) == i64::try_from(*time).unwrap_or(i64::MAX)
            })
        }
        Expected::Text(text) => any
            .downcast_ref::<StringArray>()
            .is_some_and(|cells| (!null).then(|| cells.value(row)) == text.as_deref()),
        Expected::Flag(flag) => any
            .downcast_ref::<BooleanArray>()
            .is_some_and(|cells| (!null).then(|| cells.value(row)) == *flag),
        Expected::Bytes(bytes) => any
            .downcast_ref::<BinaryArray>()
            .is_some_and(|cells| !null && cells.value(row) == bytes),
    }
}

fn ndjson(population: &[Decoded], file: &bytes::Bytes) -> Result<(), Stop> {
    let at = layout::EVENTS_NDJSON;
    let text = std::str::from_utf8(file)
        .map_err(|_| fail_at("events.malformed", at, "the file is not UTF-8 text"))?;
    let count = text.lines().count();
    if count != population.len() {
        let detail = format!("it has {count} lines, the range has {} leaves", population.len());
        return Err(fail_at("events.count", at, detail));
    }
    for (number, (line, decoded)) in (1..).zip(text.lines().zip(population)) {
        let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line)
            .map_err(|error| fail_at("events.malformed", format!("{at}:{number}"), error))?;
        for (name, expected) in expected(decoded) {
            let value = row.get(name);
            let same = match &expected {
                Expected::Count(count) => value.and_then(serde_json::Value::as_u64) == Some(*count),
                Expected::Text(text) => {
                    value.and_then(serde_json::Value::as_str) == text.as_deref()
                }
                Expected::Flag(flag) => value.and_then(serde_json::Value::as_bool) == *flag,
                Expected::Bytes(bytes) => {
                    value.and_then(serde_json::Value::as_str) == Some(&STANDARD.encode(bytes))
                }
                Expected::Time(time) => value
                    .and_then(serde_json::Value::as_str)
                    .and_then(|text| text.parse::<jiff::Timestamp>().ok())
                    .is_some_and(|parsed| parsed.as_nanosecond() == i128::from(*time)),
            };
            if !same {
                let detail =
                    format!("`{name}` of leaf {} does not say what the leaf says", decoded.index);
                return Err(fail_at("events.differs", format!("{at}:{number}"), detail));
            }
        }
    }
    Ok(())
}
