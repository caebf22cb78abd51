//! Bytes of recorders and of a ledger: leaves, events, frames of gRPC.

use bytes::Bytes;
use prost::Message;
use proto::canonical::encode_event;
use proto::chain::position;
use proto::disclosure::check_openings;
use proto::duty::Duty;
use proto::v1::append_request::Frame;
use proto::v1::subscribe_response::Item;
use proto::v1::{AppendRequest, Event, NewEvent, Opening, SubscribeResponse};
use proto::{decode_entry, decode_event, encode_entry};

/// Leaves.
pub fn entry(data: &[u8]) -> bool {
    let Ok(leaf) = decode_entry(&Bytes::copy_from_slice(data)) else { return false };
    assert_eq!(&encode_entry(leaf.recorded_at_ns, &leaf.event_bytes)[..], data);
    check(&leaf.event, &leaf.event_bytes);
    true
}

/// Events.
pub fn event(data: &[u8]) -> bool {
    let bytes = Bytes::copy_from_slice(data);
    let Ok(event) = decode_event(&bytes) else { return false };
    check(&event, &bytes);
    true
}

/// What a recorder sends, as the ledger takes it.
pub fn append(data: &[u8]) -> bool {
    let Ok(AppendRequest { frame: Some(frame) }) = AppendRequest::decode(data) else {
        return false;
    };
    let Frame::Events(events) = frame else { return true };
    let accepts = |new: &NewEvent| {
        let Ok(event) = decode_event(&new.event) else { return false };
        check(&event, &new.event);
        opens(&event, &new.openings)
    };
    // All of them: each may be the one that fails.
    let accepted = events.events.iter().filter(|new| accepts(new)).count();
    accepted > 0
}

/// What a ledger sends to a follower.
pub fn subscribed(data: &[u8]) -> bool {
    let Ok(SubscribeResponse { item: Some(item) }) = SubscribeResponse::decode(data) else {
        return false;
    };
    let Item::Entries(entries) = item else { return true };
    let accepted = entries.entries.iter().filter(|sent| {
        let Ok(leaf) = decode_entry(&sent.entry) else { return false };
        check(&leaf.event, &leaf.event_bytes);
        opens(&leaf.event, &sent.openings)
    });
    accepted.count() > 0
}

/// What holds of every event that is accepted.
fn check(event: &Event, bytes: &Bytes) {
    assert_eq!(encode_event(event).as_ref(), Ok(bytes), "two spellings of one event");
    assert!(event.recorder.is_some() && event.kind.is_some());
    if let Some(recorder) = &event.recorder {
        let _place = position(None, recorder);
    }
    if let Some(kind) = &event.kind {
        assert!(
            Duty::GIVEN.iter().any(|duty| duty.may_record(kind)) || Duty::Ledger.may_record(kind)
        );
    }
}

fn opens(event: &Event, openings: &[Opening]) -> bool {
    let opened = check_openings(event, openings).is_ok();
    assert!(!opened || openings.len() == event.disclosures.len(), "an opening of nothing");
    opened
}
