//! A disk that loses what was not synced, and fails when it is told to: see `faults/disk.c`.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// What happens at one call that changes the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed before it.
    Kill,
    /// The process is killed after it.
    KillAfter,
    /// It fails with EIO, and so does every later one.
    IoError,
    /// It fails with ENOSPC, and so does every later one.
    Full,
}

/// What a power cut leaves of bytes that were written and not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    /// None of them.
    Lost,
    /// The first half of them, as of a write that was cut short.
    Torn,
}

/// The disk below a folder, as processes see it that are started with its environment.
pub struct Disk {
    dir: PathBuf,
    work: TempDir,
}

impl Disk {
    /// The disk below `dir`; everything that is there now is on it for good.
    ///
    /// # Errors
    /// When the layer cannot be compiled, or the folder not be read.
    pub fn below(dir: &Path) -> Result<Self> {
        let work = tempfile::Builder::new().prefix("exhibit-disk-").tempdir()?;
        for kind in ["files", "folders", "trash"] {
            fs::create_dir_all(work.path().join("shadow").join(kind))?;
        }
        let disk = Self { dir: dir.canonicalize()?, work };
        disk.keep(&disk.dir)?;
        Ok(disk)
    }

    /// What a process needs in its environment. At the call number `at`, counted from [`Disk::arm`] on, the fault happens.
    ///
    /// # Errors
    /// When the layer cannot be compiled.
    pub fn environment(&self, at: usize, fault: Fault) -> Result<Vec<(String, PathBuf)>> {
        let what = match fault {
            Fault::Kill => "kill",
            Fault::KillAfter => "kill-after",
            Fault::IoError => "eio",
            Fault::Full => "enospc",
        };
        let mut variables = vec![
            ("LD_PRELOAD", layer()?.to_owned()),
            ("FAULTS_DIR", self.dir.clone()),
            ("FAULTS_SHADOW", self.path("shadow")),
            ("FAULTS_LOG", self.path("log")),
            ("FAULTS_ARM", self.path("armed")),
            ("FAULTS_AT", at.to_string().into()),
            ("FAULTS_DO", what.into()),
        ];
        if matches!(fault, Fault::IoError | Fault::Full) {
            variables.push(("FAULTS_STICKY", "1".into()));
        }
        Ok(variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The same, with a disk that says it synced what has `part` in its path, and did not.
    ///
    /// # Errors
    /// When the layer cannot be compiled.
    pub fn lying_environment(&self, part: &str) -> Result<Vec<(String, PathBuf)>> {
        let mut variables = self.environment(0, Fault::Kill)?;
        variables.push(("FAULTS_LIE".to_owned(), part.into()));
        Ok(variables)
    }

    /// From now on calls are counted.
    ///
    /// # Errors
    /// When the disk of the test fails.
    pub fn arm(&self) -> Result<()> {
        Ok(fs::write(self.path("armed"), "")?)
    }

    /// The calls that were counted: number, name, path.
    ///
    /// # Errors
    /// When there is no log of them.
    pub fn calls(&self) -> Result<Vec<String>> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        Ok(log.lines().map(str::to_owned).collect())
    }

    /// Puts into `to` what a power cut would leave of `folder`, which lies below the disk's; nothing when not even its
    /// name is certain.
    ///
    /// # Errors
    /// When the shadow cannot be read.
    pub fn after_power_cut(&self, folder: &Path, unsynced: Unsynced, to: &Path) -> Result<()> {
        let live = inodes(&self.dir)?;
        let mut inode = fs::metadata(&self.dir)?.ino();
        for part in folder.strip_prefix(&self.dir).context("a folder of this disk")?.components() {
            let name = part.as_os_str().to_string_lossy();
            let found = self.names(inode)?.into_iter().find(|entry| entry.name == name);
            let Some(found) = found else { return Ok(()) };
            inode = found.inode;
        }
        self.restore(inode, unsynced, &live, to)
    }

    fn restore(
        &self,
        inode: u64,
        unsynced: Unsynced,
        live: &HashMap<u64, PathBuf>,
        to: &Path,
    ) -> Result<()> {
        fs::create_dir_all(to)?;
        for entry in self.names(inode)? {
            let to = to.join(&entry.name);
            if entry.is_folder {
                self.restore(entry.inode, unsynced, live, &to)?;
                continue;
            }
            let mut bytes = fs::read(self.shadow("files", entry.inode)).unwrap_or_default();
            if unsynced == Unsynced::Torn
                && let Some(written) = live.get(&entry.inode)
            {
                let written = fs::read(written)?;
                if written.len() > bytes.len() {
                    let end = bytes.len() + (written.len() - bytes.len()) / 2;
                    bytes.extend_from_slice(&written[bytes.len()..end]);
                }
            }
            fs::write(to, bytes)?;
        }
        Ok(())
    }

    /// Writes down a folder as synced.
    fn keep(&self, folder: &Path) -> Result<()> {
        let mut names = String::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, inode) = (entry.path(), entry.metadata()?.ino());
            let kind = if path.is_dir() { 'd' } else { 'f' };
            names.push_str(&format!("{kind} {inode} {}\n", entry.file_name().to_string_lossy()));
            if path.is_dir() {
                self.keep(&path)?;
            } else {
                fs::copy(&path, self.shadow("files", inode))?;
            }
        }
        Ok(fs::write(self.shadow("folders", fs::metadata(folder)?.ino()), names)?)
    }

    /// The names that a folder had at its last sync.
    fn names(&self, inode: u64) -> Result<Vec<Name>> {
        let text = fs::read_to_string(self.shadow("folders", inode)).unwrap_or_default();
        let parse = |line: &str| {
            let mut words = line.splitn(3, ' ');
            let is_folder = words.next()? == "d";
            let inode = words.next()?.parse().ok()?;
            Some(Name { is_folder, inode, name: words.next()?.to_owned() })
        };
        text.lines().map(|line| parse(line).context("a line of the shadow")).collect()
    }

    fn shadow(&self, kind: &str, inode: u64) -> PathBuf {
        self.path(&format!("shadow/{kind}/{inode}"))
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.work.path().join(relative)
    }
}

struct Name {
    is_folder: bool,
    inode: u64,
    name: String,
}

/// Every file below a folder, by its inode.
fn inodes(folder: &Path) -> Result<HashMap<u64, PathBuf>> {
    let mut found = HashMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if path.is_dir() {
            found.extend(inodes(&path)?);
        } else {
            found.insert(entry.metadata()?.ino(), path);
        }
    }
    Ok(found)
}

/// The compiled layer, beside the test that runs: it goes when build results do.
fn layer() -> Result<&'static Path> {
    static LAYER: OnceLock<PathBuf> = OnceLock::new();
    if let Some(library) = LAYER.get() {
        return Ok(library);
    }
    let test = std::env::current_exe()?;
    let folder = test.parent().context("a folder of the test")?;
    let work = tempfile::tempdir_in(folder)?;
    let library = work.path().join("disk.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/disk.c");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .args([&library, &source])
        .status()
        .context("cc")?;
    ensure!(compiled.success(), "cc {}: {compiled}", source.display());
    // Another test may do the same now: each finds a whole one.
    let kept = folder.join("disk.so");
    fs::rename(&library, &kept)?;
    Ok(LAYER.get_or_init(|| kept))
}
