//! What a role may see of the disclosures that leaves commit to.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proto::Role;
use proto::kind::Kind;
use proto::v1::{MediaType, Opening, Slot};
use verifier::{DisclosureRow, Status};

use super::{CollectError, Leaves, Read};
use crate::source::SourceError;

/// The disclosures that erasures among `leaves` took away: event id and slot.
pub(super) fn erasures<'r>(leaves: impl Iterator<Item = &'r Read>) -> BTreeSet<(Bytes, i32)> {
    leaves
        .filter_map(|read| match read.kind() {
            Some(Kind::DisclosureErased(erasure)) => Some(erasure),
            _ => None,
        })
        .flat_map(|erasure| erasure.slots.iter().map(|slot| (erasure.event_id.clone(), *slot)))
        .collect()
}

/// One row for each commitment of `leaves`.
pub(super) fn rows(
    leaves: &Leaves,
    openings: Vec<(u64, Opening)>,
    role: Role,
    erased: &BTreeSet<(Bytes, i32)>,
) -> Result<Vec<DisclosureRow>, CollectError> {
    let mut openings: BTreeMap<(u64, i32), Opening> =
        openings.into_iter().map(|(index, opening)| ((index, opening.slot), opening)).collect();
    let mut rows = Vec::new();
    for (index, read) in leaves {
        for commitment in &read.leaf.event.disclosures {
            // The canonical decoder refuses numbers that these enums do not have.
            let slot = Slot::try_from(commitment.slot).unwrap_or_default();
            let media_type = MediaType::try_from(commitment.media_type).unwrap_or_default();
            let is_erased = erased.contains(&(read.leaf.event.event_id.clone(), commitment.slot));
            let opening = openings.remove(&(*index, commitment.slot));
            let (status, opening) = match opening {
                _ if !role.may_see(slot) => (Status::Withheld, None),
                _ if is_erased => (Status::Erased, None),
                Some(opening) => {
                    let salt = opening.salt[..].try_into().map_err(|_| {
                        SourceError(format!("the salt of leaf {index} is not 32 bytes long"))
                    })?;
                    (Status::Disclosed, Some(verifier::Opening { salt, content: opening.content }))
                }
                None => {
                    let slot = proto::disclosure::slot_name(commitment.slot);
                    return Err(CollectError::Undisclosed { index: *index, slot });
                }
            };
            rows.push(DisclosureRow { index: *index, slot, media_type, status, opening });
        }
    }
    Ok(rows)
}
