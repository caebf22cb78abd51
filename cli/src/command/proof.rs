//! `exhibit proof`: an event's leaf and inclusion proof, checked here before it is written.

mod receipt;
mod saved;

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use clap::{Args, ValueEnum};
use serde_json::Value;
use tlog::{Checkpoint, Hash, LeafIndex, TlogProof, VerifyingKey};

use crate::failure::{self, Failure};
use crate::say::say;
use crate::service::{Service, ask};
use crate::vkey;

#[derive(Debug, Args)]
pub(crate) struct Proof {
    /// Index of the leaf: a whole number from 0, the column leaf_index of the table events
    leaf_index: u64,
    /// vkey of the log, from a source other than the service
    #[arg(long, value_name = "VKEY")]
    log: String,
    /// What the proof is
    #[arg(long, value_enum, default_value = "tlog-proof", value_name = "FORMAT")]
    format: Format,
    /// File for the proof; a tlog-proof is printed without it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Check this saved proof again, offline, in place of fetching one: a tlog-proof or a COSE receipt
    #[arg(long, value_name = "FILE", requires = "leaf_hash", conflicts_with = "out")]
    check: Option<PathBuf>,
    /// Hash of the leaf that the saved proof is about, in Base64, as --json printed it
    #[arg(long, value_name = "HASH", requires = "check")]
    leaf_hash: Option<String>,
    /// URL of the ledger, for --format cose; no token is needed
    #[arg(
        long,
        env = "EXHIBIT_LEDGER",
        default_value = "http://127.0.0.1:7601",
        value_name = "URL"
    )]
    ledger: String,
    #[command(flatten)]
    service: Service,
}

/// How a proof is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// C2SP tlog-proof, text, from the query node
    TlogProof,
    /// COSE receipt (RFC 9942), binary, from the ledger
    Cose,
}

impl Proof {
    pub(crate) async fn run(self, json: bool) -> Result<(), Failure> {
        let log = vkey::read("--log", &self.log)?;
        if let (Some(file), Some(leaf_hash)) = (&self.check, &self.leaf_hash) {
            let (leaf_hash, checkpoint) =
                saved::check(file, LeafIndex(self.leaf_index), leaf_hash, &log)?;
            self.tell(&leaf_hash, &checkpoint, &file.display().to_string(), json);
            return Ok(());
        }
        match self.format {
            Format::TlogProof => self.tlog_proof(&log, json).await,
            Format::Cose => self.receipt(&log, json).await,
        }
    }

    async fn receipt(&self, log: &VerifyingKey, json: bool) -> Result<(), Failure> {
        if self.out.is_none() && !json {
            let message = "a receipt is binary: give --out FILE, or --json";
            return Err(Failure::unusable("out_missing", message));
        }
        let made = receipt::fetch(&self.ledger, log, LeafIndex(self.leaf_index)).await?;
        if let Some(path) = &self.out {
            std::fs::write(path, &made.cose).map_err(|error| failure::file(path, &error))?;
        }
        let proof = STANDARD.encode(&made.cose);
        self.tell(&made.leaf_hash, &made.checkpoint, &proof, json);
        Ok(())
    }

    async fn tlog_proof(&self, log: &VerifyingKey, json: bool) -> Result<(), Failure> {
        let (leaf_hash, text) = self.fetch().await?;
        let proof = TlogProof::parse(&text).map_err(|error| Failure::failed("proof", error))?;
        if proof.index != LeafIndex(self.leaf_index) {
            return Err(Failure::failed("proof", "the service sent the proof of another leaf"));
        }
        let checkpoint =
            proof.verify(&leaf_hash, log).map_err(|error| Failure::failed("proof", error))?;
        if let Some(path) = &self.out {
            std::fs::write(path, &text).map_err(|error| failure::file(path, &error))?;
        }
        if self.out.is_none() && !json {
            say!("{}", text.trim_end());
        }
        self.tell(&leaf_hash, &checkpoint, &text, json);
        Ok(())
    }

    /// Says what was shown: as JSON for programs, else as a sentence.
    fn tell(&self, leaf_hash: &Hash, checkpoint: &Checkpoint, proof: &str, json: bool) {
        let (size, root) = (checkpoint.size, checkpoint.root);
        if json {
            let answer = serde_json::json!({
                "leaf_index": self.leaf_index, "leaf_hash": leaf_hash.to_string(),
                "tree_size": size.0, "root": root.to_string(), "proof": proof
            });
            say!("{answer}");
        } else {
            eprintln!(
                "verified: leaf {} ({leaf_hash}) is in the log {} of {size} entries with root {root}",
                self.leaf_index, checkpoint.origin
            );
        }
    }

    async fn fetch(&self) -> Result<(Hash, String), Failure> {
        let statement = format!(
            "SELECT encode(leaf, 'base64') AS leaf, inclusion_proof(leaf_index) AS proof \
             FROM events WHERE leaf_index = {}",
            self.leaf_index
        );
        let request = self
            .service
            .client()?
            .post(self.service.url("/v1/sql"))
            .header("accept", "application/json")
            .header("content-type", "text/plain; charset=utf-8")
            .body(statement);
        let answer: Value = ask(request)
            .await?
            .json()
            .await
            .map_err(|error| Failure::unreachable("answer_unreadable", error))?;
        let row = &answer["rows"][0];
        let (Some(leaf), Some(proof)) = (row[0].as_str(), row[1].as_str()) else {
            let message = format!("there is no leaf {} in the log yet", self.leaf_index);
            return Err(Failure::unusable("no_such_leaf", message));
        };
        let leaf = STANDARD_NO_PAD
            .decode(leaf)
            .map_err(|error| Failure::failed("answer_unreadable", error))?;
        Ok((tlog::leaf_hash(&leaf), proof.to_owned()))
    }
}
