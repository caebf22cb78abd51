//! `exhibit export`: ask a query node for a package, and unpack it.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use reqwest::RequestBuilder;

use crate::failure::{self, Failure};
use crate::say::say;
use crate::service::{Service, ask};

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// First instant of the period, RFC 3339, such as 2026-03-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    from: String,
    /// First instant after the period
    #[arg(long, value_name = "TIME")]
    to: String,
    /// Accept a period that is not over; the package then says so
    #[arg(long)]
    open: bool,
    /// A criterion to evidence, such as CC6.1; once for each, all without it
    #[arg(long, value_name = "ID")]
    criterion: Vec<String>,
    /// A checkpoint of the log that you kept from earlier, or a .tlog-proof: the package will prove that the log only grew
    /// since then; once for each
    #[arg(long, value_name = "FILE")]
    since: Vec<PathBuf>,
    /// Where the package goes: a new folder, or a file that ends in .zip
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    #[command(flatten)]
    service: Service,
}

impl Export {
    pub(crate) async fn run(self, json: bool) -> Result<(), Failure> {
        if self.out.exists() {
            let message = format!("{} exists; nothing is overwritten", self.out.display());
            return Err(Failure::unusable("place_taken", message));
        }
        let folder = self.out.parent().filter(|path| !path.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            let message = format!("{} is no folder; make it first", folder.display());
            return Err(Failure::unusable("place_missing", message));
        }
        let read = |file: &PathBuf| {
            std::fs::read_to_string(file).map_err(|error| failure::file(file, &error))
        };
        let since = self.since.iter().map(read).collect::<Result<Vec<String>, Failure>>()?;
        let asked = serde_json::json!({
            "from": self.from, "to": self.to, "open": self.open, "criteria": self.criterion, "since": since
        });
        let request = self
            .service
            .client()?
            .post(self.service.url("/v1/packages"))
            .header("content-type", "application/json")
            .body(asked.to_string());
        fetch(request, &self.out).await?;
        if json {
            say!("{}", serde_json::json!({ "package": self.out }));
        } else {
            say!("{}", self.out.display());
            if let Some(role) = role_of(&self.out) {
                eprintln!(
                    "exported as {role}: what this role may not see is withheld, and counted by exhibit verify"
                );
            }
            eprintln!("next: exhibit verify {} --trust TRUST_FILE", self.out.display());
        }
        Ok(())
    }
}

/// The role for which a package was made, as its parameters say; none of a .zip, which is not opened.
fn role_of(package: &Path) -> Option<proto::Role> {
    let parameters = std::fs::read(package.join(verifier::layout::PARAMETERS)).ok()?;
    let parameters: serde_json::Value = serde_json::from_slice(&parameters).ok()?;
    parameters["role"].as_str()?.parse().ok()
}

/// Sends the request for a package and puts the package at `out`: a file when that ends in .zip, else a folder.
pub(crate) async fn fetch(request: RequestBuilder, out: &Path) -> Result<(), Failure> {
    let zip = download(ask(request).await?, out.parent()).await?;
    if out.extension().is_some_and(|extension| extension == "zip") {
        zip.persist_noclobber(out).map_err(|error| failure::file(out, &error.error))?;
        return Ok(());
    }
    unpack(zip.as_file(), out)
}

/// The answer, in a temporary file beside where it will stand.
async fn download(
    mut response: reqwest::Response,
    folder: Option<&Path>,
) -> Result<tempfile::NamedTempFile, Failure> {
    let folder = folder.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file =
        tempfile::NamedTempFile::new_in(folder).map_err(|error| failure::file(folder, &error))?;
    let bar = response.content_length().map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let cut = |error: reqwest::Error| {
        Failure::unreachable("answer_cut", format!("the package broke off: {error}"))
    };
    while let Some(chunk) = response.chunk().await.map_err(cut)? {
        file.write_all(&chunk).map_err(|error| failure::file(folder, &error))?;
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    Ok(file)
}

/// Unpacks a package whose files stand in one folder, into `out`, which appears only when it is whole.
fn unpack(zip: &File, out: &Path) -> Result<(), Failure> {
    let damaged = |error: &dyn std::fmt::Display| {
        Failure::failed("package_unreadable", format!("the package cannot be unpacked: {error}"))
    };
    let mut archive = zip::ZipArchive::new(zip).map_err(|error| damaged(&error))?;
    let folder = out.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unpacked = tempfile::tempdir_in(folder).map_err(|error| failure::file(folder, &error))?;
    archive.extract(unpacked.path()).map_err(|error| damaged(&error))?;
    let mut tops = std::fs::read_dir(unpacked.path())
        .map_err(|error| failure::file(folder, &error))?
        .filter_map(Result::ok);
    let bag = match (tops.next(), tops.next()) {
        (Some(only), None) if only.path().is_dir() => only.path(),
        _ => unpacked.path().to_owned(),
    };
    // As the folder that it comes out of: what was disclosed to one user is not for all of the machine.
    let private = Permissions::from_mode(0o700);
    std::fs::set_permissions(&bag, private)
        .and_then(|()| std::fs::rename(&bag, out))
        .map_err(|error| failure::file(out, &error))
}
