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
mod run;
mod sample;
mod seals;
mod snapshots;
mod time;

use std::path::Path;

use case::Case;
use run::Run;

use crate::material::{Material, Parameters, Rederive};
use crate::read::{Opened, Package, PackageError, parameters};
use crate::report::{Checked, Report, Stop, Subject};
use crate::trust::Trust;

/// What a verification may use beside package and trust.
#[derive(Default)]
pub struct Options<'a> {
    /// A checkpoint of the log that the reader kept from earlier (the signed note).
    pub since: Option<String>,
    /// Makes the derived files again; without it that check is not made, and the package not verified.
    pub rederive: Option<&'a dyn Rederive>,
    /// Let a package of another version of Exhibit pass although its files for reading are not those that this version
    /// makes: nothing vouches for what they say.
    pub allow_other_version: bool,
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
///
/// Nothing inside a package is interpreted before somebody of the trust file is known to have signed just these files;
/// but for its parameters, which say what it claims to be. Policies and queries are run only once the leaves that hold
/// them, or the log that they are asked of, are proved.
pub fn verify_opened(
    package: &Package,
    trust: &Trust,
    options: &Options<'_>,
    progress: &mut dyn FnMut(&'static str),
) -> Report {
    let mut run = Run::new(progress);
    run.check("bag", || bag::check(package));
    let parameters = if run.hold(["bag"]) {
        parameters(package)
    } else {
        Err(Stop::NotChecked(UNWHOLE.to_owned()))
    };
    run.check("signature", || bag::check_signature(package, trust, parameters.as_ref().ok()));
    let subject = parameters.as_ref().ok().map(subject);
    if !run.hold(["signature"]) {
        run.leave_the_rest("not read: the signature must hold first");
    } else if !run.hold(["bag"]) {
        run.leave_the_rest(UNWHOLE);
    } else {
        let opened = Opened::read(package, parameters);
        look_inside(&mut run, &Case::new(package, trust, &opened), options);
    }
    Report { subject, checks: run.checks, remarks: run.remarks }
}

const UNWHOLE: &str = "not read: the bag must be whole and unaltered first";

/// The checks of what is in a package, whose files are those that somebody of the trust file signed.
fn look_inside(run: &mut Run<'_>, case: &Case<'_>, options: &Options<'_>) {
    run.check("parameters", || check_parameters(case.opened));
    run.check("checkpoint", || log::check_checkpoint(case));
    run.check("quorum", || log::check_quorum(case));
    let since = options.since.as_deref();
    run.check("consistency", || log::check_since(case, since));
    if since.is_some() {
        run.require("consistency");
    }

    run.check("range", || case.range.clone());
    run.check("period", || period::check(case));
    run.check("time", || time::check(case));

    run.check("leaves", || leaves::check(case));
    run.check("context", || leaves::check_context(case));
    run.check("events", || events::check(case));
    run.check("disclosures", || disclosures::check(case));

    run.check("chains", || chains::check_chains(case));
    run.check("recorders", || chains::check_recorders(case));
    run.check("seals", || seals::check(case));
    run.remarks.extend(chains::continued(case));
    run.remarks.extend(chains::conflicts(case));

    // A policy is a program: only the log's own are compiled.
    let proved = run.hold(["range", "context"]);
    let mut known = Err(Stop::NotChecked(String::new()));
    run.check("snapshots", || {
        let (found, snapshots) = snapshots::check(case, proved);
        known = snapshots;
        found
    });
    let known = known.as_ref().map_err(Clone::clone);
    run.check("decisions", || decisions::check(case, known.clone()));
    run.check("inputs", || inputs::check(case));
    run.check("residue", || residue::check(case, known));

    let proved = run.hold(["range", "context", "leaves", "disclosures"]);
    run.check("derived", || derived::check(case, options, proved));
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
    if let Err(stop) = bag::check(package) {
        return Err(first(&stop));
    }
    let opened = Opened::read(package, parameters(package));
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

fn check_parameters(opened: &Opened) -> Checked {
    let parameters = opened.parameters.as_ref().map_err(Clone::clone)?;
    opened.mapping.as_ref().map_err(Clone::clone)?;
    Ok(format!(
        "made by exhibit {}, mapping {} {}, which is in the package",
        parameters.exhibit_version, parameters.mapping.name, parameters.mapping.version
    ))
}

fn subject(parameters: &Parameters) -> Subject {
    Subject {
        origin: parameters.origin.clone(),
        from: parameters.from.to_string(),
        to: parameters.to.to_string(),
        role: parameters.role.clone(),
        start: parameters.range.start,
        end: parameters.range.end,
        tree_size: parameters.checkpoint.size,
    }
}
