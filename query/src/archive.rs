//! Everything that is verified, pinned to one checkpoint: what SQL, feed and evidence read.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::AsArray;
use bytes::Bytes;
use proto::v1::Opening;
use tlog::{
    Checkpoint, Hash, LeafIndex, ProveError, RangeProof, TlogProof, TreeSize, VerifyingKey,
    prove_consistency, prove_inclusion,
};

use crate::follower::Nodes;
use crate::follower::marks::Mark;
use crate::follower::view::View;
use crate::rows::columns;
use crate::rows::disclosures::Slots;
use crate::rows::{Part, RowError};

/// A consistent view of everything verified, pinned to one verified checkpoint. Cheap to clone. What is verified later is not
/// in it. What is erased later is gone from segments, and stays in the recent rows that this view holds until the view goes.
#[derive(Debug, Clone)]
pub struct Archive {
    view: Arc<View>,
    /// Checkpoints of earlier exports.
    exported: Arc<[Mark]>,
}

/// Why a proof could not be made.
pub type ProofError = ProveError<std::io::Error>;

impl Archive {
    pub(crate) fn new(view: Arc<View>) -> Self {
        Self { view, exported: Arc::new([]) }
    }

    /// The same, knowing the checkpoints of earlier exports.
    pub(crate) fn with_exported(self, exported: Arc<[Mark]>) -> Self {
        Self { exported, ..self }
    }

    /// The checkpoint, as it is kept.
    pub(crate) fn mark(&self) -> Mark {
        Mark { size: self.size(), recorded_at_ns: 0, note: self.view.note.to_string() }
    }

    pub(crate) fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The checkpoint and its signed note, verbatim.
    pub fn checkpoint(&self) -> (&Checkpoint, &str) {
        (&self.view.checkpoint, &self.view.note)
    }

    /// Leaves under the checkpoint.
    pub fn size(&self) -> u64 {
        self.view.size()
    }

    /// The exact bytes of the leaves in `range`, in order. The caller bounds the range: a leaf has up to 64 KiB.
    ///
    /// # Errors
    /// When the range is not under the checkpoint, or a segment cannot be read.
    pub async fn leaves(&self, range: Range<u64>) -> Result<Vec<Bytes>, RowError> {
        self.read(move |view| {
            let mut leaves = Vec::new();
            for (part, rows) in view.within(range)? {
                for batch in part.leaves(&[*columns::LEAF], rows)? {
                    let batch = batch?;
                    let column = batch.column(0).as_binary::<i32>();
                    leaves.extend(column.iter().flatten().map(Bytes::copy_from_slice));
                }
            }
            Ok(leaves)
        })
        .await
    }

    /// What was disclosed of the leaves in `range`, by leaf and slot: (leaf index, opening). A commitment without an
    /// opening here was withheld from this node, or erased. The caller applies the reader's role, and bounds the
    /// range: a disclosure has up to 16 MiB.
    ///
    /// # Errors
    /// When the range is not under the checkpoint, or a segment cannot be read.
    pub async fn disclosures(&self, range: Range<u64>) -> Result<Vec<(u64, Opening)>, RowError> {
        self.openings(range, Slots::ALL).await
    }

    /// As [`disclosures`](Self::disclosures), but only what a reader in this role may see.
    ///
    /// # Errors
    /// As [`disclosures`](Self::disclosures).
    pub async fn disclosures_visible_to(
        &self,
        role: proto::Role,
        range: Range<u64>,
    ) -> Result<Vec<(u64, Opening)>, RowError> {
        self.openings(range, Slots::visible_to(role)).await
    }

    pub(crate) async fn openings(
        &self,
        range: Range<u64>,
        slots: Slots,
    ) -> Result<Vec<(u64, Opening)>, RowError> {
        self.read(move |view| {
            let mut openings = Vec::new();
            for (part, rows) in view.within(range)? {
                let end = rows.end;
                let rows = part.openings(slots, rows)?.before(end)?;
                openings
                    .extend(rows.iter().filter_map(|row| Some((row.leaf_index, row.opening()?))));
            }
            Ok(openings)
        })
        .await
    }

    /// Proof that the leaves `start..end` are complete and in place under the checkpoint.
    ///
    /// # Errors
    /// When the range is not under the checkpoint, or a node cannot be read.
    pub fn range_proof(&self, start: u64, end: u64) -> Result<RangeProof, ProofError> {
        let note = self.view.note.to_string();
        RangeProof::prove(start, end, self.view.checkpoint.size, note, &self.view.nodes)
    }

    /// Proof that a leaf is in place under the checkpoint.
    ///
    /// # Errors
    /// When the leaf is not under the checkpoint, or a node cannot be read.
    pub fn inclusion_proof(&self, index: u64) -> Result<TlogProof, ProofError> {
        let index = LeafIndex(index);
        let hashes = prove_inclusion(index, self.view.checkpoint.size, &self.view.nodes)?;
        Ok(TlogProof { extra: None, index, hashes, checkpoint: self.view.note.to_string() })
    }

    /// Proof that the tree of `old` leaves is a prefix of the checkpoint's.
    ///
    /// # Errors
    /// When `old` is larger than the checkpoint's tree, or a node cannot be read.
    pub fn consistency_proof(&self, old: TreeSize) -> Result<Vec<Hash>, ProofError> {
        prove_consistency(old, self.view.checkpoint.size, &self.view.nodes)
    }

    /// The nodes of the tree, for proofs between any two sizes up to the checkpoint's.
    pub fn nodes(&self) -> &Nodes {
        &self.view.nodes
    }

    /// The first leaf that was recorded at or after a time (Unix ns); `None` when all were before.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub async fn first_at_or_after(&self, recorded_at_ns: u64) -> Result<Option<u64>, RowError> {
        self.read(move |view| {
            let time = columns::time_value(recorded_at_ns);
            let part = view.parts.partition_point(|part| part.times().1 < time);
            view.parts.get(part).map_or(Ok(None), |part| part.first_at_or_after(time))
        })
        .await
    }

    /// Earlier checkpoints that were verified, ascending, with their notes: one for each ten minutes of recorded time.
    pub fn older_checkpoints(&self) -> Vec<(Checkpoint, String)> {
        self.opened(&self.view.marks)
    }

    /// Checkpoints that the newest earlier exports of this node were proved against, ascending, with their notes.
    pub fn exported_checkpoints(&self) -> Vec<(Checkpoint, String)> {
        self.opened(&self.exported)
    }

    /// The key that signs the log's checkpoints.
    pub fn log_key(&self) -> &VerifyingKey {
        &self.view.log
    }

    /// Those of the marks that are not newer than the checkpoint.
    fn opened(&self, marks: &[Mark]) -> Vec<(Checkpoint, String)> {
        let older = marks.iter().filter(|mark| mark.size <= self.size());
        let parsed = older.filter_map(|mark| {
            let note = tlog::Note::parse(&mark.note).ok()?;
            Some((Checkpoint::parse_text(note.text()).ok()?, mark.note.clone()))
        });
        parsed.collect()
    }

    /// Is there, from `index` on, anything but records of feed deliveries? Sealed rows always count as something.
    pub(crate) fn has_news(&self, index: u64) -> Result<bool, RowError> {
        for (part, rows) in self.view.within(index.min(self.size())..self.size())? {
            if matches!(part, Part::Sealed(_)) {
                return Ok(true);
            }
            for batch in part.leaves(&[*columns::KIND, *columns::DOOR], rows)? {
                let batch = batch?;
                let kinds = batch.column(0).as_string::<i32>();
                let doors = batch.column(1).as_string::<i32>();
                let is_feed =
                    |(kind, door)| kind == Some("EvidenceAccessed") && door == Some("feed");
                if !kinds.iter().zip(doors).all(is_feed) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View) -> Result<T, RowError> + Send + 'static,
    ) -> Result<T, RowError> {
        let view = Arc::clone(&self.view);
        tokio::task::spawn_blocking(move || read(&view)).await.map_err(|_| RowError::Aborted)?
    }
}
