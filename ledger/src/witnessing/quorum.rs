//! Whether the quorum of witnesses cosigns what is published. Nothing waits for it after the start, so somebody has to be
//! told when it stays away: nobody but the operator's own word then stands behind what is new.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tlog::Policy;
use tokio::sync::watch;

use crate::health::Troubles;
use crate::publish::Published;

/// As `/readyz` names it.
const WHAT: &str = "quorum of witnesses";
/// How long a quorum may be away before that is told; a witness that is restarted takes less.
const GRACE: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(5);

/// Tells of a missing quorum as long as the ledger publishes.
pub(crate) async fn watch_quorum(
    mut published: watch::Receiver<Arc<Published>>,
    policy: Arc<Policy>,
    warnings: Troubles,
) {
    // At the start somebody has said that it may be away, and it is told from the first moment.
    let mut last = published.borrow().has_quorum(&policy).then(Instant::now);
    let mut due = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            changed = published.changed() => if changed.is_err() { return },
            _ = due.tick() => {}
        }
        if published.borrow_and_update().has_quorum(&policy) {
            last = Some(Instant::now());
        }
        match why(last.map(|last| last.elapsed())) {
            Some(why) => warnings.report(WHAT, &why),
            None => warnings.is_over(WHAT),
        }
        let away = last.map_or(f64::INFINITY, |last| last.elapsed().as_secs_f64());
        metrics::gauge!("exhibit_ledger_seconds_without_quorum").set(away);
    }
}

/// What to tell of a quorum that was there so long ago, or not since the start.
fn why(since: Option<Duration>) -> Option<&'static str> {
    let is_away = since.is_none_or(|since| since > GRACE);
    is_away.then_some(
        "it does not cosign what is published; entries are recorded meanwhile, and whoever wants the quorum refuses them. \
         See the witnesses' own logs, and exhibit_ledger_witness_failures_total",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_that_stays_away_is_told() {
        assert_eq!(why(Some(Duration::ZERO)), None);
        assert_eq!(why(Some(GRACE)), None);
        assert!(why(Some(GRACE * 2)).is_some());
        assert!(why(None).is_some(), "started without it");
    }
}
