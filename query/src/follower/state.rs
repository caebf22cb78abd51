//! `state.json`: where a restarted follower goes on. It is replaced whole, after all that it names is durable.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tlog::{CompactRange, Hash};

use crate::rows::RowError;
use crate::rows::segment::{SegmentRecord, sync_dir};

const FILE: &str = "state.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// Of this file's form.
    pub(crate) version: u32,
    /// The key of the log that is followed; its name is the origin.
    pub(crate) log_vkey: String,
    /// The compact range over the sealed leaves, base64.
    pub(crate) tree: Vec<String>,
    /// The newest verified checkpoint; it covers at least the sealed leaves.
    pub(crate) checkpoint: String,
    /// Sealed segments, gapless from leaf 0.
    pub(crate) segments: Vec<SegmentRecord>,
}

pub(crate) const VERSION: u32 = 1;

impl State {
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>, RowError> {
        let path = dir.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(RowError::io(path)(error)),
        };
        let state: Self = serde_json::from_slice(&text)
            .map_err(|error| RowError::Segment { path: path.clone(), reason: error.to_string() })?;
        let is_gapless = state
            .segments
            .iter()
            .try_fold(0, |next, segment| (segment.start == next).then_some(segment.end))
            .is_some();
        if state.version != VERSION || !is_gapless {
            let reason = "it is of another version, or its segments leave a gap".to_owned();
            return Err(RowError::Segment { path, reason });
        }
        Ok(Some(state))
    }

    pub(crate) fn save(&self, dir: &Path) -> Result<(), RowError> {
        // Strings and numbers always serialize.
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        write_durably(&dir.join(FILE), &text)?;
        sync_dir(dir)
    }

    /// Index after the last sealed leaf.
    pub(crate) fn sealed(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.end)
    }

    /// `recorded_at` of the last sealed leaf, Unix ns.
    pub(crate) fn last_recorded_at_ns(&self) -> u64 {
        let last = self.segments.last().map_or(0, |segment| segment.last_recorded_at_ns);
        u64::try_from(last).unwrap_or_default()
    }

    /// The tree over the sealed leaves; `None` when the hashes are not those of such a tree.
    pub(crate) fn tree(&self) -> Option<CompactRange> {
        let hashes: Result<Vec<_>, _> =
            self.tree.iter().map(|hash| Hash::from_base64(hash)).collect();
        CompactRange::from_hashes(0, self.sealed(), hashes.ok()?).ok()
    }
}

/// Replaces a file whole; the caller syncs its folder.
pub(crate) fn write_durably(path: &Path, text: &[u8]) -> Result<(), RowError> {
    let unfinished = path.with_extension("tmp");
    let write = || {
        let mut file = File::create(&unfinished)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().map_err(RowError::io(path))
}
