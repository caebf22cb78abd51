//! Parquet: one writer with fixed properties, so that equal rows are equal bytes; one reader that what it reads cannot
//! make large.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{Array as _, RecordBatch};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::MAX_FILE_BYTES;

/// Most bytes of all values that the tables of one package may decode to: twice what an exporter puts into one.
pub const MAX_DECODED_BYTES: u64 = 2 << 30;

/// Rows per row group; disclosures may have 16 MiB each, so groups are also bounded by bytes.
const GROUP_ROWS: usize = 65_536;
const GROUP_BYTES: usize = 128 << 20;
/// Rows written at once.
const WRITE_ROWS: usize = 1024;
/// Rows decoded at once: few, since what they decode to is known only afterwards.
const READ_ROWS: usize = 32;
/// What a row costs in memory beside its values, and most that a cell may have beyond its bytes in the file.
const ROW_BYTES: u64 = 64;
const CELL_BYTES: u64 = 16;

/// Why a table cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Not a Parquet file, or not this table.
    #[error("{0}")]
    Malformed(String),
    /// It is small in the file and large in memory, or all tables of the package are too large together.
    #[error("{0}")]
    TooLarge(String),
}

impl From<String> for TableError {
    fn from(reason: String) -> Self {
        Self::Malformed(reason)
    }
}

/// What is left of [`MAX_DECODED_BYTES`] for the tables of one package.
#[derive(Debug)]
pub struct Budget {
    left_bytes: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left_bytes: MAX_DECODED_BYTES }
    }
}

impl Budget {
    fn spend(&mut self, size_bytes: u64) -> Result<(), TableError> {
        self.left_bytes = self.left_bytes.checked_sub(size_bytes).ok_or_else(|| {
            TableError::TooLarge(format!(
                "with it the tables of the package decode to more than {MAX_DECODED_BYTES} bytes"
            ))
        })?;
        Ok(())
    }
}

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
        for offset in (0..batch.num_rows()).step_by(WRITE_ROWS) {
            let rows = WRITE_ROWS.min(batch.num_rows() - offset);
            writer.write(&batch.slice(offset, rows))?;
        }
        writer.into_inner()
    };
    write().map_err(|error| format!("a table cannot be encoded: {error}"))
}

/// All rows of a Parquet file of a package.
///
/// # Errors
/// See [`each_batch`].
pub fn read_batches(file: &Bytes) -> Result<Vec<RecordBatch>, TableError> {
    let mut batches = Vec::new();
    each_batch(file, &mut Budget::default(), |batch| {
        batches.push(batch.clone());
        Ok::<(), TableError>(())
    })?;
    Ok(batches)
}

/// Decodes a Parquet file of a package and hands its rows to `take`, few at a time.
///
/// What is decoded is counted by the lengths of its values against `budget`, and against what the file says of its own
/// size: the writer repeats no value by reference, so a file in which few bytes stand for many is not of its making.
///
/// # Errors
/// The first error of `take`; [`TableError`] when the file is not whole or passes a bound.
pub fn each_batch<E: From<TableError>>(
    file: &Bytes,
    budget: &mut Budget,
    mut take: impl FnMut(&RecordBatch) -> Result<(), E>,
) -> Result<(), E> {
    let (mut batches, claimed) = guarded(|| open(file))??;
    let (mut decoded, mut cells) = (0u64, 0u64);
    while let Some(batch) = guarded(|| batches.next())? {
        let batch = batch
            .map_err(|error| TableError::Malformed(format!("it cannot be decoded: {error}")))?;
        let size_bytes = size_of_values(&batch)?;
        let rows = batch.num_rows() as u64;
        decoded = decoded.saturating_add(size_bytes);
        cells = cells.saturating_add((rows + 1).saturating_mul(batch.num_columns() as u64));
        if decoded > claimed.saturating_add(cells.saturating_mul(CELL_BYTES)) {
            return Err(TableError::TooLarge(format!(
                "it decodes to more than the {claimed} bytes that it says it has: its values are stored by reference, \
                 which no exporter does"
            ))
            .into());
        }
        budget.spend(size_bytes.saturating_add(rows * ROW_BYTES))?;
        take(&batch)?;
    }
    Ok(())
}

/// A reader, and how large the file says its columns are without compression.
fn open(file: &Bytes) -> Result<(ParquetRecordBatchReader, u64), TableError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone()).map_err(|error| {
        TableError::Malformed(format!("it is not a whole Parquet file: {error}"))
    })?;
    let groups = builder.metadata().row_groups().iter();
    let claimed = groups.fold(0u64, |sum, group| {
        sum.saturating_add(u64::try_from(group.total_byte_size()).unwrap_or(u64::MAX))
    });
    if claimed > MAX_FILE_BYTES {
        let detail = format!("it would decode to more than {MAX_FILE_BYTES} bytes");
        return Err(TableError::TooLarge(detail));
    }
    let reader = builder.with_batch_size(READ_ROWS).build();
    Ok((reader.map_err(|error| TableError::Malformed(error.to_string()))?, claimed))
}

/// Bytes of the values of a batch; what several cells share counts for each.
fn size_of_values(batch: &RecordBatch) -> Result<u64, TableError> {
    batch.columns().iter().try_fold(0u64, |sum, column| {
        let size_bytes = column.to_data().get_slice_memory_size();
        let size_bytes = size_bytes.map_err(|error| TableError::Malformed(error.to_string()))?;
        Ok(sum.saturating_add(size_bytes as u64))
    })
}

/// What a panic of the decoder is told as.
const BROKEN: &str = "its decoding failed: the file is malformed";

/// The decoder is not ours, and these bytes come from outside: a panic there is a malformed file.
fn guarded<T>(decode: impl FnOnce() -> T) -> Result<T, TableError> {
    catch_unwind(AssertUnwindSafe(decode)).map_err(|_| TableError::Malformed(BROKEN.to_owned()))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, UInt64Array};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    pub(crate) fn table(rows: usize, value: &[u8]) -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("leaf_index", DataType::UInt64, false),
            Field::new("leaf", DataType::Binary, false),
        ]);
        let index: UInt64Array = (0..rows as u64).map(Some).collect();
        let leaf = BinaryArray::from_iter_values(std::iter::repeat_n(value, rows));
        let columns: Vec<ArrayRef> = vec![Arc::new(index), Arc::new(leaf)];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    /// How many rows are handed out before the end, or before it is refused.
    fn read(file: Vec<u8>, budget: &mut Budget) -> (usize, Result<(), TableError>) {
        let mut rows = 0;
        let outcome = each_batch(&Bytes::from(file), budget, |batch| {
            rows += batch.num_rows();
            Ok::<(), TableError>(())
        });
        (rows, outcome)
    }

    /// A file as other writers make it: each value once, rows refer to it.
    pub(crate) fn by_reference(batch: &RecordBatch) -> Vec<u8> {
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(true)
            .set_dictionary_page_size_limit(1 << 30)
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let mut writer =
            ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(batch).unwrap();
        writer.into_inner().unwrap()
    }

    #[test]
    fn few_bytes_that_stand_for_many_are_refused_early() {
        let file = by_reference(&table(3000, &vec![0; 32 << 10]));
        assert!(file.len() < 20_000, "{}", file.len());
        let (rows, outcome) = read(file, &mut Budget::default());
        assert!(matches!(outcome, Err(TableError::TooLarge(_))), "{outcome:?}");
        assert_eq!(rows, 0);
        // The same rows, each written out, are a table like any other.
        let file = write_batch(&table(3000, &vec![0; 32 << 10])).unwrap();
        assert_eq!(read(file, &mut Budget::default()), (3000, Ok(())));
    }

    #[test]
    fn all_tables_of_a_package_share_one_budget() {
        let file = write_batch(&table(300, &[7; 1000])).unwrap();
        let mut budget = Budget { left_bytes: 500_000 };
        assert_eq!(read(file.clone(), &mut budget), (300, Ok(())));
        let (rows, outcome) = read(file, &mut budget);
        assert!(matches!(outcome, Err(TableError::TooLarge(_))), "{outcome:?}");
        assert!(rows < 200, "{rows}");
    }

    #[test]
    fn cells_that_are_empty_cost_no_more_than_they_may() {
        let schema = Schema::new(vec![Field::new("salt", DataType::Binary, true)]);
        let salt: BinaryArray = std::iter::repeat_n(None::<&[u8]>, 10_000).collect();
        let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(salt)]).unwrap();
        let file = write_batch(&batch).unwrap();
        assert_eq!(read(file, &mut Budget::default()), (10_000, Ok(())));
    }

    /// The decoder panics on some of these; that is an error of the file like any other.
    #[test]
    fn a_damaged_file_is_an_error_or_gives_no_more_than_was_there() {
        let file = write_batch(&table(50, b"a leaf")).unwrap();
        let mut refused = 0;
        for at in 0..file.len() {
            let (_, cut) = read(file[..at].to_vec(), &mut Budget::default());
            assert!(cut.is_err(), "cut at {at}");
            for bit in [0x01, 0x40, 0x80] {
                let mut changed = file.clone();
                changed[at] ^= bit;
                let (rows, outcome) = read(changed, &mut Budget::default());
                assert!(rows <= 50, "byte {at} ^ {bit:#x}: {rows} rows");
                assert!(rows == 50 || outcome.is_err(), "byte {at} ^ {bit:#x}: {rows} rows");
                refused += usize::from(outcome.is_err());
            }
        }
        assert!(refused > file.len(), "{refused} of {}", 3 * file.len());
    }
}
