//! Running one test to its end, and telling what its processes said when that is a bad one.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::process;

/// No test may take longer.
const DEADLINE: Duration = Duration::from_secs(300);

/// Runs a test on this thread.
///
/// # Errors
/// What the test returned, or that it did not end in time.
pub fn run(test: impl Future<Output = Result<()>>) -> Result<()> {
    let logs = Logs;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the runtime of the test")?;
    let result = runtime.block_on(async {
        tokio::time::timeout(DEADLINE, test).await.context("the test did not end in time")?
    });
    if result.is_err() {
        process::print_logs();
    }
    drop(logs);
    result
}

/// Prints the logs when the test panics; forgets them at its end.
struct Logs;

impl Drop for Logs {
    fn drop(&mut self) {
        if std::thread::panicking() {
            process::print_logs();
        }
        process::forget_logs();
    }
}
