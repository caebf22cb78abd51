//! Sealed rows: two Parquet files with final names.
//!
//! `events-<start>-<end>.parquet` holds the leaf columns, the exact leaf among them, and never changes.
//! `disclosures-<start>-<end>.parquet` is its sidecar, and is rewritten when a disclosure is erased.

use std::collections::HashMap;
use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{SchemaRef, UInt64Type};
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};

use super::RowError;
use super::chunk::{self, Chunk, Erased, in_slots};
use super::columns::{self, leaf_schema};
use super::disclosures::{self, Slots};
use super::part::{BATCH_ROWS, Batches};

/// Rows of a Parquet row group.
const GROUP_ROWS: usize = 8192;
/// A disclosure may have 16 MiB.
const DISCLOSURE_BATCH_ROWS: usize = 64;

/// What `state.json` says of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SegmentRecord {
    /// Index of the first leaf.
    pub(crate) start: u64,
    /// Index after the last leaf.
    pub(crate) end: u64,
    /// `recorded_at` of the first leaf, Unix ns.
    pub(crate) first_recorded_at_ns: i64,
    /// `recorded_at` of the last leaf, Unix ns.
    pub(crate) last_recorded_at_ns: i64,
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) record: SegmentRecord,
    events: PathBuf,
    disclosures: PathBuf,
}

impl Segment {
    /// Writes a chunk. A crash leaves nothing, or files that no state names yet.
    pub(crate) fn write(dir: &Path, chunk: &Chunk) -> Result<Self, RowError> {
        let (range, (first, last)) = (chunk.range(), chunk.times());
        let segment = Self::at(
            dir,
            SegmentRecord {
                start: range.start,
                end: range.end,
                first_recorded_at_ns: first,
                last_recorded_at_ns: last,
            },
        );
        write(&segment.disclosures, &disclosures::schema(), [Ok(chunk.all_disclosures().clone())])?;
        write(&segment.events, &leaf_schema(), [Ok(chunk.all_leaves().clone())])?;
        Ok(segment)
    }

    /// A segment that was written before.
    ///
    /// # Errors
    /// When its files are not there, or do not hold what `record` says.
    pub(crate) fn open(dir: &Path, record: SegmentRecord) -> Result<Self, RowError> {
        let segment = Self::at(dir, record);
        let reader = open(&segment.events)?;
        let rows = u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or_default();
        if Some(rows) != segment.record.end.checked_sub(segment.record.start)
            || reader.schema().fields() != leaf_schema().fields()
        {
            return Err(RowError::Segment {
                path: segment.events,
                reason: format!("it has {rows} rows, or other columns than this version writes"),
            });
        }
        open(&segment.disclosures)?;
        Ok(segment)
    }

    fn at(dir: &Path, record: SegmentRecord) -> Self {
        let range = format!("{:012}-{:012}.parquet", record.start, record.end);
        Self {
            record,
            events: dir.join(format!("events-{range}")),
            disclosures: dir.join(format!("disclosures-{range}")),
        }
    }

    pub(crate) fn file_names(&self) -> impl Iterator<Item = &std::ffi::OsStr> {
        [&self.events, &self.disclosures].into_iter().filter_map(|path| path.file_name())
    }

    pub(crate) fn range(&self) -> Range<u64> {
        self.record.start..self.record.end
    }

    pub(crate) fn times(&self) -> (i64, i64) {
        (self.record.first_recorded_at_ns, self.record.last_recorded_at_ns)
    }

    pub(crate) fn leaves(&self, wanted: &[usize], rows: Range<u64>) -> Result<Batches, RowError> {
        let reader = open(&self.events)?;
        let projection = ProjectionMask::roots(reader.parquet_schema(), wanted.iter().copied());
        let reader = reader
            .with_projection(projection)
            .with_batch_size(BATCH_ROWS)
            .with_offset(count(rows.start.saturating_sub(self.record.start)))
            .with_limit(count(rows.end.saturating_sub(rows.start)))
            .build()
            .map_err(RowError::parquet(&self.events))?;
        Ok(batches(reader, self.events.clone()))
    }

    pub(crate) fn disclosures(
        &self,
        slots: Slots,
        rows: Range<u64>,
        columns: usize,
    ) -> Result<Batches, RowError> {
        let reader = open(&self.disclosures)?;
        let schema = reader.parquet_schema();
        let projection = ProjectionMask::roots(schema, 0..columns);
        let keys = ProjectionMask::roots(schema, [disclosures::LEAF_INDEX, disclosures::SLOT]);
        // Decided on leaf and slot alone: what may not be seen is never decoded.
        let wanted = ArrowPredicateFn::new(keys, move |batch| {
            let indexes = batch.column(0).as_primitive::<UInt64Type>();
            let of_rows = indexes.values().iter().map(|index| Some(rows.contains(index)));
            let of_rows: BooleanArray = of_rows.collect();
            arrow::compute::and(&of_rows, &in_slots(batch.column(1), slots))
        });
        let reader = reader
            .with_projection(projection)
            .with_row_filter(RowFilter::new(vec![Box::new(wanted)]))
            .with_batch_size(DISCLOSURE_BATCH_ROWS)
            .build()
            .map_err(RowError::parquet(&self.disclosures))?;
        Ok(batches(reader, self.disclosures.clone()))
    }

    /// Rewrites the sidecar without those disclosures. Readers that opened the old file keep it until they end.
    pub(crate) fn erase(&self, erased: &HashMap<u64, Slots>) -> Result<(), RowError> {
        let reader = open(&self.disclosures)?
            .with_batch_size(DISCLOSURE_BATCH_ROWS)
            .build()
            .map_err(RowError::parquet(&self.disclosures))?;
        let rewritten =
            batches(reader, self.disclosures.clone()).map(|batch| chunk::erase(&batch?, erased));
        write(&self.disclosures, &disclosures::schema(), rewritten)
    }

    /// Those of the leaves that are here, with the slots that go. Without one of their places nothing is read.
    pub(crate) fn find(&self, wanted: &Erased) -> Result<HashMap<u64, Slots>, RowError> {
        let mut found = HashMap::new();
        let range = self.range();
        if !wanted.keys().any(|index| range.contains(index)) {
            return Ok(found);
        }
        let mut index = self.record.start;
        for batch in self.leaves(&[*columns::LEAF_HASH], range)? {
            let batch = batch?;
            found.extend(chunk::find(wanted, index, batch.column(0).as_string::<i32>()));
            index += batch.num_rows() as u64;
        }
        Ok(found)
    }
}

fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, RowError> {
    let file = File::open(path).map_err(RowError::io(path))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(RowError::parquet(path))
}

fn batches(reader: ParquetRecordBatchReader, path: PathBuf) -> Batches {
    Box::new(reader.map(move |batch| {
        batch.map_err(|error| RowError::Segment { path: path.clone(), reason: error.to_string() })
    }))
}

/// Writes a file under its final name only when it is whole and on disk.
fn write(
    path: &Path,
    schema: &SchemaRef,
    batches: impl IntoIterator<Item = Result<RecordBatch, RowError>>,
) -> Result<(), RowError> {
    let unfinished = path.with_extension("tmp");
    let file = File::create(&unfinished).map_err(RowError::io(&unfinished))?;
    let level = ZstdLevel::try_new(3).map_err(RowError::parquet(path))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .build();
    let mut writer = ArrowWriter::try_new(file, Arc::clone(schema), Some(properties))
        .map_err(RowError::parquet(path))?;
    for batch in batches {
        writer.write(&batch?).map_err(RowError::parquet(path))?;
    }
    let file = writer.into_inner().map_err(RowError::parquet(path))?;
    file.sync_all().map_err(RowError::io(&unfinished))?;
    fs::rename(&unfinished, path).map_err(RowError::io(path))?;
    sync_dir(path.parent().unwrap_or(path))
}

/// Makes renames in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), RowError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(RowError::io(dir))
}

fn count(rows: u64) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}
