//! The leaves, decoded: as columns and as lines of JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use query::arrow::array::{Array, AsArray, RecordBatch, TimestampNanosecondArray};
use query::arrow::datatypes::{DataType, Int32Type, TimeUnit, UInt32Type, UInt64Type};
use verifier::Material;
use verifier::layout::tables;

use super::time_text;

/// `population/events.parquet` and `population/events.ndjson`.
pub(super) fn files(
    material: &Material,
    put: &mut impl FnMut(&str, Vec<u8>),
) -> Result<(), String> {
    let leaves = material.leaves.iter().map(|row| (row.index, row.bytes.clone()));
    let batch = query::events_batch(leaves).map_err(|error| error.to_string())?;
    put("population/events.parquet", tables::write_batch(&batch)?);
    put("population/events.ndjson", ndjson(&batch)?.into_bytes());
    Ok(())
}

/// One leaf as a line of `events.ndjson` has it.
///
/// # Errors
/// When the leaf cannot be decoded.
pub(crate) fn event_row(
    index: u64,
    leaf: bytes::Bytes,
) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    let batch = query::events_batch([(index, leaf)]).map_err(|error| error.to_string())?;
    serde_json::from_str(&ndjson(&batch)?).map_err(|error| error.to_string())
}

/// One object a line, members in the order of the columns, nulls left out.
fn ndjson(batch: &RecordBatch) -> Result<String, String> {
    let schema = batch.schema();
    let mut text = String::new();
    for row in 0..batch.num_rows() {
        let mut separator = '{';
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            if column.is_null(row) {
                continue;
            }
            let value = value(column, row).ok_or_else(|| {
                format!(
                    "column {} has the type {}, which has no JSON form",
                    field.name(),
                    field.data_type()
                )
            })?;
            text.push_str(&format!("{separator}\"{}\":{value}", field.name()));
            separator = ',';
        }
        text.push_str("}\n");
    }
    Ok(text)
}

fn value(column: &dyn Array, row: usize) -> Option<String> {
    let quoted = |text: &str| serde_json::to_string(text).ok();
    match column.data_type() {
        DataType::UInt64 => Some(column.as_primitive::<UInt64Type>().value(row).to_string()),
        DataType::UInt32 => Some(column.as_primitive::<UInt32Type>().value(row).to_string()),
        DataType::Int32 => Some(column.as_primitive::<Int32Type>().value(row).to_string()),
        DataType::Boolean => Some(column.as_boolean().value(row).to_string()),
        DataType::Utf8 => quoted(column.as_string::<i32>().value(row)),
        DataType::Binary => quoted(&STANDARD.encode(column.as_binary::<i32>().value(row))),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let times: &TimestampNanosecondArray = column.as_any().downcast_ref()?;
            quoted(&time_text(u64::try_from(times.value(row)).unwrap_or(0)))
        }
        _ => None,
    }
}
