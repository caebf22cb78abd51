//! The ledger as a log that asks witnesses (C2SP tlog-witness) to cosign its checkpoints.
//!
//! Nothing waits for them but the start: there they are asked what they remember of this log, since a log that was put
//! back cannot know it by itself. After that each witness has a task of its own, which submits the newest checkpoint and
//! hands the cosignature to the publisher.

mod client;
mod config;
mod quorum;
mod start;

use std::sync::Arc;
use std::time::Duration;

use tlog::{Checkpoint, NoteSignature, Policy, WitnessKey};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::client::Client;
pub use self::config::WitnessConfig;
pub(crate) use self::quorum::watch_quorum;
pub use self::start::WitnessRefusal;
pub(crate) use self::start::{Wanted, ask_first};
use crate::publish::Published;
use crate::tree::TreeReader;

/// A witness that failed is asked again after so long, and after twice as long each further time, up to the last.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LAST_BACKOFF: Duration = Duration::from_secs(10);
/// Cosignatures that may wait for the publisher.
const MAX_BUFFERED: usize = 64;

/// Who cosigns, and how many of them must.
#[derive(Debug)]
pub(crate) struct Witnesses {
    pub(crate) policy: Arc<Policy>,
    clients: Vec<Client>,
}

/// A cosignature that was verified over this checkpoint.
#[derive(Debug)]
pub(crate) struct Cosigned {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) witness: WitnessKey,
    pub(crate) signature: NoteSignature,
}

impl Witnesses {
    /// Starts to submit every checkpoint that is published; the receiver yields the cosignatures.
    pub(crate) fn run(
        self,
        published: &watch::Receiver<Arc<Published>>,
        tree: &TreeReader,
    ) -> (Vec<JoinHandle<()>>, mpsc::Receiver<Cosigned>) {
        let (sender, cosigned) = mpsc::channel(MAX_BUFFERED);
        let keep = |client| {
            let task = keep_cosigned(client, published.clone(), tree.clone(), sender.clone());
            tokio::spawn(task)
        };
        (self.clients.into_iter().map(keep).collect(), cosigned)
    }
}

/// Submits the newest checkpoint whenever there is one that this witness has not cosigned; what was published while it
/// worked on one is passed over but for the newest.
async fn keep_cosigned(
    mut client: Client,
    mut published: watch::Receiver<Arc<Published>>,
    tree: TreeReader,
    cosigned: mpsc::Sender<Cosigned>,
) {
    let mut backoff = FIRST_BACKOFF;
    loop {
        let newest = Arc::clone(&published.borrow_and_update());
        if !client.has_cosigned(&newest.checkpoint) {
            match client.cosign(&newest, &tree).await {
                Ok(answer) => {
                    if backoff > FIRST_BACKOFF {
                        tracing::info!(witness = client.name(), "the witness cosigns again");
                    }
                    backoff = FIRST_BACKOFF;
                    if cosigned.send(answer).await.is_err() {
                        return;
                    }
                }
                Err(failure) => {
                    let witness = client.name();
                    if failure.is_contradiction() {
                        tracing::error!(witness, %failure, "THE WITNESS KNOWS ANOTHER HISTORY OF THIS LOG");
                    } else if backoff == FIRST_BACKOFF {
                        let what = match &failure {
                            client::Failure::Unreachable(_) => "the witness could not be asked",
                            _ => "the witness did not cosign a checkpoint",
                        };
                        tracing::warn!(witness, %failure, "{what}; it will be asked again");
                    }
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(LAST_BACKOFF);
                    continue;
                }
            }
        }
        if published.changed().await.is_err() {
            return;
        }
    }
}
