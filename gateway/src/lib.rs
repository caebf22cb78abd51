//! The MCP proxy: it decides, masks and records every message between MCP clients and MCP servers.
//!
//! What always holds: a request is forwarded only after its event is durable in the ledger; a response, and
//! each message of a stream, is released only after its event is durable. Ledger away means a clear error and
//! nothing forwarded. Messages that need no mask pass exactly as they came; of headers and of the frames of a
//! stream only a closed list passes. A caller's credentials are never recorded, logged or sent to a server.
//!
//! [`Gateway::start`] checks the configuration and opens the record; [`Gateway::router`] is what to serve.
//! Where to look: `exchange::pipeline` is the way of one HTTP request from top to bottom; `message` says what
//! a JSON-RPC message is; `decide` is the one place that asks the policy; `record` the one that makes events;
//! `room` says how much is done at once and for whom; `knocks` counts callers that nobody knows.

mod config;
mod decide;
mod error;
mod exchange;
mod http;
mod inventory;
mod knocks;
mod message;
mod record;
mod room;
mod route;
mod session;
mod sse;
mod start;
mod upstream;

pub use config::{GatewayConfig, HeaderSource, Limits, RouteAuth, ServerConfig};
pub use start::{Gateway, StartError};
