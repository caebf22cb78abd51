//! Commitments: what binds a disclosure to its leaf, and nothing else.
//!
//! Without its salt a commitment reveals nothing about the bytes; with both, anybody can check it
//! (`b3sum --keyed`).

use bytes::Bytes;

use crate::v1::{Disclosure, Event, MediaType, Opening, Slot};

/// Smallest size class, in bytes.
pub const MIN_SIZE_CLASS: u32 = 256;

/// A commitment's key: 32 random bytes, fresh for each disclosure.
pub type Salt = [u8; 32];

/// BLAKE3 keyed hash of `content` under `salt`.
pub fn commit(salt: &Salt, content: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(salt, content).as_bytes()
}

/// Smallest power of two that is at least [`MIN_SIZE_CLASS`] and `size_bytes`.
pub fn size_class(size_bytes: usize) -> u32 {
    let size = u32::try_from(size_bytes).unwrap_or(1 << 31).min(1 << 31);
    size.max(MIN_SIZE_CLASS).next_power_of_two()
}

/// The leaf's half of a disclosure.
pub fn disclose(slot: Slot, media_type: MediaType, salt: &Salt, content: &[u8]) -> Disclosure {
    Disclosure {
        slot: slot.into(),
        media_type: media_type.into(),
        size_class: size_class(content.len()),
        commitment: Bytes::copy_from_slice(&commit(salt, content)),
    }
}

/// Why openings do not fit the commitments of an event.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OpeningError {
    /// A commitment without its opening.
    #[error("the disclosure for slot {0} is missing")]
    Missing(&'static str),
    /// An opening that no commitment asks for, or a second one for a slot.
    #[error("there is a disclosure for slot {0}, but the event commits to none (or to one only)")]
    Surplus(&'static str),
    /// The salt is not 32 bytes.
    #[error("the salt for slot {0} is not 32 bytes")]
    Salt(&'static str),
    /// Salt and content do not give the commitment.
    #[error("the disclosure for slot {0} does not match its commitment")]
    Mismatch(&'static str),
    /// The size class is not that of the content.
    #[error("the disclosure for slot {0} has another size class than its leaf says")]
    SizeClass(&'static str),
}

/// Checks that `openings` open every commitment of `event`, each exactly once, in slot order.
///
/// # Errors
/// The first that is missing, surplus or does not match.
pub fn check_openings(event: &Event, openings: &[Opening]) -> Result<(), OpeningError> {
    let mut given = openings.iter();
    for disclosure in &event.disclosures {
        let slot = slot_name(disclosure.slot);
        let opening = given.next().ok_or(OpeningError::Missing(slot))?;
        if opening.slot > disclosure.slot {
            return Err(OpeningError::Missing(slot));
        }
        if opening.slot < disclosure.slot {
            return Err(OpeningError::Surplus(slot_name(opening.slot)));
        }
        check_opening(disclosure, &opening.salt, &opening.content)?;
    }
    given.next().map_or(Ok(()), |surplus| Err(OpeningError::Surplus(slot_name(surplus.slot))))
}

/// Checks one opening against its commitment.
///
/// # Errors
/// [`OpeningError::Salt`], [`OpeningError::Mismatch`] or [`OpeningError::SizeClass`].
pub fn check_opening(
    disclosure: &Disclosure,
    salt: &[u8],
    content: &[u8],
) -> Result<(), OpeningError> {
    let slot = slot_name(disclosure.slot);
    let salt: &Salt = salt.try_into().map_err(|_| OpeningError::Salt(slot))?;
    if disclosure.commitment != commit(salt, content)[..] {
        return Err(OpeningError::Mismatch(slot));
    }
    if disclosure.size_class != size_class(content.len()) {
        return Err(OpeningError::SizeClass(slot));
    }
    Ok(())
}

/// Name of a slot as it stands in SQL and packages: `PRINCIPAL`, `MESSAGE`, ….
pub fn slot_name(slot: i32) -> &'static str {
    Slot::try_from(slot).map_or("UNKNOWN", |slot| slot.as_str_name().trim_start_matches("SLOT_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(slot: Slot, content: &'static [u8]) -> Opening {
        Opening {
            slot: slot.into(),
            salt: Bytes::from_static(&[3; 32]),
            content: Bytes::from_static(content),
        }
    }

    fn event() -> Event {
        Event {
            disclosures: vec![
                disclose(Slot::Principal, MediaType::Json, &[3; 32], b"{}"),
                disclose(Slot::Message, MediaType::Json, &[3; 32], b"[]"),
            ],
            ..Event::default()
        }
    }

    #[test]
    fn every_commitment_needs_exactly_its_opening() {
        let principal = opening(Slot::Principal, b"{}");
        let message = opening(Slot::Message, b"[]");
        let client = opening(Slot::Client, b"");
        let check = |openings: &[&Opening]| {
            let openings: Vec<_> = openings.iter().map(|o| (*o).clone()).collect();
            check_openings(&event(), &openings)
        };
        assert_eq!(check(&[&principal, &message]), Ok(()));
        assert_eq!(check(&[&principal]), Err(OpeningError::Missing("MESSAGE")));
        assert_eq!(check(&[&message]), Err(OpeningError::Missing("PRINCIPAL")));
        assert_eq!(check(&[&principal, &message, &client]), Err(OpeningError::Surplus("CLIENT")));
        assert_eq!(
            check(&[&principal, &principal, &message]),
            Err(OpeningError::Surplus("PRINCIPAL"))
        );
        let changed = opening(Slot::Message, b"[1]");
        assert_eq!(check(&[&principal, &changed]), Err(OpeningError::Mismatch("MESSAGE")));
    }

    #[test]
    fn size_classes_hide_the_length() {
        for (size, class) in [(0, 256), (256, 256), (257, 512), (1024, 1024), (1025, 2048)] {
            assert_eq!(size_class(size), class);
        }
    }

    #[test]
    fn commitment_is_what_b3sum_keyed_prints() {
        // printf 'evidence' | b3sum --keyed <(32 bytes of 0x03)
        assert_eq!(
            hex::encode(commit(&[3; 32], b"evidence")),
            include_str!("../testdata/commitment.hex").trim()
        );
    }
}
