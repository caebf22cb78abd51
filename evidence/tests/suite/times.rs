//! Cosignatures of witnesses around a period: which of them bind its times.

use tlog::{TreeSize, WitnessSigningKey};
use verifier::{EarlierCheckpoint, Material, Outcome, Report, Trust};

use crate::doctored::{EXPORTED, all, remark, verify_with};
use crate::export::outcome;

const HOUR: i64 = 3600;

fn witness() -> WitnessSigningKey {
    WitnessSigningKey::from_seed("witness.example/w1", [8; 32]).unwrap()
}

fn cosigned(note: &str, time: i64) -> String {
    let text = tlog::Note::parse(note).unwrap().text().to_owned();
    format!("{note}{}", witness().sign(&text, u64::try_from(time).unwrap()).unwrap())
}

/// The package, with a checkpoint of `size` leaves that was cosigned so long before the period (in seconds), and its own
/// that was cosigned so long after it.
fn report(size: u64, before: i64, after: i64) -> Report {
    let world = &EXPORTED.world;
    let files = EXPORTED.remade(|material| {
        let period = &material.parameters;
        let (from, to) = (period.from.as_second(), period.to.as_second());
        let note = cosigned(&world.checkpoint_at(size).1, from - before);
        let consistency = evidence::Source::consistency_proof(world, TreeSize(size)).unwrap();
        material.earlier = vec![EarlierCheckpoint { size, note, consistency }];
        own(material, to + after);
    });
    verify_with(&files, &trust(), &all())
}

/// Cosigns the package's own checkpoint, which all its proofs carry.
fn own(material: &mut Material, time: i64) {
    let note = cosigned(&material.proof.checkpoint, time);
    material.proof.checkpoint.clone_from(&note);
    for context in &mut material.context {
        context.proof.checkpoint.clone_from(&note);
    }
}

fn trust() -> Trust {
    let text = EXPORTED.world.keys.trust_text();
    let line = format!("witness w1 {}\nquorum w1\n", witness().witness_key());
    Trust::parse(&text.replace("quorum none\n", &line)).unwrap()
}

fn before_the_period() -> u64 {
    EXPORTED.material.parameters.range.start + 1
}

#[test]
fn cosignatures_near_the_period_bind_its_time() {
    for (before, after) in [(0, 0), (HOUR, 2 * HOUR), (24 * HOUR, 24 * HOUR)] {
        let report = report(before_the_period(), before, after);
        assert!(report.ok(), "{report}");
        let Outcome::Pass { detail } = outcome(&report, "time") else { panic!("{report}") };
        let parameters = &EXPORTED.material.parameters;
        for time in [
            parameters.from - jiff::SignedDuration::from_secs(before),
            parameters.to + jiff::SignedDuration::from_secs(after),
        ] {
            assert!(detail.contains(&format!("w1 at {time}")), "{detail}");
        }
        assert!(remark(&report, "TIME UNATTESTED").is_none(), "{report}");
    }
}

#[track_caller]
fn unattested(report: &Report, why: &str) {
    let Outcome::NotChecked { reason } = outcome(report, "time") else { panic!("{report}") };
    assert!(reason.contains(why), "{reason}");
    assert!(remark(report, "TIME UNATTESTED").is_some_and(|said| said.contains(why)), "{report}");
    assert!(report.ok(), "{report}");
}

#[test]
fn cosignatures_that_bind_nothing_are_said_to() {
    let at = before_the_period();
    // Not in the day before: within the period, long ago.
    for before in [-1, -HOUR, 24 * HOUR + 1, 40 * 365 * 24 * HOUR] {
        unattested(&report(at, before, HOUR), "the day before the period");
    }
    // Not in the day after: within the period, much later.
    for after in [-1, 24 * HOUR + 1, 60 * 365 * 24 * HOUR] {
        unattested(&report(at, HOUR, after), "the day after the period");
    }
    // Leaves of the period were there already.
    unattested(&report(at + 1, HOUR, HOUR), "at most");
    // Without witnesses in the trust file.
    let report = verify_with(&EXPORTED.files, &EXPORTED.world.keys.trust(), &all());
    unattested(&report, "names no witnesses");
}
