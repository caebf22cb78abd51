//! What an erasure, or a hold, discloses of itself: who, why, what, and what it cannot reach.

use std::sync::Arc;

use bytes::Bytes;
use identity::Principal;
use proto::v1::Slot;
use serde_json::{Value, json};
use tokio::sync::OwnedMutexGuard;

use super::Erasures;
use super::order::{Order, OrderError};
use crate::backup::backups_made;
use crate::own::Content;
use crate::sequencer::Stopped;
use crate::store::StoreError;
use crate::store::moment::holds_moment;

/// No backup takes its moment of the store.
type NoNewOnes = OwnedMutexGuard<()>;

impl Erasures {
    /// Who approved, why and what: the disclosures of an order's first event.
    pub(super) fn contents(
        &self,
        order: &Order,
        approver: &Principal,
        subject: Option<Bytes>,
        backups: Option<&Value>,
    ) -> Result<Vec<Content>, OrderError> {
        let mut reason = order.said(approver);
        if let Some(backups) = backups {
            reason["backups"] = backups.clone();
        }
        let mut contents =
            vec![(Slot::Principal, as_json(&json!(approver))?), (Slot::Reason, as_json(&reason)?)];
        contents.extend(subject.map(|subject| (Slot::Subject, subject)));
        Ok(contents)
    }

    /// The backups that an erasure cannot reach. While the guard is held there comes no other: it is kept until the commit.
    pub(super) async fn backups(&self) -> Result<(Value, NoNewOnes), OrderError> {
        let no_new_ones = Arc::clone(&self.moment).lock_owned().await;
        let failed = |error: std::io::Error| {
            let path = self.data_dir.display().to_string();
            let reason = format!("the list of backups cannot be read: {error}");
            OrderError::Store(StoreError::Engine { path, reason })
        };
        let mut told = json!({ "made": backups_made(&self.data_dir).map_err(failed)? });
        if holds_moment(&self.data_dir) {
            told["being_made"] = true.into();
        }
        Ok((told, no_new_ones))
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
