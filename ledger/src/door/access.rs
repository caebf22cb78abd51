//! Who reads entries here, and the record of it: reading evidence is itself evidence.
//!
//! A follower is not recorded: it is a node of this system, and records whom it answers itself. So only a machine
//! that the configuration lists by its key can be one; what an issuer says of a role makes no node.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use axum::extract::ConnectInfo;
use axum::http::Extensions;
use bytes::Bytes;
use identity::knocks::{Count, Recorded};
use identity::{AuthError, BearerToken, Principal};
use proto::Role;
use proto::kind::Kind;
use proto::v1::authentication_failed::Reason;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use proto::v1::{AuthenticationFailed, EvidenceAccessed, Slot};
use serde::Serialize;
use tonic::{Code, Status};

use super::{Doors, status};
use crate::own::Content;
use crate::sequencer::Stopped;

/// Roles that read entries for somebody, the strongest first.
const PERSONAL: [Role; 4] = [Role::Admin, Role::Auditor, Role::Compliance, Role::Siem];

/// A caller that may read entries.
pub(super) struct Reader {
    /// The strongest of its roles.
    pub(super) role: Role,
    principal: Principal,
    client: Client,
}

/// Where the caller is. Its user agent would be foreign text that nobody has masked.
#[derive(Clone, Serialize)]
pub(super) struct Client {
    pub(super) address: Option<IpAddr>,
}

/// What is read.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    pub(super) door: Door,
    /// First entry.
    pub(super) first_index: u64,
    /// After the last; 0 for a stream, which has no end.
    pub(super) end_index: u64,
}

impl Reader {
    /// When its token ends, Unix seconds.
    pub(super) fn expires_at(&self) -> u64 {
        self.principal.expires_at
    }

    /// Who it is, for bounds.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.principal.issuer, self.principal.subject)
    }

    /// Whether it only follows: with another role beside it, it reads for itself.
    fn is_node(&self) -> bool {
        self.role == Role::Follower
            && !PERSONAL.iter().any(|role| self.principal.has_role(role.as_str()))
    }
}

impl Doors {
    /// Knows the caller by its token; records whoever nobody knows.
    pub(super) async fn know(
        &self,
        authorization: Option<&str>,
        extensions: &Extensions,
    ) -> Result<(Principal, Client), Status> {
        let address = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let client = Client { address };
        let known = match BearerToken::from_header(authorization) {
            Ok(token) => self.readers.authenticate(token.as_str(), &self.audience).await,
            Err(error) => Err(error),
        };
        match known {
            Ok(principal) => Ok((principal, client)),
            Err(error) => Err(self.unknown(&error, &client).await?),
        }
    }

    /// Knows the caller by its token and finds the role that may read; records whoever is turned away.
    pub(super) async fn admit(
        &self,
        authorization: Option<&str>,
        extensions: &Extensions,
        reading: Reading,
    ) -> Result<Reader, Status> {
        let (principal, client) = self.know(authorization, extensions).await?;
        let Some(role) = strongest(&principal) else {
            let denied = accessed(reading, Outcome::Denied, None, self.published_size());
            self.write_down(denied, Some(&principal), &client).await?;
            return Err(role_missing(&principal));
        };
        Ok(Reader { role, principal, client })
    }

    /// Records an access; only then may it be answered.
    pub(super) async fn record(
        &self,
        reader: &Reader,
        reading: Reading,
        result: Outcome,
    ) -> Result<(), Status> {
        if reader.is_node() {
            return Ok(());
        }
        if let Some(reason) = &self.read_only {
            return Err(status::read_only(&format!(
                "{reason}; the access could not be recorded either, so only followers may read entries"
            )));
        }
        let kind = accessed(reading, result, Some(reader.role), self.published_size());
        self.write_down(kind, Some(&reader.principal), &reader.client).await
    }

    /// Records what was only counted of unknown callers in the windows that have ended; with `is_last` in all, and
    /// counts no more.
    ///
    /// # Errors
    /// [`Stopped`]: the counts are lost, as everything is that comes after.
    pub(crate) async fn record_counted(&self, is_last: bool) -> Result<(), Stopped> {
        let _writing = self.knocks.writing.lock().await;
        let lately = &self.knocks.lately;
        let counts = if is_last { lately.end() } else { lately.ended(Instant::now()) };
        for Count { source, kind: (reason, http_status), count } in counts {
            let client = json(&Client { address: source }).map_err(|_| Stopped)?;
            let kind = failed(reason, http_status, count);
            self.own.record(kind, vec![(Slot::Client, client)]).await?;
        }
        Ok(())
    }

    /// What a caller is told whom nobody knows; recorded, or counted.
    pub(super) async fn unknown(
        &self,
        error: &AuthError,
        client: &Client,
    ) -> Result<Status, Status> {
        let reason = proto::names::authentication_failure(error.code());
        let http_status = error.http_status();
        let lately = &self.knocks.lately;
        let recorded = lately.knock(client.address, (reason, http_status), Instant::now());
        if recorded == Recorded::InFull {
            self.write_down(failed(reason, http_status, 0), None, client).await?;
        }
        let code = if error.is_retryable() { Code::Unavailable } else { Code::Unauthenticated };
        Ok(status::status(code, error.code(), error.to_string()))
    }

    /// Records what somebody did, with what was asked for.
    pub(super) async fn write_down_asked(
        &self,
        kind: Kind,
        principal: &Principal,
        client: &Client,
        (slot, asked): (Slot, &impl Serialize),
    ) -> Result<(), Status> {
        if self.read_only.is_some() {
            return Ok(());
        }
        let contents = vec![
            (Slot::Principal, json(principal)?),
            (Slot::Client, json(client)?),
            (slot, json(asked)?),
        ];
        self.own.record(kind, contents).await.map_err(status::stopped)
    }

    async fn write_down(
        &self,
        kind: Kind,
        principal: Option<&Principal>,
        client: &Client,
    ) -> Result<(), Status> {
        if self.read_only.is_some() {
            // Who is turned away gets nothing, and nowhere can it be written down.
            return Ok(());
        }
        let mut contents: Vec<Content> = Vec::new();
        if let Some(principal) = principal {
            contents.push((Slot::Principal, json(principal)?));
        }
        contents.push((Slot::Client, json(client)?));
        self.own.record(kind, contents).await.map_err(status::stopped)
    }

    fn published_size(&self) -> u64 {
        self.published.borrow().checkpoint.size.0
    }
}

fn failed(reason: Reason, http_status: u16, count: u64) -> Kind {
    Kind::AuthenticationFailed(AuthenticationFailed {
        server: "ledger".to_owned(),
        reason: reason.into(),
        http_status: http_status.into(),
        count,
    })
}

fn accessed(reading: Reading, result: Outcome, role: Option<Role>, size: u64) -> Kind {
    Kind::EvidenceAccessed(EvidenceAccessed {
        door: reading.door.into(),
        result: result.into(),
        role: role.map(|role| role.as_str().to_owned()).unwrap_or_default(),
        checkpoint_size: size,
        first_index: reading.first_index,
        end_index: reading.end_index,
        output_digest: Bytes::new(),
    })
}

fn strongest(principal: &Principal) -> Option<Role> {
    let follower = principal.is_configured_machine().then_some(Role::Follower);
    let has = |role: &Role| principal.has_role(role.as_str());
    follower.into_iter().chain(PERSONAL).find(has)
}

fn role_missing(principal: &Principal) -> Status {
    let has = match principal.roles.len() {
        0 => "none".to_owned(),
        _ => principal.roles.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
    };
    let message = format!(
        "reading entries needs the role admin, auditor, compliance or siem, or follower as a machine that the \
         ledger's configuration lists under identity.machines; the caller has {has}"
    );
    status::status(Code::PermissionDenied, "role_missing", message)
}

fn json(value: &impl Serialize) -> Result<Bytes, Status> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| {
        tracing::error!(%error, "an access cannot be written down");
        status::status(Code::Internal, "access_not_recorded", "the access could not be recorded")
    })
}
