//! The one place that asks the policy: mask, facts, decision input, verdict, in this order.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use controls::{
    Arguments, CallFacts, Decision, DecisionInput, Document, InputError, JsonError, MaskError,
    Masked, PrincipalInput, PrincipalKind, Snapshot,
};
use identity::Principal;
use proto::v1::{AuthMethod, Fact};

/// What is put before the policy.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) principal: Principal,
    pub(crate) auth_method: AuthMethod,
    /// Name of the route.
    pub(crate) server: String,
    /// `GET` or `DELETE`, or for an answer the method that it answers; `None`: the message's own.
    pub(crate) method: Option<String>,
    /// The message exactly as it came; empty for `GET` and `DELETE`.
    pub(crate) message: Bytes,
    /// Arguments that stand in headers only, by the names that they have among arguments.
    pub(crate) params: Vec<(String, String)>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Judged {
    /// The message for the record; empty bytes for `GET` and `DELETE`.
    pub(crate) masked: Masked,
    /// What was seen in the raw bytes.
    pub(crate) facts: Vec<Fact>,
    /// Exactly what the policies saw.
    pub(crate) input: Bytes,
    /// The verdict.
    pub(crate) decision: Decision,
}

/// Why a call cannot be judged: it is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unjudged {
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error(transparent)]
    Mask(#[from] MaskError),
    #[error(transparent)]
    Input(#[from] InputError),
}

/// Judges one message. Pure but for the clock, whose reading stands in the input.
///
/// # Errors
/// [`Unjudged`] when the message cannot be masked or expressed without ambiguity.
pub(crate) fn judge(snapshot: &Snapshot, question: &Question) -> Result<Judged, Unjudged> {
    if question.message.is_empty() {
        let nothing = Masked { bytes: Bytes::new(), counts: Vec::new(), changed: false };
        let input = input(question, None, Vec::new())?;
        let decision = snapshot.authorize(&input);
        let input = input.bytes().clone();
        return Ok(Judged { masked: nothing, facts: Vec::new(), input, decision });
    }
    // Header parameters are masked and reduced to facts among the arguments that they are, so that their names
    // count there as those of other arguments do.
    let said = controls::with_parameters(&question.message, &question.params)?;
    let seen = snapshot.mask_message(&said)?;
    let facts = snapshot.facts(&Document::parse(&said)?, &seen);
    let input = input(question, Some(&seen.bytes), facts.clone())?;
    let decision = snapshot.authorize(&input);
    let masked = match question.params.as_slice() {
        [] => seen,
        _ => snapshot.mask_message(&question.message)?,
    };
    Ok(Judged { masked, facts, input: input.bytes().clone(), decision })
}

/// The input from the masked message with its header parameters.
fn input(
    question: &Question,
    seen: Option<&Bytes>,
    facts: Vec<Fact>,
) -> Result<DecisionInput, Unjudged> {
    let document = seen.map(|seen| Document::parse(seen)).transpose()?;
    let root = document.as_ref().map(Document::root);
    let written = root.and_then(|root| root.get("method")?.as_str());
    let method = question.method.clone().or_else(|| written.map(Cow::into_owned));
    let method = method.unwrap_or_default();
    let arguments =
        root.and_then(|root| root.get("params")).and_then(|params| params.get("arguments"));
    let is_kept = |(name, _): &(String, String)| {
        arguments.is_some_and(|arguments| arguments.get(name).is_some())
    };
    if !question.params.iter().all(is_kept) {
        return Err(InputError::ParameterName.into());
    }
    Ok(DecisionInput::new(&CallFacts {
        principal: principal(&question.principal),
        server: question.server.clone(),
        name: document.as_ref().and_then(|document| controls::name_of(document, &method)),
        method,
        arguments: seen.map_or(Arguments::None, |seen| Arguments::OfMessage(seen)),
        facts,
        auth: question.auth_method,
        at_unix_ms: now_ms(),
    })?)
}

fn principal(principal: &Principal) -> PrincipalInput {
    PrincipalInput {
        issuer: principal.issuer.clone(),
        subject: principal.subject.clone(),
        kind: match principal.kind {
            identity::PrincipalKind::Human => PrincipalKind::Human,
            identity::PrincipalKind::Machine => PrincipalKind::Machine,
            identity::PrincipalKind::Unauthenticated => PrincipalKind::Unauthenticated,
        },
        groups: principal.groups.iter().cloned().collect(),
        roles: principal.roles.iter().cloned().collect(),
    }
}

/// Unix milliseconds; 0 when the clock stands before 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
