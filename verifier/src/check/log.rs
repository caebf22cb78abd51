//! Does the log stand behind this: checkpoint, witnesses, consistency, range?

use tlog::{
    Checkpoint, CheckpointError, Note, NoteError, Quorum, TlogProof, TreeSize, VerifiedCheckpoint,
    verify_consistency,
};

use super::case::{Case, need};
use crate::layout;
use crate::read::{Opened, Part};
use crate::report::{Checked, Remark, Stop, fail, fail_at};
use crate::trust::Trust;

/// How a tlog-proof of any version begins.
const TLOG_PROOF: &str = "c2sp.org/tlog-proof@";

/// The checkpoint, if a trusted log signed it.
pub(super) fn open(trust: &Trust, opened: &Opened) -> Part<VerifiedCheckpoint> {
    let note = opened.checkpoint.as_ref().map_err(Clone::clone)?;
    let at = layout::CHECKPOINT;
    let verified = trust.policy.open_checkpoint(note).map_err(|error| {
        let code = match error {
            CheckpointError::NotSigned { .. } => "checkpoint.untrusted",
            CheckpointError::OtherOrigin { .. } => "checkpoint.other_log",
            CheckpointError::Note(NoteError::BadSignature { .. }) => "checkpoint.bad_signature",
            _ => "checkpoint.malformed",
        };
        fail_at(code, at, error)
    })?;
    if let Ok(parameters) = &opened.parameters {
        let (size, root) = (verified.checkpoint.size.0, verified.checkpoint.root.to_string());
        let same = parameters.checkpoint.size == size
            && parameters.checkpoint.root == root
            && parameters.origin == verified.checkpoint.origin;
        if !same {
            let detail =
                "the parameters name another log or another head than the signed checkpoint";
            return Err(fail_at("checkpoint.differs", layout::PARAMETERS, detail));
        }
    }
    Ok(verified)
}

/// The checkpoint is signed by a log of the trust file and is the one of the proof and the parameters.
pub(super) fn check_checkpoint(case: &Case<'_>) -> Checked {
    let verified = case.checkpoint.as_ref().map_err(Clone::clone)?;
    if let Ok(proof) = &case.opened.proof
        && Ok(&proof.checkpoint) != case.opened.checkpoint.as_ref()
    {
        let detail = "it carries another checkpoint than data/proofs/checkpoint";
        return Err(fail_at("checkpoint.differs", layout::RANGE_PROOF, detail));
    }
    Ok(format!("{} leaves, signed by {}", verified.checkpoint.size, verified.log))
}

/// The witnesses that the trust file asks for have cosigned.
pub(super) fn check_quorum(case: &Case<'_>) -> (Checked, Option<Remark>) {
    let verified = match need(&case.checkpoint, "the checkpoint") {
        Ok(verified) => verified,
        Err(stop) => return (Err(stop), None),
    };
    let unwitnessed = || Remark {
        word: "UNWITNESSED",
        meaning:
            "no quorum of independent witnesses has cosigned the checkpoint; that the log shows \
                  everybody the same history rests on its operator's word"
                .to_owned(),
    };
    match &case.trust.policy.quorum {
        Quorum::None => (Ok("the trust file asks for no witness".to_owned()), Some(unwitnessed())),
        Quorum::Name(name) if verified.quorum_satisfied => {
            let names: Vec<_> = verified.cosigned.iter().map(|(name, _)| name.as_str()).collect();
            (Ok(format!("quorum {name}: cosigned by {}", names.join(", "))), None)
        }
        Quorum::Name(name) => {
            let detail =
                format!("the quorum {name} of the trust file has not cosigned the checkpoint");
            (Err(fail_at("quorum.missing", layout::CHECKPOINT, detail)), Some(unwitnessed()))
        }
    }
}

/// The log is an extension of the one that the reader knew (`--since`). That this cannot be told fails nothing: it is
/// not checked, and what would tell is said.
pub(super) fn check_since(case: &Case<'_>, since: Option<&str>) -> Checked {
    let Some(since) = since else {
        return Err(Stop::NotChecked(
            "no --since given: a checkpoint that you kept from earlier would show that the log was only added to"
                .to_owned(),
        ));
    };
    let verified = need(&case.checkpoint, "the checkpoint")?;
    let old = known_checkpoint(case, since)?;
    let new = &verified.checkpoint;
    if old.origin != new.origin {
        let detail = format!("--since is of the log {}, the package of {}", old.origin, new.origin);
        return Err(fail("consistency.other_log", detail));
    }
    if old.size > new.size {
        return Err(Stop::NotChecked(format!(
            "the checkpoint of --since ({} leaves) is newer than the package's ({}), which says nothing against either. \
             Ask for a newer package: an export with --since FILE carries what is needed [consistency.since_newer]",
            old.size, new.size
        )));
    }
    let forked = || {
        fail(
            "consistency.forked",
            format!(
                "the log of this package is not the one you knew at {} leaves: its history was rewritten",
                old.size
            ),
        )
    };
    let grown = |how: &str| format!("{} leaves grew to {}: {how}", old.size, new.size);
    if old.size.0 == 0 {
        return Ok(grown("an empty log is the beginning of each"));
    }
    if let Some(root) = case.roots_at([old.size.0].into())?.get(&old.size.0) {
        if *root != old.root {
            return Err(forked());
        }
        return Ok(grown("the package's leaves give the same older root"));
    }
    let earlier = check_earlier(case);
    let earlier = need(&earlier, "the older checkpoints")?;
    match earlier.iter().find(|known| known.checkpoint.size == old.size) {
        Some(known) if known.checkpoint.root == old.root => {
            Ok(grown("the package's consistency proof leads from the one to the other"))
        }
        // The log signed both, and one of them leads to this package.
        Some(_) => Err(forked()),
        None => Err(Stop::NotChecked(format!(
            "the package has no consistency proof from {} leaves, and its range does not reach them, which says nothing \
             against the log. Ask for an export with --since FILE: it carries the proof [consistency.no_proof]",
            old.size
        ))),
    }
}

/// The checkpoint that the reader kept, if a log of the trust file signed it.
fn known_checkpoint(case: &Case<'_>, since: &str) -> Result<Checkpoint, Stop> {
    let unusable = |what: &dyn std::fmt::Display| {
        let detail = format!(
            "the file given with --since {what}. Wanted is a checkpoint that a log of the trust file signed: what \
             GET /checkpoint gave, data/proofs/checkpoint of an older package, or a .tlog-proof, which carries one"
        );
        fail("consistency.since_unusable", detail)
    };
    let note = if since.starts_with(TLOG_PROOF) {
        let proof = TlogProof::parse(since).map_err(|error| {
            unusable(&format_args!("is a tlog-proof that cannot be read: {error}"))
        })?;
        proof.checkpoint
    } else {
        since.to_owned()
    };
    let known = case.trust.policy.open_checkpoint(&note);
    Ok(known.map_err(|error| unusable(&format_args!("cannot be used: {error}")))?.checkpoint)
}

/// The leaves are exactly `[start, end)` of the checkpoint's tree.
pub(super) fn prove_range(opened: &Opened, checkpoint: &Part<VerifiedCheckpoint>) -> Checked {
    let proof = opened.proof.as_ref().map_err(Clone::clone)?;
    let verified = need(checkpoint, "the checkpoint")?;
    let leaves = need(&opened.leaves, "the leaves")?;
    if let Ok(parameters) = &opened.parameters
        && (parameters.range.start, parameters.range.end) != (proof.start, proof.end)
    {
        let detail = format!(
            "the parameters say leaves {}..{}, the range proof {}..{}",
            parameters.range.start, parameters.range.end, proof.start, proof.end
        );
        return Err(fail_at("range.differs", layout::PARAMETERS, detail));
    }
    let hashes = leaves.iter().map(|row| tlog::leaf_hash(&row.bytes));
    let (size, root) = (verified.checkpoint.size, verified.checkpoint.root);
    proof.verify(size, &root, hashes).map_err(|error| {
        let code = match error {
            tlog::ProofError::LeafCount { .. } => "range.leaf_count",
            tlog::ProofError::RootMismatch { .. } => "range.root",
            _ => "range.malformed",
        };
        fail_at(code, layout::LEAVES, format_args!("these are not the leaves of the log: {error}"))
    })?;
    for (at, row) in (proof.start..).zip(leaves) {
        if row.index != at {
            let detail = format!("leaf {at} stands there under the number {}", row.index);
            return Err(fail_at("range.index", layout::LEAVES, detail));
        }
    }
    let last = proof.end.saturating_sub(1);
    Ok(format!("{} leaves, {} to {last}, none missing, none added", leaves.len(), proof.start))
}

/// Older checkpoints that the package carries are of the same log.
///
/// One that no key of the trust file signed is none of those returned: the log may have had another key then. It must be
/// of the same history all the same, or the package is doctored.
pub(super) fn check_earlier(case: &Case<'_>) -> Result<Vec<VerifiedCheckpoint>, Stop> {
    let earlier = case.opened.earlier.as_ref().map_err(Clone::clone)?;
    let verified = need(&case.checkpoint, "the checkpoint")?;
    let new = &verified.checkpoint;
    let mut checked = Vec::with_capacity(earlier.len());
    for carried in earlier {
        let at = format!("{}{}", layout::CHECKPOINTS, carried.size);
        let known = match case.trust.policy.open_checkpoint(&carried.note) {
            Ok(known) => Ok(known),
            Err(CheckpointError::NotSigned { .. }) => Err(unsigned(&carried.note)
                .map_err(|error| fail_at("checkpoints.malformed", &at, error))?),
            Err(error) => return Err(fail_at("checkpoints.untrusted", &at, error)),
        };
        let old = known.as_ref().map_or_else(|unsigned| unsigned, |known| &known.checkpoint);
        if old.size != TreeSize(carried.size) || old.origin != new.origin {
            return Err(fail_at(
                "checkpoints.malformed",
                &at,
                "it is not the checkpoint its name says",
            ));
        }
        verify_consistency(old.size, new.size, &old.root, &new.root, &carried.consistency)
            .map_err(|error| fail_at("checkpoints.inconsistent", &at, error))?;
        checked.extend(known.ok());
    }
    Ok(checked)
}

/// What a note says that nobody vouches for.
fn unsigned(note: &str) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::parse_text(Note::parse(note)?.text())
}
