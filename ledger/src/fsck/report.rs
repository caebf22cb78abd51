//! What a check looked at, and what it found.

use std::collections::BTreeMap;
use std::fmt;

use tlog::Checkpoint;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable name of the kind of finding.
    pub code: &'static str,
    /// Which record: `entry 17`, `entry 17, disclosure MESSAGE`, `tile 0/3`, `checkpoint`.
    pub place: String,
    /// What is wrong with it. Where two records contradict each other, it names the other one.
    pub message: String,
    /// So often the same damaged block was met again right behind it: it holds further records, or lies between others.
    pub more: u64,
    /// Where it was met last, if more than once.
    pub last: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.place, self.message, self.code)?;
        match &self.last {
            Some(last) => write!(f, "; the same damage {} times more, up to {last}", self.more),
            None => Ok(()),
        }
    }
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FsckReport {
    /// Whether the store could be opened. If not, nothing of it was looked at, and every count is 0.
    pub is_opened: bool,
    /// The published checkpoint that the entries were held against; `None` when there is none that the log signed. Nobody but
    /// the store vouches for entries behind it.
    pub checkpoint: Option<Checkpoint>,
    /// Entries that there should be by the stored tree head, or are, whichever is more.
    pub size: u64,
    /// Entries read.
    pub entries: u64,
    /// Disclosures opened.
    pub disclosures: u64,
    /// Disclosures that are gone, as a DisclosureErased event says.
    pub erased: u64,
    /// Keys of disclosures.
    pub keys: u64,
    /// Legal holds in force.
    pub holds: u64,
    /// Bytes of an erasure are still on the disk: it was cut off, or a table cannot be rewritten (`store/rocks/purge.rs`).
    pub purge_pending: bool,
    /// A backup was cut off: second names of tables are in the folder, which keep what is erased since on the disk. The next
    /// start, or backup, removes them.
    pub moment_left: bool,
    /// Hash tiles compared.
    pub tiles: u64,
    /// Chains of recorders compared with their stored heads.
    pub chains: u64,
    /// Seals verified.
    pub seals: u64,
    /// Seals that could not be verified, by the recorder and key id for which no key was given.
    pub seals_without_key: BTreeMap<String, u64>,
    /// Bytes of all records that were read.
    pub bytes: u64,
    /// The first [`MAX_FINDINGS_OF_A_KIND`] findings of each kind, in the order of the check; empty is good.
    pub findings: Vec<Finding>,
    /// How many there are of each kind, those included that are not kept.
    pub found: BTreeMap<&'static str, u64>,
    /// The damage that the last finding of a kind tells of, in the engine's words, which name file and block.
    pub(super) damage: BTreeMap<&'static str, String>,
}

/// What the engine's own words stand behind in a message.
const ENGINE_SAYS: [&str; 2] = ["cannot be read: ", "cannot read on: "];

/// So many findings of a kind are kept: a ruined store is reported by its first ones, and no kind hides another.
pub const MAX_FINDINGS_OF_A_KIND: u64 = 20;

impl FsckReport {
    pub(super) fn find(
        &mut self,
        code: &'static str,
        place: impl Into<String>,
        message: impl fmt::Display,
    ) {
        let (place, message) = (place.into(), message.to_string());
        if self.is_same_damage(code, &message) {
            let finding = self.findings.iter_mut().rfind(|finding| finding.code == code);
            // Behind the last one that is kept it is counted with none.
            if let Some(finding) = finding.filter(|_| self.found[code] <= MAX_FINDINGS_OF_A_KIND) {
                finding.more += 1;
                finding.last = Some(place);
            }
            return;
        }
        let found = self.found.entry(code).or_default();
        *found += 1;
        if *found <= MAX_FINDINGS_OF_A_KIND {
            self.findings.push(Finding { code, place, message, more: 0, last: None });
        }
    }

    /// Whether a finding is of the block that the one before it, of its kind, could not be read from: that is one finding, however
    /// many records the block holds, and however often the engine comes by.
    fn is_same_damage(&mut self, code: &'static str, message: &str) -> bool {
        let engine_says = ENGINE_SAYS.iter().find_map(|words| Some(message.split_once(*words)?.1));
        let Some(damage) = engine_says else {
            self.damage.remove(code);
            return false;
        };
        let before = self.damage.insert(code, damage.to_owned());
        before.is_some_and(|before| before == damage)
    }

    /// Whether nothing was found.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether whatever was found concerns disclosures, their keys, and legal holds alone: the log itself is whole.
    pub fn is_readable(&self) -> bool {
        let of_the_rest = ["disclosure_", "key_", "hold_"];
        self.found.keys().all(|code| of_the_rest.iter().any(|of| code.starts_with(of)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break it: let `is_same_damage` say no.
    #[test]
    fn one_damaged_block_is_one_finding_of_a_kind() {
        let mut report = FsckReport::default();
        for index in 0..30 {
            let block = if index < 25 { "block 0 of 7.sst" } else { "block 1 of 7.sst" };
            let place = format!("entry {index}");
            report.find("entry_unreadable", &*place, format!("cannot be read: {block}"));
            let message = format!("its key {index} cannot be read: {block}");
            report.find("disclosure_unopened", place, message);
        }
        for code in ["entry_unreadable", "disclosure_unopened"] {
            assert_eq!(report.found[code], 2);
            let of: Vec<_> = report.findings.iter().filter(|found| found.code == code).collect();
            let told = |finding: &Finding| (finding.place.clone(), finding.more);
            assert_eq!(told(of[0]), ("entry 0".to_owned(), 24));
            assert_eq!(told(of[1]), ("entry 25".to_owned(), 4));
        }
        let first = report.findings[0].to_string();
        assert!(first.ends_with("24 times more, up to entry 24"), "{first}");
    }

    #[test]
    fn no_kind_of_finding_hides_another() {
        let mut report = FsckReport::default();
        for index in 0..1_000 {
            report.find("entry_missing", format!("entry {index}"), "is missing");
        }
        report.find("root_mismatch", "tree head", "is another");
        assert_eq!(report.findings.len(), 21);
        assert!(!report.is_readable());
        let mut sealed = FsckReport::default();
        sealed.find("disclosure_damaged", "entry 7, disclosure MESSAGE", "does not decrypt");
        sealed.find("disclosure_table_unreadable", "disclosures, at its beginning", "bad block");
        sealed.find("key_table_unreadable", "keys, at its beginning", "bad block");
        sealed.find("hold_unreadable", "hold 01", "entry 7, which placed it, cannot be read");
        assert!(sealed.is_readable() && !sealed.is_good());
        assert_eq!(report.found["entry_missing"], 1_000);
        assert_eq!(report.findings[20].to_string(), "tree head: is another (root_mismatch)");
    }
}
