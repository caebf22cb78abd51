//! What logs, and strangers, send to a witness.

use tlog::{Checkpoint, Note};
use witness::AddCheckpoint;

/// Bodies of `add-checkpoint`.
pub fn add_checkpoint(data: &[u8]) -> bool {
    let Ok(body) = std::str::from_utf8(data) else { return false };
    let Ok(asked) = AddCheckpoint::parse(body) else { return false };
    assert_eq!(asked.to_string(), body, "two spellings of one request");
    let Ok(note) = Note::parse(&asked.checkpoint) else { return false };
    Checkpoint::parse_text(note.text()).is_ok()
}
