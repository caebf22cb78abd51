//! Made-up calls, recorded by recorders of our own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use proto::kind::Kind;
use proto::v1::{Call, MediaType, RequestReceived, Slot};
use recorder::{Draft, LedgerAddress, Limits, Recorder, RecorderConfig, random_id};
use tests::system::System;
use tlog::{SigningKey, VerifyingKey};

/// A recorder whose key the system made.
pub(crate) async fn start_recorder(system: &System, name: &str) -> Result<Recorder> {
    start_recorder_as(system, system.vkey("log"), system.key(name)?).await
}

/// A recorder with this key, which believes this key of the log.
pub(crate) async fn start_recorder_as(
    system: &System,
    log: &str,
    key: SigningKey,
) -> Result<Recorder> {
    let config = RecorderConfig {
        ledger: address(system)?,
        log: VerifyingKey::parse(log)?,
        key: Arc::new(key),
        limits: Limits { publication_timeout: Duration::from_secs(60), ..Limits::default() },
        checkpoint_file: None,
    };
    Ok(Recorder::start(config).await?)
}

/// Where the ledger of a system is.
pub(crate) fn address(system: &System) -> Result<LedgerAddress> {
    let address = LedgerAddress::new(&system.ledger(), None, false);
    address.map_err(|mistakes| anyhow::anyhow!(mistakes.join("; ")))
}

/// A request with a disclosure of some size.
pub(crate) fn draft(number: usize) -> Draft {
    let call =
        Call { server: "records".to_owned(), method: "tools/call".to_owned(), ..Call::default() };
    let kind =
        Kind::RequestReceived(RequestReceived { call: Some(call), ..RequestReceived::default() });
    let content =
        format!("{{\"number\":{number},\"filling\":\"{}\"}}", "x".repeat(number * 37 % 3_000));
    Draft::new(kind).exchange(random_id()).disclose(Slot::Message, MediaType::Json, content)
}
