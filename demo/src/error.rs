//! Why the demo stops.

use std::time::Duration;

/// Why the demo stops: always something that must not happen.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The operating system gives no random bytes.
    #[error("no random bytes from the operating system: {0}")]
    Random(getrandom::Error),
    /// A service did not answer, or not in its own terms.
    #[error("{what}: {reason}")]
    Service {
        /// What was asked.
        what: String,
        /// What came instead.
        reason: String,
    },
    /// A call ended otherwise than the script says.
    #[error("call {number} ({who}, {tool}) was expected to be {expected}, but was {found}")]
    Script {
        /// Number of the call.
        number: usize,
        /// Who called.
        who: String,
        /// Which tool.
        tool: String,
        /// How it should end.
        expected: &'static str,
        /// How it ended.
        found: String,
    },
    /// Something did not come in time.
    #[error("{what} did not come within {} s", waited.as_secs())]
    Late {
        /// What was waited for.
        what: &'static str,
        /// How long.
        waited: Duration,
    },
    /// What must hold does not.
    #[error("{0}")]
    Broken(String),
    /// A file or folder.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The page could not be written.
    #[error("the output could not be written: {0}")]
    Output(#[from] std::io::Error),
}

impl DemoError {
    /// A service that did not do as it should.
    pub(crate) fn service(what: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Service { what: what.into(), reason: reason.to_string() }
    }

    /// For `map_err` on what is done with a file.
    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { path, source }
    }
}
