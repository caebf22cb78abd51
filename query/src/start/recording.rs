//! The recorder of accesses at a start, and what is made of a log that does not continue what it verified before.

use std::fs;
use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use recorder::{LedgerAddress, Recorder, RecorderConfig};
use tlog::{Checkpoint, VerifyingKey, open_checkpoint};
use tonic::codegen::Service;

use super::{Parsed, StartError};
use crate::config::QueryConfig;
use crate::follower::contradiction::Kept;

/// What the recorder verified last, in the data folder.
const FILE: &str = "recorder.checkpoint";
/// How long the ledger may take to show its checkpoint, and how long that may be.
const SHOW_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_NOTE_BYTES: usize = 64 << 10;

/// Starts the recorder. After a contradiction, an earlier one or one that shows now, nothing is served, but who asks
/// is still recorded, in the log as it now is: so it starts without its memory, whose file stays as it was.
pub(super) async fn start(
    config: &QueryConfig,
    parsed: &Parsed,
) -> Result<(Recorder, Option<Kept>), StartError> {
    let open = |checkpoint_file| {
        Recorder::start(RecorderConfig {
            ledger: parsed.ledger.clone(),
            log: parsed.log.clone(),
            key: Arc::clone(&parsed.recorder_key),
            checkpoint_file,
            limits: recorder::Limits::default(),
        })
    };
    let dir = &config.data_dir;
    if let Some(kept) = Kept::load(dir)? {
        return Ok((open(None).await?, Some(kept)));
    }
    let file = dir.join(FILE);
    let error = match open(Some(file.clone())).await {
        Ok(recorder) => return Ok((recorder, None)),
        Err(error) => error,
    };
    let Some(reason) = contradiction(&error) else { return Err(error.into()) };
    let offered = shown(&parsed.ledger, &parsed.log).await;
    let kept = Kept::not_continued(reason, remembered(&file, &parsed.log), offered);
    // Before anything is recorded in the other log.
    kept.save(dir)?;
    Ok((open(None).await?, Some(kept)))
}

fn contradiction(error: &recorder::StartError) -> Option<String> {
    let recorder::StartError::Record { source, .. } = error else { return None };
    source.is_contradiction().then(|| source.to_string())
}

/// The checkpoint that the recorder was started with, and its signed text.
fn remembered(file: &Path, log: &VerifyingKey) -> Option<(Checkpoint, String)> {
    let note = fs::read_to_string(file).ok()?;
    Some((open_checkpoint(&note, log).ok()?, note))
}

/// The checkpoint that the ledger shows now, if it shows one that the log signed.
async fn shown(ledger: &LedgerAddress, log: &VerifyingKey) -> Option<String> {
    let show = async {
        let mut channel = ledger.endpoint().ok()?.connect().await.ok()?;
        let request = http::Request::get("/checkpoint").body(tonic::body::Body::empty()).ok()?;
        poll_fn(|context| channel.poll_ready(context)).await.ok()?;
        let body = axum::body::Body::new(channel.call(request).await.ok()?.into_body());
        let bytes = axum::body::to_bytes(body, MAX_NOTE_BYTES).await.ok()?;
        String::from_utf8(bytes.into()).ok()
    };
    let note = tokio::time::timeout(SHOW_TIMEOUT, show).await.ok()??;
    open_checkpoint(&note, log).is_ok().then_some(note)
}
