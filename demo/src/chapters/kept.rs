//! What the ledger kept, and what it did not.

use std::collections::BTreeMap;
use std::path::Path;

use crate::auditor::{Auditor, Pulled};
use crate::client::masks;
use crate::error::DemoError;
use crate::page::{Cell, Page, Tone};
use crate::residue::{matches, search};

/// What the ledger kept.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Events by kind.
    pub by_kind: BTreeMap<String, u64>,
}

/// Kinds and counts, one masked message, and the search for what must not be there.
///
/// # Errors
/// When a regulated value stands anywhere, or a door does not answer.
pub async fn kept(
    page: &mut Page,
    auditor: &Auditor,
    pulled: &Pulled,
    values: &[String],
    folders: &[&Path],
) -> Result<Kept, DemoError> {
    page.heading("2  What the ledger kept")?;
    let by_kind = kinds(page, auditor).await?;
    example(page, auditor).await?;
    residue(page, auditor, values, folders).await?;
    siem(page, pulled)?;
    Ok(Kept { by_kind })
}

async fn kinds(page: &mut Page, auditor: &Auditor) -> Result<BTreeMap<String, u64>, DemoError> {
    let answer = auditor
        .sql("SELECT kind, count(*) AS events FROM events GROUP BY kind ORDER BY events DESC, kind")
        .await?;
    let rows = 0..answer.rows.len();
    let by_kind: Vec<(String, u64)> =
        rows.map(|row| (answer.text(row, 0), answer.number(row, 1))).collect();
    let total: u64 = by_kind.iter().map(|(_, count)| count).sum();
    page.text(&format!(
        "{total} events, each a leaf of one Merkle tree. A request was recorded before it was forwarded, an answer \
         before it was released."
    ))?;
    page.gap()?;
    let row = |(kind, count): &(String, u64)| {
        vec![
            Cell::from(format!("{count:>6}")),
            kind.clone().into(),
            Cell::new(meaning(kind), Tone::Faint),
        ]
    };
    let rows: Vec<Vec<Cell>> = by_kind.iter().map(row).collect();
    page.table(&["events", "kind", "which says"], &[], &rows)?;
    page.gap()?;
    Ok(by_kind.into_iter().collect())
}

/// Kinds in plain words.
fn meaning(kind: &str) -> &'static str {
    match kind {
        "SessionOpened" => "who began an MCP session, how they proved it",
        "SessionClosed" => "how a session ended",
        "RequestReceived" => "who asked what, what the policies saw, and their verdict",
        "ResponseReturned" => "what came back, masked, and how long it took",
        "StreamMessage" => "a message that was sent while a call ran",
        "CallBlocked" => "a call that a policy forbids; it was not forwarded",
        "CallDenied" => "a call that was refused, and why",
        "Cancelled" => "a call that was given up",
        "AuthenticationFailed" => "somebody without a good token",
        "ToolInventoryObserved" => "which tools a server has, with a digest of each definition",
        "PolicyActivated" => "the exact policies and detectors from here on",
        "RecorderStarted" => "a recorder began a chain of numbered events",
        "RecorderSeal" => "a recorder's signature under its chain and the log it saw",
        "RecorderStopped" => "a recorder ended its chain",
        "EvidenceAccessed" => "who read the evidence: asking is recorded, too",
        "LogMark" => "the ledger's own mark: recorders, keys, active policies",
        "KeyIntroduced" => "a key that counts from here on",
        _ => "",
    }
}

/// The answer with personal data as it stands in the record.
async fn example(page: &mut Page, auditor: &Auditor) -> Result<(), DemoError> {
    let answer = auditor
        .sql(
            "SELECT leaf_index, message, response_masks FROM events WHERE kind = 'ResponseReturned' \
             AND tool = 'query_customers' AND response_masks LIKE '%payment_card%' ORDER BY leaf_index LIMIT 1",
        )
        .await?;
    let (leaf, message, counts) = (answer.number(0, 0), answer.text(0, 1), answer.text(0, 2));
    if masks(&message).is_empty() {
        return Err(DemoError::Broken(format!("no masked answer stands in the record: {message}")));
    }
    page.text(&format!("The answer to call 2 as it is kept (leaf {leaf}, masks {counts}):"))?;
    page.gap()?;
    page.tinted(&message, Tone::Masked)?;
    page.gap()?;
    Ok(())
}

async fn residue(
    page: &mut Page,
    auditor: &Auditor,
    values: &[String],
    folders: &[&Path],
) -> Result<(), DemoError> {
    let residue = search(folders, values)?;
    // What is encrypted or compressed on disk is searched in the clear, as the auditor may read it. The values
    // themselves are not part of the question, which is recorded as well.
    let answer = auditor.sql("SELECT content FROM disclosures WHERE content IS NOT NULL").await?;
    let contents: Vec<String> = (0..answer.rows.len()).map(|row| answer.text(row, 0)).collect();
    let in_clear: usize =
        contents.iter().map(|content| matches(content.as_bytes(), values).count()).sum();
    let masked: usize = contents.iter().flat_map(|content| masks(content).into_values()).sum();
    page.text(&format!(
        "Searched for all {} card numbers, social security numbers, mail addresses and new keys of the shop:",
        values.len()
    ))?;
    page.gap()?;
    let row = |place: String, found: usize| {
        let tone = if found == 0 { Tone::Good } else { Tone::Bad };
        vec![Cell::new(format!("{found:>5}"), tone), place.into()]
    };
    let files =
        format!("in {} files of ledger and query node, {} bytes", residue.files, residue.bytes);
    let clear = format!(
        "in {} disclosures, decrypted; {masked} placeholders such as [masked:email] stand there instead",
        contents.len()
    );
    page.table(&["found", "where"], &[], &[row(files, residue.found.len()), row(clear, in_clear)])?;
    page.gap()?;
    if let Some((path, _)) = residue.found.first() {
        let message = format!("a value that must not be stored stands in {}", path.display());
        return Err(DemoError::Broken(message));
    }
    if in_clear > 0 || masked == 0 {
        let message =
            format!("{in_clear} values stand in disclosures, {masked} placeholders were found");
        return Err(DemoError::Broken(message));
    }
    Ok(())
}

fn siem(page: &mut Page, pulled: &Pulled) -> Result<(), DemoError> {
    let of_class =
        |class: u64| pulled.events.iter().filter(move |event| event["class_uid"] == class);
    let calls = of_class(6003).count();
    let stopped = of_class(6003).filter(|event| event["action_id"] == 2).count();
    if stopped == 0 {
        return Err(DemoError::Broken("the SIEM was told of no blocked call".to_owned()));
    }
    page.text(&format!(
        "A SIEM pulled the same log meanwhile: {} OCSF events, {calls} of them API Activity, {stopped} with action \
         Denied: of a refused call its request and its refusal.",
        pulled.events.len(),
    ))?;
    Ok(())
}
