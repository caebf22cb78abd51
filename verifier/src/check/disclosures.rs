//! Does every commitment have its row, and does every disclosed one match?

use proto::Role;
use proto::disclosure::check_opening;
use proto::erasure::Erasures;
use proto::v1::Slot;

use super::case::{Case, Decoded, need};
use crate::layout;
use crate::material::{DisclosureRow, Status};
use crate::report::{Checked, Stop, fail_at};

/// Exactly one row per commitment; disclosed ones open it; withheld and erased ones have their reason.
pub(super) fn check(case: &Case<'_>) -> Checked {
    let population = need(&case.population, "the leaves")?;
    let context = need(&case.context, "the context leaves")?;
    let rows = case.opened.disclosures.as_ref().map_err(Clone::clone)?;
    let context_rows = case.opened.context_disclosures.as_ref().map_err(Clone::clone)?;
    let parameters = need(&case.opened.parameters, "the parameters")?;
    let role = parameters.role().ok_or_else(|| {
        let detail = format!("there is no role {:?}", parameters.role);
        fail_at("parameters.malformed", layout::PARAMETERS, detail)
    })?;
    let rules = Rules { role, erased: erasures(population.iter().chain(context)) };
    let (mut counts, mut context_counts) = (Counts::default(), Counts::default());
    rules.check_table(layout::DISCLOSURES, population, rows, &mut counts)?;
    rules.check_table(layout::CONTEXT_DISCLOSURES, context, context_rows, &mut context_counts)?;
    let Counts { disclosed, withheld, erased } = counts;
    let more = context_counts;
    Ok(format!(
        "{} commitments of the range: {disclosed} disclosed and matching, {withheld} withheld from this role, {erased} \
         erased; with context {}: {} disclosed and matching, {} withheld, {} erased",
        disclosed + withheld + erased,
        disclosed + withheld + erased + more.disclosed + more.withheld + more.erased,
        disclosed + more.disclosed,
        withheld + more.withheld,
        erased + more.erased
    ))
}

#[derive(Default)]
struct Counts {
    disclosed: usize,
    withheld: usize,
    erased: usize,
}

struct Rules {
    role: Role,
    erased: Erasures,
}

impl Rules {
    fn check_table(
        &self,
        path: &'static str,
        leaves: &[Decoded],
        rows: &[DisclosureRow],
        counts: &mut Counts,
    ) -> Result<(), Stop> {
        let mut rows = rows.iter();
        for decoded in leaves {
            for commitment in &decoded.leaf.event.disclosures {
                let slot = proto::disclosure::slot_name(commitment.slot);
                let at = || format!("{path}, leaf {}, {slot}", decoded.index);
                let row = rows.next().filter(|row| {
                    row.index == decoded.index
                        && i32::from(row.slot) == commitment.slot
                        && i32::from(row.media_type) == commitment.media_type
                });
                let Some(row) = row else {
                    let detail =
                        "this commitment has no row (one row per commitment, by index and slot)";
                    return Err(fail_at("disclosures.missing_row", at(), detail));
                };
                match (&row.status, &row.opening) {
                    (Status::Disclosed, Some(opening)) => {
                        check_opening(commitment, &opening.salt, &opening.content)
                            .map_err(|error| fail_at("disclosures.mismatch", at(), error))?;
                        if !self.role.may_see(row.slot) {
                            let detail =
                                format!("disclosed, but the role {} may not see it", self.role);
                            return Err(fail_at("disclosures.not_allowed", at(), detail));
                        }
                        counts.disclosed += 1;
                    }
                    (Status::Withheld, None) if !self.role.may_see(row.slot) => {
                        counts.withheld += 1;
                    }
                    (Status::Withheld, _) => {
                        let detail =
                            format!("withheld, although the role {} may see it", self.role);
                        return Err(fail_at("disclosures.withheld", at(), detail));
                    }
                    (Status::Erased, None) if self.is_erased(decoded, row.slot) => {
                        counts.erased += 1;
                    }
                    _ => {
                        let detail = "said to be erased, but no DisclosureErased leaf says so";
                        return Err(fail_at("disclosures.not_erased", at(), detail));
                    }
                }
            }
        }
        if let Some(row) = rows.next() {
            let at = format!("{path}, leaf {}, {}", row.index, row.slot_name());
            return Err(fail_at("disclosures.surplus", at, "a row without its commitment"));
        }
        Ok(())
    }

    fn is_erased(&self, decoded: &Decoded, slot: Slot) -> bool {
        self.erased.took(decoded.index, &decoded.hash, slot.into())
    }
}

fn erasures<'d>(leaves: impl Iterator<Item = &'d Decoded>) -> Erasures {
    let mut erasures = Erasures::default();
    leaves.for_each(|decoded| erasures.add(decoded.index, decoded.leaf.event.kind.as_ref()));
    erasures
}
