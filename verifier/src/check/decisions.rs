//! The decisions, performed again.

use controls::DecisionInput;
use proto::kind::{Kind, call_of};
use proto::v1::{Call, Slot, Verdict};

use super::case::{Case, Decoded, Disclosures, need};
use super::run::Found;
use super::snapshots::Snapshots;
use crate::material::Status;
use crate::report::{Checked, Remark, Stop, fail_at};

/// Every decision, performed again from what the policies saw and the snapshot that decided.
pub(super) fn check(case: &Case<'_>, snapshots: Result<&Snapshots, Stop>) -> Found {
    let mut tally = Tally::default();
    let checked = snapshots.and_then(|snapshots| perform(case, snapshots, &mut tally));
    let total = decided(case).map_or(0, |decided| decided.len());
    let remark = tally.remark(total);
    Found::from((checked, remark))
}

fn perform(case: &Case<'_>, snapshots: &Snapshots, tally: &mut Tally) -> Checked {
    let disclosures = case.all_disclosures()?;
    for (index, decoded, call) in decided(case)? {
        let at = || format!("leaf {index}");
        if !has_commitment(decoded, Slot::DecisionInput) {
            return Err(fail_at(
                "decisions.no_input",
                at(),
                "a verdict without what it was made from",
            ));
        }
        let Some(bytes) = tally.take(&disclosures, index, Slot::DecisionInput) else { continue };
        let Some(snapshot) = snapshots.find(&call.snapshot_digest) else {
            let detail = format!(
                "it was decided by the snapshot {}, which is not in the package",
                hex::encode(&call.snapshot_digest)
            );
            return Err(fail_at("decisions.no_snapshot", at(), detail));
        };
        let input =
            DecisionInput::parse(bytes).map_err(|error| fail_at("decisions.input", at(), error))?;
        let decision = snapshot.authorize(&input);
        let same = i32::from(decision.verdict) == call.verdict
            && decision.policy_ids == call.policy_ids
            && decision.evaluation_error == call.evaluation_error;
        if !same {
            let engine = if snapshot.engine_matches() {
                String::new()
            } else {
                format!(" (the snapshot names the engine {})", snapshot.engine())
            };
            let detail = format!(
                "recorded as {} by [{}], decided again as {} by [{}]{engine}",
                verdict(call.verdict),
                call.policy_ids.join(", "),
                verdict(decision.verdict.into()),
                decision.policy_ids.join(", "),
            );
            return Err(fail_at("decisions.differ", at(), detail));
        }
    }
    tally.passed("decisions performed again with the same verdict and policies")
}

/// Leaves that carry a decision, with their call.
pub(super) fn decided<'c>(case: &'c Case<'_>) -> Result<Vec<(u64, &'c Decoded, &'c Call)>, Stop> {
    let population = need(&case.population, "the leaves")?;
    let decided = population.iter().filter_map(|decoded| {
        let kind = decoded.leaf.event.kind.as_ref()?;
        let call = call_of(kind)?;
        let is_request = matches!(kind, Kind::RequestReceived(_)) && call.verdict != 0;
        (is_request || has_commitment(decoded, Slot::DecisionInput)).then_some((
            decoded.index,
            decoded,
            call,
        ))
    });
    Ok(decided.collect())
}

pub(super) fn has_commitment(decoded: &Decoded, slot: Slot) -> bool {
    decoded.leaf.event.disclosures.iter().any(|disclosure| disclosure.slot == i32::from(slot))
}

fn verdict(number: i32) -> String {
    Verdict::try_from(number).map_or_else(
        |_| number.to_string(),
        |verdict| verdict.as_str_name().trim_start_matches("VERDICT_").to_owned(),
    )
}

/// How many could be checked, and why the others could not.
#[derive(Default)]
pub(super) struct Tally {
    checked: usize,
    withheld: usize,
    erased: usize,
    /// Checked without their message.
    pub(super) partly: usize,
}

impl Tally {
    pub(super) fn take<'a>(
        &mut self,
        disclosures: &Disclosures<'a>,
        index: u64,
        slot: Slot,
    ) -> Option<&'a bytes::Bytes> {
        match disclosures.status(index, slot) {
            Status::Disclosed => self.checked += 1,
            Status::Withheld => self.withheld += 1,
            Status::Erased => self.erased += 1,
        }
        disclosures.content(index, slot)
    }

    /// Of `total` decisions, are there some that were not performed again?
    fn remark(&self, total: usize) -> Option<Remark> {
        let Tally { checked, withheld, erased, .. } = *self;
        (checked < total).then(|| Remark {
            word: "DECISIONS NOT REPEATED",
            meaning: format!(
                "{} of {total} decisions were not performed again: {withheld} inputs are withheld from the role, {erased} \
                 were erased, {} were not come to. Of these, what was decided is the gateway's word",
                total - checked,
                total.saturating_sub(checked + withheld + erased)
            ),
        })
    }

    pub(super) fn passed(&self, what: &str) -> Checked {
        let Tally { checked, withheld, erased, .. } = *self;
        let total = checked + withheld + erased;
        let rest = format!("{withheld} withheld, {erased} erased");
        match (checked, total) {
            (0, 0) => Ok(format!("0 of 0 {what}: nothing was decided in this range")),
            (0, _) => Err(Stop::NotChecked(format!("0 of {total}: {rest}"))),
            _ => Ok(format!("{checked} of {total} {what}; {rest}")),
        }
    }
}
