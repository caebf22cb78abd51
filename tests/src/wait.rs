//! Waiting for something to become so, with a deadline.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(25);

/// Looks again and again until `look` finds something; errors of a look are told when the time is over.
///
/// # Errors
/// When nothing was found `within` that time; `what` says what was awaited.
pub async fn until<T, F, L>(what: &str, within: Duration, mut look: L) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
    L: FnMut() -> F,
{
    let deadline = Instant::now() + within;
    loop {
        let last = match look().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => String::new(),
            Err(error) => format!(": {error:#}"),
        };
        if Instant::now() >= deadline {
            bail!("{what}: not within {within:?}{last}");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
