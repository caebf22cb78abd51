//! How the command ends when it does not end well: a message, a code for programs, an exit code.

use std::process::ExitCode;

use crate::say::say;

/// Exit codes of `exhibit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The evidence or the check failed.
    Failed = 1,
    /// Unusable input, configuration or usage.
    Unusable = 2,
    /// A service could not be reached.
    Unreachable = 3,
}

/// Why the command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    code: String,
    message: String,
    /// Everything to say has been said on stdout.
    told: bool,
    /// A service may have done what was asked for all the same.
    may_be_done: bool,
}

impl Failure {
    pub(crate) fn failed(code: &str, message: impl std::fmt::Display) -> Self {
        Self::new(Exit::Failed, code, message)
    }

    pub(crate) fn unusable(code: &str, message: impl std::fmt::Display) -> Self {
        Self::new(Exit::Unusable, code, message)
    }

    pub(crate) fn unreachable(code: &str, message: impl std::fmt::Display) -> Self {
        Self::new(Exit::Unreachable, code, message)
    }

    /// A check failed and its report stands on stdout already.
    pub(crate) fn reported() -> Self {
        Self { told: true, ..Self::new(Exit::Failed, "check_failed", "") }
    }

    /// Whatever the message repeats of what it was given, a signing key it does not.
    fn new(exit: Exit, code: &str, message: impl std::fmt::Display) -> Self {
        let message = tlog::without_keys(&message.to_string()).into_owned();
        Self { exit, code: code.to_owned(), message, told: false, may_be_done: false }
    }

    /// The same failure, of which nobody knows whether the service did what was asked for.
    pub(crate) fn perhaps_done(self) -> Self {
        Self { may_be_done: true, ..self }
    }

    /// Whether what was asked for may have been done.
    pub(crate) fn may_be_done(&self) -> bool {
        self.may_be_done
    }

    /// What programs know it by.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// The same failure, and what stands in spite of it.
    pub(crate) fn and(self, more: &str) -> Self {
        Self { message: format!("{}\n{more}", self.message), ..self }
    }

    /// Prints the failure: a sentence on stderr, with `--json` an object on stdout as well.
    pub(crate) fn report(self, json: bool) -> ExitCode {
        if !self.told {
            if json {
                let error = serde_json::json!({
                    "error": { "code": self.code, "message": self.message }
                });
                say!("{error}");
            }
            // Part of it may be a service's own words.
            let lines: Vec<_> = self.message.lines().map(proto::terminal::shown).collect();
            eprintln!("exhibit: {}", lines.join("\n"));
        }
        ExitCode::from(self.exit as u8)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Local files that cannot be read or written are unusable input.
pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::unusable("file", format!("{}: {error}", path.display()))
}
