//! The tree's nodes on disk: one file per tile level, 32 bytes a node, in order.
//!
//! Level 0 holds all leaf hashes, level 8 the roots of each 256 of them, and so on; the levels between are
//! computed from at most 128 nodes. Only complete subtrees are written, so no byte ever changes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tlog::{CompactRange, Hash, NodeSource, TILE_HEIGHT};

use crate::rows::RowError;

const LEVELS: usize = 8;
const MAX_BUFFER_BYTES: usize = 1 << 20;

/// A source of nodes for proofs about verified trees. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Nodes(Arc<[File]>);

impl NodeSource for Nodes {
    type Error = io::Error;

    fn node(&self, level: u8, index: u64) -> Result<Hash, io::Error> {
        let (stored, above) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
        let file = self.0.get(usize::from(stored)).ok_or(io::ErrorKind::NotFound)?;
        let mut bytes = vec![0; Hash::LEN << above];
        let offset = index
            .checked_shl(u32::from(above))
            .and_then(|first| first.checked_mul(Hash::LEN as u64))
            .ok_or(io::ErrorKind::InvalidInput)?;
        file.read_exact_at(&mut bytes, offset)?;
        let mut subtree = CompactRange::new(0);
        for hash in bytes.chunks_exact(Hash::LEN) {
            // Chunks of exactly the length of a hash.
            subtree.append(Hash::try_from(hash).unwrap_or_default());
        }
        // Not empty, and it begins at 0.
        Ok(subtree.root().unwrap_or_default())
    }
}

/// The one writer of a log's nodes.
#[derive(Debug)]
pub(crate) struct NodeWriter {
    dir: PathBuf,
    nodes: Nodes,
    files: Vec<File>,
    buffers: Vec<Vec<u8>>,
}

impl NodeWriter {
    /// Opens the files and cuts them back to a tree of `size` leaves.
    ///
    /// # Errors
    /// When they hold fewer nodes than that tree has.
    pub(crate) fn open(dir: &Path, size: u64) -> Result<Self, RowError> {
        std::fs::create_dir_all(dir).map_err(RowError::io(dir))?;
        let mut files = Vec::with_capacity(LEVELS);
        let mut readers = Vec::with_capacity(LEVELS);
        for level in 0..LEVELS {
            let path = dir.join(format!("level-{}", level * usize::from(TILE_HEIGHT)));
            let file = OpenOptions::new().create(true).append(true).open(&path);
            let file = file.map_err(RowError::io(&path))?;
            let wanted = (size >> (level * usize::from(TILE_HEIGHT))) * Hash::LEN as u64;
            let found = file.metadata().map_err(RowError::io(&path))?.len();
            if found < wanted {
                let reason =
                    format!("it has {found} bytes, a tree of {size} leaves needs {wanted}");
                return Err(RowError::Segment { path, reason });
            }
            file.set_len(wanted).map_err(RowError::io(&path))?;
            readers.push(File::open(&path).map_err(RowError::io(&path))?);
            files.push(file);
        }
        let buffers = vec![Vec::new(); LEVELS];
        Ok(Self { dir: dir.to_owned(), nodes: Nodes(readers.into()), files, buffers })
    }

    pub(crate) fn nodes(&self) -> Nodes {
        self.nodes.clone()
    }

    /// Takes the next node of a level; nodes of a level come in order.
    pub(crate) fn push(&mut self, level: u8, hash: &Hash) {
        if level.is_multiple_of(TILE_HEIGHT)
            && let Some(buffer) = self.buffers.get_mut(usize::from(level / TILE_HEIGHT))
        {
            buffer.extend_from_slice(hash.as_bytes());
        }
    }

    /// Writes what was pushed if it is much: what waits for a checkpoint must not fill the memory.
    pub(crate) fn flush_if_full(&mut self) -> Result<(), RowError> {
        let is_full = self.buffers.iter().any(|buffer| buffer.len() >= MAX_BUFFER_BYTES);
        if is_full { self.flush() } else { Ok(()) }
    }

    /// Makes what was pushed readable.
    pub(crate) fn flush(&mut self) -> Result<(), RowError> {
        for (file, buffer) in self.files.iter_mut().zip(&mut self.buffers) {
            file.write_all(buffer).map_err(RowError::io(&self.dir))?;
            buffer.clear();
        }
        Ok(())
    }

    /// Makes what was flushed durable.
    pub(crate) fn sync(&self) -> Result<(), RowError> {
        self.files.iter().try_for_each(File::sync_data).map_err(RowError::io(&self.dir))
    }
}
