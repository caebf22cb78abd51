//! Waiting for a server while watching everything else: the caller, the clock, the gateway's own end.

use std::future::Future;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use identity::Principal;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Exchange;
use super::caller::Caller;
use super::closing::Ending;

/// The rules of waiting for one exchange.
pub(super) struct Watch {
    /// What the caller's going away means.
    departure: Departure,
    /// Longest silence; none for listening streams.
    silence: Option<Duration>,
    /// Longest wait for a caller that does not read.
    stall: Duration,
    listening: bool,
    /// No answer is due, or it was given: the exchange ends with the caller's token.
    is_free: bool,
    /// When the token ends; none without a token.
    token_ends: Option<Instant>,
    stop: CancellationToken,
    /// When an abandoned exchange ends, once it is abandoned.
    abandoned_until: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum Departure {
    /// It cancels the call.
    Cancels,
    /// It ends the listening.
    Ends,
    /// The answer is still awaited, for so long.
    Abandons(Duration),
}

impl Watch {
    pub(super) fn new(exchange: &Exchange) -> Watch {
        let shared = &exchange.shared;
        let listening = exchange.is_listening();
        Watch {
            departure: match (exchange.is_modern(), listening) {
                (true, _) => Departure::Cancels,
                (false, true) => Departure::Ends,
                (false, false) => Departure::Abandons(shared.waits.abandoned),
            },
            silence: (!listening).then_some(shared.waits.answer),
            stall: shared.waits.stall,
            listening,
            is_free: listening,
            token_ends: exchange.principal.as_ref().and_then(token_ends),
            stop: if listening { &shared.stopping } else { &shared.cut_off }.clone(),
            abandoned_until: None,
        }
    }

    /// The outcome of `work`, unless something ends the exchange before it is there. `work` is dropped then,
    /// which closes the connection to the server.
    ///
    /// # Errors
    /// How the exchange ends.
    pub(super) async fn over<T>(
        &mut self,
        work: impl Future<Output = T>,
        caller: &mut Caller,
    ) -> Result<T, Ending> {
        tokio::pin!(work);
        let silent_at = self.silence.map(|silence| Instant::now() + silence);
        loop {
            let departed = self.abandoned_until.is_some();
            tokio::select! {
                biased;
                () = caller.gone(), if !departed => self.departed()?,
                () = self.stop.cancelled() => return Err(self.stopped()),
                () = at(self.token_ends), if self.is_free => return Err(Ending::TokenExpired),
                outcome = &mut work => return Ok(outcome),
                () = at(self.abandoned_until) => {
                    let reason = "the caller went away, and no answer came within the time left for it";
                    return Err(Ending::Ambiguous(reason.to_owned()));
                }
                () = at(silent_at) => {
                    return Err(Ending::Ambiguous("the server was silent for too long".to_owned()));
                }
            }
        }
    }

    /// Gives a caller the next piece of a stream. One that reads nothing for too long has gone away.
    ///
    /// # Errors
    /// How the exchange ends.
    pub(super) async fn deliver(
        &mut self,
        piece: Bytes,
        caller: &mut Caller,
    ) -> Result<(), Ending> {
        if self.is_abandoned() {
            return Ok(());
        }
        let delivered = tokio::select! {
            () = caller.send(piece) => true,
            () = tokio::time::sleep(self.stall) => false,
            () = self.stop.cancelled() => return Err(self.stopped()),
        };
        if delivered {
            return Ok(());
        }
        caller.abandon();
        self.departed()
    }

    /// What the caller's going away means now.
    fn departed(&mut self) -> Result<(), Ending> {
        match self.departure {
            Departure::Cancels => Err(Ending::Cancelled),
            Departure::Ends => Err(Ending::StreamEnded),
            Departure::Abandons(wait) => {
                self.abandoned_until = Some(Instant::now() + wait);
                Ok(())
            }
        }
    }

    fn stopped(&self) -> Ending {
        if self.listening {
            Ending::StreamEnded
        } else {
            Ending::Ambiguous("the gateway is stopping".to_owned())
        }
    }

    /// The answer was given: what else the server says is only for a caller whose token is good.
    pub(super) fn nothing_is_due(&mut self) {
        self.is_free = true;
    }

    /// Nobody reads any more what the server says.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned_until.is_some()
    }
}

/// When the token ends by which the caller is known.
fn token_ends(principal: &Principal) -> Option<Instant> {
    if !principal.is_authenticated() {
        return None;
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let left = Duration::from_secs(principal.expires_at).saturating_sub(now);
    Instant::now().checked_add(left)
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn watch(departure: Departure) -> Watch {
        Watch {
            departure,
            silence: None,
            stall: Duration::from_secs(5),
            listening: false,
            is_free: false,
            token_ends: None,
            stop: CancellationToken::new(),
            abandoned_until: None,
        }
    }

    fn departed() -> Caller {
        Caller::new(oneshot::channel().0)
    }

    #[tokio::test(start_paused = true)]
    async fn departure_cancels_ends_or_abandons() {
        let never = std::future::pending::<()>;
        let ending = watch(Departure::Cancels).over(never(), &mut departed()).await;
        assert!(matches!(ending, Err(Ending::Cancelled)));
        let ending = watch(Departure::Ends).over(never(), &mut departed()).await;
        assert!(matches!(ending, Err(Ending::StreamEnded)));
        let wait = Duration::from_secs(60);
        let mut patient = watch(Departure::Abandons(wait));
        let slow = tokio::time::sleep(Duration::from_secs(59));
        assert!(patient.over(slow, &mut departed()).await.is_ok() && patient.is_abandoned());
        let ending = patient.over(never(), &mut departed()).await;
        assert!(matches!(ending, Err(Ending::Ambiguous(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_does_not_read_has_gone_away() {
        let (answer, answered) = oneshot::channel();
        let mut caller = Caller::new(answer);
        caller.begin(axum::http::StatusCode::OK, axum::http::HeaderMap::new());
        let _unread = answered.await.unwrap();
        let mut watch = watch(Departure::Cancels);
        let mut delivered = 0;
        let ending = loop {
            match watch.deliver(Bytes::from_static(b"x"), &mut caller).await {
                Ok(()) => delivered += 1,
                Err(ending) => break ending,
            }
        };
        assert!(matches!(ending, Ending::Cancelled) && delivered > 0);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_stop_end_the_wait() {
        let (answer, _answered) = oneshot::channel();
        let mut caller = Caller::new(answer);
        let mut watch = watch(Departure::Abandons(Duration::ZERO));
        watch.silence = Some(Duration::from_secs(9));
        let ending = watch.over(std::future::pending::<()>(), &mut caller).await;
        assert!(matches!(ending, Err(Ending::Ambiguous(_))) && !watch.is_abandoned());
        watch.stop.cancel();
        let ending = watch.over(std::future::pending::<()>(), &mut caller).await;
        assert!(matches!(ending, Err(Ending::Ambiguous(reason)) if reason.contains("stopping")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_on_which_nothing_is_due_ends_with_the_token() {
        let (answer, _answered) = oneshot::channel();
        let mut caller = Caller::new(answer);
        let mut watch = watch(Departure::Ends);
        watch.token_ends = Some(Instant::now() + Duration::from_secs(60));
        let slow = tokio::time::sleep(Duration::from_secs(90));
        assert!(watch.over(slow, &mut caller).await.is_ok(), "an answer is due");
        watch.nothing_is_due();
        let ending = watch.over(std::future::ready(()), &mut caller).await;
        assert!(matches!(ending, Err(Ending::TokenExpired)), "even if the server goes on");
    }

    #[tokio::test]
    async fn tokens_end_when_they_say() {
        let mut caller = Principal::unauthenticated();
        assert_eq!(token_ends(&caller), None);
        caller.kind = identity::PrincipalKind::Human;
        assert!(token_ends(&caller).unwrap() <= Instant::now());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        caller.expires_at = now.as_secs() + 3600;
        let left = token_ends(&caller).unwrap() - Instant::now();
        assert!((3590..=3600).contains(&left.as_secs()), "{left:?}");
        caller.expires_at = u64::MAX;
        assert_eq!(token_ends(&caller), None);
    }
}
