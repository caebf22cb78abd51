//! A question in SQL, and the checkpoint that the answer stands under.

use serde_json::Value;

use crate::auditor::{Auditor, shown};
use crate::error::DemoError;
use crate::page::{Cell, Page, Tone};

const QUESTION: &str = "\
SELECT coalesce(subject, '-') AS who, coalesce(groups, '-') AS groups, tool, verdict, policy_ids AS policies, count(*) AS calls
FROM exchanges
WHERE verdict IN ('block', 'deny') AND method = 'tools/call'
GROUP BY 1, 2, 3, 4, 5
ORDER BY who, tool, policies";

/// Who was stopped, at what, by which policy.
///
/// # Errors
/// When the door does not answer, or answers that nobody was.
pub async fn asked(page: &mut Page, auditor: &Auditor) -> Result<(), DemoError> {
    let answer = auditor.sql(QUESTION).await?;
    page.heading("3  What the auditor asks, in SQL")?;
    for line in QUESTION.lines() {
        page.tinted(line, Tone::Faint)?;
    }
    page.gap()?;
    let headers: Vec<&str> = answer.columns.iter().map(String::as_str).collect();
    let cells = |row: &Vec<Value>| row.iter().map(|value| Cell::from(shown(value))).collect();
    let rows: Vec<Vec<Cell>> = answer.rows.iter().map(cells).collect();
    if rows.is_empty() {
        return Err(DemoError::Broken("the log knows of no blocked call".to_owned()));
    }
    page.table(&headers, &[], &rows)?;
    page.gap()?;
    page.text(&format!(
        "The answer is that of the log's first {} entries, all of which the query node hashed itself. The log's \
         signature under them:",
        answer.tree_size
    ))?;
    page.gap()?;
    for line in answer.checkpoint.lines() {
        page.line(line)?;
    }
    Ok(())
}
