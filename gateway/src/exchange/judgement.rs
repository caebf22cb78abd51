//! The verdict, and the record of it: the last step before a server hears of a request.

use axum::http::{Method, StatusCode};
use bytes::Bytes;
use identity::Principal;
use proto::kind::Kind;
use proto::names::is_known_method;
use proto::v1;
use proto::v1::{MediaType, Slot, Verdict};

use super::Exchange;
use super::refusal::{Refusal, broken, malformed, too_large};
use super::request::Undeclared;
use crate::decide::{self, Judged, Question, Unjudged};
use crate::error::{self, Told};
use crate::message::{Class, Message};
use crate::route::Route;

impl Exchange {
    /// Masks, gathers facts, and asks the policy.
    pub(super) async fn judge(
        &mut self,
        route: &Route,
        params: Undeclared,
    ) -> Result<Judged, Refusal> {
        let answers = self.answers(route);
        if let Some(method) = answers.as_deref().filter(|method| is_known_method(method)) {
            self.call.method = method.to_owned();
        }
        let message = self.message.as_ref().map(|message| message.bytes.clone());
        let question = Question {
            principal: self.principal.clone().unwrap_or_else(Principal::unauthenticated),
            auth_method: self.call.auth_method(),
            server: route.name.clone(),
            method: if message.is_none() { Some(self.call.method.clone()) } else { answers },
            message: message.unwrap_or_default(),
            params,
        };
        let snapshot = self.shared.snapshot.clone();
        let size = question.message.len();
        let judge = move || decide::judge(&snapshot, &question);
        let judged = self.shared.computers.run(size, judge).await;
        let judged = judged.ok_or_else(broken)?.map_err(|error| {
            let message = error.to_string();
            match error {
                Unjudged::Mask(_) => Refusal::denied(
                    v1::Refusal::Unmaskable,
                    StatusCode::BAD_REQUEST,
                    -32600,
                    message,
                ),
                _ => malformed(-32600, message),
            }
        })?;
        self.call.verdict = judged.decision.verdict.into();
        self.call.policy_ids.clone_from(&judged.decision.policy_ids);
        self.call.evaluation_error = judged.decision.evaluation_error;
        self.call.snapshot_digest = Bytes::copy_from_slice(&self.shared.snapshot.digest());
        self.call.facts.clone_from(&judged.facts);
        self.call.masks.clone_from(&judged.masked.counts);
        Ok(judged)
    }

    /// The method of the server's request that the message answers; empty when there was none.
    fn answers(&self, route: &Route) -> Option<String> {
        let (Some(Message { class: Class::Answer(id), .. }), Some(principal)) =
            (&self.message, &self.principal)
        else {
            return None;
        };
        let sessions = &self.shared.sessions;
        let owner = sessions.owner(principal, &route.name);
        let scope = sessions.scope(self.session.as_ref(), &route.name, owner);
        Some(sessions.answered(scope, id).unwrap_or_default())
    }

    /// Makes the request durable, with its refusal when it is refused.
    pub(super) async fn record_request(&mut self, judged: Judged) -> Result<(), Refusal> {
        let class = self.message.as_ref().map(|message| &message.class);
        let mut request = self.draft_with_caller(Kind::RequestReceived(v1::RequestReceived {
            call: Some(self.call.clone()),
            notification: class == Some(&Class::Notification),
            answer: matches!(class, Some(Class::Answer(_))),
        }));
        request = request.disclose(Slot::DecisionInput, MediaType::Json, judged.input);
        if class.is_some() {
            request = request.disclose(Slot::Message, MediaType::Json, judged.masked.bytes);
        }
        let event_id = request.event_id();
        self.request_event_id = Some(event_id);
        let told = verdict(
            &judged.decision,
            matches!(class, None | Some(Class::Request(_))),
            &self.method,
        );
        let mut drafts = vec![request];
        let mut denial = None;
        match &told {
            Some(told) => {
                drafts.push(self.draft(self.verdict_event(&judged.decision, told)));
                self.closed = true;
            }
            None => {
                let status = u32::from(StatusCode::SERVICE_UNAVAILABLE.as_u16());
                denial = Some(self.draft(self.denial(v1::Refusal::Unavailable, status)));
            }
        }
        let recorded = self.shared.log.record_request(drafts, denial, self.place.clone()).await;
        if let Err(unrecorded) = recorded {
            if unrecorded.is_too_large() {
                self.request_event_id = None;
                return Err(too_large(
                    "the message and its record are too large to be kept: send less",
                ));
            }
            self.closed = true;
            return Err(Refusal::unrecorded(&unrecorded));
        }
        told.map_or(Ok(()), |told| Err(Refusal::settled(told)))
    }

    fn verdict_event(&self, decision: &controls::Decision, told: &Told) -> Kind {
        if decision.verdict == Verdict::Block {
            return Kind::CallBlocked(v1::CallBlocked {
                call: Some(self.call.clone()),
                request_event_id: self
                    .request_event_id
                    .map(proto::ids::Id::to_bytes)
                    .unwrap_or_default(),
            });
        }
        let refusal = if decision.evaluation_error {
            v1::Refusal::EvaluationError
        } else {
            v1::Refusal::NoPolicy
        };
        self.denial(refusal, u32::from(told.status.as_u16()))
    }
}

/// What the caller is told of a verdict; nothing when it is to be forwarded. A request is answered with HTTP
/// 200, so that every client shows the JSON-RPC error.
fn verdict(decision: &controls::Decision, is_request: bool, method: &Method) -> Option<Told> {
    let ids = decision.policy_ids.join(", ");
    let reason = decision.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let (code, message) = match decision.verdict {
        Verdict::Allow => return None,
        Verdict::Block => (error::BLOCKED, format!("blocked by policy {ids}{reason}")),
        Verdict::Hold => (
            error::DENIED,
            format!(
                "denied: policy {ids} asks for an approval{reason}, and this version of the gateway has no \
                 approvals yet; it was not forwarded"
            ),
        ),
        Verdict::Deny | Verdict::Unspecified if decision.evaluation_error => (
            error::DENIED,
            format!(
                "denied: policy {ids} could not be evaluated on this call; tell the gateway's operator"
            ),
        ),
        Verdict::Deny | Verdict::Unspecified => {
            (error::DENIED, "denied: no policy permits this call".to_owned())
        }
    };
    let shown = is_request && *method == Method::POST;
    let status = if shown { StatusCode::OK } else { StatusCode::FORBIDDEN };
    let mut told = Told::new(status, code, message);
    told.policies.clone_from(&decision.policy_ids);
    Some(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use controls::Decision;

    fn decision(verdict: Verdict, ids: &[&str], reason: Option<&str>) -> Decision {
        Decision {
            verdict,
            policy_ids: ids.iter().map(ToString::to_string).collect(),
            evaluation_error: false,
            reason: reason.map(str::to_owned),
            approval_groups: vec![],
        }
    }

    #[test]
    fn verdicts_are_told_with_policy_and_reason() {
        assert!(verdict(&decision(Verdict::Allow, &["p"], None), true, &Method::POST).is_none());
        let told =
            verdict(&decision(Verdict::Block, &["p", "q"], Some("why")), true, &Method::POST)
                .unwrap();
        assert_eq!((told.status, told.code), (StatusCode::OK, error::BLOCKED));
        assert_eq!(told.message, "blocked by policy p, q: why");
        assert_eq!(told.policies, ["p", "q"]);
        let held = verdict(&decision(Verdict::Hold, &["p"], None), true, &Method::POST).unwrap();
        assert!(held.code == error::DENIED && held.message.contains("approval"));
        let none = verdict(&decision(Verdict::Deny, &[], None), true, &Method::POST).unwrap();
        assert!(none.message.contains("no policy permits"));
        for (is_request, method) in
            [(false, Method::POST), (true, Method::GET), (true, Method::DELETE)]
        {
            let told = verdict(&decision(Verdict::Deny, &[], None), is_request, &method).unwrap();
            assert_eq!(told.status, StatusCode::FORBIDDEN);
        }
    }
}
