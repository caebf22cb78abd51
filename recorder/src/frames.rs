//! How events are cut into messages: none larger than the ledger takes.

use proto::v1::NewEvent;

/// Most events in one frame.
pub(crate) const MAX_FRAME_EVENTS: usize = 512;
/// A frame of several events holds at most this many bytes of events and disclosures. One event alone may
/// hold more: its largest disclosures are bounded, and the ledger takes a message of that size.
const MAX_FRAME_BYTES: usize = 4 << 20;

/// The events in frames, in order, none empty.
pub(crate) fn frames(events: Vec<NewEvent>) -> Vec<Vec<NewEvent>> {
    let mut frames = Vec::new();
    let mut frame = Vec::new();
    let mut bytes = 0;
    for event in events {
        let more = size_bytes(&event);
        let is_full = frame.len() >= MAX_FRAME_EVENTS || bytes + more > MAX_FRAME_BYTES;
        if is_full && !frame.is_empty() {
            frames.push(std::mem::take(&mut frame));
            bytes = 0;
        }
        bytes += more;
        frame.push(event);
    }
    if !frame.is_empty() {
        frames.push(frame);
    }
    frames
}

/// Bytes on the wire, about: with what frames each part.
fn size_bytes(event: &NewEvent) -> usize {
    let openings = event.openings.iter().map(|opening| opening.content.len() + 64).sum::<usize>();
    event.event.len() + openings + 64
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proto::v1::Opening;

    fn event(bytes: usize) -> NewEvent {
        let content = Bytes::from(vec![0; bytes]);
        let opening = Opening { content, ..Opening::default() };
        NewEvent { event: Bytes::new(), openings: vec![opening] }
    }

    fn cut(sizes: &[usize]) -> Vec<usize> {
        let frames = frames(sizes.iter().map(|size| event(*size)).collect());
        assert_eq!(frames.iter().map(Vec::len).sum::<usize>(), sizes.len());
        frames.iter().map(Vec::len).collect()
    }

    #[test]
    fn a_frame_is_bounded_by_events_and_by_bytes() {
        assert!(cut(&[]).is_empty());
        assert_eq!(cut(&[10; 1_025]), [512, 512, 1]);
        assert_eq!(cut(&[3 << 20, 3 << 20, 1, 1]), [1, 3]);
        // What is too large for company goes alone, in its place.
        assert_eq!(cut(&[1, 15 << 20, 15 << 20, 1, 1]), [1, 1, 1, 2]);
    }
}
