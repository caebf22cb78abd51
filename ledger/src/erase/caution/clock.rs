//! Whether retention may erase by the clock of this start.
//!
//! A clock that stands in the future looks like any other: the log may have been stopped for a year. So it counts when it is
//! at most a day ahead of the last time that was vouched for, when a witness has cosigned at about its time since, or when a
//! person has named the date. Once it counts it does until the end: the sequencer holds it against the monotonic clock.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tlog::{Note, Policy};
use tokio::sync::watch;

use super::Started;
use crate::clock::{Vouched, utc};
use crate::health::Troubles;
use crate::publish::Published;
use crate::retention::DAY_NS;

/// A clock that is further ahead of the last vouched time needs somebody else's word; and as near must that be.
const NEAR_NS: u64 = DAY_NS;

/// As `/readyz` names it.
const CLOCK: &str = "retention waits for a clock";

/// The clock of a start, and who vouches for it.
pub(super) struct TrustedClock {
    vouched: Vouched,
    started_ns: u64,
    /// The last time before this start that was vouched for, if one is known.
    last_ns: Option<u64>,
    policy: Option<Arc<Policy>>,
    published: watch::Receiver<Arc<Published>>,
    counts: Mutex<bool>,
}

impl TrustedClock {
    /// Holds the clock against the last time that was vouched for. The clock of a new log counts: nothing is older.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn at(
        started: &Started,
        data_dir: &Path,
        policy: Option<Arc<Policy>>,
        published: watch::Receiver<Arc<Published>>,
    ) -> io::Result<Self> {
        let (vouched, started_ns) = (Vouched::within(data_dir), started.started_ns);
        let last_ns = vouched.last()?;
        let is_near = last_ns.is_some_and(|last| started_ns.saturating_sub(last) <= NEAR_NS);
        let counts = started.is_new || started.is_confirmed() || is_near;
        if counts {
            vouched.remember(started_ns)?;
        }
        let counts = Mutex::new(counts);
        Ok(Self { vouched, started_ns, last_ns, policy, published, counts })
    }

    /// Tells whether it waits; whether anything may be erased at all.
    pub(super) fn allows(&self, now_ns: u64, troubles: &Troubles) -> bool {
        if self.trusts(now_ns) {
            troubles.is_over(CLOCK);
            return true;
        }
        let last = self.last_ns.map_or_else(
            || "for no time before is it known that somebody vouched".to_owned(),
            |last| format!("the last time for which somebody vouched is {}", utc(last)),
        );
        let why = format!(
            "by the clock it was {} at the start, {last}, and no witness has vouched for the clock since. Look at the clock; \
             if it is right, start once with --retention-confirmed and today's date. Nothing is erased for its days meanwhile",
            utc(self.started_ns)
        );
        troubles.report(CLOCK, &why);
        false
    }

    /// Whether the clock counts, which says `now_ns`; then that is the last time that is vouched for.
    fn trusts(&self, now_ns: u64) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts = *counts || self.is_cosigned_about(now_ns);
        if *counts && let Err(error) = self.vouched.remember(now_ns) {
            tracing::warn!(%error, "the next start may ask again whether its clock is right");
        }
        *counts
    }

    /// Whether a witness says that the newest checkpoint is of about that time.
    fn is_cosigned_about(&self, now_ns: u64) -> bool {
        let note = Note::parse(&self.published.borrow().note);
        let (Ok(note), Some(policy)) = (note, &self.policy) else { return false };
        let mut times = policy.witnesses.iter().map(|witness| witness.key.verify(&note));
        times.any(|at| matches!(at, Ok(Some(seconds)) if is_about(seconds, now_ns)))
    }
}

/// Whether a witness' time, in Unix seconds, is about now.
fn is_about(seconds: u64, now_ns: u64) -> bool {
    seconds.saturating_mul(1_000_000_000).abs_diff(now_ns) <= NEAR_NS
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::{Checkpoint, Hash, SigningKey, TreeSize, WitnessSigningKey};

    const NOW: u64 = 20_000 * DAY_NS;
    /// A clock that stands wrong.
    const FAR: u64 = NOW + 400 * DAY_NS;

    fn published(cosigned_at: Option<u64>) -> (Arc<Policy>, watch::Receiver<Arc<Published>>) {
        let log = SigningKey::from_seed("log.example", [1; 32]).unwrap();
        let witness = WitnessSigningKey::from_seed("witness.example", [2; 32]).unwrap();
        let (log_vkey, vkey) = (log.verifying_key(), witness.witness_key());
        let policy = format!("log {log_vkey}\nwitness w {vkey}\nquorum w\n");
        let policy = Arc::new(Policy::parse(&policy).unwrap());
        let origin = "log.example".to_owned();
        let checkpoint = Checkpoint { origin, size: TreeSize(0), root: Hash::empty_root() };
        let mut note = Note::parse(&checkpoint.sign(&log)).unwrap();
        if let Some(seconds) = cosigned_at {
            note.add_signature(witness.sign(note.text(), seconds).unwrap()).unwrap();
        }
        let note = note.to_string().into();
        (policy, watch::channel(Arc::new(Published { checkpoint, note })).1)
    }

    fn cosigned(dir: &Path, started: &Started, cosigned_at: Option<u64>) -> TrustedClock {
        let (policy, published) = published(cosigned_at);
        TrustedClock::at(started, dir, Some(policy), published).unwrap()
    }

    /// Whether a start of a log with entries trusts its clock, for which no witness vouches.
    fn trusts(dir: &Path, started_ns: u64) -> bool {
        let started = Started { is_new: false, started_ns, confirmed_day: None };
        cosigned(dir, &started, None).trusts(started_ns)
    }

    fn begin(dir: &Path, started_ns: u64) {
        let started = Started { is_new: true, started_ns, confirmed_day: None };
        assert!(*cosigned(dir, &started, None).counts.lock().unwrap(), "a new log");
    }

    /// Break it: let `trusts` say yes, or take any cosignature, or `is_confirmed` any date.
    #[test]
    fn a_clock_that_stands_far_ahead_needs_somebody_elses_word() {
        let trusts = |last_ns: Option<u64>, confirmed_day, cosigned_at| {
            let dir = tempfile::tempdir().unwrap();
            if let Some(last_ns) = last_ns {
                Vouched::within(dir.path()).remember(last_ns).unwrap();
            }
            let started = Started { is_new: false, started_ns: NOW, confirmed_day };
            cosigned(dir.path(), &started, cosigned_at).trusts(NOW)
        };
        let (day, seconds) = (NOW / DAY_NS, NOW / 1_000_000_000);
        assert!(trusts(Some(NOW - DAY_NS), None, None));
        assert!(!trusts(None, None, None), "nothing is known");
        let old = Some(NOW - DAY_NS - 1);
        assert!(!trusts(old, None, None));
        assert!(trusts(old, Some(day), None) && trusts(old, Some(day - 1), None));
        assert!(!trusts(old, Some(day - 2), None), "a flag that was left in a unit file");
        assert!(trusts(old, None, Some(seconds + 3_600)));
        assert!(!trusts(old, None, Some(seconds - 2 * 86_400)), "the witness says another time");
    }

    /// Break it: let `at` remember the time of every start, or none of a start whose clock counts.
    #[test]
    fn a_clock_that_was_wrong_is_not_trusted_when_it_is_wrong_again() {
        let dir = tempfile::tempdir().unwrap();
        begin(dir.path(), NOW);
        assert!(!trusts(dir.path(), FAR));
        assert!(!trusts(dir.path(), FAR), "what it recorded vouches for nothing");
        assert!(trusts(dir.path(), NOW + 1), "it is right");
        assert!(!trusts(dir.path(), FAR), "it was wrong before");
        let day = FAR / DAY_NS;
        let started = Started { is_new: false, started_ns: FAR, confirmed_day: Some(day) };
        assert!(cosigned(dir.path(), &started, None).trusts(FAR));
        assert!(trusts(dir.path(), FAR), "a person has said that it is right");
    }

    /// Break it: let `remember` keep the later time.
    #[test]
    fn a_log_that_began_at_a_wrong_time_vouches_for_it_until_the_clock_is_right() {
        let dir = tempfile::tempdir().unwrap();
        begin(dir.path(), FAR);
        assert!(trusts(dir.path(), NOW));
        assert!(!trusts(dir.path(), FAR));
    }

    /// Break it: let `trusts` not remember, or only what a witness said.
    #[test]
    fn a_ledger_that_ran_for_long_is_trusted_after_a_short_stop() {
        let dir = tempfile::tempdir().unwrap();
        let started = Started { is_new: true, started_ns: NOW, confirmed_day: None };
        let clock = cosigned(dir.path(), &started, None);
        assert!(clock.trusts(FAR), "while it runs the sequencer looks after the clock");
        assert!(trusts(dir.path(), FAR + DAY_NS));
        // By a witness, likewise.
        let dir = tempfile::tempdir().unwrap();
        begin(dir.path(), NOW);
        let started = Started { is_new: false, started_ns: FAR, confirmed_day: None };
        assert!(cosigned(dir.path(), &started, Some(FAR / 1_000_000_000)).trusts(FAR));
        assert!(trusts(dir.path(), FAR));
    }

    /// Break it: let `allows` not say which time it holds the clock against.
    #[test]
    fn what_it_waits_for_is_told_with_both_times() {
        let dir = tempfile::tempdir().unwrap();
        begin(dir.path(), NOW);
        let started = Started { is_new: false, started_ns: FAR, confirmed_day: None };
        let (_failure, reason) = watch::channel(None);
        let troubles = Troubles::none();
        let health = crate::health::Health::new(reason, Troubles::none());
        let health = health.with_warnings(troubles.clone());
        assert!(!cosigned(dir.path(), &started, None).allows(FAR, &troubles));
        let told = health.warnings();
        assert!(told.len() == 1 && told[0].contains(&utc(NOW)) && told[0].contains(&utc(FAR)));
        assert!(cosigned(dir.path(), &started, Some(FAR / 1_000_000_000)).allows(FAR, &troubles));
        assert!(health.warnings().is_empty());
    }
}
