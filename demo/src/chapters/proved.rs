//! One event, its proof, checked here.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use proto::kind::{call_of, kind_name};
use tlog::{TlogProof, VerifyingKey};

use crate::auditor::Auditor;
use crate::error::DemoError;
use crate::page::{Cell, Page, Tone};

/// The blocked DROP DATABASE: that it is in the log, at this place, unchanged. Returns its leaf index.
///
/// # Errors
/// When the proof does not hold, or holds for something else as well.
pub async fn proved(
    page: &mut Page,
    auditor: &Auditor,
    log: &VerifyingKey,
) -> Result<u64, DemoError> {
    let answer = auditor
        .sql(
            "SELECT leaf_index, encode(leaf, 'base64') AS leaf, inclusion_proof(leaf_index) AS proof FROM events \
             WHERE kind = 'CallBlocked' AND tool = 'run_sql' ORDER BY leaf_index LIMIT 1",
        )
        .await?;
    let (index, leaf, text) = (answer.number(0, 0), answer.text(0, 1), answer.text(0, 2));
    let broken =
        |error: &dyn std::fmt::Display| DemoError::Broken(format!("leaf {index}: {error}"));
    let leaf = STANDARD.decode(&leaf).or_else(|_| STANDARD_NO_PAD.decode(&leaf));
    let mut leaf = leaf.map_err(|error| broken(&error))?;
    let hash = tlog::leaf_hash(&leaf);
    let proof = TlogProof::parse(&text).map_err(|error| broken(&error))?;
    if proof.index.0 != index {
        return Err(broken(&"the proof is that of another leaf"));
    }
    let checkpoint = proof.verify(&hash, log).map_err(|error| broken(&error))?;
    let event = proto::decode_entry(&leaf.clone().into()).map_err(|error| broken(&error))?.event;
    let kind = event.kind.as_ref();
    let call = kind.and_then(call_of);
    page.heading("4  One event proved to be in the log")?;
    page.text(
        "Is alice's DROP DATABASE really in the log, at this place, as it was? Checked here, with the log's public \
         key and nothing else:",
    )?;
    page.gap()?;
    let policies = call.map(|call| call.policy_ids.join(", ")).unwrap_or_default();
    let facts = [
        (
            "leaf",
            format!(
                "{index}, {} bytes: {}, policy {policies}",
                leaf.len(),
                kind.map_or("", kind_name)
            ),
        ),
        ("hash", hash.to_string()),
        ("path", format!("{} hashes up to the root", proof.hashes.len())),
        ("root", format!("{} of {} entries", checkpoint.root, checkpoint.size)),
        ("log", log.to_string()),
    ];
    let mut rows: Vec<Vec<Cell>> =
        facts.map(|(name, text)| vec![Cell::new(name, Tone::Faint), text.into()]).into();
    rows.push(vec![
        Cell::new("PASS", Tone::Good),
        "the log signed this root, and the leaf leads to it".into(),
    ]);
    // A proof that also holds for other bytes would prove nothing.
    if let Some(last) = leaf.last_mut() {
        *last ^= 1;
    }
    if proof.verify(&tlog::leaf_hash(&leaf), log).is_ok() {
        return Err(broken(&"the proof holds for a leaf that was changed"));
    }
    rows.push(vec![
        Cell::new("PASS", Tone::Good),
        "with one bit of the leaf changed, it does not".into(),
    ]);
    page.table(&["", ""], &[], &rows)?;
    Ok(index)
}
