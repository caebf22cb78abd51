//! The whole system against real MCP clients, servers and stock tools: what the tests share.
//!
//! The tests run the real `exhibit` command, real npm and PyPI packages (`make peers` installs them) and real
//! sockets of loopback. A test is a future given to [`run`]; whatever it started ends with it, and when it fails
//! the logs of all of that are printed.

pub mod binary;
pub mod certificates;
pub mod clock;
pub mod disk;
pub mod folder;
pub mod issuer;
pub mod mcp;
pub mod peers;
pub mod process;
pub mod system;
pub mod upstream;
pub mod wait;

mod run;

pub use run::run;
