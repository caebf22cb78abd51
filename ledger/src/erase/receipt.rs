//! What an erasure, or a hold, discloses of itself: who, why, what, and what it cannot reach.

use bytes::Bytes;
use identity::Principal;
use proto::v1::Slot;
use serde_json::{Value, json};

use super::Erasures;
use super::order::{Order, OrderError};
use crate::backup::{backups_made, holds_moment};
use crate::own::Content;
use crate::sequencer::Stopped;
use crate::store::StoreError;

impl Erasures {
    /// Who approved, why and what: the disclosures of an order's first event.
    pub(super) fn contents(
        &self,
        order: &Order,
        approver: &Principal,
        subject: Option<Bytes>,
        names_backups: bool,
    ) -> Result<Vec<Content>, OrderError> {
        let mut reason = order.said(approver);
        if names_backups {
            reason["backups"] = self.backups()?;
        }
        let mut contents =
            vec![(Slot::Principal, as_json(&json!(approver))?), (Slot::Reason, as_json(&reason)?)];
        contents.extend(subject.map(|subject| (Slot::Subject, subject)));
        Ok(contents)
    }

    /// The backups that an erasure cannot reach.
    pub(super) fn backups(&self) -> Result<Value, OrderError> {
        let failed = |error: std::io::Error| {
            let path = self.data_dir.display().to_string();
            let reason = format!("the list of backups cannot be read: {error}");
            OrderError::Store(StoreError::Engine { path, reason })
        };
        let mut told = json!({ "made": backups_made(&self.data_dir).map_err(failed)? });
        if holds_moment(&self.data_dir) {
            told["being_made"] = true.into();
        }
        Ok(told)
    }
}

/// A person, as receipts name one.
pub(super) fn named(principal: &Principal) -> Value {
    json!({ "issuer": principal.issuer, "subject": principal.subject })
}

/// As a disclosure holds it.
pub(super) fn as_json(value: &Value) -> Result<Bytes, OrderError> {
    let text = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an order cannot be written down");
        Stopped
    });
    Ok(text?.into())
}
