//! Refusals of callers that nobody knows, as they are counted and recorded.

use std::time::Duration;

use bytes::Bytes;
use proto::kind::Kind;
use proto::v1;
use proto::v1::authentication_failed::Reason;
use proto::v1::{MediaType, Slot};
use recorder::Draft;

/// Between two looks for windows that have ended.
pub(crate) const PAUSE: Duration = Duration::from_secs(5);

pub(crate) type Knocks = identity::knocks::Knocks<Refused>;
pub(crate) type Count = identity::knocks::Count<Refused>;

/// What refusals that are counted together have in common; all of it may stand in a leaf.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Refused {
    /// The route, empty when there is none of that name.
    pub(crate) server: String,
    pub(crate) why: Why,
    pub(crate) http_status: u32,
}

/// Why somebody was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Why {
    /// It could not be authenticated.
    Unauthenticated(Reason),
    /// Before anybody asked who it is.
    Denied(v1::Refusal),
}

impl Refused {
    /// The event of `count` refusals; 0 means that it is one by itself.
    pub(crate) fn event(&self, call: v1::Call, count: u64) -> Kind {
        let http_status = self.http_status;
        match self.why {
            Why::Unauthenticated(reason) => Kind::AuthenticationFailed(v1::AuthenticationFailed {
                server: self.server.clone(),
                reason: reason.into(),
                http_status,
                count,
            }),
            Why::Denied(refusal) => Kind::CallDenied(v1::CallDenied {
                call: Some(call),
                refusal: refusal.into(),
                request_event_id: Bytes::new(),
                http_status,
                count,
            }),
        }
    }
}

/// The event of refusals that were only counted.
pub(crate) fn draft(counted: &Count) -> Draft {
    let call = v1::Call { server: counted.kind.server.clone(), ..v1::Call::default() };
    let draft = Draft::new(counted.kind.event(call, counted.count));
    let Some(address) = counted.source else { return draft };
    let client = serde_json::json!({ "address": address }).to_string();
    draft.disclose(Slot::Client, MediaType::Json, client)
}
