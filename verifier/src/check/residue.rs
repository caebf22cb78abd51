//! Was anything left unmasked?

use std::collections::BTreeMap;
use std::fmt;

use controls::RULES;
use proto::kind::{Kind, call_of};
use proto::v1::{MediaType, Slot};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::case::Case;
use super::run::Found;
use super::snapshots::Snapshots;
use crate::report::{Checked, Remark, Stop, fail_at};

/// The snapshot's own detectors find nothing in what was recorded as masked.
pub(super) fn check(case: &Case<'_>, snapshots: Result<&Snapshots, Stop>) -> Found {
    let mut elsewhere = Elsewhere::default();
    let checked = snapshots.and_then(|snapshots| search(case, snapshots, &mut elsewhere));
    Found::from((checked, elsewhere.remark()))
}

fn search(case: &Case<'_>, snapshots: &Snapshots, elsewhere: &mut Elsewhere) -> Checked {
    let disclosures = case.all_disclosures()?;
    let leaves = case.all_leaves()?;
    let (mut scanned, mut unseen, mut unruled) = (0, 0, 0);
    for row in
        disclosures.rows().filter(|row| matches!(row.slot, Slot::Message | Slot::DecisionInput))
    {
        let Some(content) = row.content() else {
            unseen += 1;
            continue;
        };
        let decided_by = leaves
            .get(&row.index)
            .and_then(|decoded| decoded.leaf.event.kind.as_ref().and_then(call_of))
            .map(|call| call.snapshot_digest.clone())
            .filter(|digest| !digest.is_empty());
        let active = || {
            leaves.range(..row.index).rev().find_map(|(_, decoded)| {
                match &decoded.leaf.event.kind {
                    Some(Kind::PolicyActivated(activated)) => {
                        Some(activated.snapshot_digest.clone())
                    }
                    _ => None,
                }
            })
        };
        let Some(snapshot) = decided_by.or_else(active).and_then(|digest| snapshots.find(&digest))
        else {
            unruled += 1;
            continue;
        };
        let found = if row.slot == Slot::DecisionInput {
            // Who called is exempt from masking; what was called with is not.
            let part = said_in(content);
            snapshot.residue(part.as_deref().unwrap_or(content), MediaType::Json)
        } else {
            snapshot.residue(content, row.media_type)
        };
        if let Some(first) = found.first() {
            let at = format!("leaf {}, {}", row.index, row.slot_name());
            if !snapshot.rules_match() {
                elsewhere.found(&at, snapshot.rules(), &first.rule);
                continue;
            }
            let detail =
                format!("the detector {} finds a value that should have been masked", first.rule);
            return Err(fail_at("residue.found", at, detail));
        }
        scanned += 1;
    }
    let rest = format!("{unseen} withheld or erased, {unruled} without a snapshot{elsewhere}");
    if scanned == 0 {
        return Err(Stop::NotChecked(format!("no message or input could be searched ({rest})")));
    }
    Ok(format!(
        "{scanned} of {} recorded messages and inputs searched, nothing left unmasked; {rest}",
        scanned + unseen + unruled + elsewhere.count
    ))
}

/// Values that this build's rules find where the rules of the snapshot did not look.
#[derive(Default)]
struct Elsewhere {
    count: u64,
    first: Option<String>,
}

impl Elsewhere {
    fn found(&mut self, at: &str, rules: &str, detector: &str) {
        self.count += 1;
        self.first.get_or_insert_with(|| {
            format!("{at}, masked by the rules {rules}: the detector {detector} finds a value")
        });
    }

    fn remark(self) -> Option<Remark> {
        let Self { count, first } = self;
        first.map(|first| Remark {
            word: "OTHER MASKING",
            meaning: format!(
                "{count} messages and inputs were masked by other rules than this build's, {RULES}, which find values in \
                 them that those may not have looked for. The first: {first}"
            ),
        })
    }
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            0 => Ok(()),
            count => write!(f, ", {count} masked by other rules"),
        }
    }
}

/// What a decision input holds of a caller's text, where it stood in the message: names decide what is masked.
fn said_in(input: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Input<'i> {
        #[serde(borrow)]
        arguments: &'i RawValue,
        method: String,
        name: Option<String>,
    }
    let input: Input<'_> = serde_json::from_slice(input).ok()?;
    let mut params = BTreeMap::from([("arguments", input.arguments.to_owned())]);
    if let Some(name) = &input.name {
        let member = controls::naming_member(&input.method).unwrap_or("name");
        params.insert(member, serde_json::value::to_raw_value(name).ok()?);
    }
    let method = serde_json::value::to_raw_value(&input.method).ok()?;
    let params = serde_json::value::to_raw_value(&params).ok()?;
    serde_json::to_vec(&BTreeMap::from([("method", method), ("params", params)])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_said_is_searched_where_it_stood() {
        let said = |input: &str| String::from_utf8(said_in(input.as_bytes()).unwrap()).unwrap();
        assert_eq!(
            said(r#"{"arguments":{"a":1},"method":"resources/read","name":"u","principal":{}}"#),
            r#"{"method":"resources/read","params":{"arguments":{"a":1},"uri":"u"}}"#
        );
        assert_eq!(
            said(r#"{"arguments":{},"method":"GET"}"#),
            r#"{"method":"GET","params":{"arguments":{}}}"#
        );
        assert!(said_in(b"{}").is_none());
    }
}
