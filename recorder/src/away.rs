//! What the process's own log is told while there is no stream to the ledger.

use std::time::{Duration, Instant};

use tonic::codegen::http::Uri;

/// The same reason is written again only after this long, while attempts go on every few seconds.
const REPEAT: Duration = Duration::from_secs(60);

/// What was last reported; nothing while the stream is open.
#[derive(Default)]
pub(crate) struct Away(Option<(String, Instant)>);

impl Away {
    /// An attempt failed.
    pub(crate) fn report(&mut self, ledger: &Uri, reason: &str, now: Instant) {
        if self.is_news(reason, now) {
            tracing::warn!(%ledger, %reason, "no stream to the ledger; trying again until there is one");
        }
    }

    /// The stream is open.
    pub(crate) fn back(&mut self, ledger: &Uri) {
        if self.0.take().is_some() {
            tracing::info!(%ledger, "the stream to the ledger is open again");
        }
    }

    fn is_news(&mut self, reason: &str, now: Instant) -> bool {
        let is_told = |(told, at): &(String, Instant)| told == reason && now - *at < REPEAT;
        let is_news = !self.0.as_ref().is_some_and(is_told);
        if is_news {
            self.0 = Some((reason.to_owned(), now));
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_once_and_now_and_then_again() {
        let mut away = Away::default();
        let start = Instant::now();
        let told: Vec<bool> = (0..65)
            .map(|second| away.is_news("refused", start + Duration::from_secs(second)))
            .collect();
        assert_eq!(told.iter().filter(|told| **told).count(), 2);
        assert!(told[0] && told[60]);
        assert!(away.is_news("timed out", start + Duration::from_secs(66)));
    }
}
