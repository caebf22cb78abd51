//! All checks by name, and what became of each.

use crate::report::{Check, Checked, Outcome, Remark, Stop};

/// Every check: its id, its title, and whether it must pass. In the order in which a reader should read them.
const CHECKS: [(&str, &str, bool); 21] = [
    ("bag", "Bag complete and unaltered", true),
    ("signature", "Package signature", true),
    ("parameters", "Parameters readable", true),
    ("checkpoint", "Checkpoint signed by the log", true),
    ("quorum", "Witness quorum", true),
    // Must pass when the reader gave something to compare with.
    ("consistency", "Consistent with the log you knew", false),
    ("range", "No leaf missing, none added", true),
    ("period", "Period within the range", true),
    ("time", "Time attested by witnesses", false),
    ("leaves", "Leaves canonical, time increasing", true),
    ("context", "Context leaves proved", true),
    ("events", "Event tables equal the leaves", true),
    ("disclosures", "Disclosures match commitments", true),
    ("chains", "Recorder chains gapless", true),
    ("recorders", "Recorders known", true),
    ("seals", "Recorder seals", false),
    ("snapshots", "Policy snapshots", false),
    // Not required: inputs may have been erased. What could be checked and is wrong fails all the same.
    ("decisions", "Decisions performed again", false),
    ("inputs", "Decision inputs agree", false),
    ("residue", "Masking residue", false),
    ("derived", "Derived files made again", true),
];

/// What a check found, and what a reader must know beside its outcome.
pub(super) struct Found {
    pub(super) checked: Checked,
    pub(super) remarks: Vec<Remark>,
}

impl From<Checked> for Found {
    fn from(checked: Checked) -> Self {
        Self { checked, remarks: Vec::new() }
    }
}

impl From<(Checked, Option<Remark>)> for Found {
    fn from((checked, remark): (Checked, Option<Remark>)) -> Self {
        Self { checked, remarks: remark.into_iter().collect() }
    }
}

/// The checks made so far.
pub(super) struct Run<'p> {
    pub(super) checks: Vec<Check>,
    pub(super) remarks: Vec<Remark>,
    progress: &'p mut dyn FnMut(&'static str),
}

impl<'p> Run<'p> {
    pub(super) fn new(progress: &'p mut dyn FnMut(&'static str)) -> Self {
        Self { checks: Vec::new(), remarks: Vec::new(), progress }
    }

    /// Makes the check of this id.
    pub(super) fn check<F: Into<Found>>(&mut self, id: &'static str, of: impl FnOnce() -> F) {
        let known = CHECKS.iter().find(|(known, ..)| *known == id);
        let (_, title, required) = *known.unwrap_or(&(id, id, true));
        (self.progress)(title);
        let Found { checked, remarks } = of().into();
        self.checks.push(Check { id, title, required, outcome: checked.into() });
        self.remarks.extend(remarks);
    }

    /// This check must pass, here.
    pub(super) fn require(&mut self, id: &str) {
        for check in self.checks.iter_mut().filter(|check| check.id == id) {
            check.required = true;
        }
    }

    /// Did these checks pass?
    pub(super) fn hold<const N: usize>(&self, ids: [&str; N]) -> bool {
        ids.into_iter().all(|id| {
            let passed = |check: &Check| matches!(check.outcome, Outcome::Pass { .. });
            self.checks.iter().any(|check| check.id == id && passed(check))
        })
    }

    /// None of the checks that are left is made.
    pub(super) fn leave_the_rest(&mut self, reason: &str) {
        for (id, ..) in CHECKS {
            if self.checks.iter().all(|check| check.id != id) {
                self.check(id, || Err(Stop::NotChecked(reason.to_owned())));
            }
        }
    }
}
