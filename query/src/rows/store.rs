//! All rows: sealed segments, then recent chunks, then what no checkpoint covers yet.

use std::path::PathBuf;
use std::sync::Arc;

use proto::kind::Kind;
use proto::v1::{Opening, Slot};
use tlog::Hash;

use super::RowError;
use super::chunk::{Chunk, Erased};
use super::columns::Row;
use super::disclosures::Slots;
use super::part::Part;
use super::segment::{Segment, SegmentRecord};

/// The rows of one log, written by its follower alone.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    seal_rows: usize,
    seal_bytes: usize,
    segments: Vec<Arc<Segment>>,
    hot: Vec<Arc<Chunk>>,
    /// Rows and bytes in `hot` and `pending`.
    unsealed: (usize, usize),
    pending: Vec<Row>,
    pending_openings: Vec<Vec<Opening>>,
    /// Erasures that no checkpoint covers yet.
    erasures: Erased,
}

impl Store {
    /// The store of the segments that `records` name, in order.
    pub(crate) fn open(
        dir: PathBuf,
        records: Vec<SegmentRecord>,
        (seal_rows, seal_bytes): (usize, usize),
    ) -> Result<Self, RowError> {
        let open = |record| Segment::open(&dir, record).map(Arc::new);
        let segments = records.into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self {
            dir,
            seal_rows,
            seal_bytes,
            segments,
            hot: Vec::new(),
            unsealed: (0, 0),
            pending: Vec::new(),
            pending_openings: Vec::new(),
            erasures: Erased::new(),
        })
    }

    /// Adds the next row. What waits for a checkpoint is bounded too: it is sealed when there is much of it, and
    /// shown to nobody before its checkpoint.
    pub(crate) fn push(&mut self, row: Row, openings: Vec<Opening>) -> Result<(), RowError> {
        let disclosed: usize = openings.iter().map(|opening| opening.content.len() + 64).sum();
        self.unsealed.0 += 1;
        self.unsealed.1 += row.entry.len() + 256 + disclosed;
        if let Some(Kind::DisclosureErased(erased)) = &row.leaf.event.kind
            && erased.leaf_index < row.index
            && let Ok(hash) = <[u8; 32]>::try_from(&erased.leaf_hash[..])
        {
            let slots = erased.slots.iter().filter_map(|&slot| Slot::try_from(slot).ok());
            let leaves = self.erasures.entry(erased.leaf_index).or_default();
            let all = leaves.entry(format!("{:?}", Hash(hash))).or_insert(Slots::NONE);
            *all = all.or(Slots::only(slots));
        }
        self.pending.push(row);
        self.pending_openings.push(openings);
        self.seal_if_full()
    }

    /// A checkpoint covers every row: erasures take effect, and segments are sealed when it is time.
    pub(crate) fn settle(&mut self) -> Result<(), RowError> {
        self.keep_pending()?;
        let erasures = std::mem::take(&mut self.erasures);
        if !erasures.is_empty() {
            self.erase(&erasures)?;
        }
        self.seal_if_full()
    }

    pub(crate) fn parts(&self) -> Vec<Part> {
        let sealed = self.segments.iter().cloned().map(Part::Sealed);
        sealed.chain(self.hot.iter().cloned().map(Part::Hot)).collect()
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().map(AsRef::as_ref)
    }

    /// Index after the last sealed row.
    pub(crate) fn sealed(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.record.end)
    }

    fn seal_if_full(&mut self) -> Result<(), RowError> {
        let (rows, bytes) = self.unsealed;
        if rows < self.seal_rows && bytes < self.seal_bytes {
            return Ok(());
        }
        self.keep_pending()?;
        if !self.hot.is_empty() {
            let segment = Segment::write(&self.dir, &Chunk::join(&self.hot)?)?;
            tracing::info!(
                start = segment.record.start,
                end = segment.record.end,
                "segment sealed"
            );
            self.segments.push(Arc::new(segment));
        }
        self.hot.clear();
        self.unsealed = (0, 0);
        Ok(())
    }

    fn keep_pending(&mut self) -> Result<(), RowError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.hot.push(Arc::new(Chunk::new(&self.pending, &self.pending_openings)?));
        self.pending.clear();
        self.pending_openings.clear();
        // Each chunk is less than half as long as the one before, so there are few.
        while let [.., before, last] = self.hot.as_slice()
            && rows(before) < 2 * rows(last)
        {
            let joined = Chunk::join(&[before, last])?;
            self.hot.truncate(self.hot.len() - 2);
            self.hot.push(Arc::new(joined));
        }
        Ok(())
    }

    /// Erasures are rare, so their leaves are searched for: every part is read once for all of them, and written anew once
    /// if it holds any. A leaf with another hash is another leaf, and nothing of it changes.
    fn erase(&mut self, wanted: &Erased) -> Result<(), RowError> {
        for chunk in &mut self.hot {
            let found = chunk.find(wanted);
            if !found.is_empty() {
                *chunk = Arc::new(chunk.erase(&found)?);
            }
        }
        for segment in &self.segments {
            let found = segment.find(wanted)?;
            if !found.is_empty() {
                segment.erase(&found)?;
            }
        }
        Ok(())
    }
}

fn rows(chunk: &Chunk) -> u64 {
    let range = chunk.range();
    range.end - range.start
}
