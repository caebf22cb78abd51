//! How many exports are made at a time.

use std::future::Future;
use std::sync::Arc;

use axum::http::StatusCode;
use query::DoorError;
use tokio::sync::Semaphore;

/// Exports at the same time; each holds its package in memory.
pub(super) const MAX_EXPORTS: usize = 2;

/// Does an export's work in one of a few turns. The work goes on when its caller leaves, so that nobody gets more turns by
/// leaving early: the turn is the work's own, and ends with it. What it does has bounds, and ends when the node stops.
pub(super) async fn in_turn<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, DoorError> {
    let Ok(turn) = Arc::clone(turns).try_acquire_owned() else {
        let message = format!("{MAX_EXPORTS} exports are being made; try again in a minute");
        return Err(DoorError::new(StatusCode::TOO_MANY_REQUESTS, "exports_busy", message));
    };
    let worked = tokio::spawn(async move {
        let worked = work.await;
        drop(turn);
        worked
    });
    worked.await.map_err(|error| {
        tracing::error!(%error, "an export was aborted");
        let message = "the export was aborted; its cause is in the log of the query node";
        DoorError::new(StatusCode::INTERNAL_SERVER_ERROR, "package_not_made", message)
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_turn_lasts_as_long_as_its_work_though_the_caller_left() {
        let turns = Arc::new(Semaphore::new(1));
        let (end, ended) = oneshot::channel::<()>();
        let left = in_turn(&turns, async move { ended.await.is_ok() });
        let left = tokio::time::timeout(Duration::from_millis(20), left).await;
        assert!(left.is_err(), "the work was to last longer");
        let busy = in_turn(&turns, async {}).await.unwrap_err();
        assert_eq!((busy.status().as_u16(), busy.code()), (429, "exports_busy"));
        end.send(()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while turns.available_permits() == 0 {
            assert!(Instant::now() < deadline, "the turn was not given back");
            tokio::task::yield_now().await;
        }
        assert_eq!(in_turn(&turns, async { 7 }).await.unwrap(), 7);
    }
}
