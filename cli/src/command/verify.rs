//! `exhibit verify`: every check of a package, offline.

use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;
use verifier::{Options, Trust};

use crate::failure::{self, Failure};

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The package: a folder or a .zip
    package: PathBuf,
    /// The trust file: log, signer and recorder keys, from a source other than the package
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// A checkpoint of the log that you kept from earlier
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
}

impl Verify {
    pub(crate) fn run(self, json: bool) -> Result<(), Failure> {
        let trust = Trust::read(&self.trust).map_err(|error| Failure::unusable("trust", error))?;
        let since = self.since.as_deref().map(std::fs::read_to_string).transpose();
        let since = since.map_err(|error| {
            failure::file(self.since.as_deref().unwrap_or(&self.package), &error)
        })?;
        let options = Options { since, rederive: Some(&evidence::Derivation) };
        let spinner = ProgressBar::new_spinner();
        let report = verifier::verify(&self.package, &trust, &options, &mut |title| {
            spinner.set_message(title);
            spinner.tick();
        })
        .map_err(|error| Failure::unusable("package", error))?;
        spinner.finish_and_clear();
        if json {
            let mut value =
                serde_json::to_value(&report).map_err(|error| Failure::failed("report", error))?;
            value["ok"] = report.ok().into();
            println!("{value}");
        } else {
            println!("{report}");
        }
        if report.ok() { Ok(()) } else { Err(Failure::reported()) }
    }
}
