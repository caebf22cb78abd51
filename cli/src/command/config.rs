//! `exhibit config`: what a configuration says, and whether it can be used.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::Config;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct ConfigCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Parse the file and say what is wrong
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
                Config::read(&file)?;
                println!("{}: good", file.display());
            }
            What::Print { file } => {
                let text = toml::to_string_pretty(&Config::read(&file)?)
                    .map_err(|error| Failure::failed("config", error))?;
                print!("{text}");
            }
            What::Schema => {
                let schema = schemars::schema_for!(Config);
                let text = serde_json::to_string_pretty(&schema)
                    .map_err(|error| Failure::failed("config", error))?;
                println!("{text}");
            }
        }
        Ok(())
    }
}
