//! Before anything is recorded, the witnesses are asked what they remember.
//!
//! A store that was brought back with its checkpoint file looks whole from inside. A witness that has cosigned a larger
//! tree, or another one, tells it apart; one that cosigns the published checkpoint vouches that there was no larger.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::client::{Client, Failure};
use super::{Cosigned, Witnesses};
use crate::publish::Published;
use crate::tree::TreeReader;

/// How long a quorum is waited for, and between two rounds.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(500);

/// What is wanted of the witnesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The cosignatures that come.
    Nothing,
    /// The quorum of the policy.
    Quorum,
    /// The same, of witnesses that remember this log: one that never saw it cosigns whatever it is shown first.
    Memory,
}

/// Why the witnesses keep the ledger from starting.
#[derive(Debug, thiserror::Error)]
pub enum WitnessRefusal {
    /// A witness knows a larger tree, or another one.
    #[error(
        "the witness {witness} contradicts this log: {what}. Store and checkpoint are older than what others have seen, \
         or of another history: bring back the newest, or begin a new log. If the witness is known to be wrong, take it \
         out of the policy file"
    )]
    Contradiction {
        /// Its name in the policy.
        witness: String,
        /// What it says.
        what: String,
    },
    /// Too few witnesses remember a log of which a copy was restored: --without-quorum alone does not help there.
    #[error(
        "the folder was restored from a backup, and the quorum of the policy file does not vouch that it is the newest state \
         of the log:\n  - {}\nBring back the witnesses that remember this log; or name the checkpoint_file that was kept \
         elsewhere. If the copy may be behind, look at it with --read-only, or begin a new log that continues it (`exhibit \
         restore --as-new-log`); if you know that nothing was published since the backup, start once with \
         --restored-is-newest SIZE (with --without-quorum, too, when too few witnesses answer)", .failures.join("\n  - ")
    )]
    NoMemory {
        /// Each witness that does not vouch, and why.
        failures: Vec<String>,
    },
    /// Too few witnesses could be asked.
    #[error(
        "the quorum of the policy file did not cosign the published checkpoint, or could not be asked, so nobody vouches \
         that this is the newest state of the log:\n  - {}\nBring the witnesses back (one that knows no such log is started with its vkey, --log), or start with --without-quorum if you know that \
         store and checkpoint are the newest", .failures.join("\n  - ")
    )]
    NoQuorum {
        /// Each witness that did not cosign, and why.
        failures: Vec<String>,
    },
}

/// Has the published checkpoint cosigned; the cosignatures that came. Where memory is wanted, a witness without any is not
/// told of the log.
///
/// # Errors
/// [`WitnessRefusal`]: a contradiction, or that less came than is wanted.
pub(crate) async fn ask_first(
    witnesses: &mut Witnesses,
    published: &Published,
    tree: &TreeReader,
    wanted: Wanted,
) -> Result<Vec<Cosigned>, WitnessRefusal> {
    let deadline = Instant::now() + PATIENCE;
    let mut cosigned = Vec::new();
    loop {
        let asked = witnesses.clients.iter_mut();
        let asked = asked.filter(|client| !client.has_cosigned(&published.checkpoint));
        let answers = join_all(asked.map(|client| async move {
            let answer = match wanted {
                Wanted::Memory => client.cosign_from_memory(published, tree).await,
                Wanted::Nothing | Wanted::Quorum => client.cosign(published, tree).await,
            };
            (client.name().to_owned(), answer)
        }));
        let mut failures = Vec::new();
        for (witness, answer) in answers.await {
            match answer {
                Ok(answer) => cosigned.push(answer),
                Err(failure) if failure.is_contradiction() => {
                    let what = failure.to_string();
                    return Err(WitnessRefusal::Contradiction { witness, what });
                }
                Err(failure) => failures.push((witness, failure)),
            }
        }
        let vouch = witnesses.clients.iter();
        let vouch = vouch.filter(|client| client.has_cosigned(&published.checkpoint));
        let has_quorum = witnesses.policy.quorum_satisfied(vouch.map(Client::name));
        // Who refuses now will refuse in a moment, too.
        let may_change =
            failures.iter().any(|(_, failure)| matches!(failure, Failure::Unreachable(_)));
        if !has_quorum && wanted != Wanted::Nothing && may_change && Instant::now() < deadline {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let told = |(witness, failure)| format!("{witness}: {failure}");
        let failures: Vec<_> = failures.into_iter().map(told).collect();
        match wanted {
            Wanted::Quorum if !has_quorum => return Err(WitnessRefusal::NoQuorum { failures }),
            Wanted::Memory if !has_quorum => return Err(WitnessRefusal::NoMemory { failures }),
            Wanted::Nothing | Wanted::Quorum | Wanted::Memory => {}
        }
        for failure in failures {
            tracing::warn!(failure, has_quorum, "a witness could not be asked before the start");
        }
        return Ok(cosigned);
    }
}
