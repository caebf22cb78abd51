//! The leaf columns of `events`: each is a name and a function of the leaf, nothing else.
//!
//! So the columns can be computed again from the exact leaves, by anyone, to the same values.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Int32Array, RecordBatch, StringArray,
    TimestampNanosecondArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use proto::entry::Leaf;
use proto::kind::{Kind, call_of, kind_name, request_event_id};
use proto::v1::{self, Call};
use tlog::Hash;

use super::RowError;
use super::values::{
    answer, approval_id, attempts, auth_method, call_hash, checkpoint_size, delivered, direction,
    door, era, error_code, facts, hex, http_status, latency_ns, masks, notification, outcome,
    reason_code, refusal, response_masks, result, role, server, size_class, snapshot_digest, text,
    verdict,
};

/// One leaf, as the column functions see it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) index: u64,
    pub(crate) hash: Hash,
    pub(crate) entry: Bytes,
    pub(crate) leaf: Leaf,
}

impl Row {
    pub(crate) fn decode(index: u64, entry: Bytes) -> Result<Self, RowError> {
        let leaf =
            proto::decode_entry(&entry).map_err(|source| RowError::Leaf { index, source })?;
        Ok(Self { index, hash: tlog::leaf_hash(&entry), entry, leaf })
    }

    fn kind(&self) -> Option<&Kind> {
        self.leaf.event.kind.as_ref()
    }

    fn call(&self) -> Option<&Call> {
        self.kind().and_then(call_of)
    }

    fn recorder(&self) -> Option<&v1::Recorder> {
        self.leaf.event.recorder.as_ref()
    }
}

struct Column {
    name: &'static str,
    value: Value,
}

#[derive(Clone, Copy)]
enum Value {
    Text(fn(&Row) -> Option<String>),
    Count(fn(&Row) -> Option<u64>),
    Small(fn(&Row) -> Option<u32>),
    Signed(fn(&Row) -> Option<i32>),
    Flag(fn(&Row) -> Option<bool>),
    Time(fn(&Row) -> Option<u64>),
    Bytes(fn(&Row) -> Option<&[u8]>),
}

use Value::{Bytes as Octets, Count, Flag, Signed, Small, Text, Time};

/// In the order in which `SELECT *` shows them.
const COLUMNS: &[(&str, Value)] = &[
    ("leaf_index", Count(|row| Some(row.index))),
    ("recorded_at", Time(|row| Some(row.leaf.recorded_at_ns))),
    ("occurred_at", Time(|row| Some(row.leaf.event.occurred_at_ns))),
    ("event_id", Text(|row| hex(&row.leaf.event.event_id))),
    ("kind", Text(|row| row.kind().map(|kind| kind_name(kind).to_owned()))),
    ("recorder_id", Text(|row| row.recorder().map(|recorder| recorder.recorder_id.clone()))),
    ("epoch", Text(|row| row.recorder().and_then(|recorder| hex(&recorder.epoch)))),
    ("sequence", Count(|row| row.recorder().map(|recorder| recorder.sequence))),
    ("session_id", Text(|row| hex(&row.leaf.event.session_id))),
    ("exchange_id", Text(|row| hex(&row.leaf.event.exchange_id))),
    ("trace_id", Text(|row| hex(&row.leaf.event.trace_id))),
    ("server", Text(|row| row.kind().and_then(server))),
    ("method", Text(|row| row.call().and_then(|call| text(&call.method)))),
    ("tool", Text(|row| row.call().and_then(|call| text(&call.name)))),
    ("definition_digest", Text(|row| row.call().and_then(|call| hex(&call.definition_digest)))),
    ("verdict", Text(|row| row.call().and_then(verdict))),
    ("policy_ids", Text(|row| row.call().and_then(|call| text(&call.policy_ids.join(","))))),
    ("snapshot_digest", Text(|row| row.kind().and_then(snapshot_digest))),
    ("evaluation_error", Flag(|row| row.call().map(|call| call.evaluation_error))),
    ("auth_method", Text(|row| row.kind().and_then(auth_method))),
    ("era", Text(|row| row.kind().and_then(era))),
    ("facts", Text(|row| row.call().and_then(|call| facts(&call.facts)))),
    ("request_masks", Text(|row| row.call().and_then(|call| masks(&call.masks)))),
    ("outcome", Text(|row| row.kind().and_then(outcome))),
    ("error_code", Signed(|row| row.kind().and_then(error_code))),
    ("http_status", Small(|row| row.kind().and_then(http_status))),
    ("attempts", Count(|row| row.kind().and_then(attempts))),
    ("latency_ns", Count(|row| row.kind().and_then(latency_ns))),
    ("size_class", Small(|row| row.kind().and_then(size_class))),
    ("response_masks", Text(|row| row.kind().and_then(response_masks))),
    ("refusal", Text(|row| row.kind().and_then(refusal))),
    ("direction", Text(|row| row.kind().and_then(direction))),
    ("request_event_id", Text(|row| row.kind().and_then(request_event_id).and_then(|id| hex(id)))),
    ("notification", Flag(|row| row.kind().and_then(notification))),
    ("answer", Flag(|row| row.kind().and_then(answer))),
    ("approval_id", Text(|row| row.kind().and_then(approval_id))),
    ("call_hash", Text(|row| row.kind().and_then(call_hash))),
    ("door", Text(|row| row.kind().and_then(door))),
    ("result", Text(|row| row.kind().and_then(result))),
    ("role", Text(|row| row.kind().and_then(role))),
    ("checkpoint_size", Count(|row| row.kind().and_then(checkpoint_size))),
    ("first_index", Count(|row| row.kind().and_then(delivered).map(|range| range.0))),
    ("end_index", Count(|row| row.kind().and_then(delivered).map(|range| range.1))),
    ("reason_code", Text(|row| row.kind().and_then(reason_code))),
    ("leaf_hash", Text(|row| Some(format!("{:?}", row.hash)))),
    ("leaf", Octets(|row| Some(row.entry.as_ref()))),
];

/// Positions that code names.
pub(crate) const LEAF_INDEX: usize = 0;
pub(crate) const RECORDED_AT: usize = 1;
pub(crate) static KIND: LazyLock<usize> = LazyLock::new(|| position("kind"));
pub(crate) static TOOL: LazyLock<usize> = LazyLock::new(|| position("tool"));
pub(crate) static DOOR: LazyLock<usize> = LazyLock::new(|| position("door"));
pub(crate) static LEAF_HASH: LazyLock<usize> = LazyLock::new(|| position("leaf_hash"));
pub(crate) static LEAF: LazyLock<usize> = LazyLock::new(|| position("leaf"));

fn position(name: &str) -> usize {
    // Only called with names of the list above; the test below names each of them.
    COLUMNS.iter().position(|(column, _)| *column == name).unwrap_or(usize::MAX)
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let fields = COLUMNS.iter().map(|&(name, value)| {
        let required = matches!(name, "leaf_index" | "recorded_at" | "leaf_hash" | "leaf");
        Field::new(name, value.data_type(), !required)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
});

/// The schema of the leaf columns.
pub(crate) fn leaf_schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// The type of all times: Unix nanoseconds, UTC.
pub(crate) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

/// The leaf columns of these rows.
pub(crate) fn leaf_batch(rows: &[Row]) -> Result<RecordBatch, RowError> {
    let columns = COLUMNS.iter().map(|&(name, value)| Column { name, value }.build(rows));
    Ok(RecordBatch::try_new(leaf_schema(), columns.collect())?)
}

impl Value {
    fn data_type(self) -> DataType {
        match self {
            Text(_) => DataType::Utf8,
            Count(_) => DataType::UInt64,
            Small(_) => DataType::UInt32,
            Signed(_) => DataType::Int32,
            Flag(_) => DataType::Boolean,
            Time(_) => time_type(),
            Octets(_) => DataType::Binary,
        }
    }
}

impl Column {
    fn build(&self, rows: &[Row]) -> ArrayRef {
        debug_assert!(!self.name.is_empty());
        match self.value {
            Text(of) => Arc::new(rows.iter().map(of).collect::<StringArray>()),
            Count(of) => Arc::new(rows.iter().map(of).collect::<UInt64Array>()),
            Small(of) => Arc::new(rows.iter().map(of).collect::<UInt32Array>()),
            Signed(of) => Arc::new(rows.iter().map(of).collect::<Int32Array>()),
            Flag(of) => Arc::new(rows.iter().map(of).collect::<BooleanArray>()),
            Octets(of) => Arc::new(rows.iter().map(of).collect::<BinaryArray>()),
            Time(of) => {
                let times = rows.iter().map(|row| of(row).map(time_value));
                Arc::new(times.collect::<TimestampNanosecondArray>().with_timezone("UTC"))
            }
        }
    }
}

/// Times past the year 2262 read as its end.
pub(crate) fn time_value(nanoseconds: u64) -> i64 {
    i64::try_from(nanoseconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_there_once() {
        for named in [*KIND, *TOOL, *DOOR, *LEAF_HASH, *LEAF] {
            assert!(named < COLUMNS.len());
        }
        assert_eq!(COLUMNS[LEAF_INDEX].0, "leaf_index");
        assert_eq!(COLUMNS[RECORDED_AT].0, "recorded_at");
        let names: std::collections::BTreeSet<_> = COLUMNS.iter().map(|column| column.0).collect();
        assert_eq!(names.len(), COLUMNS.len());
    }
}
