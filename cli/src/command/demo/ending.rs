//! How the demo begins and ends: what runs where, where the files are, what to try next.

use std::io;
use std::path::Path;
use std::time::Duration;

use demo::{Cell, Page, Tone};

use super::Told;
use super::setting::Setting;

/// What runs, before anything happens.
pub(super) fn opening(page: &mut Page, setting: &Setting) -> io::Result<()> {
    let addresses = &setting.addresses;
    page.heading("Exhibit: evidence for MCP, from the call to the package")?;
    let row = |name: &str, url: &str, what: &str| -> Vec<Cell> {
        vec![name.into(), url.into(), Cell::new(what, Tone::Faint)]
    };
    page.table(
        &["running", "where", "what it does"],
        &[],
        &[
            row("gateway", &addresses.gateway, "decides, masks and records every MCP message"),
            row("ledger", &addresses.ledger, "keeps the record in a Merkle tree and signs it"),
            row("query", &addresses.query, "verifies the log; answers SQL and SIEM pulls; exports"),
            row("issuer", &addresses.issuer, "the demo's OIDC issuer (outside Exhibit)"),
            row("shop", &addresses.shop, "the MCP server that is guarded (outside Exhibit)"),
        ],
    )?;
    page.gap()?;
    page.line(&format!("files    {}", setting.dir.display()))?;
    page.flush()
}

/// Where the files are, and commands that work as they stand.
pub(super) fn end(
    page: &mut Page,
    setting: &Setting,
    told: &Told,
    keep_running: bool,
    elapsed: Duration,
) -> io::Result<()> {
    let dir = &setting.dir;
    page.heading("Where the files are")?;
    let row = |name: &str, what: &str| {
        vec![Cell::from(dir.join(name).display().to_string()), what.into()]
    };
    let files = [
        row("package/data/report.html", "the report, for a browser"),
        row("package", "the package"),
        row("tampered", "its copy with one byte changed"),
        row("trust.txt", "whose signatures count"),
        row("policies", "the Cedar policies"),
        row("exhibit.toml", "the configuration of all three components"),
        row("tokens", "bearer tokens of the people"),
    ];
    page.table(&["", ""], &[], &files)?;
    page.heading("What to try next")?;
    for (what, command) in commands(setting, told, keep_running) {
        page.tinted(&what, Tone::Faint)?;
        page.line(&command)?;
        page.gap()?;
    }
    page.text(&format!("That took {:.1} s.", elapsed.as_secs_f64()))?;
    if keep_running {
        page.text("Everything stays up until Ctrl-C.")?;
    }
    page.flush()
}

fn commands(setting: &Setting, told: &Told, keep_running: bool) -> Vec<(String, String)> {
    let exhibit = program();
    let path = |path: &Path| quoted(&path.display().to_string());
    let (package, trust) = (path(&setting.package()), path(&setting.trust));
    let sample = path(&setting.dir.join("sample"));
    let mut commands = vec![
        (
            "Verify the package again, offline:".to_owned(),
            format!("{exhibit} verify {package} --trust {trust}"),
        ),
        (
            "Draw the auditor's sample from it:".to_owned(),
            format!(
                "{exhibit} sample {package} --criterion CC6.1 --nonce 4711 --size 5 --out {sample}"
            ),
        ),
        (
            "Check it with a stock tool only:".to_owned(),
            format!(
                "(cd {package} && sha256sum --quiet -c manifest-sha256.txt tagmanifest-sha256.txt && echo good)"
            ),
        ),
    ];
    if keep_running {
        let query = &setting.addresses.query;
        let token = |person: &str| {
            format!("--query {query} --token-file {}", path(&setting.token_file(person)))
        };
        let sql = "SELECT started_at, subject, tool, verdict, outcome FROM exchanges WHERE method = 'tools/call' \
                   ORDER BY request_index";
        commands.extend([
            (
                "Ask your own question, as carol:".to_owned(),
                format!("{exhibit} sql \"{sql}\" {}", token("carol")),
            ),
            (
                "Fetch and check the proof of one event:".to_owned(),
                format!("{exhibit} proof {} --log {} {}", told.leaf, setting.log, token("carol")),
            ),
            (
                "Have what bob said and got erased: asked for by compliance, approved by abel:".to_owned(),
                format!(
                    "{exhibit} erase --subject bob --reason 'a request' --ledger {} --token-file {} --approved-by {}",
                    setting.addresses.ledger,
                    path(&setting.token_file("compliance")),
                    path(&setting.token_file("abel"))
                ),
            ),
            ("Watch events as they come:".to_owned(), format!("{exhibit} tail {}", token("siem"))),
            (
                "Call the shop yourself: any MCP client that sends this header to this URL:"
                    .to_owned(),
                format!(
                    "{}   Authorization: Bearer $(cat {})",
                    setting.mcp_url(),
                    path(&setting.token_file("alice"))
                ),
            ),
        ]);
    } else {
        let recorders = setting.recorders.iter().map(|vkey| format!(" --recorder {vkey}"));
        commands.extend([
            (
                "Check every byte that the stopped ledger stored:".to_owned(),
                format!(
                    "{exhibit} fsck {} --log {}{}",
                    path(&setting.ledger_data()),
                    setting.log,
                    recorders.collect::<String>()
                ),
            ),
            (
                "Keep everything up, to ask SQL and to call the tools yourself:".to_owned(),
                format!("{exhibit} demo --keep-running"),
            ),
        ]);
    }
    commands
}

/// How this program is called here: by its name when PATH leads to it, else by its path.
fn program() -> String {
    let Ok(own) = std::env::current_exe() else { return "exhibit".to_owned() };
    let own = own.canonicalize().unwrap_or(own);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_found = std::env::split_paths(&path)
        .find_map(|folder| folder.join("exhibit").canonicalize().ok())
        .is_some_and(|found| found == own);
    if is_found { "exhibit".to_owned() } else { quoted(&own.display().to_string()) }
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:=@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn odd_paths_are_quoted() {
        assert_eq!(quoted("/tmp/exhibit-demo-1/package"), "/tmp/exhibit-demo-1/package");
        assert_eq!(quoted("/tmp/it's here"), r"'/tmp/it'\''s here'");
        assert_eq!(quoted("$HOME"), "'$HOME'");
    }
}
