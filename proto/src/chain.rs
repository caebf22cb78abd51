//! A recorder's chain: gapless sequence numbers, each event naming the hash of the one before.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::v1::Recorder;

/// SHA-256 of an Event's bytes, what the next event of the epoch carries as `previous_hash`.
pub fn event_hash(event_bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(event_bytes).into()
}

/// The last event of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHead {
    /// Its sequence number.
    pub sequence: u64,
    /// SHA-256 of its bytes.
    pub hash: [u8; 32],
}

/// How an event stands to the head of its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// It follows the head.
    Next,
    /// At or below the head: stored before.
    Resent,
    /// Leaves a gap, or follows another event than the head: a fork of the chain.
    Fork,
}

/// Where an event stands against `head` (`None`: the epoch is empty).
pub fn position(head: Option<&ChainHead>, recorder: &Recorder) -> Position {
    let (next, previous_hash): (u64, &[u8]) = match head {
        None => (0, &[]),
        Some(head) => match head.sequence.checked_add(1) {
            Some(next) => (next, &head.hash),
            None => return Position::Resent,
        },
    };
    if recorder.sequence < next {
        Position::Resent
    } else if recorder.sequence == next && recorder.previous_hash == previous_hash {
        Position::Next
    } else {
        Position::Fork
    }
}

/// The chain fields of the event that follows `head`.
pub fn next(head: Option<&ChainHead>, recorder_id: &str, epoch: &[u8; 16]) -> Recorder {
    Recorder {
        recorder_id: recorder_id.to_owned(),
        epoch: Bytes::copy_from_slice(epoch),
        sequence: head.map_or(0, |head| head.sequence + 1),
        previous_hash: head.map_or_else(Bytes::new, |head| Bytes::copy_from_slice(&head.hash)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_link_follows() {
        let head = ChainHead { sequence: 4, hash: [9; 32] };
        let good = next(Some(&head), "r", &[1; 16]);
        assert_eq!(position(Some(&head), &good), Position::Next);
        let gap = Recorder { sequence: 6, ..good.clone() };
        let other = Recorder { previous_hash: Bytes::from_static(&[8; 32]), ..good.clone() };
        let old = Recorder { sequence: 4, ..good.clone() };
        assert_eq!(position(Some(&head), &gap), Position::Fork);
        assert_eq!(position(Some(&head), &other), Position::Fork);
        assert_eq!(position(Some(&head), &old), Position::Resent);
        assert_eq!(position(None, &next(None, "r", &[1; 16])), Position::Next);
        assert_eq!(position(None, &good), Position::Fork);
    }
}
