//! What the clients saw.

use serde::Serialize;

use crate::client::Outcome;
use crate::error::DemoError;
use crate::page::{Cell, Page, Tone};
use crate::script::{Performed, Seen};
use crate::shop::Shop;

/// How the calls ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All.
    pub calls: usize,
    /// Answered, with or without masks.
    pub answered: usize,
    /// Answered with something masked.
    pub masked: usize,
    /// Forbidden by a policy.
    pub blocked: usize,
    /// Permitted by none.
    pub denied: usize,
    /// Not let in.
    pub refused: usize,
}

impl Counts {
    fn of(calls: &[Seen]) -> Self {
        let mut counts = Self { calls: calls.len(), ..Self::default() };
        for call in calls {
            match &call.outcome {
                Outcome::Answered { masks, .. } => {
                    counts.answered += 1;
                    counts.masked += usize::from(!masks.is_empty());
                }
                Outcome::Blocked { .. } => counts.blocked += 1,
                Outcome::Denied { .. } => counts.denied += 1,
                Outcome::Refused { .. } => counts.refused += 1,
                Outcome::Failed { .. } => {}
            }
        }
        counts
    }
}

/// Call by call.
///
/// # Errors
/// When the shop was changed by a call that was blocked, or the page cannot be written.
pub fn seen(page: &mut Page, performed: &Performed, shop: &Shop) -> Result<Counts, DemoError> {
    let Performed { calls, tools } = performed;
    let counts = Counts::of(calls);
    page.heading("1  What the clients saw")?;
    page.text(&format!(
        "alice (an engineer), bob (a contractor) and carol (the auditor) open MCP sessions through the gateway. The \
         shop's server has {} tools: {}.",
        tools.len(),
        tools.join(", "),
    ))?;
    page.gap()?;
    let rows: Vec<Vec<Cell>> = calls.iter().map(row).collect();
    page.table(
        &["#", "who", "tool", "arguments", "outcome", "what came back"],
        &[0, 0, 21, 27, 0],
        &rows,
    )?;
    page.gap()?;
    page.text(&format!(
        "{} calls: {} answered ({} of them with values masked), {} blocked by a policy, {} denied because no policy \
         permits it, {} refused at the door.",
        counts.calls, counts.answered, counts.masked, counts.blocked, counts.denied, counts.refused,
    ))?;
    let (customers, deployments) = (shop.customers(), shop.deployments());
    if customers != 6 || deployments.len() != 2 {
        let message = format!(
            "a blocked call reached the shop: {customers} customers of 6 are left, deployed was {deployments:?}"
        );
        return Err(DemoError::Broken(message));
    }
    page.text(&format!(
        "The shop itself agrees: its {customers} customers are all there, and what was deployed is {}.",
        deployments.join(" and "),
    ))?;
    Ok(counts)
}

fn row(call: &Seen) -> Vec<Cell> {
    let (word, tone, told) = match &call.outcome {
        Outcome::Answered { text, masks } if masks.is_empty() => {
            ("answered", Tone::Good, text.clone())
        }
        Outcome::Answered { text, .. } => ("masked", Tone::Masked, text.clone()),
        Outcome::Blocked { message } => ("BLOCKED", Tone::Bad, message.clone()),
        Outcome::Denied { message } => ("DENIED", Tone::Bad, message.clone()),
        Outcome::Refused { status, message } => {
            ("REFUSED", Tone::Bad, format!("{status}: {message}"))
        }
        Outcome::Failed { message } => ("failed", Tone::Bad, message.clone()),
    };
    vec![
        call.number.to_string().into(),
        call.who.into(),
        call.tool.into(),
        call.arguments.clone().into(),
        Cell::new(word, tone),
        told.into(),
    ]
}
