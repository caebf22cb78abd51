//! The `exhibit` command that stands beside the test binary.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// No command that ends by itself may take longer.
const DEADLINE: Duration = Duration::from_secs(120);

/// Path of the command.
///
/// # Errors
/// When it was not built.
pub fn exhibit() -> Result<PathBuf> {
    let test = std::env::current_exe().context("the path of this test")?;
    let profile = test.ancestors().nth(2).context("the folder of this test")?;
    let path = profile.join("exhibit");
    ensure!(path.is_file(), "{} is missing: run `make build` first", path.display());
    Ok(path)
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it told a person.
    pub stderr: String,
}

impl Ran {
    /// Itself, when it ended with this code.
    ///
    /// # Errors
    /// When it ended otherwise.
    pub fn ended(self, code: i32) -> Result<Self> {
        ensure!(
            self.code == code,
            "exit code {}, not {code}:\n{}{}",
            self.code,
            self.stdout,
            self.stderr
        );
        Ok(self)
    }

    /// The last line of stdout, as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        let line = self.stdout.trim_end().lines().last().unwrap_or_default();
        serde_json::from_str(line)
            .with_context(|| format!("no JSON: {}{}", self.stdout, self.stderr))
    }

    /// The code of the error that `--json` printed.
    ///
    /// # Errors
    /// When there is none.
    pub fn error_code(&self) -> Result<String> {
        let printed = self.json()?;
        let code = printed["error"]["code"].as_str();
        code.map(str::to_owned).with_context(|| format!("no error code in {printed}"))
    }
}

/// A command on its way.
pub struct Tool(tokio::process::Command);

impl Tool {
    /// `exhibit` with these arguments.
    ///
    /// # Errors
    /// When it was not built.
    pub fn exhibit<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Result<Self> {
        Ok(Self::new(exhibit()?).args(args))
    }

    /// Any program.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self(tokio::process::Command::new(program))
    }

    /// With these arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.0.args(args);
        self
    }

    /// With this in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// In this folder.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        self.0.current_dir(folder);
        self
    }

    /// Reading this file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn reading(mut self, file: &Path) -> Result<Self> {
        self.0.stdin(std::fs::File::open(file)?);
        Ok(self)
    }

    /// Runs it to its end, whatever that is.
    ///
    /// # Errors
    /// When it cannot be started, or does not end in time.
    pub async fn run(mut self) -> Result<Ran> {
        self.0.kill_on_drop(true);
        let shown = format!("{:?}", self.0.as_std());
        let Ok(output) = tokio::time::timeout(DEADLINE, self.0.output()).await else {
            bail!("{shown} did not end within {DEADLINE:?}");
        };
        let output = output.with_context(|| shown.clone())?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        })
    }

    /// Runs it, and it must end well.
    ///
    /// # Errors
    /// When it does not.
    pub async fn succeed(self) -> Result<Ran> {
        let shown = format!("{:?}", self.0.as_std());
        self.run().await?.ended(0).context(shown)
    }
}
