//! Entry bundles: entries one after the other, each behind its length as a big-endian u16.

use super::TILE_WIDTH;

/// The longest entry that a bundle can hold, in bytes.
pub const MAX_ENTRY_BYTES: usize = u16::MAX as usize;

/// Puts 1 to 256 entries into a bundle.
///
/// # Errors
/// When there are none or more, or one is longer than [`MAX_ENTRY_BYTES`].
pub fn encode_bundle<'a>(
    entries: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, BundleError> {
    let mut bundle = Vec::new();
    for (position, entry) in entries.into_iter().enumerate() {
        if position == usize::from(TILE_WIDTH) {
            return Err(BundleError::TooMany);
        }
        let len = u16::try_from(entry.len())
            .map_err(|_| BundleError::EntryTooLong { position, len: entry.len() })?;
        bundle.extend_from_slice(&len.to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    if bundle.is_empty() { Err(BundleError::Empty) } else { Ok(bundle) }
}

/// The 1 to 256 entries of a bundle. Which width it should have is the caller's to compare.
///
/// # Errors
/// When the bundle is empty, is cut off, or holds more than 256 entries.
pub fn decode_bundle(bundle: &[u8]) -> Result<Vec<&[u8]>, BundleError> {
    let mut entries = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() {
        let position = entries.len();
        if position == usize::from(TILE_WIDTH) {
            return Err(BundleError::TooMany);
        }
        let cut_off = BundleError::CutOff { position };
        let (len, after) = rest.split_first_chunk().ok_or(cut_off.clone())?;
        let len = usize::from(u16::from_be_bytes(*len));
        let (entry, after) = after.split_at_checked(len).ok_or(cut_off)?;
        entries.push(entry);
        rest = after;
    }
    if entries.is_empty() { Err(BundleError::Empty) } else { Ok(entries) }
}

/// Why entries make no bundle, or bytes are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// No entry; empty bundles are never served.
    #[error("an entry bundle holds at least one entry")]
    Empty,
    /// More than 256 entries.
    #[error("an entry bundle holds at most {TILE_WIDTH} entries")]
    TooMany,
    /// An entry does not fit its length prefix.
    #[error("entry {position} of the bundle has {len} bytes, more than {MAX_ENTRY_BYTES}")]
    EntryTooLong {
        /// Its position in the bundle.
        position: usize,
        /// Its length in bytes.
        len: usize,
    },
    /// The bundle ends within an entry.
    #[error("the bundle ends within entry {position}: it is cut off")]
    CutOff {
        /// The position of the entry in the bundle.
        position: usize,
    },
}
