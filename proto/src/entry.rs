//! The leaf: an Event and the time at which the ledger recorded it.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use crate::canonical::{EventError, MAX_EVENT_BYTES, decode_event, require_same};
use crate::v1::{Entry, Event};

/// Largest Entry, in bytes: the bound of a tlog-tiles entry bundle.
pub const MAX_ENTRY_BYTES: usize = 65_535;

/// Tag of `recorded_at_ns`: field 1, fixed64.
const TAG_RECORDED_AT: u8 = 0x09;
/// Tag of `event`: field 2, length-delimited.
const TAG_EVENT: u8 = 0x12;

/// Why bytes are not a leaf of this log.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EntryError {
    /// Not a protobuf Entry.
    #[error("the leaf is not a protobuf exhibit.v1.Entry: {0}")]
    Undecodable(String),
    /// Decodes, but is not the canonical encoding.
    #[error(
        "the leaf is not canonically encoded: it differs from its re-encoding at byte {offset}"
    )]
    NotCanonical {
        /// First differing byte.
        offset: usize,
    },
    /// No time, or no event.
    #[error("the leaf has no {0}")]
    Missing(&'static str),
    /// The event inside breaks its own rules.
    #[error(transparent)]
    Event(#[from] EventError),
}

/// Serializes the leaf of canonical event bytes.
///
/// `event` must have passed [`decode_event`]; its length decides the size, so the result never exceeds
/// [`MAX_ENTRY_BYTES`].
pub fn encode_entry(recorded_at_ns: u64, event: &[u8]) -> Bytes {
    debug_assert!(event.len() <= MAX_EVENT_BYTES && recorded_at_ns != 0);
    let mut entry = BytesMut::with_capacity(event.len() + 13);
    entry.put_u8(TAG_RECORDED_AT);
    entry.put_u64_le(recorded_at_ns);
    entry.put_u8(TAG_EVENT);
    prost::encode_length_delimiter(event.len(), &mut entry)
        .expect("BytesMut grows, so a length delimiter always fits");
    entry.put_slice(event);
    entry.freeze()
}

/// A decoded leaf.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// Unix nanoseconds, by the ledger.
    pub recorded_at_ns: u64,
    /// The event's bytes, as the recorder sent them.
    pub event_bytes: Bytes,
    /// The event.
    pub event: Event,
}

/// Decodes a leaf and checks every rule that needs nothing but its bytes.
///
/// # Errors
/// [`EntryError`] names the first rule that is broken.
pub fn decode_entry(bytes: &Bytes) -> Result<Leaf, EntryError> {
    let entry =
        Entry::decode(bytes.clone()).map_err(|error| EntryError::Undecodable(error.to_string()))?;
    require_same(bytes, &entry.encode_to_vec())
        .map_err(|offset| EntryError::NotCanonical { offset })?;
    if entry.recorded_at_ns == 0 {
        return Err(EntryError::Missing("recorded_at_ns"));
    }
    let event = decode_event(&entry.event)?;
    Ok(Leaf { recorded_at_ns: entry.recorded_at_ns, event_bytes: entry.event, event })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_written_encoding_equals_prost() {
        for size in [1, 127, 128, 16_383, 16_384, MAX_EVENT_BYTES] {
            let event = Bytes::from(vec![0xab; size]);
            let by_prost = Entry { recorded_at_ns: u64::MAX, event: event.clone() }.encode_to_vec();
            let ours = encode_entry(u64::MAX, &event);
            assert_eq!(ours, by_prost);
            assert!(ours.len() <= MAX_ENTRY_BYTES);
        }
    }
}
