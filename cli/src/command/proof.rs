//! `exhibit proof`: an event's leaf and inclusion proof, checked here before it is written.

use std::path::PathBuf;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use clap::Args;
use serde_json::Value;
use tlog::{Hash, LeafIndex, TlogProof, VerifyingKey};

use crate::failure::{self, Failure};
use crate::say::say;
use crate::service::{Service, ask};

#[derive(Debug, Args)]
pub(crate) struct Proof {
    /// Index of the leaf: a whole number from 0, the column leaf_index of the table events
    leaf_index: u64,
    /// vkey of the log, from a source other than the service
    #[arg(long, value_name = "VKEY")]
    log: String,
    /// File for the proof (C2SP tlog-proof); printed without it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    service: Service,
}

impl Proof {
    pub(crate) async fn run(self, json: bool) -> Result<(), Failure> {
        let log = VerifyingKey::parse(&self.log)
            .map_err(|error| Failure::unusable("vkey", format!("--log: {error}")))?;
        let (leaf_hash, text) = self.fetch().await?;
        let proof = TlogProof::parse(&text).map_err(|error| Failure::failed("proof", error))?;
        if proof.index != LeafIndex(self.leaf_index) {
            return Err(Failure::failed("proof", "the service sent the proof of another leaf"));
        }
        let checkpoint =
            proof.verify(&leaf_hash, &log).map_err(|error| Failure::failed("proof", error))?;
        if let Some(path) = &self.out {
            std::fs::write(path, &text).map_err(|error| failure::file(path, &error))?;
        }
        if json {
            let answer = serde_json::json!({
                "leaf_index": self.leaf_index, "leaf_hash": leaf_hash.to_string(),
                "tree_size": checkpoint.size.0, "root": checkpoint.root.to_string(), "proof": text
            });
            say!("{answer}");
            return Ok(());
        }
        if self.out.is_none() {
            say!("{}", text.trim_end());
        }
        eprintln!(
            "verified: leaf {} ({leaf_hash}) is in the log {} of {} entries with root {}",
            self.leaf_index, checkpoint.origin, checkpoint.size, checkpoint.root
        );
        Ok(())
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
