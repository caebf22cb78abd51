//! `exhibit config`: what a configuration says, and whether it can be used.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::{Config, refuse};
use crate::failure::Failure;
use crate::say::say;

#[derive(Debug, Args)]
pub(crate) struct ConfigCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Check the file, and every file that it names, as the components would at their start
    Check {
        /// The configuration file
        #[arg(default_value = "exhibit.toml")]
        file: PathBuf,
    },
    /// Print what the file says, with every default filled in
    Print {
        /// The configuration file
        #[arg(default_value = "exhibit.toml")]
        file: PathBuf,
    },
    /// Print the JSON Schema of the file
    Schema,
}

impl ConfigCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.what {
            What::Check { file } => {
                let config = Config::read(&file)?;
                refuse(&file, &config.mistakes())?;
                for warning in config.warnings() {
                    eprintln!("warning: {warning}");
                }
                say!("{}: good", file.display());
            }
            What::Print { file } => {
                let text = toml::to_string_pretty(&Config::read(&file)?)
                    .map_err(|error| Failure::failed("config", error))?;
                say!("{}", tlog::without_keys(text.trim_end()));
            }
            What::Schema => {
                let text = schema().map_err(|error| Failure::failed("config", error))?;
                say!("{text}");
            }
        }
        Ok(())
    }
}

/// The schema of the file, as `schemas/config.schema.json` has it.
fn schema() -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&schemars::schema_for!(Config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schema_is_current() {
        let published = include_str!("../../../schemas/config.schema.json");
        assert!(
            published.trim_end() == schema().unwrap(),
            "the configuration has changed: run `exhibit config schema > schemas/config.schema.json`"
        );
    }
}
