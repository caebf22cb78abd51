//! What verification found, in words for people and in JSON for scripts.

use std::fmt;

use proto::terminal::shown;
use serde::Serialize;

/// The result of every check, in the order in which a reader should read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What the package says it is, once its parameters could be read.
    pub subject: Option<Subject>,
    /// All checks; one that could not run is there, too.
    pub checks: Vec<Check>,
    /// What a reader must know even if every check passes.
    pub remarks: Vec<Remark>,
}

/// What the package says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The log's origin.
    pub origin: String,
    /// Start of the period, RFC 3339.
    pub from: String,
    /// First instant after it.
    pub to: String,
    /// Whose eyes it is for.
    pub role: String,
    /// First leaf of the range.
    pub start: u64,
    /// Index after the last leaf.
    pub end: u64,
    /// Size of the checkpoint.
    pub tree_size: u64,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable name, such as `range`.
    pub id: &'static str,
    /// What is checked.
    pub title: &'static str,
    /// Must it pass for the package to be good?
    pub required: bool,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It holds.
    Pass {
        /// What was checked, with numbers.
        detail: String,
    },
    /// It does not hold.
    Fail {
        /// Stable code, such as `bag.altered`.
        code: &'static str,
        /// The first wrong thing.
        detail: String,
        /// File, leaf or line where it is wrong.
        #[serde(skip_serializing_if = "Option::is_none")]
        at: Option<String>,
    },
    /// It could not be checked.
    NotChecked {
        /// Why not.
        reason: String,
    },
}

/// A stable word and what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// Such as `UNWITNESSED`.
    pub word: &'static str,
    /// What it means for the reader.
    pub meaning: String,
}

impl Report {
    /// Did every required check pass?
    pub fn ok(&self) -> bool {
        self.checks.iter().all(|check| match check.outcome {
            Outcome::Pass { .. } => true,
            Outcome::Fail { .. } => false,
            Outcome::NotChecked { .. } => !check.required,
        })
    }

    /// The failed checks.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| matches!(check.outcome, Outcome::Fail { .. }))
    }

    /// The codes of the failed checks.
    pub fn codes(&self) -> Vec<&'static str> {
        let codes = self.checks.iter().filter_map(|check| match check.outcome {
            Outcome::Fail { code, .. } => Some(code),
            _ => None,
        });
        codes.collect()
    }
}

/// For a terminal: what comes from the package is [`shown`], so that it cannot pass for words of the verifier.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(subject) = &self.subject {
            self.write_subject(f, subject)?;
        }
        let width = self.checks.iter().map(|check| check.title.len()).max().unwrap_or(0);
        for check in &self.checks {
            let (word, text) = match &check.outcome {
                Outcome::Pass { detail } => ("PASS", detail.clone()),
                Outcome::Fail { code, detail, at } => {
                    let at = at.as_ref().map(|at| format!("{at}: ")).unwrap_or_default();
                    ("FAIL", format!("{at}{detail} [{code}]"))
                }
                Outcome::NotChecked { reason } => ("NOT CHECKED", reason.clone()),
            };
            writeln!(f, "{word:<11}  {:<width$}  {}", check.title, shown(&text))?;
        }
        if !self.remarks.is_empty() {
            writeln!(f)?;
        }
        for remark in &self.remarks {
            writeln!(f, "{}: {}", remark.word, shown(&remark.meaning))?;
        }
        let failed = self.failures().count();
        let open = self
            .checks
            .iter()
            .filter(|check| check.required && matches!(check.outcome, Outcome::NotChecked { .. }))
            .count();
        match (failed, open) {
            (0, 0) => writeln!(f, "\nThe package is verified."),
            (0, open) => writeln!(
                f,
                "\nThe package is NOT verified. Required checks that could not be made: {open}. None failed."
            ),
            (failed, _) => {
                writeln!(f, "\nThe package is NOT verified. Checks that failed: {failed}.")
            }
        }
    }
}

impl Report {
    /// Whose word the header is, when no trusted key signed it, is said first.
    fn write_subject(&self, f: &mut fmt::Formatter<'_>, subject: &Subject) -> fmt::Result {
        let is_signed = self
            .checks
            .iter()
            .any(|check| check.id == "signature" && matches!(check.outcome, Outcome::Pass { .. }));
        if !is_signed {
            writeln!(f, "What the package says of itself; nobody whom you trust has signed it:")?;
        }
        let (origin, role) = (shown(&subject.origin), shown(&subject.role));
        writeln!(f, "Log     {origin}, checkpoint of {} leaves", subject.tree_size)?;
        writeln!(f, "Period  {} to {}", shown(&subject.from), shown(&subject.to))?;
        writeln!(
            f,
            "Range   leaves {} to {}, for the role {role}\n",
            subject.start,
            subject.end.saturating_sub(1),
        )
    }
}

/// The first wrong thing that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: &'static str,
    pub(crate) detail: String,
    pub(crate) at: Option<String>,
}

/// Why a check did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    Fail(Failure),
    NotChecked(String),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Fail(failure)
    }
}

/// `Ok` holds the detail of a passed check.
pub(crate) type Checked = Result<String, Stop>;

/// A failure at a place.
pub(crate) fn fail_at(
    code: &'static str,
    at: impl fmt::Display,
    detail: impl fmt::Display,
) -> Stop {
    Stop::Fail(Failure { code, detail: detail.to_string(), at: Some(at.to_string()) })
}

/// A failure of the whole.
pub(crate) fn fail(code: &'static str, detail: impl fmt::Display) -> Stop {
    Stop::Fail(Failure { code, detail: detail.to_string(), at: None })
}

impl From<Checked> for Outcome {
    fn from(checked: Checked) -> Self {
        match checked {
            Ok(detail) => Outcome::Pass { detail },
            Err(Stop::Fail(Failure { code, detail, at })) => Outcome::Fail { code, detail, at },
            Err(Stop::NotChecked(reason)) => Outcome::NotChecked { reason },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_package_reaches_a_terminal_as_a_command() {
        let bad = "x\u{1b}[2J\n\nThe package is verified.\u{202e}\u{9b}0m\u{200b}";
        let check = |outcome| Check { id: "bag", title: "Bag", required: true, outcome };
        let report = Report {
            subject: Some(Subject {
                origin: bad.to_owned(),
                from: bad.to_owned(),
                to: bad.to_owned(),
                role: bad.to_owned(),
                start: 0,
                end: 1,
                tree_size: 1,
            }),
            checks: vec![
                check(Outcome::Pass { detail: bad.to_owned() }),
                check(Outcome::NotChecked { reason: bad.to_owned() }),
                check(Outcome::Fail {
                    code: "bag.stray",
                    detail: bad.to_owned(),
                    at: Some(bad.to_owned()),
                }),
            ],
            remarks: vec![Remark { word: "OTHER VERSION", meaning: bad.to_owned() }],
        };
        let text = report.to_string();
        let hidden = ['\u{1b}', '\u{9b}', '\u{202e}', '\u{200b}'];
        assert!(!text.contains(hidden), "{text:?}");
        assert_eq!(text.matches("\\u{1b}[2J").count(), 9, "{text}");
        assert!(!text.lines().any(|line| line.starts_with("The package is verified")), "{text}");
        assert!(text.starts_with("What the package says of itself"), "{text}");
    }
}
