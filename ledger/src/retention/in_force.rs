//! Which retention is in force: a shorter one than the log had before waits until a person says that it is meant.
//!
//! What is erased for want of a digit in `keep` is gone for good. So the ledger's folder remembers for how many days what
//! concerns each server is kept, and a class that keeps anything for fewer erases nothing. Classes may be named and cut anew;
//! what counts is what becomes of a server.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Keep, Retention};
use crate::folder;

/// The file `retention` of a ledger's folder.
#[derive(Debug)]
pub(crate) struct InForce {
    path: PathBuf,
    kept: Kept,
}

/// For how many days what concerns a server is kept: what the file holds, as JSON. No number: for good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// Those that are kept for another time than the rest.
    servers: BTreeMap<String, Option<u32>>,
    rest: Option<u32>,
}

impl InForce {
    /// Reads it. Without a file, or with one that cannot be understood, everything was kept for good.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn within(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join("retention");
        let text = folder::read(&path)?.unwrap_or_default();
        let kept = serde_json::from_slice(&text).unwrap_or_default();
        Ok(Self { path, kept })
    }

    /// Classes that would erase something earlier than before, with what is changed.
    pub(crate) fn shortened(&self, now: &Retention) -> BTreeMap<String, String> {
        let mut shortened = BTreeMap::new();
        for server in self.servers(now) {
            let (Some(class), Some(days)) = (now.class_of(server), now.days(server)) else {
                continue;
            };
            let before = self.kept.days(server);
            if before.is_none_or(|before| days < before) {
                let of = server.unwrap_or("everything that no class names");
                let was = before.map_or("for good".to_owned(), |before| format!("{before} days"));
                let change = format!("{of} is to be kept {days} days, and was kept {was}");
                shortened.entry(class.to_owned()).or_insert(change);
            }
        }
        shortened
    }

    /// This is in force from now on.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn replace(&self, now: &Retention) -> io::Result<()> {
        self.write(now, |_, days| days)
    }

    /// What is kept longer than before is, from now on; what is kept shorter is not.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn lengthen(&self, now: &Retention) -> io::Result<()> {
        // For good, when one of the two is.
        self.write(now, |before, days| before.zip(days).map(|(before, days)| before.max(days)))
    }

    /// Writes down what becomes of each server's days, of before and of now.
    fn write(
        &self,
        now: &Retention,
        becomes: impl Fn(Option<u32>, Option<u32>) -> Option<u32>,
    ) -> io::Result<()> {
        let days = |server: Option<&str>| becomes(self.kept.days(server), now.days(server));
        let rest = days(None);
        let named = self.servers(now).into_iter().flatten();
        let servers = named.map(|name| (name.to_owned(), days(Some(name))));
        let servers = servers.filter(|(_, days)| *days != rest).collect();
        let kept = Kept { servers, rest };
        if kept == self.kept {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(&kept).map_err(io::Error::other)? + "\n";
        folder::replace(&self.path, text.as_bytes())
    }

    /// Every server that was named or is, and the rest.
    fn servers<'a>(&'a self, now: &'a Retention) -> BTreeSet<Option<&'a str>> {
        let named = now.0.values().flat_map(|class| &class.servers);
        named
            .chain(self.kept.servers.keys())
            .map(|name| Some(name.as_str()))
            .chain([None])
            .collect()
    }
}

impl Kept {
    fn days(&self, server: Option<&str>) -> Option<u32> {
        server.and_then(|server| self.servers.get(server)).copied().unwrap_or(self.rest)
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
        for rotten in [&b"not JSON"[..], &[0xff; 9][..]] {
            std::fs::write(dir.path().join("retention"), rotten).unwrap();
            assert_eq!(waits(now), "a");
        }
    }

    /// Break it: let `lengthen` take the days of now, or those of before, or leave out who falls to the rest.
    #[test]
    fn of_what_waits_the_longer_days_stay() {
        let dir = tempfile::tempdir().unwrap();
        let in_force = || InForce::within(dir.path()).unwrap();
        let before = r#"{"a": {"servers": ["x"], "keep": 400}, "b": {"servers": ["y"], "keep": 30},
            "c": {"servers": ["z"], "keep": 60}, "rest": {"keep": 50}}"#;
        in_force().replace(&retention(before)).unwrap();
        let now = r#"{"a": {"servers": ["x", "new"], "keep": 30}, "b": {"servers": ["y"], "keep": 400},
            "c": {"servers": ["w"], "keep": "forbid_erasure"}, "rest": {"keep": 40}}"#;
        in_force().lengthen(&retention(now)).unwrap();
        let kept = in_force().kept;
        let days = |server| kept.days(Some(server));
        assert_eq!((days("x"), days("y")), (Some(400), Some(400)));
        assert_eq!((days("z"), days("new"), days("w")), (Some(60), Some(50), None));
        assert_eq!(kept.days(None), Some(50));
        in_force().replace(&retention(now)).unwrap();
        let kept = in_force().kept;
        assert_eq!((kept.days(Some("x")), kept.days(None)), (Some(30), Some(40)));
        // Nothing is said of servers that are as the rest.
        assert!(!kept.servers.contains_key("z"), "{kept:?}");
    }
}
