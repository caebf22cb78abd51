//! Which retention is in force: a shorter one than the log had before waits until a person says that it is meant.
//!
//! What is erased for want of a digit in `keep` is gone for good. So the classes of the last start are remembered in the
//! ledger's folder, and a class that keeps anything for fewer days than it was kept before erases nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::{Keep, Retention, RetentionClass};
use crate::folder;

/// The file `retention` of a ledger's folder: the classes that were in force, as JSON.
#[derive(Debug)]
pub(crate) struct InForce {
    path: PathBuf,
    text: String,
    classes: Retention,
}

impl InForce {
    /// Reads it. Without a file, or with one that cannot be understood, everything was kept for good.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn within(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join("retention");
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        let classes: BTreeMap<String, RetentionClass> =
            serde_json::from_str(&text).unwrap_or_default();
        Ok(Self { path, text, classes: Retention(classes) })
    }

    /// Classes that would erase something earlier than before, with what is changed.
    pub(crate) fn shortened(&self, now: &Retention) -> BTreeMap<String, String> {
        let named = self.classes.0.values().chain(now.0.values()).flat_map(|class| &class.servers);
        let servers: BTreeSet<Option<&str>> =
            named.map(|name| Some(name.as_str())).chain([None]).collect();
        let mut shortened = BTreeMap::new();
        for server in servers {
            let (Some(class), Some(days)) = (now.class_of(server), now.days(server)) else {
                continue;
            };
            let before = self.classes.days(server);
            if before.is_none_or(|before| days < before) {
                let of = server.unwrap_or("everything that no class names");
                let was = before.map_or("for good".to_owned(), |before| format!("{before} days"));
                let change = format!("{of} is to be kept {days} days, and was kept {was}");
                shortened.entry(class.to_owned()).or_insert(change);
            }
        }
        shortened
    }

    /// These are in force from now on.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn replace(&self, now: &Retention) -> io::Result<()> {
        let text = serde_json::to_string_pretty(&now.0).map_err(io::Error::other)? + "\n";
        if text == self.text || (now.0.is_empty() && self.text.is_empty()) {
            return Ok(());
        }
        folder::replace(&self.path, text.as_bytes())
    }
}

impl Retention {
    /// How many days what concerns a server is kept; for good when that is not said.
    fn days(&self, server: Option<&str>) -> Option<u32> {
        match self.0.get(self.class_of(server)?)?.keep {
            Keep::Days(days) => Some(days),
            Keep::Always(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retention(json: &str) -> Retention {
        Retention::check(serde_json::from_str(json).unwrap()).unwrap()
    }

    /// Break it: let `shortened` compare classes by name, or take what was in no class for nothing.
    #[test]
    fn what_is_kept_shorter_than_before_waits() {
        let dir = tempfile::tempdir().unwrap();
        let in_force = || InForce::within(dir.path()).unwrap();
        let waits = |json: &str| {
            let shortened = in_force().shortened(&retention(json));
            shortened.into_keys().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(waits(r#"{"a": {"servers": ["x"], "keep": 9}}"#), "a", "it was kept for good");
        assert_eq!(waits(r#"{"a": {"keep": "forbid_erasure"}}"#), "");
        let now = r#"{"a": {"servers": ["x", "y"], "keep": 9}, "b": {"servers": ["z"], "keep": "forbid_erasure"}}"#;
        in_force().replace(&retention(now)).unwrap();
        for (json, expected) in [
            (now, ""),
            (r#"{"a": {"servers": ["x"], "keep": 10}}"#, ""),
            (r#"{"other": {"servers": ["x"], "keep": 9}}"#, ""),
            (r#"{"a": {"servers": ["x"], "keep": 8}}"#, "a"),
            // A server that falls to the class for the rest, which is new.
            (r#"{"a": {"servers": ["x"], "keep": 9}, "rest": {"keep": 9}}"#, "rest"),
            (r#"{"a": {"servers": ["x", "z"], "keep": 9}}"#, "a"),
        ] {
            assert_eq!(waits(json), expected, "{json}");
        }
        std::fs::write(dir.path().join("retention"), "not JSON").unwrap();
        assert_eq!(waits(now), "a");
    }
}
