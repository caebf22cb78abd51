//! Facts: what was seen in the raw bytes of a message, as labels that hold no text of anybody.
//!
//! Policies see arguments masked; facts let them decide on what masking or text hides. One module per kind:
//! `sql` now, shell commands later ([`FactKind::Shell`] is reserved for them).

mod sql;

use std::collections::BTreeMap;

use proto::v1::{Fact, FactKind, MaskCount};

use crate::json::Document;

/// Facts of a message, sorted by kind and label.
pub(crate) fn of_message(message: &Document<'_>, masks: &[MaskCount]) -> Vec<Fact> {
    let mut facts: Vec<Fact> =
        masks.iter().map(|mask| fact(FactKind::Detector, mask.rule.clone(), mask.count)).collect();
    let mut statements: BTreeMap<&'static str, u32> = BTreeMap::new();
    let root = message.root();
    for call in root.elements().chain(std::iter::once(root)) {
        if let Some(arguments) = call.get("params").and_then(|params| params.get("arguments")) {
            sql::collect(arguments, &mut statements);
        }
    }
    facts.extend(
        statements.into_iter().map(|(label, count)| fact(FactKind::Sql, label.to_owned(), count)),
    );
    facts.sort_by(|a, b| (a.kind, &a.label).cmp(&(b.kind, &b.label)));
    facts
}

fn fact(kind: FactKind, label: String, count: u32) -> Fact {
    Fact { kind: kind.into(), label, count }
}
