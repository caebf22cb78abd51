//! What retention waits for before it erases. It asks nobody, and what it erases is gone for good.
//!
//! A clock that stands in the future when the ledger starts looks like any other: a log may have been stopped for a year. So
//! the clock of a start counts when the newest entry is not older than a day by it, when a witness has cosigned at about that
//! time since, or when a person has named the date. A class that was shortened waits for that person, too.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tlog::{Note, Policy};
use tokio::sync::watch;

use crate::clock::Unvouched;
use crate::health::Troubles;
use crate::publish::Published;
use crate::retention::{DAY_NS, InForce, Retention};

/// A clock that is further ahead of the newest entry at the start needs somebody else's word; and as near must that be.
const NEAR_NS: u64 = DAY_NS;

/// As `/readyz` names them.
const CLOCK: &str = "retention waits for a clock";
const SHORTENED: &str = "retention waits for a person";

/// What is known at a start, and by whom.
pub(crate) struct Caution {
    /// How far the clock of the start was ahead of the newest entry before it.
    ahead_ns: u64,
    unvouched: Unvouched,
    /// Classes that wait, with why.
    shortened: BTreeMap<String, String>,
    policy: Option<Arc<Policy>>,
    published: watch::Receiver<Arc<Published>>,
    /// Somebody else's word for the clock was heard.
    is_vouched: Mutex<bool>,
}

/// What a start knows.
pub(crate) struct Started {
    /// Of the newest entry before it, Unix ns; 0: the log is new.
    pub(crate) newest_ns: u64,
    /// Its clock, Unix ns.
    pub(crate) started_ns: u64,
    /// The day since 1970 that a person says it is, and that retention is meant as it is configured.
    pub(crate) confirmed_day: Option<u64>,
}

impl Caution {
    /// Compares the classes with those that were in force, and the clock with the newest entry, and remembers both in the
    /// ledger's folder.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn at(
        started: &Started,
        data_dir: &Path,
        retention: &Retention,
        policy: Option<Arc<Policy>>,
        published: watch::Receiver<Arc<Published>>,
    ) -> io::Result<Self> {
        let (is_new, is_confirmed) = (started.newest_ns == 0, started.is_confirmed());
        started.tell();
        let in_force = InForce::within(data_dir)?;
        let mut shortened = BTreeMap::new();
        if !is_new && !is_confirmed {
            shortened = in_force.shortened(retention);
        }
        if shortened.is_empty() {
            in_force.replace(retention)?;
        }
        let unvouched = Unvouched::within(data_dir);
        let newest_ns = unvouched.newest(started.newest_ns)?;
        let ahead_ns = if is_new { 0 } else { started.started_ns.saturating_sub(newest_ns) };
        let is_vouched = is_confirmed || ahead_ns <= NEAR_NS;
        if is_vouched {
            unvouched.forget()?;
        } else {
            unvouched.remember(newest_ns)?;
        }
        let is_vouched = Mutex::new(is_vouched);
        Ok(Self { ahead_ns, unvouched, shortened, policy, published, is_vouched })
    }

    /// Whether nothing of a class is erased in this start.
    pub(super) fn holds_back(&self, class: &str) -> bool {
        self.shortened.contains_key(class)
    }

    /// Whether the clock counts, which says `now_ns`.
    fn trusts(&self, now_ns: u64) -> bool {
        let mut is_vouched = self.is_vouched.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_vouched && self.is_cosigned_about(now_ns) {
            *is_vouched = true;
            if let Err(error) = self.unvouched.forget() {
                tracing::warn!(%error, "the next start asks again whether its clock is right");
            }
        }
        *is_vouched
    }

    /// Whether a witness says that the newest checkpoint is of about that time.
    fn is_cosigned_about(&self, now_ns: u64) -> bool {
        let note = Note::parse(&self.published.borrow().note);
        let (Ok(note), Some(policy)) = (note, &self.policy) else { return false };
        let mut times = policy.witnesses.iter().map(|witness| witness.key.verify(&note));
        times.any(|at| matches!(at, Ok(Some(seconds)) if is_near(seconds, now_ns)))
    }

    /// Tells what waits; whether anything may be erased at all.
    pub(super) fn allows(&self, now_ns: u64, troubles: &Troubles) -> bool {
        if !self.shortened.is_empty() {
            let changes: Vec<_> = self.shortened.values().map(String::as_str).collect();
            let why = format!(
                "{}. If that is meant, start once with --retention-confirmed and today's date; else mend \
                 [ledger.retention]. Nothing of {} is erased for its days meanwhile",
                changes.join("; "),
                self.shortened.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
            );
            troubles.report(SHORTENED, &why);
        }
        if self.trusts(now_ns) {
            troubles.is_over(CLOCK);
            return true;
        }
        let days = self.ahead_ns / DAY_NS;
        let why = format!(
            "at the start it was {days} days after the newest entry for whose time anybody vouches, and no witness has vouched \
             for that time. Look at the clock; if it is right, start once with --retention-confirmed and today's date. Nothing \
             is erased for its days meanwhile"
        );
        troubles.report(CLOCK, &why);
        false
    }
}

impl Started {
    /// Says what became of a person's word.
    fn tell(&self) {
        if self.is_confirmed() {
            tracing::info!("clock and retention are confirmed: what is due is erased");
        } else if self.confirmed_day.is_some() {
            tracing::warn!(
                "--retention-confirmed confirms nothing: the day that it names is not today's, by this clock"
            );
        }
    }

    /// The person may live where it is another day.
    fn is_confirmed(&self) -> bool {
        self.confirmed_day.is_some_and(|day| day.abs_diff(self.started_ns / DAY_NS) <= 1)
    }
}

/// Whether a witness' time, in Unix seconds, is about now.
fn is_near(seconds: u64, now_ns: u64) -> bool {
    seconds.saturating_mul(1_000_000_000).abs_diff(now_ns) <= NEAR_NS
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::{Checkpoint, Hash, SigningKey, TreeSize, WitnessSigningKey};

    const NOW: u64 = 20_000 * DAY_NS;

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

    fn caution(
        dir: &Path,
        newest_ns: u64,
        confirmed_day: Option<u64>,
        cosigned_at: Option<u64>,
    ) -> Caution {
        let (policy, published) = published(cosigned_at);
        let started = Started { newest_ns, started_ns: NOW, confirmed_day };
        let classes = serde_json::from_str(r#"{"a": {"keep": 9}}"#).unwrap();
        let classes = Retention::check(classes).unwrap();
        Caution::at(&started, dir, &classes, Some(policy), published).unwrap()
    }

    /// Break it: let `trusts` say yes, or take any cosignature, or `is_confirmed` any date; or let `at` not remember.
    #[test]
    fn a_clock_that_stands_far_ahead_needs_somebody_elses_word() {
        let trusts = |newest_ns, confirmed_day, cosigned_at| {
            let dir = tempfile::tempdir().unwrap();
            caution(dir.path(), newest_ns, confirmed_day, cosigned_at).trusts(NOW)
        };
        let (day, seconds) = (NOW / DAY_NS, NOW / 1_000_000_000);
        assert!(trusts(0, None, None), "a new log");
        assert!(trusts(NOW - DAY_NS, None, None));
        let old = NOW - DAY_NS - 1;
        assert!(!trusts(old, None, None));
        assert!(trusts(old, Some(day), None) && trusts(old, Some(day - 1), None));
        assert!(!trusts(old, Some(day - 2), None), "a flag that was left in a unit file");
        assert!(trusts(old, None, Some(seconds + 3_600)));
        assert!(!trusts(old, None, Some(seconds - 2 * 86_400)), "the witness says another time");
        // What it recorded at that time does not vouch for the next start.
        let dir = tempfile::tempdir().unwrap();
        assert!(!caution(dir.path(), old, None, None).trusts(NOW));
        assert!(!caution(dir.path(), NOW, None, None).trusts(NOW), "its own start is the newest");
        assert!(caution(dir.path(), NOW, Some(day), None).trusts(NOW));
        assert!(caution(dir.path(), NOW, None, None).trusts(NOW));
    }

    /// Break it: let `at` remember classes that wait.
    #[test]
    fn a_class_that_was_shortened_waits_until_a_person_names_the_date() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            assert!(caution(dir.path(), NOW, None, None).holds_back("a"), "it was kept for good");
        }
        assert!(!caution(dir.path(), NOW, Some(NOW / DAY_NS), None).holds_back("a"));
        assert!(!caution(dir.path(), NOW, None, None).holds_back("a"));
        let troubles = Troubles::none();
        let new = tempfile::tempdir().unwrap();
        assert!(caution(new.path(), NOW, None, None).allows(NOW, &troubles));
    }
}
