//! The demo's stage: an OIDC issuer, an MCP server worth guarding, people, what they do, and how it is told.
//!
//! ```text
//! Mcp client (people) ──▶ gateway, ledger, query: started by the caller ──▶ Shop (MCP server)
//!         │                                 │
//!      Issuer (tokens)                   chapters: what was seen, kept, asked, proved, exported, tampered with
//! ```
//!
//! Everything here talks to the system under demonstration over its own doors, as anybody outside would; nothing
//! reaches into a component. A step whose outcome is not the expected one is an error: the demo is also a test.

mod auditor;
pub mod chapters;
mod client;
mod error;
mod issuer;
mod page;
mod people;
mod policies;
mod residue;
mod script;
mod shop;

pub use auditor::{Answer, Auditor, Pulled};
pub use client::{Mcp, Outcome};
pub use error::DemoError;
pub use issuer::Issuer;
pub use page::{Cell, Page, Tone};
pub use people::{PEOPLE, Person};
pub use policies::POLICIES;
pub use residue::{Residue, search};
pub use script::{Performed, Seen, Tokens, perform};
pub use shop::Shop;

/// Name under which the gateway reaches the demo's MCP server: `/mcp/shop`. The policies name it, too.
pub const SERVER: &str = "shop";
