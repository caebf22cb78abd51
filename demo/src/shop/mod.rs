//! An MCP server worth guarding: a shop with customers, services, keys and documents.
//!
//! It does what its tools say, on data that it keeps in memory, and guards nothing: that is the gateway's work.

mod database;
mod documents;
mod tools;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

use crate::error::DemoError;
use database::Database;
use tools::Tools;

/// The shop. Cheap to clone; clones share their data.
#[derive(Clone)]
pub struct Shop(Arc<Mutex<State>>);

struct State {
    database: Database,
    /// Keys that were handed out: what must never be found in the record.
    keys: Vec<String>,
    /// `service version environment`, as deployed.
    deployments: Vec<String>,
}

impl Shop {
    /// A shop with customers.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new() -> Result<Self, DemoError> {
        let state = State { database: Database::new()?, keys: Vec::new(), deployments: Vec::new() };
        Ok(Self(Arc::new(Mutex::new(state))))
    }

    /// Its MCP endpoint, Streamable HTTP at `/mcp`.
    pub fn router(&self) -> Router {
        let shop = self.clone();
        let service = StreamableHttpService::new(
            move || Ok(Tools::new(shop.clone())),
            Arc::new(LocalSessionManager::default()),
            StreamableHttpServerConfig::default(),
        );
        Router::new().nest_service("/mcp", service)
    }

    /// Every value in it that nobody outside may see: card and social security numbers, mail addresses, and the
    /// keys it gave out.
    pub fn regulated_values(&self) -> Vec<String> {
        let state = self.state();
        state.database.regulated_values().chain(state.keys.iter().cloned()).collect()
    }

    /// What was really deployed, in order.
    pub fn deployments(&self) -> Vec<String> {
        self.state().deployments.clone()
    }

    /// Customers that are still there.
    pub fn customers(&self) -> usize {
        self.state().database.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
