//! Trust policies: [C2SP tlog-policy](https://c2sp.org/tlog-policy).

mod parse;

use std::collections::HashSet;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::cosignature::{CosignatureError, WitnessKey};
use crate::key::VerifyingKey;
use crate::note::Note;
pub use parse::{MAX_POLICY_BYTES, PolicyError};

/// Which logs are believed, and which witnesses must have cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The logs; each key's name is the log's origin. Their URLs, if any, are not kept.
    pub logs: Vec<VerifyingKey>,
    /// The witnesses.
    pub witnesses: Vec<Witness>,
    /// The groups; each names only witnesses, and groups before it.
    pub groups: Vec<Group>,
    /// The rule that a checkpoint must fulfil.
    pub quorum: Quorum,
}

/// A witness, known by a name within the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The name in the policy; it need not be the key's name.
    pub name: String,
    /// The key of its cosignatures.
    pub key: WitnessKey,
    /// Where checkpoints are submitted, if the policy says so.
    pub url: Option<String>,
}

/// A set of witnesses and groups of which some must have cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The name in the policy.
    pub name: String,
    /// How many members must have cosigned, 1 to all.
    pub threshold: usize,
    /// Names of witnesses and of earlier groups.
    pub members: Vec<String>,
}

/// The rule that a checkpoint must fulfil.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quorum {
    /// `quorum none`: no cosignature is needed.
    None,
    /// The witness or group of this name must have cosigned.
    Name(String),
}

/// A checkpoint signed by one of the policy's logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    /// What the log signed.
    pub checkpoint: Checkpoint,
    /// The log's key.
    pub log: VerifyingKey,
    /// The policy's witnesses that cosigned: their names in the policy, and when (Unix seconds).
    pub cosigned: Vec<(String, u64)>,
    /// Whether these fulfil the policy's quorum. By the specification, a checkpoint without it is
    /// not valid.
    pub quorum_satisfied: bool,
}

impl Policy {
    /// Reads a policy that has no directives but those of the specification.
    ///
    /// # Errors
    /// With the first line that is wrong, and why.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        Self::parse_with(text, |_, _, _| Ok(false))
    }

    /// Reads a policy that may have further directives. Each unknown one is handed to `directive`
    /// as (1-based line, first word, rest of the line without surrounding blanks), which returns
    /// whether it knows it, or says what is wrong with it.
    ///
    /// # Errors
    /// With the first line that is wrong, and why.
    pub fn parse_with(
        text: &str,
        directive: impl FnMut(usize, &str, &str) -> Result<bool, String>,
    ) -> Result<Self, PolicyError> {
        parse::parse(text, directive)
    }

    /// Whether the quorum is fulfilled when these witnesses, by their names in the policy, have
    /// cosigned.
    pub fn quorum_satisfied<'a>(&self, cosigned: impl IntoIterator<Item = &'a str>) -> bool {
        let Quorum::Name(quorum) = &self.quorum else { return true };
        let cosigned: HashSet<&str> = cosigned.into_iter().collect();
        let names = self.witnesses.iter().map(|witness| witness.name.as_str());
        let mut satisfied: HashSet<&str> = names.filter(|name| cosigned.contains(name)).collect();
        // Groups name only what comes before them: one pass settles all.
        for group in &self.groups {
            let members = group.members.iter().filter(|name| satisfied.contains(name.as_str()));
            if members.count() >= group.threshold {
                satisfied.insert(&group.name);
            }
        }
        satisfied.contains(quorum.as_str())
    }

    /// Whether the policy's witnesses that have cosigned this note fulfil its quorum. Who signed it as the log is not
    /// looked at; a note with a bad signature by one of the witnesses fulfils nothing.
    pub fn is_cosigned(&self, note: &Note) -> bool {
        let mut cosigned = Vec::new();
        for witness in &self.witnesses {
            match witness.key.verify(note) {
                Ok(Some(_)) => cosigned.push(witness.name.as_str()),
                Ok(None) => {}
                Err(_) => return false,
            }
        }
        self.quorum_satisfied(cosigned)
    }

    /// Reads a checkpoint that one of the policy's logs has signed for its own origin, and checks
    /// the cosignatures of the policy's witnesses on it. Other signatures are ignored.
    ///
    /// # Errors
    /// When it is no checkpoint of one of the logs, or a signature by a key of the policy does not
    /// verify. A missing quorum is no error: see [`VerifiedCheckpoint::quorum_satisfied`].
    pub fn open_checkpoint(&self, note: &str) -> Result<VerifiedCheckpoint, CheckpointError> {
        let note = Note::parse(note)?;
        let mut signers = Vec::new();
        for log in &self.logs {
            if note.verified_by(log)? {
                signers.push(log);
            }
        }
        let Some(first) = signers.first() else {
            return Err(CheckpointError::not_signed(&note, &self.logs));
        };
        let checkpoint = Checkpoint::parse_text(note.text())?;
        let Some(log) = signers.iter().find(|log| log.name() == checkpoint.origin) else {
            let expected = first.name().to_owned();
            return Err(CheckpointError::OtherOrigin { expected, actual: checkpoint.origin });
        };
        let log = (*log).clone();

        let mut cosigned = Vec::new();
        for witness in &self.witnesses {
            match witness.key.verify(&note) {
                Ok(Some(timestamp)) => cosigned.push((witness.name.clone(), timestamp)),
                Ok(None) => {}
                Err(CosignatureError::Note(error)) => return Err(error.into()),
                Err(CosignatureError::Timestamp) => {
                    return Err(CheckpointError::CosignatureTime { witness: witness.name.clone() });
                }
            }
        }
        let quorum_satisfied =
            self.quorum_satisfied(cosigned.iter().map(|(name, _)| name.as_str()));
        Ok(VerifiedCheckpoint { checkpoint, log, cosigned, quorum_satisfied })
    }
}
