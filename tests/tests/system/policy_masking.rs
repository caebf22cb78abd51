//! What is decided, what is masked, and that nothing passes unrecorded.

mod beside;
mod hostile;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::system::{Shape, System};
use tests::upstream::raw_values;
use tests::wait::until;

use crate::guarded::Guarded;

/// A second card, so that a request's is told from a response's.
fn own_card() -> String {
    ["4929", "2528", "3716", "2103"].concat()
}

#[test]
fn policies_allow_block_and_deny_by_default() -> Result<()> {
    tests::run(async {
        let Some(guarded) = Guarded::start(Shape::Together).await? else { return Ok(()) };
        let mut erin = guarded.client("erin").await?;
        let mut carl = guarded.client("carl").await?;
        let before = guarded.upstream.count().await?;

        let dropped =
            erin.call("run_sql", &json!({"statement": "/* x */ dRoP\n DATABASE billing"})).await?;
        ensure!(dropped["error"]["code"] == -31451, "{dropped}");
        let told = dropped["error"]["message"].as_str().unwrap_or_default();
        ensure!(told.contains("Databases are not dropped through a tool."), "{told}");
        ensure!(dropped["error"]["data"]["policy_ids"] == json!(["no-drop-database"]), "{dropped}");

        let carded = erin.call("deploy", &json!({"service": own_card()})).await?;
        ensure!(carded["error"]["code"] == -31451, "{carded}");

        let denied = carl.call("deploy", &json!({"service": "billing"})).await?;
        ensure!(denied["error"]["code"] == -31403, "{denied}");
        let unlisted =
            carl.request("resources/read", &json!({"uri": "file:///etc/passwd"})).await?;
        ensure!(unlisted["error"]["code"] == -31403, "{unlisted}");
        let invented = carl.request("vendor/magic", &json!({})).await?;
        ensure!(invented["error"]["code"] == -31403, "{invented}");
        let after = guarded.upstream.count().await?;
        ensure!(before == after, "a refused call reached the server: {before} {after}");

        let allowed = erin.call("run_sql", &json!({"statement": "SELECT 1"})).await?;
        ensure!(allowed["result"]["content"][0]["text"] == "ran 8 characters", "{allowed}");

        let ada = guarded.reader("ada").await?;
        let recorded = "SELECT subject, tool, verdict, policy_ids, outcome, closings FROM exchanges \
                        WHERE method IS NULL OR method IN ('tools/call', 'resources/read') \
                        ORDER BY request_index";
        let expected = [
            json!(["erin", "run_sql", "block", "no-drop-database", "blocked", 1]),
            json!(["erin", "deploy", "block", "no-cards-to-deploy", "blocked", 1]),
            json!(["carl", "deploy", "deny", null, "denied", 1]),
            json!(["carl", null, "deny", null, "denied", 1]),
            json!(["carl", null, "deny", null, "denied", 1]),
            json!(["erin", "run_sql", "allow", "engineers-use-records", "result", 1]),
        ];
        guarded.system.rows(&ada, recorded, |rows| rows == expected).await?;
        Ok(())
    })
}

#[test]
fn no_secret_is_stored_anywhere_and_the_caller_gets_the_masked_answer() -> Result<()> {
    tests::run(async {
        let Some(mut guarded) = Guarded::start(Shape::Together).await? else { return Ok(()) };
        let mut erin = guarded.client("erin").await?;

        // A request is forwarded as it came: the server's digest is that of the raw note.
        let note = format!("please charge {}", own_card());
        let digested = erin.call("digest", &json!({"note": note})).await?;
        ensure!(digested["result"]["content"][0]["text"] == sha256(&note), "{digested}");

        let found = erin.call("find_customer", &json!({"query": "grace"})).await?.to_string();
        let rotated = erin.call("rotate_key", &json!({"service": "billing"})).await?.to_string();
        ensure!(
            found.contains("Grace") && rotated.contains("New key of billing"),
            "{found}\n{rotated}"
        );
        for (what, raw) in raw_values() {
            ensure!(
                !found.contains(&raw) && !rotated.contains(&raw),
                "the caller got the raw {what}"
            );
        }
        for mask in ["email", "us_ssn", "payment_card"] {
            ensure!(found.contains(&format!("[masked:{mask}]")), "{mask}: {found}");
        }
        for mask in ["api_key", "private_key"] {
            ensure!(rotated.contains(&format!("[masked:{mask}]")), "{mask}: {rotated}");
        }

        let ada = guarded.reader("ada").await?;
        let recorded = "SELECT tool, request_masks, response_masks, arguments FROM exchanges \
                        WHERE method = 'tools/call' ORDER BY request_index";
        let rows = guarded.system.rows(&ada, recorded, |rows| rows.len() == 3).await?;
        ensure!(rows[0][0] == "digest" && rows[0][1] == "payment_card=1", "{rows:?}");
        ensure!(
            rows[0][3].as_str().is_some_and(|text| text.contains("[masked:payment_card]")),
            "{rows:?}"
        );
        let counted = rows[1][2].as_str().unwrap_or_default();
        // Each stands in the text and in the structured content.
        ensure!(counted == "email=2,payment_card=2,us_ssn=2", "{rows:?}");
        // Every role sees the same masked bytes: there are no others.
        let everything =
            guarded.system.sql(&ada, "SELECT message, arguments, query_text FROM events").await?;
        let process = guarded.system.part("up")?;
        let logs = format!("{}{}", process.stdout(), process.stderr());
        // With what the store writes at its end.
        guarded.system.stop("up").await?;
        let mut raw = raw_values();
        raw.push(("card of the request", own_card()));
        for (what, raw) in &raw {
            ensure!(!everything.to_string().contains(raw), "SQL shows the raw {what}");
            ensure!(!logs.contains(raw), "the log shows the raw {what}");
            let place = holding(guarded.system.dir(), raw.as_bytes())?;
            ensure!(place.is_none(), "the raw {what} stands in {place:?}");
        }
        let told = format!("{found}{rotated}");
        ensure!(
            !told.is_empty() && stored_in_the_clear(&guarded.system)?,
            "the search finds what is there"
        );
        Ok(())
    })
}

#[test]
fn nothing_passes_while_the_ledger_is_away() -> Result<()> {
    tests::run(async {
        let Some(mut guarded) = Guarded::start(Shape::Apart).await? else { return Ok(()) };
        let mut erin = guarded.client("erin").await?;
        let first = erin.call("deploy", &json!({"service": "one"})).await?;
        ensure!(first["result"].is_object(), "{first}");
        let before = guarded.upstream.count().await?;

        guarded.system.kill("ledger")?;
        for service in ["two", "three"] {
            let message = erin.call_text("deploy", &json!({"service": service}));
            let refused = erin.post(message).await?;
            let told = refused.message()?;
            ensure!(refused.status == 503 && told["error"]["code"] == -31503, "{refused:?}");
            ensure!(!refused.header("retry-after").is_empty(), "{refused:?}");
        }
        let after = guarded.upstream.count().await?;
        ensure!(before == after, "unrecorded calls were forwarded: {before} {after}");
        let ready = reqwest::get(format!("{}/readyz", guarded.system.gateway())).await?;
        ensure!(ready.status() == 503, "the gateway says that it is ready: {}", ready.status());
        // The evidence cannot be asked either: the access could not be recorded.
        let ada = guarded.reader("ada").await?;
        let answer = guarded.system.ask_sql(&ada, "SELECT 1", "application/json").await?;
        ensure!(answer.status() == 503, "{}", answer.status());

        guarded.system.start_part("ledger").await?;
        guarded.system.ready("gateway").await?;
        let message = erin.call_text("deploy", &json!({"service": "four"}));
        let again = until("calls pass again", Duration::from_secs(20), || {
            let post = erin.post(message.clone());
            async move {
                let told = post.await?.message()?;
                ensure!(told["result"].is_object(), "{told}");
                Ok(Some(told))
            }
        });
        again.await?;
        // What was refused was not forwarded, and each exchange that is there has one end.
        let open = "SELECT count(*) FROM exchanges WHERE method = 'tools/call' AND is_open";
        guarded.system.rows(&ada, open, |rows| rows == [json!([0])]).await?;
        let passed = "SELECT count(*) FROM exchanges WHERE tool = 'deploy' AND outcome = 'result'";
        let forwarded = guarded.upstream.count().await?["methods"]["tools/call"].clone();
        guarded.system.rows(&ada, passed, |rows| rows[0][0] == forwarded).await?;
        Ok(())
    })
}

/// The first file below `folder` in which the bytes stand, as they are, in hex, in base64, or compressed.
pub(crate) fn holding(folder: &Path, needle: &[u8]) -> Result<Option<String>> {
    let forms = forms(needle);
    for path in files(folder)? {
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let mut texts = vec![bytes];
        if path.extension().is_some_and(|extension| extension == "parquet") {
            texts.push(uncompressed(&path)?);
        }
        if texts.iter().any(|text| forms.iter().any(|form| contains(text, form))) {
            return Ok(Some(path.display().to_string()));
        }
    }
    Ok(None)
}

/// The bytes themselves, and as hex and base64 would write them wherever they begin.
fn forms(needle: &[u8]) -> Vec<Vec<u8>> {
    use base64::Engine;
    let mut forms = vec![needle.to_vec(), hex::encode(needle).into_bytes()];
    for shift in 0..3 {
        let shifted = [vec![0; shift], needle.to_vec()].concat();
        let text = base64::engine::general_purpose::STANDARD_NO_PAD.encode(shifted);
        // The first and last characters also hold bits of the neighbours.
        forms.push(text[shift + 1..text.len() - 1].into());
    }
    forms
}

/// Every column of a Parquet file, as text.
fn uncompressed(path: &Path) -> Result<Vec<u8>> {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path)?)?.build()?;
    let mut all = Vec::new();
    for batch in reader {
        for column in batch?.columns() {
            for buffer in column.to_data().buffers() {
                all.extend_from_slice(buffer.as_slice());
            }
        }
    }
    Ok(all)
}

/// The same search finds what is known to be stored, in the ledger and in the query node's copy.
fn stored_in_the_clear(system: &System) -> Result<bool> {
    let known = b"engineers-use-records";
    Ok(holding(&system.path("ledger"), known)?.is_some()
        && holding(&system.path("query"), known)?.is_some())
}

fn files(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { files.extend(self::files(&path)?) } else { files.push(path) }
    }
    Ok(files)
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

fn sha256(text: &str) -> Value {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(text)).into()
}
