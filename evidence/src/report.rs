//! The report: one page that can be read, printed and filed without a network.

mod excerpt;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use verifier::{DisclosureRow, Material, Status};

use crate::criteria::{Criterion, Mapping};
use crate::derive::{Count, Coverage, Lists};
use crate::words::{counted, period};

/// What the page is about.
pub(crate) struct Facts<'a> {
    pub(crate) material: &'a Material,
    pub(crate) mapping: &'a Mapping,
    pub(crate) lists: &'a Lists,
    pub(crate) coverage: &'a Coverage,
    pub(crate) accesses: usize,
    /// Paths of the package's CSV files, below `data/`.
    pub(crate) tables: Vec<String>,
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
                    p { "The period " (period(parameters)) ". For the role " (parameters.role) "." }
                    @if parameters.open {
                        p.warning { "OPEN PERIOD: the log had no leaf at or after the end of the period yet. More may follow." }
                    }
                }
                (scope(facts))
                (summary(facts))
                (completeness(facts))
                h2 { "Criteria" }
                p {
                    "Control mapping " (facts.mapping.name) " " (facts.mapping.version)
                    ", SHA-256 " code { (facts.mapping.sha256) } ": " (link("ipe/mapping.yaml")) ". Statements are Exhibit's own words."
                }
                @for id in &parameters.criteria {
                    @if let Ok(criterion) = facts.mapping.criterion(id) { (section(facts, criterion)) }
                }
                (custom(facts))
                (limits())
                footer {
                    p { "Made by Exhibit " (parameters.exhibit_version) " from the leaves of this package alone. \
                         The page has no date of its own: from the same checkpoint the same request gives the same bytes." }
                }
            }
        }
    };
    page.into_string() + "\n"
}

fn scope(facts: &Facts<'_>) -> Markup {
    let coverage = facts.coverage;
    let names = |names: &[String]| {
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    html! {
        h2 { "Scope" }
        table.facts { tbody {
            tr { th { "MCP servers and doors" } td { (names(&coverage.servers)) " (those that leaves of the period name)" } }
            tr { th { "Recorders" } td { (names(&coverage.recorders)) } }
            tr { th { "Signed by" } td { code { (facts.material.parameters.signer) } } }
            tr { th { "Exported by" } td {
                "recorded in the log after the checkpoint of this package, as EvidenceAccessed with the SHA-256 of its \
                 tagmanifest-sha256.txt: ask for that leaf, or look for it in custody/ of a later package"
            } }
        } }
    }
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
                            @if population.rows == 0 {
                                td { (criterion.population.what) }
                                td colspan="2" { "not evidenced" }
                            } @else {
                                td { (criterion.population.what) }
                                td.number { (number(exceptions)) }
                                td.number { (number(population)) }
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
    let coverage = facts.coverage;
    let count = |rows: &[DisclosureRow], status: Status| {
        rows.iter().filter(|row| row.status == status).count()
    };
    let within = |status| count(&material.disclosures, status);
    let in_all = |status| within(status) + count(&material.context_disclosures, status);
    html! {
        h2 { "Completeness" }
        p {
            "The package holds the leaves " (range.start) " to " (range.end.saturating_sub(1)) " of the log, "
            (material.leaves.len()) " in all: "
            (counted(coverage.period_leaves, "leaf", "leaves")) " of the period and "
            (counted(coverage.boundary_leaves, "boundary leaf", "boundary leaves"))
            " that show its bounds (" (link("coverage/period.csv")) "). The range proof shows that they are exactly the leaves at these places: \
             none is missing, none was added or changed. Times rise with the place"
            @if parameters.open {
                ", and the range reaches the end of the log as of the checkpoint."
            } @else {
                ", and the range holds a leaf from after the period, and one from before it or the log's first: nothing \
                 of the period lies outside."
            }
        }
        table.facts {
            tbody {
                tr { th { "Log" } td { code { (parameters.origin) } } }
                tr { th { "Checkpoint" } td { (parameters.checkpoint.size) " leaves, root " code { (parameters.checkpoint.root) } } }
                tr { th { "Recorders" } td {
                    (coverage.recorders.len()) " in the range, " (coverage.recorders_with_context) " with context ("
                    (link("coverage/recorders.csv")) ", " (link("coverage/gaps.csv")) ")"
                } }
                tr { th { "Seals" } td {
                    (coverage.seals) " in the range, " (coverage.seals + coverage.context_seals) " with context; what comes after the last \
                     seal shown of a recorder carries no signature of it; longest silence of a running recorder in the range "
                    (counted(coverage.longest_silence_seconds, "second", "seconds"))
                } }
                tr { th { "Disclosures" } td {
                    "in the range " (within(Status::Disclosed)) " disclosed, " (within(Status::Withheld))
                    " withheld from this role, " (within(Status::Erased)) " erased; with context "
                    (in_all(Status::Disclosed)) " disclosed, " (in_all(Status::Withheld)) " withheld, "
                    (in_all(Status::Erased)) " erased"
                } }
                tr { th { "Custody" } td {
                    (counted(facts.accesses, "access", "accesses")) " to the evidence that the exporter included ("
                    (link("custody/log.ndjson")) "): all that the range holds, and later ones up to the checkpoint, of which \
                     the package does not show that they are all"
                    @if parameters.custody_omitted > 0 {
                        "; the exporter says that it left out " (parameters.custody_omitted) " for their number or size"
                    }
                } }
            }
        }
        h3 { "The checkpoint, as signed" }
        pre { (material.proof.checkpoint) }
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
            @if population.rows == 0 {
                p.result { "Not evidenced: the period has no " (criterion.population.what) "." }
            } @else {
                p.result {
                    (counted(exceptions.rows, "exception", "exceptions")) " of " (population.rows) " ("
                    (criterion.population.what) ")"
                }
                @if population.attempts != population.rows || exceptions.attempts != exceptions.rows {
                    p { "Rows can stand for several attempts, as their column attempts says: the exceptions stand for "
                        (exceptions.attempts) " of " (population.attempts) "." }
                }
                p { "Counted as an exception: " (criterion.exceptions.condition) "." }
            }
            @if let Some(table) = table.filter(|table| !table.rows.is_empty()) { (excerpt::table(criterion, table)) }
            p.small {
                "Lists: " (lists(facts, &criterion.id)) ". Queries: " (link("ipe/queries.sql")) ". "
                (sample(criterion.sample_size, population.rows))
            }
            ul.small { @for line in &criterion.completeness { li { (line) } } }
            p.small { "Also asked for by: " (criterion.also.join("; ")) "." }
        }
    }
}

/// Links to the files of a criterion's lists.
fn lists(facts: &Facts<'_>, folder: &str) -> Markup {
    let folder = format!("criteria/{folder}/");
    let files = facts.tables.iter().filter(|path| path.starts_with(&folder));
    html! { @for (at, path) in files.enumerate() { @if at > 0 { ", " } (link(path)) } }
}

/// A file of the package, beside this page. Names are of an alphabet that needs no encoding.
fn link(path: &str) -> Markup {
    html! { a href=(path) { (path) } }
}

fn sample(size: usize, population: u64) -> String {
    match population {
        0 => "There is nothing to draw a sample from.".to_owned(),
        _ if population <= size as u64 => format!(
            "Usual sample: {}; the population has {population}, so all of them.",
            counted(size, "row", "rows")
        ),
        _ => format!("Usual sample: {}.", counted(size, "row", "rows")),
    }
}

fn custom(facts: &Facts<'_>) -> Markup {
    html! {
        @for list in facts.lists.0.iter().filter(|list| list.custom) {
            section {
                h3 { "CUSTOM " (list.folder) }
                p {
                    "A query of the requester, not of the control mapping: "
                    (counted(list.table.rows.len(), "row", "rows")) ". List: " (lists(facts, &list.folder)) "."
                }
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
            li { "That the leaves from after the range (accesses, erasures, holds) are all of their kind: the exporter chose them." }
            li { "That a control is adequate. Exceptions are facts to be judged, not findings." }
        }
        p { "This page is an answer, not a proof. Verify the package: data/README.md says how, in five commands." }
    }
}

/// Exceptions and population of a criterion.
fn counts(facts: &Facts<'_>, id: &str) -> (Count, Count) {
    (facts.lists.count(id, "exceptions"), facts.lists.count(id, "population"))
}

/// Rows, and the attempts that they stand for when these are more.
fn number(count: Count) -> String {
    match count {
        Count { rows, attempts } if rows == attempts => rows.to_string(),
        Count { rows, attempts } => {
            format!("{rows} ({})", counted(attempts, "attempt", "attempts"))
        }
    }
}

const STYLE: &str = "
:root { color-scheme: light; --ink: #1c2430; --line: #c9d1db; --soft: #f3f5f8; --mark: #8a4b00; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff; max-width: 62rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; margin: 0 0 .5rem; overflow-wrap: anywhere; } h2 { margin-top: 2.2rem; border-bottom: 2px solid var(--ink); }
.kicker { text-transform: uppercase; letter-spacing: .08em; font-size: .8rem; margin: 0; }
.warning { border-left: .4rem solid var(--mark); padding: .4rem .8rem; background: #fff6e8; }
.result { font-weight: 600; } .small { font-size: .85rem; } a { color: inherit; }
table { border-collapse: collapse; width: 100%; margin: .8rem 0; }
th, td { border: 1px solid var(--line); padding: .3rem .5rem; text-align: left; vertical-align: top; overflow-wrap: break-word; }
thead th { background: var(--soft); } .number { text-align: right; white-space: nowrap; } .facts th { width: 11rem; }
.scroll { overflow-x: auto; font-size: .8rem; } .scroll th, .scroll td { white-space: nowrap; }
pre { background: var(--soft); padding: .6rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
code { overflow-wrap: anywhere; } section { break-inside: avoid-page; }
@media print {
  body { margin: 0; max-width: none; font-size: 11pt; } section { break-inside: auto; } tr { break-inside: avoid; }
  .scroll { overflow: visible; font-size: 6.5pt; } .scroll th, .scroll td { white-space: normal; padding: .1rem .2rem; }
}
";
