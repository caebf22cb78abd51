//! `exhibit verify`: every check of a package, offline.

use std::path::{Path, PathBuf};

use clap::Args;
use evidence::SampleCheck;
use indicatif::ProgressBar;
use verifier::{Options, Report, Trust};

use crate::failure::{self, Failure};
use crate::say::say;

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The package: a folder or a .zip; with --of, the sample
    #[arg(required_unless_present = "print_allowed_signers")]
    package: Option<PathBuf>,
    /// The trust file: log, signer and recorder keys, from a source other than the package
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// A checkpoint of the log that you kept from earlier, or a .tlog-proof
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// Check a sample: verify this package, draw the sample from it again, and compare
    #[arg(long, value_name = "PACKAGE")]
    of: Option<PathBuf>,
    /// Accept a package of another version of Exhibit whose report, README and scripts are not those that this version
    /// makes: do not rely on these files, nothing vouches for them
    #[arg(long)]
    allow_other_version: bool,
    /// Only print the allowed_signers file for `ssh-keygen -Y verify`, made from the trust file
    #[arg(long, conflicts_with_all = ["package", "since", "of", "allow_other_version"])]
    print_allowed_signers: bool,
}

impl Verify {
    pub(crate) fn run(self, json: bool) -> Result<(), Failure> {
        let trust = Trust::read(&self.trust).map_err(|error| Failure::unusable("trust", error))?;
        let Some(package) = self.package.as_deref() else {
            return print_allowed_signers(&trust, json);
        };
        let since = self.since.as_deref().map(std::fs::read_to_string).transpose();
        let since = since
            .map_err(|error| failure::file(self.since.as_deref().unwrap_or(package), &error))?;
        let options = Options {
            since,
            rederive: Some(&evidence::Derivation),
            allow_other_version: self.allow_other_version,
        };
        let report = check(self.of.as_deref().unwrap_or(package), &trust, &options)?;
        let sample = match &self.of {
            Some(of) if report.ok() => Some(
                evidence::check_sample(package, of)
                    .map_err(|error| Failure::unusable(error.code(), error))?,
            ),
            _ => None,
        };
        let ok = report.ok() && sample.as_ref().is_none_or(|sample| sample.wrong.is_empty());
        if json {
            let mut value =
                serde_json::to_value(&report).map_err(|error| Failure::failed("report", error))?;
            value["ok"] = ok.into();
            if let Some(sample) = &sample {
                value["sample"] = serde_json::json!({
                    "criterion": sample.criterion, "nonce": sample.nonce, "size": sample.size,
                    "population": sample.population, "files": sample.files, "wrong": sample.wrong,
                    "filled_in": sample.is_filled_in
                });
            }
            say!("{value}");
        } else {
            say!("{report}");
            match &sample {
                Some(sample) => print_sample(sample),
                None if self.of.is_some() => {
                    say!(
                        "The sample was not compared: there is no verified package to draw it from."
                    );
                }
                None => {}
            }
        }
        if ok { Ok(()) } else { Err(Failure::reported()) }
    }
}

fn check(package: &Path, trust: &Trust, options: &Options<'_>) -> Result<Report, Failure> {
    let spinner = ProgressBar::new_spinner();
    let report = verifier::verify(package, trust, options, &mut |title| {
        spinner.set_message(title);
        spinner.tick();
    });
    spinner.finish_and_clear();
    report.map_err(|error| Failure::unusable("package", error))
}

fn print_allowed_signers(trust: &Trust, json: bool) -> Result<(), Failure> {
    let text = trust.allowed_signers().map_err(|error| Failure::unusable("trust", error))?;
    if json {
        say!("{}", serde_json::json!({ "allowed_signers": text }));
    } else {
        say!("{}", text.trim_end());
    }
    Ok(())
}

fn print_sample(sample: &SampleCheck) {
    let SampleCheck { criterion, nonce, size, population, files, wrong, is_filled_in } = sample;
    say!(
        "Sample for {criterion}: {size} of {population} rows, nonce {nonce:?}, {files} files drawn again."
    );
    for line in wrong {
        say!("FAIL  {line}");
    }
    if wrong.is_empty() {
        let sheet =
            if *is_filled_in { ", apart from what was filled in into its sheet" } else { "" };
        say!("The sample is the one that the package gives{sheet}.");
    } else {
        say!("The sample is NOT the one that the package gives: {} files are wrong.", wrong.len());
    }
}
