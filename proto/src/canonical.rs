//! The one accepted encoding of an Event.
//!
//! Two encodings of one meaning would be two leaves of one fact, so there is one: ascending fields, minimal
//! varints, no default values, no unknown fields. All of that holds exactly when the bytes equal their own
//! re-encoding.

use bytes::Bytes;
use prost::Message;

use crate::shape::{self, ShapeError};
use crate::v1::Event;

/// Largest Event, in bytes: an Entry of it still fits a tlog-tiles bundle (65,535 bytes).
pub const MAX_EVENT_BYTES: usize = 65_522;

/// Why bytes are not an Event of this log.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EventError {
    /// Longer than [`MAX_EVENT_BYTES`].
    #[error("the event has {size_bytes} bytes; at most {MAX_EVENT_BYTES} are allowed")]
    TooLarge {
        /// Length in bytes.
        size_bytes: usize,
    },
    /// Not a protobuf Event.
    #[error("the event is not a protobuf exhibit.v1.Event: {0}")]
    Undecodable(String),
    /// Decodes, but is not the canonical encoding.
    #[error(
        "the event is not canonically encoded: its bytes differ from their re-encoding at byte {offset} \
         (fields must ascend, varints be minimal, defaults and unknown fields be absent)"
    )]
    NotCanonical {
        /// First differing byte.
        offset: usize,
    },
    /// A field breaks a rule of `docs/format.md`.
    #[error("the event breaks a rule of the format: {0}")]
    Shape(#[from] ShapeError),
}

/// Decodes an Event and checks every rule that needs nothing but its bytes.
///
/// # Errors
/// [`EventError`] names the first rule that is broken.
pub fn decode_event(bytes: &Bytes) -> Result<Event, EventError> {
    if bytes.len() > MAX_EVENT_BYTES {
        return Err(EventError::TooLarge { size_bytes: bytes.len() });
    }
    let event =
        Event::decode(bytes.clone()).map_err(|error| EventError::Undecodable(error.to_string()))?;
    require_same(bytes, &event.encode_to_vec())
        .map_err(|offset| EventError::NotCanonical { offset })?;
    shape::check(&event)?;
    Ok(event)
}

/// Encodes an Event canonically and checks it against the same rules as [`decode_event`].
///
/// # Errors
/// [`EventError::TooLarge`] or [`EventError::Shape`]: the caller built an event that may not be recorded.
pub fn encode_event(event: &Event) -> Result<Bytes, EventError> {
    shape::check(event)?;
    let bytes = Bytes::from(event.encode_to_vec());
    if bytes.len() > MAX_EVENT_BYTES {
        return Err(EventError::TooLarge { size_bytes: bytes.len() });
    }
    Ok(bytes)
}

/// `Err` holds the offset of the first difference.
pub(crate) fn require_same(given: &[u8], canonical: &[u8]) -> Result<(), usize> {
    if given == canonical {
        return Ok(());
    }
    Err(given.iter().zip(canonical).take_while(|(a, b)| a == b).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::v1;
    use proptest::prelude::*;

    fn event() -> Event {
        Event {
            event_id: Bytes::from_static(&[7; 16]),
            occurred_at_ns: 1,
            recorder: Some(v1::Recorder {
                recorder_id: "gateway-1".into(),
                epoch: Bytes::from_static(&[1; 16]),
                sequence: 0,
                previous_hash: Bytes::new(),
            }),
            kind: Some(Kind::RecorderStopped(v1::RecorderStopped { drained: true })),
            ..Event::default()
        }
    }

    #[test]
    fn round_trip() {
        let bytes = encode_event(&event()).unwrap();
        assert_eq!(decode_event(&bytes).unwrap(), event());
    }

    #[test]
    fn unknown_fields_defaults_and_padded_varints_are_refused() {
        let good = encode_event(&event()).unwrap();
        let unknown = [&good[..], &[0xf8, 0x7f, 0x01]].concat();
        let explicit_default = [&[0x22, 0x00][..], &good[..]].concat();
        let mut padded = good.to_vec();
        padded[1] = 0x90; // length 16 as two bytes
        padded.insert(2, 0x00);
        for bad in [unknown, explicit_default, padded] {
            let error = decode_event(&Bytes::from(bad)).unwrap_err();
            assert!(matches!(error, EventError::NotCanonical { .. }), "{error}");
        }
    }

    #[test]
    fn too_large_is_refused() {
        let error = decode_event(&Bytes::from(vec![0; MAX_EVENT_BYTES + 1])).unwrap_err();
        assert_eq!(error, EventError::TooLarge { size_bytes: MAX_EVENT_BYTES + 1 });
    }

    /// Valid encodings that go deep: disclosures, a call with facts, a list.
    fn encodings() -> Vec<Vec<u8>> {
        let salt = [5; 32];
        let disclosures = [v1::Slot::Principal, v1::Slot::Message]
            .map(|slot| crate::disclosure::disclose(slot, v1::MediaType::Json, &salt, b"{}"));
        let call = v1::Call {
            server: "db".into(),
            method: "tools/call".into(),
            name: "query".into(),
            definition_digest: Bytes::from_static(&[4; 32]),
            policy_ids: vec!["a".into(), "b".into()],
            facts: vec![v1::Fact { kind: 1, label: "select".into(), count: 300 }],
            ..v1::Call::default()
        };
        let tool = v1::Definition { name: "query".into(), digest: Bytes::from_static(&[4; 32]) };
        let kinds = [
            Kind::RequestReceived(v1::RequestReceived { call: Some(call), ..Default::default() }),
            Kind::ToolInventoryObserved(v1::ToolInventoryObserved {
                server: "db".into(),
                tools: vec![tool],
                ..Default::default()
            }),
            Kind::ClockStepped(v1::ClockStepped { step_ns: -1, confirmed: true }),
        ];
        let events = kinds.map(|kind| Event {
            exchange_id: Bytes::from_static(&[3; 16]),
            disclosures: disclosures.to_vec(),
            kind: Some(kind),
            ..event()
        });
        events.iter().map(|event| encode_event(event).unwrap().to_vec()).collect()
    }

    /// Decodes; what is accepted is its own re-encoding.
    fn outcome(bytes: Vec<u8>) -> &'static str {
        let bytes = Bytes::from(bytes);
        match decode_event(&bytes) {
            Ok(event) => {
                assert_eq!(encode_event(&event).unwrap(), bytes);
                "accepted"
            }
            Err(EventError::TooLarge { .. }) => "too large",
            Err(EventError::Undecodable(_)) => "undecodable",
            Err(EventError::NotCanonical { .. }) => "not canonical",
            Err(EventError::Shape(_)) => "shape",
        }
    }

    /// One change of an encoding: a byte set, put in, or a part of another encoding in place of some bytes.
    type Change = (prop::sample::Index, u8, Option<(prop::sample::Index, prop::sample::Index, u8)>);

    fn change(bytes: &mut Vec<u8>, all: &[Vec<u8>], (at, byte, part): &Change) {
        let at = at.index(bytes.len() + 1);
        match part {
            Some((source, from, length)) => {
                let source = &all[source.index(all.len())];
                let from = from.index(source.len());
                let taken = &source[from..source.len().min(from + usize::from(*length))];
                let end = bytes.len().min(at + usize::from(*byte));
                bytes.splice(at..end, taken.iter().copied());
            }
            None if at < bytes.len() => bytes[at] = *byte,
            None => bytes.push(*byte),
        }
    }

    #[test]
    fn every_changed_byte_is_judged_and_every_judgement_is_reached() {
        let mut outcomes = std::collections::BTreeSet::new();
        for good in encodings() {
            for at in 0..good.len() {
                for to in 0..=u8::MAX {
                    let mut changed = good.clone();
                    changed[at] = to;
                    outcomes.insert(outcome(changed));
                }
                outcomes.insert(outcome(good[..at].to_vec()));
            }
        }
        let reached: Vec<_> = outcomes.into_iter().collect();
        assert_eq!(reached, ["accepted", "not canonical", "shape", "undecodable"]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            which: prop::sample::Index,
            changes in proptest::collection::vec(any::<Change>(), 1..8),
        ) {
            let all = encodings();
            let mut bytes = all[which.index(all.len())].clone();
            changes.iter().for_each(|one| change(&mut bytes, &all, one));
            outcome(bytes);
        }

        #[test]
        fn a_changed_byte_is_refused_or_changes_the_meaning(at in 0usize..100, to: u8) {
            let good = encode_event(&event()).unwrap();
            let mut changed = good.to_vec();
            let at = at % changed.len();
            prop_assume!(changed[at] != to);
            changed[at] = to;
            if let Ok(other) = decode_event(&Bytes::from(changed)) {
                prop_assert_ne!(other, event());
            }
        }
    }
}
