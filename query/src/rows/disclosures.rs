//! Disclosures as rows: what a commitment commits to, as far as it was given to us.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, AsArray, BinaryArray, Int32Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, UInt32Type, UInt64Type};
use bytes::Bytes;
use proto::Role;
use proto::v1::{Opening, Slot};

use super::RowError;
use super::columns::Row;

/// Columns of the stored form, by position.
pub(crate) const LEAF_INDEX: usize = 0;
pub(crate) const SLOT: usize = 1;
const MEDIA_TYPE: usize = 2;
const SIZE_CLASS: usize = 3;
const COMMITMENT: usize = 4;
const STATUS: usize = 5;
const SALT: usize = 6;
const CONTENT: usize = 7;
/// All but what only some may see.
pub(crate) const PUBLIC_COLUMNS: usize = SALT;
pub(crate) const ALL_COLUMNS: usize = CONTENT + 1;

/// What became of a disclosure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Disclosed,
    /// It was not given to this reader.
    Withheld,
    Erased,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Disclosed => "disclosed",
            Self::Withheld => "withheld",
            Self::Erased => "erased",
        }
    }
}

/// One commitment of one leaf.
#[derive(Debug, Clone)]
pub(crate) struct Disclosed {
    pub(crate) leaf_index: u64,
    pub(crate) slot: i32,
    pub(crate) media_type: i32,
    pub(crate) size_class: u32,
    pub(crate) commitment: Bytes,
    pub(crate) status: Status,
    /// Empty unless disclosed, and read with content.
    pub(crate) salt: Bytes,
    pub(crate) content: Bytes,
}

impl Disclosed {
    /// One for each commitment of the leaf, in slot order.
    pub(crate) fn of(row: &Row, openings: &[Opening]) -> Vec<Self> {
        let one = |disclosure: &proto::v1::Disclosure| {
            let opening = openings.iter().find(|opening| opening.slot == disclosure.slot);
            Self {
                leaf_index: row.index,
                slot: disclosure.slot,
                media_type: disclosure.media_type,
                size_class: disclosure.size_class,
                commitment: disclosure.commitment.clone(),
                status: opening.map_or(Status::Withheld, |_| Status::Disclosed),
                salt: opening.map(|opening| opening.salt.clone()).unwrap_or_default(),
                content: opening.map(|opening| opening.content.clone()).unwrap_or_default(),
            }
        };
        row.leaf.event.disclosures.iter().map(one).collect()
    }

    pub(crate) fn opening(&self) -> Option<Opening> {
        (self.status == Status::Disclosed).then(|| Opening {
            slot: self.slot,
            salt: self.salt.clone(),
            content: self.content.clone(),
        })
    }

    pub(crate) fn erase(&mut self) {
        self.status = Status::Erased;
        self.salt = Bytes::new();
        self.content = Bytes::new();
    }
}

/// Slots that may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slots(u32);

impl Slots {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALL: Self = Self(u32::MAX);

    /// Those that a reader in this role may see.
    pub(crate) fn visible_to(role: Role) -> Self {
        let numbers =
            (1..32).filter(|&number| Slot::try_from(number).is_ok_and(|slot| role.may_see(slot)));
        Self(numbers.fold(0, |slots, number| slots | 1 << number))
    }

    pub(crate) fn only(slots: impl IntoIterator<Item = Slot>) -> Self {
        Self(slots.into_iter().fold(0, |all, slot| all | 1 << slot as i32))
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn contains(self, slot: i32) -> bool {
        (0..32).contains(&slot) && self.0 & (1 << slot) != 0
    }
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("leaf_index", DataType::UInt64, false),
        Field::new("slot", DataType::Int32, false),
        Field::new("media_type", DataType::Int32, false),
        Field::new("size_class", DataType::UInt32, false),
        Field::new("commitment", DataType::Binary, false),
        Field::new("status", DataType::Utf8, false),
        Field::new("salt", DataType::Binary, true),
        Field::new("content", DataType::Binary, true),
    ]))
});

/// The schema of a sidecar.
pub(crate) fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

pub(crate) fn batch(rows: &[Disclosed]) -> Result<RecordBatch, RowError> {
    fn secret<'a>(row: &Disclosed, bytes: &'a Bytes) -> Option<&'a [u8]> {
        (row.status == Status::Disclosed).then_some(bytes.as_ref())
    }
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.leaf_index))),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.slot))),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.media_type))),
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.size_class))),
            Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| &row.commitment))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.status.as_str()))),
            Arc::new(rows.iter().map(|row| secret(row, &row.salt)).collect::<BinaryArray>()),
            Arc::new(rows.iter().map(|row| secret(row, &row.content)).collect::<BinaryArray>()),
        ],
    )?)
}

/// The rows of a batch of the first [`PUBLIC_COLUMNS`] or of [`ALL_COLUMNS`] columns.
pub(crate) fn rows(batch: &RecordBatch) -> impl Iterator<Item = Disclosed> {
    let indexes = batch.column(LEAF_INDEX).as_primitive::<UInt64Type>();
    let slots = batch.column(SLOT).as_primitive::<Int32Type>();
    let media_types = batch.column(MEDIA_TYPE).as_primitive::<Int32Type>();
    let size_classes = batch.column(SIZE_CLASS).as_primitive::<UInt32Type>();
    let commitments = batch.column(COMMITMENT).as_binary::<i32>();
    let statuses = batch.column(STATUS).as_string::<i32>();
    let secret = |column: usize, row: usize| {
        let array = batch.columns().get(column)?.as_binary::<i32>();
        (!array.is_null(row)).then(|| Bytes::copy_from_slice(array.value(row)))
    };
    (0..batch.num_rows()).map(move |row| Disclosed {
        leaf_index: indexes.value(row),
        slot: slots.value(row),
        media_type: media_types.value(row),
        size_class: size_classes.value(row),
        commitment: Bytes::copy_from_slice(commitments.value(row)),
        status: match statuses.value(row) {
            "disclosed" => Status::Disclosed,
            "erased" => Status::Erased,
            _ => Status::Withheld,
        },
        salt: secret(SALT, row).unwrap_or_default(),
        content: secret(CONTENT, row).unwrap_or_default(),
    })
}
