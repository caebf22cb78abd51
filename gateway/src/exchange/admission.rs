//! May the request come in: is there room, is there such a server, is it no stranger's page, has its caller left
//! room to others, is the session its caller's?

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use proto::v1;

use super::Exchange;
use super::refusal::Refusal;
use crate::error;
use crate::http::headers::{self, PROTOCOL_VERSION, SESSION_ID};
use crate::http::origin::Stranger;
use crate::message::era;
use crate::room::places::Full;
use crate::route::Route;
use crate::session::SessionError;

impl Exchange {
    /// Is there room for one more exchange?
    pub(super) fn check_capacity(&self) -> Result<(), Refusal> {
        if self.shared.stopping.is_cancelled() {
            let message = "the gateway is stopping: nothing was forwarded, try again later";
            return Err(Refusal::unavailable(message));
        }
        if self.place.is_none() {
            return Err(Refusal::unavailable(&Full::Open.to_string()));
        }
        Ok(())
    }

    /// Has the caller left room to others? Its messages get room from its share.
    pub(super) fn take_place(&mut self, route: &Route) -> Result<(), Refusal> {
        let (Some(principal), Some(place)) = (&self.principal, &self.place) else { return Ok(()) };
        let caller = self.shared.sessions.owner(principal, &route.name);
        self.shared.places.belongs(place, caller).map_err(|full| no_place(&full))?;
        self.claim = Some(self.shared.budget.claim(caller));
        if self.method == Method::GET { self.listen() } else { Ok(()) }
    }

    /// Is there room for one more listening stream?
    pub(super) fn listen(&self) -> Result<(), Refusal> {
        let Some(place) = &self.place else { return Ok(()) };
        self.shared.places.listens(place).map_err(|full| no_place(&full))
    }

    /// The route that the path names.
    pub(super) fn find_route(&mut self, server: &str) -> Result<Arc<Route>, Refusal> {
        if self.method != Method::POST {
            self.call.method = self.method.as_str().to_owned();
        }
        let version = headers::text(&self.headers, &PROTOCOL_VERSION);
        self.call.era = era::of(None, version).into();
        let route = self.shared.routes.get(server).cloned().ok_or_else(|| {
            Refusal::denied(
                v1::Refusal::UnknownServer,
                StatusCode::NOT_FOUND,
                error::NOT_FOUND,
                "there is no server of this name behind the gateway: ask its operator for the names",
            )
        })?;
        self.call.server.clone_from(&route.name);
        Ok(route)
    }

    /// Is the request one that a stranger's web page made a browser send?
    pub(super) fn check_origin(&self) -> Result<(), Refusal> {
        self.shared.hosts.check(&self.headers, &self.uri).map_err(|stranger: Stranger| {
            let status = StatusCode::FORBIDDEN;
            Refusal::denied(v1::Refusal::Origin, status, error::DENIED, stranger.to_string())
        })
    }

    /// Modern messages belong to no session; the header is not passed on for them, so that it cannot smuggle a
    /// message into somebody's session.
    pub(super) fn forgoes_session(&self) -> bool {
        self.message.as_ref().is_some_and(|message| message.meta_version.is_some())
    }

    /// The session that the request names must be the caller's.
    pub(super) fn join_session(&mut self, route: &Route) -> Result<(), Refusal> {
        let (Some(id), Some(principal)) = (self.headers.get(SESSION_ID), &self.principal) else {
            return Ok(());
        };
        if self.forgoes_session() {
            return Ok(());
        }
        let sessions = &self.shared.sessions;
        let key = sessions.key(&route.name, id.as_bytes());
        match sessions.find(key, sessions.owner(principal, &route.name)) {
            Ok(session) => {
                self.session = Some(session);
                Ok(())
            }
            Err(error) => {
                let (refusal, status, code) = match error {
                    SessionError::Unknown => {
                        (v1::Refusal::UnknownSession, StatusCode::NOT_FOUND, error::NOT_FOUND)
                    }
                    SessionError::OfAnother => {
                        (v1::Refusal::SessionOfAnother, StatusCode::FORBIDDEN, error::DENIED)
                    }
                };
                Err(Refusal::denied(refusal, status, code, error.to_string()))
            }
        }
    }
}

fn no_place(full: &Full) -> Refusal {
    if full.is_of_caller() {
        Refusal::too_many(&full.to_string())
    } else {
        Refusal::unavailable(&full.to_string())
    }
}
