//! Who is at the door, in which role, and the record of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::request::Parts;
use identity::knocks::{Count, Recorded};
use identity::{AuthError, BearerToken, Principal};
use proto::Role;
use proto::kind::Kind;
use proto::v1::authentication_failed::Reason;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use proto::v1::{AuthenticationFailed, EvidenceAccessed, MediaType, Slot};
use serde_json::json;

use super::Doors;
use super::error::DoorError;
use crate::journal::{Access, Unrecorded};
use crate::masking::Masking;

/// Longest part of a user agent that is recorded, once it is masked.
const MAX_USER_AGENT_BYTES: usize = 512;
/// Longest part of a user agent that is masked: a stranger may send as much as headers may hold.
const MAX_MASKED_BYTES: usize = 4 * MAX_USER_AGENT_BYTES;

/// A caller whose token is good.
#[derive(Debug, Clone)]
pub struct Visitor {
    principal: Principal,
    client: Bytes,
}

/// What is recorded of an access besides the visitor.
#[derive(Debug, Clone, Default)]
pub struct Accessed {
    /// Which door.
    pub door: Door,
    /// Allowed, denied or refused.
    pub result: Outcome,
    /// The role that was used; none when there was no fitting one.
    pub role: Option<Role>,
    /// Leaves of the checkpoint that was answered from.
    pub checkpoint_size: u64,
    /// First index delivered.
    pub first_index: u64,
    /// Index after the last delivered.
    pub end_index: u64,
    /// SHA-256 of what an export delivered.
    pub output_digest: Bytes,
    /// What was asked: SQL, or the parameters of an export. It is masked when it is recorded, and cut when it is long
    /// and was not answered.
    pub query: Option<(MediaType, Bytes)>,
}

impl Visitor {
    /// Who it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What is known of the caller's machine, as the CLIENT disclosure has it.
    pub(crate) fn client(&self) -> &Bytes {
        &self.client
    }

    /// The most powerful of `roles` that the caller has.
    pub fn role(&self, roles: &[Role]) -> Option<Role> {
        Role::ALL
            .into_iter()
            .find(|role| roles.contains(role) && self.principal.has_role(role.as_str()))
    }

    pub(crate) fn access(&self, accessed: Accessed) -> Access {
        let mut disclosures = vec![(Slot::Principal, MediaType::Json, json_bytes(&self.principal))];
        disclosures.push((Slot::Client, MediaType::Json, self.client.clone()));
        disclosures
            .extend(accessed.query.map(|(media_type, query)| (Slot::Query, media_type, query)));
        let kind = Kind::EvidenceAccessed(EvidenceAccessed {
            door: accessed.door.into(),
            result: accessed.result.into(),
            role: accessed.role.map(|role| role.as_str().to_owned()).unwrap_or_default(),
            checkpoint_size: accessed.checkpoint_size,
            first_index: accessed.first_index,
            end_index: accessed.end_index,
            output_digest: accessed.output_digest,
        });
        Access { kind, disclosures }
    }
}

/// What a caller was told who is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) http_status: u16,
}

impl Doors {
    /// Knows the caller by its bearer token, or records that it did not.
    pub(crate) async fn admit(&self, request: &Parts) -> Result<Visitor, DoorError> {
        let client = client(request, &self.masking);
        // Two headers are as bad as none that fits.
        let mut headers = request.headers.get_all(AUTHORIZATION).iter();
        let header = headers.next().map(|header| header.to_str().unwrap_or("\u{fffd}"));
        let bearer = match headers.next() {
            None => BearerToken::from_header(header),
            Some(_) => Err(AuthError::Malformed("there is more than one Authorization header")),
        };
        let known = match bearer {
            Ok(bearer) => self.verifier.authenticate(bearer.as_str(), &self.public_url).await,
            Err(error) => Err(error),
        };
        match known {
            Ok(principal) => Ok(Visitor { principal, client }),
            Err(error) => {
                self.turn_away(request, client, &error).await?;
                let told = error.challenge_error().map(|code| (code, error.to_string()));
                let told = told.as_ref().map(|(code, text)| (*code, text.as_str()));
                Err(DoorError::unauthenticated(&error, &self.challenge(None, told)))
            }
        }
    }

    /// Records that a caller is not known: now, or in the count of its window.
    async fn turn_away(
        &self,
        request: &Parts,
        client: Bytes,
        error: &AuthError,
    ) -> Result<(), Unrecorded> {
        let reason = proto::names::authentication_failure(error.code());
        let failure = Failure { reason, http_status: error.http_status() };
        let recorded = self.knocks.knock(address(request), failure, Instant::now());
        if recorded == Recorded::InFull {
            self.journal.record(knock(failure, 0, client)).await?;
        }
        Ok(())
    }

    /// Records what knocks were counted in windows that have ended. What it takes is lost when it is dropped midway.
    pub(crate) async fn record_knocks(&self, counts: Vec<Count<Failure>>) {
        let mut counts = counts.into_iter();
        if let Err(error) = self.journal.readiness() {
            tracing::warn!(%error, "counted knocks are not recorded yet");
            let now = Instant::now();
            counts.for_each(|counted| self.knocks.keep(counted, now));
            return;
        }
        while let Some(counted) = counts.next() {
            let client = json_bytes(&json!({"address": counted.source, "user_agent": null}));
            let knock = knock(counted.kind, counted.count, client);
            if let Err(error) = self.journal.record(knock).await {
                tracing::warn!(%error, "counted knocks are not recorded yet");
                let now = Instant::now();
                // What may become durable yet is not counted on, lest it be recorded twice.
                let unrecorded = (!error.may_come).then_some(counted);
                unrecorded
                    .into_iter()
                    .chain(counts.by_ref())
                    .for_each(|counted| self.knocks.keep(counted, now));
            }
        }
    }

    /// Records an access, what was asked masked; only then may it be answered.
    pub(crate) async fn record(
        &self,
        visitor: &Visitor,
        mut accessed: Accessed,
    ) -> Result<(), Unrecorded> {
        if let Some((media_type, question)) = &mut accessed.query {
            *question = match accessed.result {
                Outcome::Allowed => self.masking.question(*media_type, question),
                _ => self.masking.refused(*media_type, question, accessed.role.is_some()),
            };
        }
        metrics::counter!("exhibit_query_accesses_total").increment(1);
        self.journal.record(visitor.access(accessed)).await
    }

    /// The answer to a visitor that none of `roles` fits. It tells the roles of Exhibit that the token gave; what else
    /// a token calls roles is none of this service's.
    pub(crate) fn forbid(
        &self,
        visitor: &Visitor,
        roles: &[Role],
        scope: Option<&str>,
    ) -> DoorError {
        let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
        let had = Role::ALL.into_iter().filter(|role| visitor.principal.has_role(role.as_str()));
        let had: Vec<&str> = had.map(Role::as_str).collect();
        let mut needed = format!("one of the roles {}", names.join(", "));
        if let Some(scope) = scope {
            needed.push_str(&format!(", or the scope {scope}"));
        }
        let told = Some(("insufficient_scope", needed.as_str()));
        let had = if had.is_empty() { "none".to_owned() } else { had.join(", ") };
        DoorError::forbidden(&needed, &had, &self.challenge(scope, told))
    }

    fn challenge(&self, scope: Option<&str>, error: Option<(&str, &str)>) -> String {
        let metadata = identity::protected_resource_metadata_url(&self.public_url);
        identity::challenge(&metadata.unwrap_or_default(), scope, error)
    }
}

/// A caller who was not known; `count` is 0 for one, whose machine `client` is.
fn knock(failure: Failure, count: u64, client: Bytes) -> Access {
    let failed = AuthenticationFailed {
        server: "query".to_owned(),
        reason: failure.reason.into(),
        http_status: u32::from(failure.http_status),
        count,
    };
    Access {
        kind: Kind::AuthenticationFailed(failed),
        disclosures: vec![(Slot::Client, MediaType::Json, client)],
    }
}

fn address(request: &Parts) -> Option<IpAddr> {
    request.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())
}

/// What is known of the caller's machine, as the CLIENT disclosure has it.
fn client(request: &Parts, masking: &Masking) -> Bytes {
    let agent = request.headers.get(USER_AGENT);
    let agent = agent.map(|agent| user_agent(&String::from_utf8_lossy(agent.as_bytes()), masking));
    let address = address(request).map(|ip| ip.to_string());
    json_bytes(&json!({"address": address, "user_agent": agent}))
}

/// Masked before it is cut to what is recorded: half a secret is none that a detector knows. What is too long to be
/// masked ends at a space, for the same reason.
fn user_agent(agent: &str, masking: &Masking) -> String {
    let mut bounded = &agent[..agent.floor_char_boundary(MAX_MASKED_BYTES)];
    if bounded.len() < agent.len() {
        bounded = bounded.rsplit_once(' ').map_or("", |(words, _)| words);
    }
    let mut agent = masking.text(bounded);
    agent.truncate(agent.floor_char_boundary(MAX_USER_AGENT_BYTES));
    agent
}

fn json_bytes(value: &impl serde::Serialize) -> Bytes {
    // Structs of strings and maps with string keys always serialize.
    serde_json::to_vec(value).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_half_of_a_secret_is_left_of_a_long_user_agent() {
        let masking = Masking::start().unwrap();
        let key = "AKIAIOSFODNN7EXAMPLE";
        for before in 0..MAX_MASKED_BYTES + 30 {
            let agent = format!("{} {key} {}", "a".repeat(before), "b".repeat(400_000));
            let recorded = user_agent(&agent, &masking);
            assert!(!recorded.contains("AKIA"), "{before}: {recorded}");
            assert!(recorded.len() <= MAX_USER_AGENT_BYTES);
        }
        assert_eq!(user_agent(&"a".repeat(MAX_MASKED_BYTES + 1), &masking), "");
        assert_eq!(user_agent(&"a".repeat(MAX_MASKED_BYTES), &masking).len(), MAX_USER_AGENT_BYTES);
    }
}
