//! One witness, as the log sees it.

use std::time::Duration;

use ::witness::{AddCheckpoint, SIZE_CONTENT_TYPE, parse_size};
use reqwest::{StatusCode, Url, header};
use tlog::{Checkpoint, Note, NoteSignature, ProveError, TreeSize, WitnessKey, prove_consistency};

use super::Cosigned;
use crate::publish::Published;
use crate::store::StoreError;
use crate::tree::TreeReader;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// From the first byte of a request to the last of its answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Some signature lines, or a message.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// The first request may learn what the witness remembers, the second proves from there; the third is for a witness whose
/// answer to an earlier request was lost on the way.
const MAX_ATTEMPTS: u32 = 3;

/// Talks to one witness.
#[derive(Debug)]
pub(super) struct Client {
    name: String,
    key: WitnessKey,
    url: Url,
    http: reqwest::Client,
    /// What the witness remembers, as far as is known.
    known: Option<TreeSize>,
    /// What it cosigned for this process.
    cosigned: Option<Checkpoint>,
}

/// A client for all witnesses.
pub(super) fn http() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

impl Client {
    /// The witness with this submission prefix.
    ///
    /// # Errors
    /// When that is no HTTP URL.
    pub(super) fn new(
        name: &str,
        key: WitnessKey,
        prefix: &str,
        http: reqwest::Client,
    ) -> Result<Self, String> {
        let url = Url::parse(&format!("{}/add-checkpoint", prefix.trim_end_matches('/')));
        let url = url.ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url =
            url.ok_or_else(|| format!("witness {name}: {prefix:?} is no http or https URL"))?;
        Ok(Self { name: name.to_owned(), key, url, http, known: None, cosigned: None })
    }

    /// Its name in the policy.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn has_cosigned(&self, checkpoint: &Checkpoint) -> bool {
        self.cosigned.as_ref() == Some(checkpoint)
    }

    /// Has the checkpoint cosigned.
    ///
    /// # Errors
    /// [`Failure`].
    pub(super) async fn cosign(
        &mut self,
        published: &Published,
        tree: &TreeReader,
    ) -> Result<Cosigned, Failure> {
        self.told_in_metrics(published, tree, true).await
    }

    /// The same of a witness that remembers this log. One that does not is not told of it: the next who asks could not tell
    /// what it learned here from what it knew.
    ///
    /// # Errors
    /// [`Failure`]; [`Failure::Blank`] when it never saw the log.
    pub(super) async fn cosign_from_memory(
        &mut self,
        published: &Published,
        tree: &TreeReader,
    ) -> Result<Cosigned, Failure> {
        self.told_in_metrics(published, tree, false).await
    }

    async fn told_in_metrics(
        &mut self,
        published: &Published,
        tree: &TreeReader,
        may_introduce: bool,
    ) -> Result<Cosigned, Failure> {
        let outcome = self.try_cosign(published, tree, may_introduce).await;
        let labels = [("witness", self.name.clone())];
        match &outcome {
            Ok(_) => metrics::gauge!("exhibit_ledger_witness_cosigned_size", &labels)
                .set(published.checkpoint.size.0 as f64),
            Err(failure) => {
                let labels =
                    [("witness", self.name.clone()), ("reason", failure.code().to_owned())];
                metrics::counter!("exhibit_ledger_witness_failures_total", &labels).increment(1);
            }
        }
        outcome
    }

    async fn try_cosign(
        &mut self,
        published: &Published,
        tree: &TreeReader,
        may_introduce: bool,
    ) -> Result<Cosigned, Failure> {
        let size = published.checkpoint.size;
        for _ in 0..MAX_ATTEMPTS {
            // Most often it remembers what was published last.
            let old_size = self.known.unwrap_or(size);
            let proof = prove(tree, old_size, size).await?;
            let checkpoint = published.note.to_string();
            let request = AddCheckpoint { old_size, proof, checkpoint };
            match self.submit(&request).await? {
                Answer::Lines(lines) => {
                    let signature = self.verify(&published.note, &lines)?;
                    self.known = Some(size);
                    self.cosigned = Some(published.checkpoint.clone());
                    let (checkpoint, witness) = (published.checkpoint.clone(), self.key.clone());
                    return Ok(Cosigned { checkpoint, witness, signature });
                }
                Answer::Size(known) if known > size => return Err(Failure::Ahead { known, size }),
                Answer::Size(TreeSize(0)) if !may_introduce => return Err(Failure::Blank),
                Answer::Size(known) => {
                    if self.cosigned.as_ref().is_some_and(|cosigned| known < cosigned.size) {
                        tracing::warn!(
                            witness = self.name,
                            known = known.0,
                            "the witness has forgotten what it cosigned"
                        );
                    }
                    self.known = Some(known);
                }
                Answer::Inconsistent(words) => {
                    return Err(Failure::Contradicts { old_size, words });
                }
            }
        }
        Err(Failure::Answer("it names another size at each attempt".to_owned()))
    }

    async fn submit(&self, request: &AddCheckpoint) -> Result<Answer, Failure> {
        let unreachable = |error: reqwest::Error| Failure::Unreachable(causes(&error));
        let response = self.http.post(self.url.clone()).body(request.to_string()).send().await;
        let mut response = response.map_err(unreachable)?;
        let status = response.status();
        let is_size = response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(SIZE_CONTENT_TYPE.as_bytes()));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(Failure::Answer(format!("more than {MAX_ANSWER_BYTES} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        match status {
            StatusCode::OK => Ok(Answer::Lines(body)),
            StatusCode::CONFLICT if is_size => {
                let size = parse_size(&body);
                size.map(Answer::Size).ok_or_else(|| Failure::Answer(format!("409 with {body:?}")))
            }
            // Some witnesses answer so, without a size, when the roots of one size differ.
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
                Ok(Answer::Inconsistent(body))
            }
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                Err(Failure::Refused { status, words: body })
            }
            status => Err(Failure::Unreachable(format!("it answered {status}"))),
        }
    }

    /// The cosignature among the answer's lines; other witnesses' lines are ignored.
    fn verify(&self, note: &str, lines: &str) -> Result<NoteSignature, Failure> {
        let bad = |what: String| Failure::Answer(what);
        let note = Note::parse(note).map_err(|error| bad(error.to_string()))?;
        let lines = NoteSignature::parse_lines(lines).map_err(|error| bad(error.to_string()))?;
        let ours =
            |line: &NoteSignature| line.name == self.key.name() && line.key_id == self.key.key_id();
        let line = lines.into_iter().find(ours);
        let line = line.ok_or_else(|| bad(format!("no cosignature by {}", self.key)))?;
        let verified = self.key.verify_signature(note.text(), &line);
        verified.map_err(|error| bad(error.to_string()))?;
        Ok(line)
    }
}

enum Answer {
    /// Signature lines.
    Lines(String),
    /// The size that it remembers, which is not the one that was named.
    Size(TreeSize),
    /// What it remembers is not in our tree.
    Inconsistent(String),
}

async fn prove(
    tree: &TreeReader,
    old: TreeSize,
    new: TreeSize,
) -> Result<Vec<tlog::Hash>, Failure> {
    let tree = tree.clone();
    let proving = move || prove_consistency(old, new, &tree);
    let proved = tokio::task::spawn_blocking(proving).await;
    let proved = proved.map_err(|error| Failure::Proof(error.to_string()))?;
    proved.map_err(|error: ProveError<StoreError>| Failure::Proof(error.to_string()))
}

fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Why a witness did not cosign.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No answer, or none that says more than to come back.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It will not cosign this log.
    #[error("it refuses ({status}): {}", .words.trim())]
    Refused {
        status: StatusCode,
        /// Its own.
        words: String,
    },
    /// It cosigned a larger tree than was published.
    #[error(
        "it has cosigned a tree of {known} entries, larger than the {size} that were published"
    )]
    Ahead { known: TreeSize, size: TreeSize },
    /// It cosigned a tree that is no prefix of ours.
    #[error("what it cosigned at {old_size} entries is not in this log: {}", .words.trim())]
    Contradicts {
        old_size: TreeSize,
        /// Its own.
        words: String,
    },
    /// It never saw this log, and was not shown it.
    #[error("it had never seen this log, and cannot tell whether the copy is its newest state")]
    Blank,
    /// Not an answer of this protocol.
    #[error("its answer cannot be used: {0}")]
    Answer(String),
    /// Our own store failed.
    #[error("no proof could be made for it: {0}")]
    Proof(String),
}

impl Failure {
    /// Whether it knows another history of this log.
    pub(super) fn is_contradiction(&self) -> bool {
        matches!(self, Self::Ahead { .. } | Self::Contradicts { .. })
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Refused { .. } => "refused",
            Self::Ahead { .. } => "ahead",
            Self::Contradicts { .. } => "contradicts",
            Self::Blank => "blank",
            Self::Answer(_) => "answer",
            Self::Proof(_) => "proof",
        }
    }
}
