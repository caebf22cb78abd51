//! Made-up calls, recorded by recorders of our own.

use std::time::Duration;

use anyhow::Result;
use proto::kind::Kind;
use proto::v1::{Call, MediaType, RequestReceived, Slot};
use recorder::{Draft, Limits, Recorder, RecorderConfig, random_id};
use tests::system::System;
use tlog::VerifyingKey;

/// A recorder whose key the system made.
pub(crate) async fn start_recorder(system: &System, name: &str) -> Result<Recorder> {
    let config = RecorderConfig {
        ledger: system.ledger(),
        log: VerifyingKey::parse(system.vkey("log"))?,
        key: system.key(name)?,
        limits: Limits { publication_timeout: Duration::from_secs(60), ..Limits::default() },
        checkpoint_file: None,
    };
    Ok(Recorder::start(config).await?)
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
