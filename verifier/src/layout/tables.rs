//! The Parquet tables of a package: one writer with fixed properties, so that equal rows are equal bytes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use proto::v1::{MediaType, Slot};

use super::MAX_FILE_BYTES;
use crate::material::{DisclosureRow, LeafRow, Opening, Status};

/// Rows per row group; disclosures may have 16 MiB each, so groups are also bounded by bytes.
const GROUP_ROWS: usize = 65_536;
const GROUP_BYTES: usize = 128 << 20;
/// Rows decoded at once.
const BATCH_ROWS: usize = 1024;

/// Encodes a batch with the package's fixed properties.
///
/// # Errors
/// When the batch holds a type that Parquet has no column for.
pub fn write_batch(batch: &RecordBatch) -> Result<Vec<u8>, String> {
    let level = ZstdLevel::try_new(3).map_err(|error| error.to_string())?;
    let properties = WriterProperties::builder()
        .set_created_by("exhibit".to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_max_row_group_bytes(Some(GROUP_BYTES))
        .build();
    let write = || -> parquet::errors::Result<Vec<u8>> {
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
        for offset in (0..batch.num_rows()).step_by(BATCH_ROWS) {
            let rows = BATCH_ROWS.min(batch.num_rows() - offset);
            writer.write(&batch.slice(offset, rows))?;
        }
        writer.into_inner()
    };
    write().map_err(|error| format!("a table cannot be encoded: {error}"))
}

/// Decodes a Parquet file of a package.
///
/// The claimed decompressed size is bounded by [`MAX_FILE_BYTES`] before anything is decoded, and again while
/// decoding.
///
/// # Errors
/// A sentence on what is wrong with the file.
pub fn read_batches(file: &Bytes) -> Result<Vec<RecordBatch>, String> {
    let read = || -> Result<Vec<RecordBatch>, String> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone())
            .map_err(|error| format!("it is not a whole Parquet file: {error}"))?;
        let claimed = builder.metadata().row_groups().iter();
        let claimed = claimed.fold(0u64, |sum, group| {
            sum.saturating_add(u64::try_from(group.total_byte_size()).unwrap_or(u64::MAX))
        });
        bound(claimed)?;
        let reader = builder.with_batch_size(BATCH_ROWS).build();
        let mut decoded = 0;
        let mut batches = Vec::new();
        for batch in reader.map_err(|error| error.to_string())? {
            let batch = batch.map_err(|error| format!("it cannot be decoded: {error}"))?;
            decoded += batch.get_array_memory_size() as u64;
            bound(decoded / 4)?; // arrays may share buffers, and are counted whole each time
            batches.push(batch);
        }
        Ok(batches)
    };
    // The decoder is not ours, and these bytes come from outside: a panic there is a malformed file.
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err("its decoding failed: the file is malformed".to_owned()))
}

fn bound(size_bytes: u64) -> Result<(), String> {
    if size_bytes > MAX_FILE_BYTES {
        return Err(format!("it would decode to more than {MAX_FILE_BYTES} bytes"));
    }
    Ok(())
}

/// Encodes `leaf_index UInt64, leaf Binary`.
///
/// # Errors
/// See [`write_batch`].
pub fn write_leaves(rows: &[LeafRow]) -> Result<Vec<u8>, String> {
    let index: UInt64Array = rows.iter().map(|row| Some(row.index)).collect();
    let leaf = BinaryArray::from_iter_values(rows.iter().map(|row| &row.bytes));
    write_columns(leaves_schema(), vec![Arc::new(index), Arc::new(leaf)])
}

/// Decodes what [`write_leaves`] writes. Order and continuity are not checked here.
///
/// # Errors
/// A sentence on what is wrong with the file.
pub fn read_leaves(file: &Bytes) -> Result<Vec<LeafRow>, String> {
    let mut rows = Vec::new();
    for batch in read_batches(file)? {
        require_schema(&batch, &leaves_schema())?;
        let (index, leaf) = (u64_column(&batch, 0)?, binary_column(&batch, 1)?);
        for row in 0..batch.num_rows() {
            let bytes = Bytes::copy_from_slice(leaf.value(row));
            rows.push(LeafRow { index: index.value(row), bytes });
        }
    }
    Ok(rows)
}

/// Encodes `leaf_index UInt64, slot, media_type, status Utf8, salt, bytes Binary?`.
///
/// # Errors
/// See [`write_batch`].
pub fn write_disclosures(rows: &[DisclosureRow]) -> Result<Vec<u8>, String> {
    let index: UInt64Array = rows.iter().map(|row| Some(row.index)).collect();
    let slot = StringArray::from_iter_values(rows.iter().map(DisclosureRow::slot_name));
    let media = StringArray::from_iter_values(rows.iter().map(|row| media_name(row.media_type)));
    let status = StringArray::from_iter_values(rows.iter().map(|row| row.status.as_str()));
    let salt: BinaryArray = rows.iter().map(|row| row.opening.as_ref().map(|o| o.salt)).collect();
    let bytes: BinaryArray = rows.iter().map(DisclosureRow::content).collect();
    write_columns(
        disclosures_schema(),
        vec![
            Arc::new(index),
            Arc::new(slot),
            Arc::new(media),
            Arc::new(status),
            Arc::new(salt),
            Arc::new(bytes),
        ],
    )
}

/// Decodes what [`write_disclosures`] writes. Nothing is checked against the leaves here.
///
/// # Errors
/// A sentence on what is wrong with the file.
pub fn read_disclosures(file: &Bytes) -> Result<Vec<DisclosureRow>, String> {
    let mut rows = Vec::new();
    for batch in read_batches(file)? {
        require_schema(&batch, &disclosures_schema())?;
        let index = u64_column(&batch, 0)?;
        let (slot, media) = (text_column(&batch, 1)?, text_column(&batch, 2)?);
        let status = text_column(&batch, 3)?;
        let (salt, bytes) = (binary_column(&batch, 4)?, binary_column(&batch, 5)?);
        for row in 0..batch.num_rows() {
            let at = index.value(row);
            let wrong = |what: &str| format!("the row of leaf {at} has {what}");
            let status =
                Status::parse(status.value(row)).ok_or_else(|| wrong("an unknown status"))?;
            let opening = match (salt.is_valid(row), bytes.is_valid(row)) {
                (true, true) => Some(Opening {
                    salt: salt
                        .value(row)
                        .try_into()
                        .map_err(|_| wrong("a salt not 32 bytes long"))?,
                    content: Bytes::copy_from_slice(bytes.value(row)),
                }),
                (false, false) => None,
                _ => return Err(wrong("a salt or bytes, but not both")),
            };
            if opening.is_some() != (status == Status::Disclosed) {
                return Err(wrong("bytes that do not fit its status"));
            }
            rows.push(DisclosureRow {
                index: at,
                slot: Slot::from_str_name(&format!("SLOT_{}", slot.value(row)))
                    .ok_or_else(|| wrong("an unknown slot"))?,
                media_type: MediaType::from_str_name(&format!("MEDIA_TYPE_{}", media.value(row)))
                    .ok_or_else(|| wrong("an unknown media type"))?,
                status,
                opening,
            });
        }
    }
    Ok(rows)
}

fn leaves_schema() -> Schema {
    Schema::new(vec![
        Field::new("leaf_index", DataType::UInt64, false),
        Field::new("leaf", DataType::Binary, false),
    ])
}

fn disclosures_schema() -> Schema {
    Schema::new(vec![
        Field::new("leaf_index", DataType::UInt64, false),
        Field::new("slot", DataType::Utf8, false),
        Field::new("media_type", DataType::Utf8, false),
        Field::new("status", DataType::Utf8, false),
        Field::new("salt", DataType::Binary, true),
        Field::new("bytes", DataType::Binary, true),
    ])
}

fn media_name(media_type: MediaType) -> &'static str {
    media_type.as_str_name().trim_start_matches("MEDIA_TYPE_")
}

fn write_columns(schema: Schema, columns: Vec<ArrayRef>) -> Result<Vec<u8>, String> {
    let batch = RecordBatch::try_new(Arc::new(schema), columns)
        .map_err(|error| format!("a table cannot be built: {error}"))?;
    write_batch(&batch)
}

fn require_schema(batch: &RecordBatch, expected: &Schema) -> Result<(), String> {
    let columns = |schema: &Schema| -> Vec<_> {
        let fields = schema.fields().iter();
        fields.map(|field| format!("{} {}", field.name(), field.data_type())).collect()
    };
    let (given, expected) = (columns(&batch.schema()), columns(expected));
    if given == expected {
        return Ok(());
    }
    Err(format!("it has the columns ({}), not ({})", given.join(", "), expected.join(", ")))
}

fn u64_column(batch: &RecordBatch, at: usize) -> Result<&UInt64Array, String> {
    batch.column(at).as_any().downcast_ref().ok_or_else(|| wrong_type(at))
}

fn text_column(batch: &RecordBatch, at: usize) -> Result<&StringArray, String> {
    batch.column(at).as_any().downcast_ref().ok_or_else(|| wrong_type(at))
}

fn binary_column(batch: &RecordBatch, at: usize) -> Result<&BinaryArray, String> {
    batch.column(at).as_any().downcast_ref().ok_or_else(|| wrong_type(at))
}

fn wrong_type(at: usize) -> String {
    format!("column {at} has another type than its schema says")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<LeafRow> {
        (5..4000u64)
            .map(|index| LeafRow { index, bytes: Bytes::from(index.to_string().repeat(9)) })
            .collect()
    }

    #[test]
    fn leaves_come_back_and_equal_rows_are_equal_bytes() {
        let file = write_leaves(&rows()).unwrap();
        assert_eq!(file, write_leaves(&rows()).unwrap());
        assert_eq!(read_leaves(&Bytes::from(file)).unwrap(), rows());
    }

    #[test]
    fn disclosures_come_back() {
        let row = |slot, status, opening| DisclosureRow {
            index: 7,
            slot,
            media_type: MediaType::Json,
            status,
            opening,
        };
        let opening = Opening { salt: [3; 32], content: Bytes::from_static(b"{}") };
        let rows = vec![
            row(Slot::Principal, Status::Disclosed, Some(opening)),
            row(Slot::Message, Status::Withheld, None),
            row(Slot::DecisionInput, Status::Erased, None),
        ];
        let file = Bytes::from(write_disclosures(&rows).unwrap());
        assert_eq!(read_disclosures(&file).unwrap(), rows);
        assert!(read_leaves(&file).unwrap_err().contains("columns"));
    }

    #[test]
    fn no_truncation_and_no_changed_byte_panics() {
        let file = write_leaves(&rows()[..50]).unwrap();
        for at in 0..file.len() {
            assert!(read_leaves(&Bytes::copy_from_slice(&file[..at])).is_err(), "cut at {at}");
            let mut changed = file.clone();
            changed[at] ^= 0x40;
            let _outcome = read_leaves(&Bytes::from(changed));
        }
    }
}
