//! Which keys the log itself says are in use.
//!
//! The configuration introduces keys and takes them away; each change is an event, KeyIntroduced or KeyRetired. What
//! has been said so far stands in the file `keys` of the data folder, a line `log <vkey>` or `recorder <vkey>` for each
//! key, sorted. It is replaced after the events are durable: a crash in between, or a file that was lost, has a change
//! recorded twice, and none is ever left out.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use proto::kind::Kind;
use proto::v1::{KeyIntroduced, KeyRetired, KeyRole};
use tlog::VerifyingKey;

use crate::folder;

/// The file's name within the data folder; a backup holds it as well.
pub(crate) const FILE: &str = "keys";
const LOG: &str = "log";
const RECORDER: &str = "recorder";

/// A key as the file names it: what it is for, and its vkey.
type Line = (&'static str, String);

/// The keys that are in use now, and those that the log has been told of.
#[derive(Debug)]
pub(crate) struct KnownKeys {
    path: PathBuf,
    now: BTreeSet<Line>,
    told: BTreeSet<Line>,
}

impl KnownKeys {
    /// The keys of this start, beside what earlier ones told.
    ///
    /// # Errors
    /// When the file cannot be read, or is none of ours.
    pub(crate) fn within<'k>(
        data_dir: &Path,
        log: impl IntoIterator<Item = &'k VerifyingKey>,
        recorders: impl IntoIterator<Item = &'k VerifyingKey>,
    ) -> io::Result<Self> {
        let path = data_dir.join(FILE);
        let told = match fs::read_to_string(&path) {
            Ok(text) => text.lines().map(read).collect::<Option<_>>().ok_or_else(|| {
                let reason = "holds other lines than `log <vkey>` and `recorder <vkey>`; without it every key is \
                              introduced once more: remove it";
                io::Error::new(io::ErrorKind::InvalidData, format!("{} {reason}", path.display()))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => return Err(error),
        };
        let log = log.into_iter().map(|key| (LOG, key.to_string()));
        let recorders = recorders.into_iter().map(|key| (RECORDER, key.to_string()));
        let now = log.chain(recorders).collect();
        Ok(Self { path, now, told })
    }

    /// What the log has to be told: keys that are new, then keys that are gone.
    pub(crate) fn changes(&self) -> Vec<Kind> {
        let introduced = self.now.difference(&self.told).map(|(role, vkey)| {
            let (role, vkey) = (of_role(role).into(), vkey.clone());
            Kind::KeyIntroduced(KeyIntroduced { role, vkey })
        });
        let retired = self.told.difference(&self.now).map(|(role, vkey)| {
            let (role, vkey) = (of_role(role).into(), vkey.clone());
            Kind::KeyRetired(KeyRetired { role, vkey })
        });
        introduced.chain(retired).collect()
    }

    /// The changes are durable in the log.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn told(&self) -> io::Result<()> {
        if self.now == self.told {
            return Ok(());
        }
        let lines = self.now.iter().map(|(role, vkey)| format!("{role} {vkey}\n"));
        folder::replace(&self.path, lines.collect::<String>().as_bytes())
    }
}

fn read(line: &str) -> Option<Line> {
    let (role, vkey) = line.split_once(' ')?;
    let role = [LOG, RECORDER].into_iter().find(|known| *known == role)?;
    VerifyingKey::parse(vkey).ok()?;
    Some((role, vkey.to_owned()))
}

fn of_role(role: &str) -> KeyRole {
    if role == LOG { KeyRole::Log } else { KeyRole::Recorder }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, seed: u8) -> VerifyingKey {
        tlog::SigningKey::from_seed(name, [seed; 32]).unwrap().verifying_key()
    }

    fn told(kinds: &[Kind]) -> Vec<String> {
        let told = kinds.iter().map(|kind| match kind {
            Kind::KeyIntroduced(key) => format!("+{} {}", key.role, key.vkey),
            Kind::KeyRetired(key) => format!("-{} {}", key.role, key.vkey),
            other => panic!("{other:?}"),
        });
        told.collect()
    }

    #[test]
    fn each_change_is_told_until_it_is_known_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let (log, new_log) = (key("log", 1), key("log", 2));
        let (gateway, query) = (key("gateway", 3), key("query", 4));
        let known = |log: &[&VerifyingKey], recorders: &[&VerifyingKey]| {
            let (log, recorders) = (log.iter().copied(), recorders.iter().copied());
            KnownKeys::within(dir.path(), log, recorders).unwrap()
        };
        let first = known(&[&log], &[&gateway, &query]);
        let all = [format!("+1 {log}"), format!("+2 {gateway}"), format!("+2 {query}")];
        assert_eq!(told(&first.changes()), all);
        // A start that ended before the file was written tells it again.
        assert_eq!(told(&known(&[&log], &[&gateway, &query]).changes()), all);
        first.told().unwrap();
        assert!(known(&[&log], &[&query, &gateway]).changes().is_empty());
        let both = known(&[&log, &new_log], &[&gateway]);
        assert_eq!(told(&both.changes()), [format!("+1 {new_log}"), format!("-2 {query}")]);
        both.told().unwrap();
        assert_eq!(told(&known(&[&new_log], &[&gateway]).changes()), [format!("-1 {log}")]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::write(dir.path().join("keys"), "nonsense\n").unwrap();
        let keys = KnownKeys::within(dir.path(), [&log], []);
        assert!(keys.unwrap_err().to_string().contains("remove it"));
    }
}
