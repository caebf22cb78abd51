//! The whole system, as its users meet it: the `exhibit` command, real clients, real servers, stock tools.

mod audit;
mod auth;
mod bad_input;
mod calls;
mod conformance;
mod demo;
mod feed;
mod guarded;
mod kill9;
mod large;
mod log;
mod mcp_sdk;
mod package;
mod policy_masking;
mod power_cut;
mod readers;
mod recorders;
mod rollback;
mod sql;
mod stopping;
