//! Batches of the base tables, made from parts; what the reader may not see is not in them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, RecordBatch, RecordBatchOptions, StringArray, UInt32Array,
    UInt64Array,
};
use arrow::datatypes::SchemaRef;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use proto::v1::{self, MediaType};

use crate::rows::columns::{self, leaf_schema};
use crate::rows::disclosed::{self, DisclosedColumn};
use crate::rows::disclosures::{Disclosed, Slots, Status};
use crate::rows::values::name_of;
use crate::rows::{Part, RowError};

pub(super) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, RowError>> + Send>;

pub(super) fn events(
    part: &Part,
    rows: Range<u64>,
    schema: &SchemaRef,
    wanted: &[usize],
    slots: Slots,
) -> Result<Batches, RowError> {
    let leaf_columns = leaf_schema().fields().len();
    let disclosed: Vec<&'static DisclosedColumn> = wanted
        .iter()
        .filter_map(|column| disclosed::COLUMNS.get(column.checked_sub(leaf_columns)?))
        .collect();
    let needed = slots.and(Slots::only(disclosed.iter().map(|column| column.slot)));
    // What is read of the leaves: what is wanted, and what the disclosed columns and the row count need.
    let mut read: Vec<usize> =
        wanted.iter().copied().filter(|column| *column < leaf_columns).collect();
    read.extend((!disclosed.is_empty()).then_some(*columns::TOOL));
    read.extend(read.is_empty().then_some(columns::LEAF_INDEX));
    read.sort_unstable();
    read.dedup();
    let mut openings = part.openings(needed, rows.clone())?;
    let leaves = part.leaves(&read, rows.clone())?;
    let (schema, wanted) = (Arc::clone(schema), wanted.to_vec());
    let mut next = rows.start;
    Ok(Box::new(leaves.map(move |leaves| {
        let leaves = leaves?;
        let first = next;
        next += leaves.num_rows() as u64;
        let contents: HashMap<(u64, i32), Bytes> = openings
            .before(next)?
            .into_iter()
            .filter(|row| row.status == Status::Disclosed)
            .map(|row| ((row.leaf_index, row.slot), row.content))
            .collect();
        let column = |position: usize| {
            // `read` holds every leaf column that is asked for here.
            leaves.column(read.binary_search(&position).unwrap_or_default())
        };
        let tools: Vec<Option<&str>> = if disclosed.is_empty() {
            Vec::new()
        } else {
            column(*columns::TOOL).as_string::<i32>().iter().collect()
        };
        let arrays = wanted.iter().map(|&position| {
            match position.checked_sub(leaf_columns).and_then(|d| disclosed::COLUMNS.get(d)) {
                Some(disclosed) => disclosed.build(first, &tools, &contents),
                None => Arc::clone(column(position)),
            }
        });
        of_rows(&schema, arrays.collect(), leaves.num_rows())
    })))
}

/// Rows of the `disclosures` table that are made at a time: a disclosure may have 16 MiB.
const WINDOW: u64 = 64;

pub(super) fn disclosures(
    part: &Part,
    rows: Range<u64>,
    schema: &SchemaRef,
    wanted: &[usize],
    slots: Slots,
) -> Result<Batches, RowError> {
    let with_content = wanted.iter().any(|column| *column >= 6);
    let visible = if with_content { slots } else { Slots::NONE };
    let mut commitments = part.commitments(rows.clone())?;
    let mut openings = part.openings(visible, rows.clone())?;
    let (schema, wanted) = (Arc::clone(schema), wanted.to_vec());
    let windows = (rows.start..rows.end).step_by(WINDOW as usize);
    Ok(Box::new(windows.map(move |start| {
        let end = rows.end.min(start + WINDOW);
        let opened: HashMap<(u64, i32), Disclosed> = openings
            .before(end)?
            .into_iter()
            .map(|row| ((row.leaf_index, row.slot), row))
            .collect();
        let mut found = commitments.before(end)?;
        for row in &mut found {
            if row.status == Status::Disclosed && !slots.contains(row.slot) {
                row.status = Status::Withheld;
            }
            if let Some(opened) = opened.get(&(row.leaf_index, row.slot)) {
                row.salt = opened.salt.clone();
                row.content = opened.content.clone();
            }
        }
        let arrays = wanted.iter().map(|&column| disclosure_column(column, &found));
        of_rows(&schema, arrays.collect(), found.len())
    })))
}

fn disclosure_column(column: usize, rows: &[Disclosed]) -> ArrayRef {
    let text = |of: fn(&Disclosed) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<StringArray>())
    };
    match column {
        0 => Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.leaf_index))),
        1 => text(|row| Some(proto::disclosure::slot_name(row.slot).to_owned())),
        2 => text(|row| name_of!(v1::MediaType, "MEDIA_TYPE_", row.media_type)),
        3 => Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.size_class))),
        4 => text(|row| Some(hex::encode(&row.commitment))),
        5 => text(|row| Some(row.status.as_str().to_owned())),
        6 => text(|row| (!row.salt.is_empty()).then(|| hex::encode(&row.salt))),
        7 => text(|row| (!row.salt.is_empty()).then(|| content(row))),
        _ => Arc::new(BinaryArray::new_null(rows.len())),
    }
}

/// Text as it is; octets, and what is no text, in base64.
fn content(row: &Disclosed) -> String {
    match std::str::from_utf8(&row.content) {
        Ok(text) if row.media_type != MediaType::Octets as i32 => text.to_owned(),
        _ => STANDARD.encode(&row.content),
    }
}

/// A batch, even without columns.
fn of_rows(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, RowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
