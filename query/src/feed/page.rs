//! A run of events, rendered for one reader.

use std::collections::HashMap;

use http::StatusCode;
use proto::Role;
use proto::v1::{Opening, Slot};
use serde_json::Value;

use super::{ocsf, raw};
use crate::archive::Archive;
use crate::door::error::DoorError;
use crate::rows::columns::Row;
use crate::rows::disclosures::Slots;

/// Most events of a page.
pub(crate) const MAX_LIMIT: u64 = 5_000;
/// A page ends behind the event with which it grows past this.
const MAX_BYTES: usize = 8 << 20;
/// Leaves read at a time.
const STRIDE: u64 = 64;

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Ocsf,
    Raw,
}

impl Form {
    pub(crate) fn of(name: Option<&str>) -> Result<Self, DoorError> {
        match name {
            None | Some("ocsf") => Ok(Self::Ocsf),
            Some("raw") => Ok(Self::Raw),
            Some(_) => Err(DoorError::new(
                StatusCode::BAD_REQUEST,
                "feed_unknown_format",
                "there is no such format",
            )
            .hint("format=ocsf or format=raw")),
        }
    }
}

/// Events from an index on.
pub(crate) struct Page {
    /// Each with its index.
    pub(crate) events: Vec<(u64, Value)>,
    /// The index behind the last.
    pub(crate) next: u64,
}

impl Page {
    /// At most `limit` events of `from..until` (which is under the archive's checkpoint).
    pub(crate) async fn read(
        archive: &Archive,
        role: Role,
        form: Form,
        (from, until): (u64, u64),
        limit: u64,
    ) -> Result<Self, DoorError> {
        let visible = Slots::visible_to(role);
        let slots = match form {
            Form::Ocsf => visible.and(Slots::only([Slot::Principal, Slot::Client])),
            Form::Raw => visible,
        };
        let end = until.min(from.saturating_add(limit.min(MAX_LIMIT)));
        let mut page = Self { events: Vec::new(), next: from };
        let mut bytes = 0;
        while page.next < end && bytes < MAX_BYTES {
            let range = page.next..end.min(page.next + STRIDE);
            let leaves = archive.leaves(range.clone()).await?;
            let mut openings: HashMap<u64, Vec<Opening>> = HashMap::new();
            for (index, opening) in archive.openings(range.clone(), slots).await? {
                openings.entry(index).or_default().push(opening);
            }
            for (index, leaf) in range.zip(leaves) {
                let row = Row::decode(index, leaf)?;
                let openings = openings.remove(&index).unwrap_or_default();
                let contents: usize = openings.iter().map(|opening| opening.content.len()).sum();
                let event = match form {
                    Form::Ocsf => ocsf::event(archive.checkpoint().0, &row, &openings),
                    Form::Raw => raw::event(&archive.checkpoint().0.origin, &row, &openings),
                };
                bytes += 2 * (row.entry.len() + contents) + 1024;
                page.events.push((index, event));
                page.next = index + 1;
                if bytes >= MAX_BYTES {
                    break;
                }
            }
        }
        Ok(page)
    }
}
