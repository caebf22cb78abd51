//! `exhibit sample`: the auditor draws, offline.

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;
use crate::say::say;

#[derive(Debug, Args)]
pub(crate) struct Sample {
    /// The package: a folder or a .zip
    package: PathBuf,
    /// Criterion whose population is drawn from, such as CC6.1
    #[arg(long, value_name = "ID")]
    criterion: String,
    /// Something the exporter could not foresee, chosen after the package was received
    #[arg(long)]
    nonce: String,
    /// How many; the criterion's default without it
    #[arg(long)]
    size: Option<usize>,
    /// Folder for the sample; it must not exist
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

impl Sample {
    pub(crate) fn run(self, json: bool) -> Result<(), Failure> {
        let sampled =
            evidence::sample(&self.package, &self.criterion, &self.nonce, self.size, &self.out)
                .map_err(|error| Failure::unusable(error.code(), error))?;
        if json {
            let answer = serde_json::json!({
                "path": sampled.path, "population": sampled.population, "leaves": sampled.leaves
            });
            say!("{answer}");
        } else {
            say!(
                "{} of {} drawn for {}: {}",
                sampled.leaves.len(),
                sampled.population,
                self.criterion,
                sampled.path.display()
            );
            for leaf in &sampled.leaves {
                say!("  leaf {leaf}");
            }
        }
        Ok(())
    }
}
