//! The report: one page that can be read, printed and filed without a network.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use query::Table;
use verifier::layout::csv;
use verifier::{Material, Status};

use crate::criteria::{Criterion, Mapping};
use crate::derive::Lists;

/// Exceptions that are shown in the page; all are in the CSV.
const SHOWN_EXCEPTIONS: usize = 20;

/// What the page is about.
pub(crate) struct Facts<'a> {
    pub(crate) material: &'a Material,
    pub(crate) mapping: &'a Mapping,
    pub(crate) lists: &'a Lists,
    pub(crate) recorders: usize,
    pub(crate) accesses: usize,
}

/// `report.html`. Everything from outside is escaped by construction.
pub(crate) fn html(facts: &Facts<'_>) -> String {
    let parameters = &facts.material.parameters;
    let title = format!("Evidence of {}", parameters.origin);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.kicker { "Exhibit evidence package" }
                    h1 { (title) }
                    p { (parameters.from) " (inside) to " (parameters.to) " (outside), for the role " (parameters.role) "." }
                    @if parameters.open {
                        p.warning { "OPEN PERIOD: the log had no leaf at or after the end of the period yet. More may follow." }
                    }
                }
                (summary(facts))
                (completeness(facts))
                h2 { "Criteria" }
                p {
                    "Control mapping " (facts.mapping.name) " " (facts.mapping.version)
                    ", SHA-256 " code { (facts.mapping.sha256) } ". Statements are Exhibit's own words."
                }
                @for id in &parameters.criteria {
                    @if let Ok(criterion) = facts.mapping.criterion(id) { (section(facts, criterion)) }
                }
                (custom(facts))
                (limits())
                footer {
                    p { "Made by Exhibit " (parameters.exhibit_version) " from the leaves of this package alone. \
                         The page has no date of its own: the package is the same whenever it is made." }
                }
            }
        }
    };
    page.into_string() + "\n"
}

fn summary(facts: &Facts<'_>) -> Markup {
    html! {
        h2 { "Summary" }
        table {
            thead { tr { th { "Criterion" } th { "What" } th.number { "Exceptions" } th.number { "of" } } }
            tbody {
                @for id in &facts.material.parameters.criteria {
                    @if let Ok(criterion) = facts.mapping.criterion(id) {
                        @let (exceptions, population) = counts(facts, id);
                        tr {
                            td { (criterion.id) " " (criterion.title) }
                            @if population == 0 {
                                td { (criterion.population.what) }
                                td colspan="2" { "not evidenced" }
                            } @else {
                                td { (criterion.population.what) }
                                td.number { (exceptions) }
                                td.number { (population) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn completeness(facts: &Facts<'_>) -> Markup {
    let material = facts.material;
    let parameters = &material.parameters;
    let range = parameters.range;
    let count =
        |status: Status| material.disclosures.iter().filter(|row| row.status == status).count();
    html! {
        h2 { "Completeness" }
        p {
            "The package holds the leaves " (range.start) " to " (range.end.saturating_sub(1)) " of the log, "
            (material.leaves.len()) " in all. The range proof shows that they are exactly the leaves at these places: \
             none is missing, none was added or changed. Times rise with the place"
            @if parameters.open {
                ", and the range reaches the end of the log as of the checkpoint."
            } @else {
                ", and the range holds a leaf from after the period, and one from before it or the log's first: nothing \
                 of the period lies outside."
            }
        }
        table {
            tbody {
                tr { th { "Log" } td { code { (parameters.origin) } } }
                tr { th { "Checkpoint" } td { (parameters.checkpoint.size) " leaves, root " code { (parameters.checkpoint.root) } } }
                tr { th { "Recorders" } td { (facts.recorders) " (coverage/recorders.csv, coverage/gaps.csv)" } }
                tr { th { "Disclosures" } td {
                    (count(Status::Disclosed)) " disclosed, " (count(Status::Withheld)) " withheld from this role, "
                    (count(Status::Erased)) " erased"
                } }
                tr { th { "Custody" } td {
                    (facts.accesses) " accesses to the evidence up to the checkpoint (custody/log.ndjson)"
                    @if parameters.custody_omitted > 0 { "; " (parameters.custody_omitted) " more are left out for their number" }
                } }
            }
        }
        details {
            summary { "The checkpoint, as signed" }
            pre { (material.proof.checkpoint) }
        }
    }
}

fn section(facts: &Facts<'_>, criterion: &Criterion) -> Markup {
    let (exceptions, population) = counts(facts, &criterion.id);
    let table = facts
        .lists
        .0
        .iter()
        .find(|list| list.folder == criterion.id && list.name == "exceptions")
        .map(|list| &list.table);
    html! {
        section {
            h3 { (criterion.id) " " (criterion.title) }
            p { (criterion.statement) }
            @if population == 0 {
                p.result { "Not evidenced: the period has no " (criterion.population.what) "." }
            } @else {
                p.result { (exceptions) " exceptions of " (population) " (" (criterion.population.what) ")" }
                p { "Counted as an exception: " (criterion.exceptions.condition) "." }
            }
            @if let Some(table) = table.filter(|table| !table.rows.is_empty()) { (excerpt(criterion, table)) }
            p.small {
                "Lists: criteria/" (criterion.id) "/. Queries: ipe/queries.sql. Usual sample: "
                (criterion.sample_size) " rows."
            }
            ul.small { @for line in &criterion.completeness { li { (line) } } }
            p.small { "Also asked for by: " (criterion.also.join("; ")) "." }
        }
    }
}

fn excerpt(criterion: &Criterion, table: &Table) -> Markup {
    // Columns that are empty in every row shown tell nothing.
    let shown = table.rows.len().min(SHOWN_EXCEPTIONS);
    let filled: Vec<usize> = (0..table.columns.len())
        .filter(|&column| {
            table.rows.iter().take(shown).any(|row| row.get(column).is_some_and(Option::is_some))
        })
        .collect();
    html! {
        div.scroll { table {
            thead { tr { @for &column in &filled { th { (table.columns[column]) } } } }
            tbody {
                @for row in table.rows.iter().take(shown) {
                    tr { @for &column in &filled {
                        td { (csv::cell(row.get(column).and_then(|cell| cell.as_deref()).unwrap_or_default())) }
                    } }
                }
            }
        } }
        @if table.rows.len() > shown {
            p.small { "The first " (shown) " of " (table.rows.len()) "; all are in criteria/" (criterion.id) "/." }
        }
    }
}

fn custom(facts: &Facts<'_>) -> Markup {
    html! {
        @for list in facts.lists.0.iter().filter(|list| list.custom) {
            section {
                h3 { "CUSTOM " (list.folder) }
                p { "A query of the requester, not of the control mapping: " (list.table.rows.len()) " rows." }
                pre { (list.sql) }
            }
        }
    }
}

fn limits() -> Markup {
    html! {
        h2 { "What this does not prove" }
        ul {
            li { "That nobody walked around the gateway: reconcile counts with the servers and the identity provider." }
            li { "That a compromised gateway told the truth about what it saw." }
            li { "The time beyond the log operator's clock, unless the verifier finds witnessed checkpoints around the period." }
            li { "That a control is adequate. Exceptions are facts to be judged, not findings." }
        }
        p { "This page is an answer, not a proof. Verify the package: data/README.md says how, in five commands." }
    }
}

/// Exceptions and population of a criterion.
fn counts(facts: &Facts<'_>, id: &str) -> (usize, usize) {
    let count = |name| facts.lists.count(id, name).unwrap_or(0);
    (count("exceptions"), count("population"))
}

const STYLE: &str = "
:root { color-scheme: light; --ink: #1c2430; --line: #c9d1db; --soft: #f3f5f8; --mark: #8a4b00; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff; max-width: 62rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; margin: 0 0 .5rem; overflow-wrap: anywhere; } h2 { margin-top: 2.2rem; border-bottom: 2px solid var(--ink); }
.kicker { text-transform: uppercase; letter-spacing: .08em; font-size: .8rem; margin: 0; }
.warning { border-left: .4rem solid var(--mark); padding: .4rem .8rem; background: #fff6e8; }
.result { font-weight: 600; } .small { font-size: .85rem; }
table { border-collapse: collapse; width: 100%; margin: .8rem 0; }
th, td { border: 1px solid var(--line); padding: .3rem .5rem; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
thead th { background: var(--soft); } .number { text-align: right; white-space: nowrap; }
.scroll { overflow-x: auto; font-size: .8rem; } pre { background: var(--soft); padding: .6rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
code { overflow-wrap: anywhere; } section { break-inside: avoid-page; }
@media print { body { margin: 0; max-width: none; font-size: 11pt; } .scroll { overflow: visible; font-size: 7pt; } details { display: none; } }
";
