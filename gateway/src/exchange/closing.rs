//! How an exchange ends, and that its end is recorded, exactly once.

use axum::http::StatusCode;
use proto::disclosure::size_class;
use proto::ids::Id;
use proto::kind::Kind;
use proto::v1;
use proto::v1::{Era, Outcome, session_closed};
use recorder::Draft;

use super::Exchange;
use super::caller::Caller;
use super::inspect::Inspected;
use crate::error::{self, Told};
use crate::message::Reply;
use crate::record::Unrecorded;
use crate::session::Session;

/// An end other than the release of a response.
#[derive(Debug)]
pub(super) enum Ending {
    /// The caller went away, and that cancels the call.
    Cancelled,
    /// A stream ended; nothing more was due on it.
    StreamEnded,
    /// A stream was ended because its caller's token had.
    TokenExpired,
    /// A stream that came with an HTTP error ended without an answer.
    Failed,
    /// The server never got it.
    Unreachable(String),
    /// It was forwarded, and what became of it is unknown.
    Ambiguous(String),
    /// The answer cannot be released.
    Withheld(v1::Refusal, String),
    /// The answer is recorded, but is not one that can be passed on.
    Replaced(String),
    /// The answer could not be recorded, so it is withheld.
    Unrecorded(String),
}

impl Exchange {
    /// Records the end, when it is not recorded yet, and tells the caller.
    pub(super) async fn end(&mut self, ending: Ending, caller: &mut Caller) {
        // After its response an exchange owes its caller nothing, unless just that response is withheld.
        let about_response = matches!(ending, Ending::Replaced(_) | Ending::Unrecorded(_));
        let told = told(&ending).filter(|_| about_response || !self.closed);
        if let (false, Some(kind)) = (self.closed, self.closing_event(&ending, told.as_ref())) {
            let draft = self.draft(kind);
            if let Err(unrecorded) = self.close(vec![draft]).await {
                tracing::warn!(error = %unrecorded, "the end of an exchange is not recorded yet");
            }
        }
        if let Some(told) = told {
            tracing::info!(
                server = self.call.server,
                code = told.code,
                reason = told.message,
                "exchange failed"
            );
            caller.fail(&told, self.request_id(), self.shared.waits.stall).await;
        }
    }

    fn closing_event(&self, ending: &Ending, told: Option<&Told>) -> Option<Kind> {
        let http_status = told.map_or(0, |told| u32::from(told.status.as_u16()));
        Some(match ending {
            Ending::Cancelled => Kind::Cancelled(v1::Cancelled {
                call: Some(self.call.clone()),
                request_event_id: self.request_event(),
                by_disconnect: true,
            }),
            Ending::StreamEnded => self.returned(Outcome::StreamEnded, None),
            Ending::TokenExpired => self.returned(Outcome::TokenExpired, None),
            Ending::Failed => self.returned(Outcome::HttpError, None),
            Ending::Ambiguous(_) => self.returned(Outcome::Ambiguous, None),
            Ending::Unreachable(_) => self.denial(v1::Refusal::Unavailable, http_status),
            Ending::Withheld(refusal, _) => self.denial(*refusal, http_status),
            Ending::Replaced(_) | Ending::Unrecorded(_) => return None,
        })
    }

    /// The event of a response, or of the lack of one.
    pub(super) fn returned(&self, outcome: Outcome, inspected: Option<&Inspected>) -> Kind {
        let error_code = match inspected.map(|inspected| &inspected.reply) {
            Some(Reply::Final { error_code, .. }) => *error_code,
            _ => 0,
        };
        Kind::ResponseReturned(v1::ResponseReturned {
            call: Some(self.call.clone()),
            outcome: outcome.into(),
            error_code,
            http_status: u32::from(self.upstream_status),
            latency_ns: u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX),
            size_class: size_class(inspected.map_or(0, |inspected| inspected.size_bytes)),
            masks: inspected.map(|inspected| inspected.masks.clone()).unwrap_or_default(),
            request_event_id: self.request_event(),
        })
    }

    /// The event that a session ended.
    pub(super) fn session_closed(
        &self,
        session: &Session,
        reason: session_closed::Reason,
    ) -> Draft {
        let kind = Kind::SessionClosed(v1::SessionClosed {
            server: session.server.to_string(),
            reason: reason.into(),
        });
        Draft::new(kind).session(session.id)
    }

    /// Makes events durable of which the last closes the exchange.
    pub(super) async fn close(&mut self, drafts: Vec<Draft>) -> Result<(), Unrecorded> {
        self.closed = true;
        self.shared.log.record(drafts, self.place.clone()).await
    }

    /// How an exchange ends whose response is not durable. It may become so; the caller does not get it.
    pub(super) fn unclosed(&mut self, unrecorded: &Unrecorded) -> Ending {
        if unrecorded.is_too_large() {
            self.closed = false;
            let reason = "the answer and its record are too large to be kept";
            return Ending::Withheld(v1::Refusal::TooLarge, reason.to_owned());
        }
        Ending::Unrecorded(unrecorded.to_string())
    }

    pub(super) fn request_event(&self) -> bytes::Bytes {
        self.request_event_id.map(Id::to_bytes).unwrap_or_default()
    }

    /// Counts the exchange, by names that stand in the configuration or in this source.
    pub(super) fn count(&self) {
        let era = if self.call.era() == Era::Modern { "modern" } else { "legacy" };
        metrics::counter!(
            "exhibit_gateway_exchanges_total",
            "server" => self.call.server.clone(),
            "verdict" => proto::kind::verdict_name(self.call.verdict()),
            "era" => era
        )
        .increment(1);
        metrics::histogram!("exhibit_gateway_exchange_seconds", "server" => self.call.server.clone())
            .record(self.began.elapsed().as_secs_f64());
    }
}

/// What the caller is told; nothing when it is gone, or nothing is due.
fn told(ending: &Ending) -> Option<Told> {
    let bad_gateway =
        |code, message: String| Some(Told::new(StatusCode::BAD_GATEWAY, code, message));
    match ending {
        Ending::Cancelled | Ending::StreamEnded | Ending::Failed => None,
        Ending::TokenExpired => Some(Told::new(
            StatusCode::UNAUTHORIZED,
            error::UNAUTHENTICATED,
            "the token that this stream was opened with has expired: open it again with a new one",
        )),
        Ending::Unreachable(reason) => bad_gateway(
            error::BAD_UPSTREAM,
            format!(
                "the server behind the gateway cannot be reached ({reason}); nothing was sent to it, try again later"
            ),
        ),
        Ending::Ambiguous(reason) => bad_gateway(
            error::AMBIGUOUS,
            format!(
                "the call was forwarded and its outcome is unknown ({reason}): look whether it took effect before \
                 you repeat it"
            ),
        ),
        Ending::Withheld(_, reason) => bad_gateway(
            error::BAD_UPSTREAM,
            format!(
                "the server's answer is withheld, because it cannot be masked and recorded safely: {reason}"
            ),
        ),
        Ending::Replaced(reason) => bad_gateway(error::BAD_UPSTREAM, reason.clone()),
        Ending::Unrecorded(reason) => Some(Told::new(
            StatusCode::SERVICE_UNAVAILABLE,
            error::UNRECORDED,
            format!(
                "the call was carried out, but its answer is withheld, because it could not be recorded ({reason}): \
                 look whether it took effect before you repeat it"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_somebody_waits_for_is_told() {
        for quiet in [Ending::Cancelled, Ending::StreamEnded, Ending::Failed] {
            assert!(told(&quiet).is_none(), "{quiet:?}");
        }
        let expired = told(&Ending::TokenExpired).unwrap();
        assert_eq!(expired.code, error::UNAUTHENTICATED);
        let unreachable = told(&Ending::Unreachable("refused".to_owned())).unwrap();
        assert_eq!(
            (unreachable.status, unreachable.code),
            (StatusCode::BAD_GATEWAY, error::BAD_UPSTREAM)
        );
        assert!(unreachable.message.contains("nothing was sent"));
        let ambiguous = told(&Ending::Ambiguous("reset".to_owned())).unwrap();
        assert!(
            ambiguous.code == error::AMBIGUOUS && ambiguous.message.contains("unknown (reset)")
        );
        let unrecorded = told(&Ending::Unrecorded("away".to_owned())).unwrap();
        assert_eq!(unrecorded.status, StatusCode::SERVICE_UNAVAILABLE);
    }
}
