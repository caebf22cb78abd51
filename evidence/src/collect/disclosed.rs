//! What a role may see of the disclosures that leaves commit to.

use std::collections::BTreeMap;

use proto::Role;
use proto::erasure::Erasures;
use proto::v1::{MediaType, Opening, Slot};
use verifier::{DisclosureRow, Status};

use super::{CollectError, Leaves, Read};
use crate::source::SourceError;

/// What erasures among `leaves` took away.
pub(super) fn erasures<'r>(leaves: impl Iterator<Item = (&'r u64, &'r Read)>) -> Erasures {
    let mut erasures = Erasures::default();
    leaves.for_each(|(index, read)| erasures.add(*index, read.kind()));
    erasures
}

/// One row for each commitment of `leaves`.
pub(super) fn rows(
    leaves: &Leaves,
    openings: Vec<(u64, Opening)>,
    role: Role,
    erased: &Erasures,
) -> Result<Vec<DisclosureRow>, CollectError> {
    let mut openings: BTreeMap<(u64, i32), Opening> =
        openings.into_iter().map(|(index, opening)| ((index, opening.slot), opening)).collect();
    let mut rows = Vec::new();
    for (index, read) in leaves {
        for commitment in &read.leaf.event.disclosures {
            // The canonical decoder refuses numbers that these enums do not have.
            let slot = Slot::try_from(commitment.slot).unwrap_or_default();
            let media_type = MediaType::try_from(commitment.media_type).unwrap_or_default();
            let is_erased = erased.took(*index, &read.hash(), commitment.slot);
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
