//! Does the range hold the whole period?

use super::case::{Case, Decoded, need};
use super::run::Found;
use crate::layout;
use crate::report::{Checked, Remark, fail_at};

/// The boundary leaves show that no leaf of `[from, to)` lies outside the range (`docs/format.md`, "Period").
pub(super) fn check(case: &Case<'_>) -> Found {
    let mut open = None;
    let checked = boundaries(case, &mut open);
    Found::from((checked, open))
}

fn boundaries(case: &Case<'_>, open: &mut Option<Remark>) -> Checked {
    let parameters = case.opened.parameters.as_ref().map_err(Clone::clone)?;
    let proof = need(&case.opened.proof, "the range proof")?;
    let checkpoint = need(&case.checkpoint, "the checkpoint")?;
    let population = need(&case.population, "the leaves")?;
    let (from, to) = (parameters.from_ns(), parameters.to_ns());
    if from >= to {
        return Err(fail_at(
            "period.reversed",
            layout::PARAMETERS,
            "the period ends before it begins",
        ));
    }
    let (Some(first), Some(last)) = (population.first(), population.last()) else {
        return Err(fail_at("period.empty", layout::LEAVES, "a package has at least one leaf"));
    };
    let at = |index: u64| format!("leaf {index}");
    if first.leaf.recorded_at_ns >= from {
        if proof.start != 0 {
            let detail = "the range does not begin with a leaf from before the period, so earlier leaves \
                          of the period may be missing";
            return Err(fail_at("period.start", at(first.index), detail));
        }
    } else if let Some(second) = population.get(1)
        && second.leaf.recorded_at_ns < from
    {
        let detail = "more than one leaf from before the period";
        return Err(fail_at("period.start", at(second.index), detail));
    }
    if last.leaf.recorded_at_ns >= to {
        let before = population.len().checked_sub(2).and_then(|at| population.get(at));
        if let Some(before) = before.filter(|before| before.leaf.recorded_at_ns >= to) {
            let detail = "more than one leaf from after the period";
            return Err(fail_at("period.end", at(before.index), detail));
        }
        if parameters.open {
            let detail =
                "the package says that the period is open, but a leaf at or after its end is there";
            return Err(fail_at("period.open", at(last.index), detail));
        }
        let before = if first.leaf.recorded_at_ns < from {
            "one from before its start"
        } else {
            "the log's first leaf"
        };
        return Ok(format!(
            "closed: {}; a leaf at or after its end is there, and {before}",
            counted(population, from, to)
        ));
    }
    if proof.end != checkpoint.checkpoint.size.0 {
        let detail = "the range ends inside the period although the log goes on";
        return Err(fail_at("period.end", at(last.index), detail));
    }
    if !parameters.open {
        let detail = "no leaf at or after the period's end: the period is not closed, and the package does not say so";
        return Err(fail_at("period.open", at(last.index), detail));
    }
    *open = Some(Remark {
        word: "OPEN PERIOD",
        meaning: "the log had no leaf at or after the period's end yet; more leaves of the period may follow"
            .to_owned(),
    });
    Ok(format!(
        "OPEN: {}; everything up to the checkpoint is there; the period is not over",
        counted(population, from, to)
    ))
}

/// How many leaves are of the period, and how many are there to show its bounds.
fn counted(population: &[Decoded], from: u64, to: u64) -> String {
    let within = |decoded: &&Decoded| (from..to).contains(&decoded.leaf.recorded_at_ns);
    let count = population.iter().filter(within).count();
    format!("{count} leaves of the period and {} boundary leaves", population.len() - count)
}
