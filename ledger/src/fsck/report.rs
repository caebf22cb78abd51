//! What a check looked at, and what it found.

use std::collections::BTreeMap;
use std::fmt;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable name of the kind of finding.
    pub code: &'static str,
    /// Which record: `entry 17`, `entry 17, disclosure MESSAGE`, `tile 0/3`, `checkpoint`.
    pub place: String,
    /// What is wrong with it. Where two records contradict each other, it names the other one.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.place, self.message, self.code)
    }
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FsckReport {
    /// Whether the store could be opened. If not, nothing of it was looked at, and every count is 0.
    pub is_opened: bool,
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
    /// An erasure was cut off before its bytes were off the disk; the next start takes them off.
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
}

/// So many findings of a kind are kept: a ruined store is reported by its first ones, and no kind hides another.
pub const MAX_FINDINGS_OF_A_KIND: u64 = 20;

impl FsckReport {
    pub(super) fn find(
        &mut self,
        code: &'static str,
        place: impl Into<String>,
        message: impl fmt::Display,
    ) {
        let found = self.found.entry(code).or_default();
        *found += 1;
        if *found <= MAX_FINDINGS_OF_A_KIND {
            let (place, message) = (place.into(), message.to_string());
            self.findings.push(Finding { code, place, message });
        }
    }

    /// Whether nothing was found.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether whatever was found concerns disclosures and their keys alone: the log itself is whole.
    pub fn is_readable(&self) -> bool {
        self.found.keys().all(|code| code.starts_with("disclosure_") || code.starts_with("key_"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(sealed.is_readable() && !sealed.is_good());
        assert_eq!(report.found["entry_missing"], 1_000);
        assert_eq!(report.findings[20].to_string(), "tree head: is another (root_mismatch)");
    }
}
