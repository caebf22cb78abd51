//! The HTTP doors of a query node.

pub(crate) mod access;
pub(crate) mod body;
pub(crate) mod error;
pub(crate) mod health;
pub(crate) mod render;
pub(crate) mod sql;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use identity::Verifier;
use identity::knocks::Knocks;

use crate::archive::Archive;
use crate::engine::running::Engine;
use crate::feed;
use crate::feed::deliveries::Deliveries;
use crate::feed::places::Places;
use crate::follower::stream::Following;
use crate::journal::Journal;
use crate::masking::Masking;
use error::DoorError;

/// What the doors share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Doors(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) following: Following,
    pub(crate) engine: Engine,
    pub(crate) verifier: Verifier,
    pub(crate) journal: Arc<dyn Journal>,
    /// Of what callers say, before it is recorded.
    pub(crate) masking: Masking,
    /// The audience of tokens.
    pub(crate) public_url: String,
    pub(crate) deliveries: Deliveries,
    /// Of feed requests that wait or stream.
    pub(crate) places: Places,
    /// Of callers who were not known.
    pub(crate) knocks: Knocks<access::Failure>,
}

impl Doors {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/v1/sql", post(sql::answer))
            .route("/v1/events", get(feed::poll::finite))
            .route("/v1/events/poll", get(feed::poll::poll))
            .route("/v1/events/stream", get(feed::stream::stream))
            .route("/healthz", get(health::alive))
            .route("/readyz", get(health::ready))
            .route("/.well-known/oauth-protected-resource", get(health::resource_metadata))
            .with_state(self.clone())
    }

    pub(crate) fn readiness(&self) -> Result<(), String> {
        self.following.readiness()?;
        self.journal.readiness().map_err(|error| error.to_string())
    }

    /// What is verified now.
    pub(crate) fn archive(&self) -> Result<Archive, DoorError> {
        self.following.view().map(Archive::new).map_err(DoorError::not_serving)
    }
}

impl std::ops::Deref for Doors {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
