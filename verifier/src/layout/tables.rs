//! The tables of leaves and of disclosures: their columns, and their rows as values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use proto::v1::{MediaType, Slot};

pub use super::columns::{
    Budget, MAX_DECODED_BYTES, TableError, each_batch, read_batches, write_batch,
};
use crate::material::{DisclosureRow, LeafRow, Opening, Status};

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
/// What is wrong with the file, or that it passes what is left of the budget.
pub fn read_leaves(file: &Bytes, budget: &mut Budget) -> Result<Vec<LeafRow>, TableError> {
    let mut rows = Vec::new();
    each_batch(file, budget, |batch| {
        require_schema(batch, &leaves_schema())?;
        let (index, leaf) = (u64_column(batch, 0)?, binary_column(batch, 1)?);
        rows.extend((0..batch.num_rows()).map(|row| LeafRow {
            index: index.value(row),
            bytes: Bytes::copy_from_slice(leaf.value(row)),
        }));
        Ok::<(), TableError>(())
    })?;
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
/// What is wrong with the file, or that it passes what is left of the budget.
pub fn read_disclosures(
    file: &Bytes,
    budget: &mut Budget,
) -> Result<Vec<DisclosureRow>, TableError> {
    let mut rows = Vec::new();
    each_batch(file, budget, |batch| Ok::<(), TableError>(disclosures_of(batch, &mut rows)?))?;
    Ok(rows)
}

fn disclosures_of(batch: &RecordBatch, rows: &mut Vec<DisclosureRow>) -> Result<(), String> {
    require_schema(batch, &disclosures_schema())?;
    let index = u64_column(batch, 0)?;
    let (slot, media) = (text_column(batch, 1)?, text_column(batch, 2)?);
    let status = text_column(batch, 3)?;
    let (salt, bytes) = (binary_column(batch, 4)?, binary_column(batch, 5)?);
    for row in 0..batch.num_rows() {
        let at = index.value(row);
        let wrong = |what: &str| format!("the row of leaf {at} has {what}");
        let status = Status::parse(status.value(row)).ok_or_else(|| wrong("an unknown status"))?;
        let opening = match (salt.is_valid(row), bytes.is_valid(row)) {
            (true, true) => Some(Opening {
                salt: salt.value(row).try_into().map_err(|_| wrong("a salt not 32 bytes long"))?,
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
    Ok(())
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
        let read = read_leaves(&Bytes::from(file), &mut Budget::default());
        assert_eq!(read.unwrap(), rows());
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
        let mut budget = Budget::default();
        assert_eq!(read_disclosures(&file, &mut budget).unwrap(), rows);
        let wrong = read_leaves(&file, &mut budget).unwrap_err();
        assert!(wrong.to_string().contains("columns"), "{wrong}");
    }
}
