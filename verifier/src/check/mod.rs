//! The checks, in the order in which a reader should read them.

mod bag;
mod case;
mod chains;
mod decisions;
mod derived;
mod disclosures;
mod events;
mod inputs;
mod leaves;
mod log;
mod period;
mod residue;
mod sample;
mod snapshots;

use std::path::Path;

use case::Case;

use crate::material::{Material, Rederive};
use crate::read::{Opened, Package, PackageError};
use crate::report::{Check, Checked, Outcome, Remark, Report, Stop, Subject};
use crate::trust::Trust;

/// What a verification may use beside package and trust.
#[derive(Default)]
pub struct Options<'a> {
    /// A checkpoint of the log that the reader kept from earlier (the signed note).
    pub since: Option<String>,
    /// Makes the derived files again; without it that check is not made, and the package not verified.
    pub rederive: Option<&'a dyn Rederive>,
}

/// Checks a package, offline. `progress` is told each check's title before it starts.
///
/// # Errors
/// [`PackageError`] when there is nothing to check at `package`; a package that is damaged or doctored is no
/// error but a [`Report`] that is not [`Report::ok`].
pub fn verify(
    package: &Path,
    trust: &Trust,
    options: &Options<'_>,
    progress: &mut dyn FnMut(&'static str),
) -> Result<Report, PackageError> {
    progress("reading the package");
    let shown = package.display().to_string();
    let package = Package::open(package)?;
    if let Some(about) = sample::recognise(&package) {
        return Err(PackageError::Sample { path: shown, about });
    }
    Ok(verify_opened(&package, trust, options, progress))
}

/// Like [`verify`], of a package that is already in memory.
pub fn verify_opened(
    package: &Package,
    trust: &Trust,
    options: &Options<'_>,
    progress: &mut dyn FnMut(&'static str),
) -> Report {
    let mut run = Run { checks: Vec::new(), remarks: Vec::new(), progress };

    run.announce("Bag complete and unaltered");
    let found = bag::check(package);
    run.note("bag", true, found.checked);
    let altered = found.altered;
    let readable = |path: &str| !altered.contains(path);
    let opened = Opened::read(package, &altered);
    run.check("signature", "Package signature", || {
        bag::check_signature(package, trust, opened.parameters.as_ref().ok())
    });

    let case = Case::new(package, trust, &opened);
    run.check("parameters", "Parameters readable", || parameters(&opened));
    run.check("checkpoint", "Checkpoint signed by the log", || log::check_checkpoint(&case));
    run.announce("Witness quorum");
    let (checked, remark) = log::check_quorum(&case);
    run.note("quorum", true, checked);
    run.remarks.extend(remark);
    run.announce("Consistent with the log you knew");
    let since = options.since.as_deref();
    run.note("consistency", since.is_some(), log::check_since(&case, since));

    run.check("range", "No leaf missing, none added", || log::check_range(&case));
    run.announce("Period within the range");
    let found = period::check(&case);
    run.note("period", true, found.checked);
    run.remarks.extend(found.open);
    run.announce("Time attested by witnesses");
    let (checked, remark) = period::check_time(&case);
    run.note("time", false, checked);
    run.remarks.extend(remark);

    run.check("leaves", "Leaves canonical, time increasing", || leaves::check(&case));
    run.announce("Context leaves proved");
    let checked = leaves::check_context(&case);
    run.note("context", !opened.context.as_ref().is_ok_and(Vec::is_empty), checked);
    run.check("events", "Event tables equal the leaves", || events::check(&case, readable));
    run.check("disclosures", "Disclosures match commitments", || disclosures::check(&case));

    run.check("chains", "Recorder chains gapless", || chains::check_chains(&case));
    run.check("recorders", "Recorders known", || chains::check_recorders(&case));
    run.announce("Recorder seals");
    run.note("seals", false, chains::check_seals(&case));
    if let Ok(Some(meaning)) = chains::conflicts(&case) {
        run.remarks.push(Remark { word: "RECORDER CONFLICT", meaning });
    }

    run.announce("Policy snapshots");
    let (checked, known) = snapshots::check(&case, readable);
    run.note("snapshots", false, checked);
    // Not required: a role may not be allowed to see inputs, and they may have been erased. What could be
    // checked and is wrong fails all the same.
    run.announce("Decisions performed again");
    let checked = known.as_ref().map_err(Clone::clone);
    run.note("decisions", false, checked.and_then(|known| decisions::check(&case, known)));
    run.announce("Decision inputs agree");
    run.note("inputs", false, inputs::check(&case));
    run.announce("Masking residue");
    let checked = known.as_ref().map_err(Clone::clone);
    run.note("residue", false, checked.and_then(|known| residue::check(&case, known)));

    run.announce("Derived files made again");
    // Queries and mapping are input of the SQL engine: only when somebody of the trust file signed them.
    if run.passed("signature") {
        let found = derived::check(&case, options.rederive, &altered);
        run.note("derived", true, found.checked);
        run.remarks.extend(found.remarks);
    } else {
        let reason = "queries of a package that nobody trusted has signed are not run".to_owned();
        run.note("derived", true, Err(Stop::NotChecked(reason)));
    }
    Report { subject: subject(&opened), checks: run.checks, remarks: run.remarks }
}

/// The material of a package whose files are as its manifests say, for those who build on it. Whose package it is tells
/// only [`verify`].
///
/// # Errors
/// Why a part cannot be read.
pub fn read_material(package: &Package) -> Result<Material, String> {
    let first = |stop: &Stop| match stop {
        Stop::Fail(failure) => format!("{} [{}]", failure.detail, failure.code),
        Stop::NotChecked(reason) => reason.clone(),
    };
    if let Err(stop) = bag::check(package).checked {
        return Err(first(&stop));
    }
    let opened = Opened::read(package, &std::collections::BTreeSet::new());
    let stops = [
        opened.parameters.as_ref().err(),
        opened.mapping.as_ref().err(),
        opened.proof.as_ref().err(),
        opened.leaves.as_ref().err(),
        opened.disclosures.as_ref().err(),
        opened.context.as_ref().err(),
        opened.context_disclosures.as_ref().err(),
        opened.earlier.as_ref().err(),
    ];
    let reason = stops.into_iter().flatten().next().map(first);
    opened.material().ok_or_else(|| reason.unwrap_or_default())
}

struct Run<'p> {
    checks: Vec<Check>,
    remarks: Vec<Remark>,
    progress: &'p mut dyn FnMut(&'static str),
}

impl Run<'_> {
    fn check(&mut self, id: &'static str, title: &'static str, of: impl FnOnce() -> Checked) {
        self.announce(title);
        let checked = of();
        self.note(id, true, checked);
    }

    fn announce(&mut self, title: &'static str) {
        (self.progress)(title);
        let outcome = Outcome::NotChecked { reason: String::new() };
        self.checks.push(Check { id: "", title, required: true, outcome });
    }

    fn passed(&self, id: &str) -> bool {
        let passed =
            |check: &Check| check.id == id && matches!(check.outcome, Outcome::Pass { .. });
        self.checks.iter().any(passed)
    }

    fn note(&mut self, id: &'static str, required: bool, checked: Checked) {
        if let Some(check) = self.checks.last_mut() {
            check.id = id;
            check.required = required;
            check.outcome = checked.into();
        }
    }
}

fn parameters(opened: &Opened) -> Checked {
    let parameters = opened.parameters.as_ref().map_err(Clone::clone)?;
    opened.mapping.as_ref().map_err(Clone::clone)?;
    Ok(format!(
        "made by exhibit {}, mapping {} {}, which is in the package",
        parameters.exhibit_version, parameters.mapping.name, parameters.mapping.version
    ))
}

fn subject(opened: &Opened) -> Option<Subject> {
    let parameters = opened.parameters.as_ref().ok()?;
    Some(Subject {
        origin: parameters.origin.clone(),
        from: parameters.from.to_string(),
        to: parameters.to.to_string(),
        role: parameters.role.clone(),
        start: parameters.range.start,
        end: parameters.range.end,
        tree_size: parameters.checkpoint.size,
    })
}
