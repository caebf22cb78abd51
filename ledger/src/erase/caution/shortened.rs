//! Classes that are to be kept shorter than they were: nothing of them is erased until a person says that it is meant.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::Started;
use crate::health::Troubles;
use crate::retention::{InForce, Retention};

/// As `/readyz` names them.
const SHORTENED: &str = "retention waits for a person";

/// The classes that wait, with why.
pub(super) struct Shortened(BTreeMap<String, String>);

impl Shortened {
    /// Compares the classes with what was in force, and writes down what is now: of what waits, the days of before.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn at(
        started: &Started,
        data_dir: &Path,
        retention: &Retention,
    ) -> io::Result<Self> {
        let in_force = InForce::within(data_dir)?;
        if started.is_new || started.is_confirmed() {
            in_force.replace(retention)?;
            return Ok(Self(BTreeMap::new()));
        }
        in_force.lengthen(retention)?;
        Ok(Self(in_force.shortened(retention)))
    }

    pub(super) fn has(&self, class: &str) -> bool {
        self.0.contains_key(class)
    }

    pub(super) fn tell(&self, troubles: &Troubles) {
        if self.0.is_empty() {
            return;
        }
        let changes: Vec<_> = self.0.values().map(String::as_str).collect();
        let why = format!(
            "{}. If that is meant, start once with --retention-confirmed and today's date; else mend \
             [ledger.retention]. Nothing of {} is erased for its days meanwhile",
            changes.join("; "),
            self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
        );
        troubles.report(SHORTENED, &why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::DAY_NS;

    const NOW: u64 = 20_000 * DAY_NS;

    /// Which classes wait at a start of a log with entries, unless a person confirms.
    fn waiting(dir: &Path, classes: &str, confirmed_day: Option<u64>) -> String {
        let started = Started { is_new: false, started_ns: NOW, confirmed_day };
        let retention = Retention::check(serde_json::from_str(classes).unwrap()).unwrap();
        let shortened = Shortened::at(&started, dir, &retention).unwrap();
        shortened.0.into_keys().collect::<Vec<_>>().join(" ")
    }

    /// Break it: let `at` write down the new days of what waits, or not those of a person's word.
    #[test]
    fn a_class_that_was_shortened_waits_until_a_person_names_the_date() {
        let dir = tempfile::tempdir().unwrap();
        let classes = r#"{"a": {"keep": 9}}"#;
        for _ in 0..2 {
            assert_eq!(waiting(dir.path(), classes, None), "a", "it was kept for good");
        }
        assert_eq!(waiting(dir.path(), classes, Some(NOW / DAY_NS)), "");
        assert_eq!(waiting(dir.path(), classes, None), "");
        let new = tempfile::tempdir().unwrap();
        let started = Started { is_new: true, started_ns: NOW, confirmed_day: None };
        let retention = Retention::check(serde_json::from_str(classes).unwrap()).unwrap();
        assert!(!Shortened::at(&started, new.path(), &retention).unwrap().has("a"), "a new log");
        assert_eq!(waiting(new.path(), classes, None), "");
    }

    /// Break it: let `at` write nothing down while a class waits.
    #[test]
    fn a_class_that_grew_while_another_waited_has_its_new_days() {
        let dir = tempfile::tempdir().unwrap();
        let classes = |a: u32, b: u32| {
            format!(
                r#"{{"a": {{"servers": ["x"], "keep": {a}}}, "b": {{"servers": ["y"], "keep": {b}}}}}"#
            )
        };
        assert_eq!(waiting(dir.path(), &classes(400, 30), Some(NOW / DAY_NS)), "");
        assert_eq!(waiting(dir.path(), &classes(30, 400), None), "a");
        assert_eq!(waiting(dir.path(), &classes(400, 30), None), "b", "it was kept 400 days");
        assert_eq!(waiting(dir.path(), &classes(400, 400), None), "", "nothing is shorter");
        assert_eq!(waiting(dir.path(), &classes(30, 30), None), "a b");
    }
}
