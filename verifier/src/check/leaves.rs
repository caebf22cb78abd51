//! Are the leaves what the format says, and in the order of time?

use std::collections::BTreeSet;

use super::case::{Case, need};
use crate::layout;
use crate::report::{Checked, fail_at};

/// Every leaf is canonically encoded, and `recorded_at` strictly increases with the index.
pub(super) fn check(case: &Case<'_>) -> Checked {
    let population = case.population.as_ref().map_err(Clone::clone)?;
    let context = need(&case.context, "the context leaves")?;
    let all = case.all_leaves()?;
    if all.len() != population.len() + context.len() {
        let detail = "a leaf stands there twice, or a context leaf is inside the range";
        return Err(fail_at("leaves.order", layout::LEAVES, detail));
    }
    let ordered = |pair: &[super::case::Decoded]| pair[0].index < pair[1].index;
    if !population.windows(2).all(ordered) || !context.windows(2).all(ordered) {
        return Err(fail_at("leaves.order", layout::LEAVES, "the rows do not ascend by index"));
    }
    let mut last = 0;
    for (index, decoded) in &all {
        let time = decoded.leaf.recorded_at_ns;
        if time <= last {
            let detail = "its recorded_at is not later than that of the leaf before";
            return Err(fail_at("leaves.time", format!("leaf {index}"), detail));
        }
        last = time;
    }
    Ok(format!("{} leaves, canonical, each later than the one before", population.len()))
}

/// Every context leaf is in the checkpoint's tree, at its index.
pub(super) fn check_context(case: &Case<'_>) -> Checked {
    let context = case.opened.context.as_ref().map_err(Clone::clone)?;
    let decoded = case.context.as_ref().map_err(Clone::clone)?;
    let verified = need(&case.checkpoint, "the checkpoint")?;
    let note = need(&case.opened.checkpoint, "the checkpoint")?;
    let proof = need(&case.opened.proof, "the range proof")?;
    for (leaf, decoded) in context.iter().zip(decoded) {
        let at = layout::context_proof_path(decoded.index);
        if leaf.proof.index.0 != decoded.index || leaf.proof.checkpoint != *note {
            let detail = "the proof is of another leaf or another checkpoint";
            return Err(fail_at("context.proof", at, detail));
        }
        if (proof.start..proof.end).contains(&decoded.index) {
            return Err(fail_at("context.inside", at, "this leaf is inside the range"));
        }
        leaf.proof
            .verify(&decoded.hash, &verified.log)
            .map_err(|error| fail_at("context.proof", at, error))?;
    }
    let proofs: BTreeSet<_> =
        context.iter().map(|leaf| layout::context_proof_path(leaf.row.index)).collect();
    let stray = case.package.paths().find(|path| {
        path.starts_with("data/context/")
            && path.ends_with(".tlog-proof")
            && !proofs.contains(*path)
    });
    if let Some(path) = stray {
        return Err(fail_at("context.stray", path, "a proof without its leaf"));
    }
    Ok(match context.len() {
        0 => "the package has no leaves from outside the range".to_owned(),
        count => {
            format!("{count} leaves from outside the range, each proved against the checkpoint")
        }
    })
}
