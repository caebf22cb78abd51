//! Asking in SQL: answers in every form, refusals with a code, roles, and that every question is itself recorded.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arrow::array::{Array, AsArray};
use arrow::datatypes::UInt64Type;
use serde_json::{Value, json};
use tests::system::Shape;
use tlog::{TlogProof, VerifyingKey};

use crate::guarded::Guarded;

#[test]
fn what_would_write_or_run_away_is_refused_with_a_code() -> Result<()> {
    tests::run(async {
        let Some(guarded) = Guarded::start(Shape::Together).await? else { return Ok(()) };
        let system = &guarded.system;
        let ada = guarded.reader("ada").await?;
        let outside = system.path("copied.csv");
        let copy = format!("COPY (SELECT 1) TO '{}'", outside.display());
        let external = format!(
            "CREATE EXTERNAL TABLE secrets STORED AS CSV LOCATION '{}'",
            system.path("keys").display()
        );
        let file = format!("SELECT * FROM '{}'", system.path("exhibit.toml").display());
        let grown = format!(
            "SELECT length(replace(md5(CAST(value AS TEXT)), '', '{}')) FROM range(9000)",
            "x".repeat(60_000)
        );
        let refused = [
            ("DELETE FROM events", 400, "sql_not_read_only"),
            ("INSERT INTO events VALUES (1)", 400, "sql_not_read_only"),
            ("UPDATE events SET tool = 'x'", 400, "sql_not_read_only"),
            ("DROP TABLE events", 400, "sql_not_read_only"),
            ("CREATE TABLE copy AS SELECT * FROM events", 400, "sql_not_read_only"),
            ("SET datafusion.execution.batch_size = 1", 400, "sql_not_read_only"),
            (copy.as_str(), 400, "sql_not_read_only"),
            (external.as_str(), 400, "sql_not_read_only"),
            ("SELECT 1; SELECT 2", 400, "sql_more_than_one_statement"),
            ("SELECT 1; DROP TABLE events", 400, "sql_more_than_one_statement"),
            ("SELEC 1", 400, "sql_syntax"),
            ("SELECT no_such_column FROM events", 400, "sql_invalid"),
            (file.as_str(), 400, "sql_invalid"),
            ("SELECT * FROM range(10000)", 422, "sql_too_many_rows"),
            (grown.as_str(), 422, "sql_out_of_memory"),
        ];
        for (statement, status, code) in refused {
            let answer = system.ask_sql(&ada, statement, "application/json").await?;
            let (found, body): (_, Value) = (answer.status(), answer.json().await?);
            ensure!(found == status && body["code"] == code, "{statement}: {found} {body}");
            ensure!(body["message"].as_str().is_some_and(|text| text.len() > 10), "{body}");
        }
        ensure!(!outside.exists(), "COPY wrote a file");

        let began = Instant::now();
        let runaway = "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000000) c \
                       WHERE a.value + b.value + c.value = 7";
        let answer = system.ask_sql(&ada, runaway, "application/json").await?;
        let (status, body): (_, Value) = (answer.status(), answer.json().await?);
        ensure!(status == 422, "a runaway join: {status} {body}");
        let code = body["code"].as_str().unwrap_or_default();
        ensure!(matches!(code, "sql_timeout" | "sql_out_of_memory"), "{body}");
        ensure!(began.elapsed() < Duration::from_secs(15), "it ran for {:?}", began.elapsed());
        // A stream that has begun is cut without the mark of its end.
        let endless = "SELECT a.value FROM range(1000000) a, range(1000000) b";
        let cut = system.ask_sql(&ada, endless, "application/x-ndjson").await;
        let whole = match cut {
            Ok(answer) if answer.status().is_success() => answer.bytes().await.is_ok(),
            Ok(answer) => {
                ensure!(answer.status() == 422, "{}", answer.status());
                false
            }
            Err(_) => false,
        };
        ensure!(!whole, "an answer over the limit of rows ended as if it were whole");

        // Whoever hunts for a leaked key asks with the key; the record is none of the places where it is found.
        let hunt = "SELECT 'AKIAIOSFODNN7EXAMPLE' AS leaked";
        let found = system.sql(&ada, hunt).await?;
        ensure!(found["rows"] == json!([["AKIAIOSFODNN7EXAMPLE"]]), "{found}");
        let masked = "SELECT count(*) FROM events WHERE door = 'sql' \
                      AND query_text = 'SELECT ''[masked:api_key]'' AS leaked'";
        system.rows(&ada, masked, |rows| rows == [json!([1])]).await?;

        // Good questions are still answered, and every question is on record with what it asked.
        let mine = "SELECT result, count(*) FROM events WHERE door = 'sql' AND query_text NOT LIKE '%door%' \
                    GROUP BY result ORDER BY result";
        let expected = [json!(["allowed", 5]), json!(["refused", 13])];
        system.rows(&ada, mine, |rows| rows == expected).await?;
        Ok(())
    })
}

#[test]
fn answers_come_in_every_form_and_name_their_checkpoint() -> Result<()> {
    tests::run(async {
        let Some(guarded) = Guarded::start(Shape::Together).await? else { return Ok(()) };
        let system = &guarded.system;
        let mut erin = guarded.client("erin").await?;
        erin.call("deploy", &json!({"service": "=1+1, \"quoted\"\nline"})).await?;
        let ada = guarded.reader("ada").await?;
        let count = "SELECT count(*) FROM exchanges WHERE outcome = 'result' AND tool = 'deploy'";
        system.rows(&ada, count, |rows| rows == [json!([1])]).await?;

        let question = "SELECT leaf_index, kind, tool FROM events WHERE tool = 'deploy' AND kind <> 'StreamMessage' \
             ORDER BY leaf_index";
        let answer = system.sql(&ada, question).await?;
        let log = VerifyingKey::parse(system.vkey("log"))?;
        let checkpoint =
            tlog::open_checkpoint(answer["checkpoint"].as_str().unwrap_or_default(), &log)?;
        ensure!(answer["tree_size"] == checkpoint.size.0 && answer["row_count"] == 2, "{answer}");
        let rows = answer["rows"].as_array().context("rows")?;
        ensure!(rows[0][1] == "RequestReceived" && rows[1][1] == "ResponseReturned", "{answer}");

        let csv = system.ask_sql(&ada, question, "text/csv").await?;
        ensure!(csv.headers().contains_key("exhibit-checkpoint"), "{:?}", csv.headers());
        let csv = csv.text().await?;
        let first = format!("{},RequestReceived,deploy", rows[0][0]);
        let lines: Vec<&str> = csv.lines().collect();
        ensure!(
            lines.len() == 3 && lines[0] == "leaf_index,kind,tool" && lines[1] == first,
            "{csv}"
        );

        let ndjson = system.ask_sql(&ada, question, "application/x-ndjson").await?.text().await?;
        let second: Value = serde_json::from_str(ndjson.lines().nth(1).unwrap_or_default())?;
        ensure!(
            second == json!({"leaf_index": rows[1][0], "kind": rows[1][1], "tool": "deploy"}),
            "{ndjson}"
        );

        let arrow = "application/vnd.apache.arrow.stream";
        let stream = system.ask_sql(&ada, question, arrow).await?.bytes().await?;
        let mut indexes = Vec::new();
        for batch in arrow::ipc::reader::StreamReader::try_new(stream.as_ref(), None)? {
            let batch = batch?;
            indexes.extend(batch.column(0).as_primitive::<UInt64Type>().values().iter().copied());
            ensure!(batch.column(1).len() == batch.num_rows(), "columns of one length");
        }
        ensure!(json!(indexes) == json!([rows[0][0], rows[1][0]]), "{indexes:?}");

        let unknown = system.ask_sql(&ada, question, "image/png").await?;
        ensure!(unknown.status() == 406, "{}", unknown.status());
        Ok(())
    })
}

#[test]
fn roles_see_what_they_may() -> Result<()> {
    tests::run(async {
        let Some(guarded) = Guarded::start(Shape::Together).await? else { return Ok(()) };
        let system = &guarded.system;
        let mut erin = guarded.client("erin").await?;
        erin.call("deploy", &json!({"service": "billing"})).await?;
        let (ada, cora) = (guarded.reader("ada").await?, guarded.reader("cora").await?);
        let question =
            "SELECT subject, arguments FROM exchanges WHERE tool = 'deploy' AND NOT is_open";
        let seen = system.rows(&ada, question, |rows| rows.len() == 1).await?;
        ensure!(seen[0] == json!(["erin", r#"{"service":"billing"}"#]), "{seen:?}");
        // Compliance runs the controls, and reads no message bodies and no arguments.
        let seen = system.rows(&cora, question, |rows| rows.len() == 1).await?;
        ensure!(seen[0] == json!(["erin", null]), "{seen:?}");
        let decided =
            "SELECT DISTINCT status, content FROM disclosures WHERE slot = 'DECISION_INPUT'";
        let seen = system.rows(&cora, decided, |rows| rows.len() == 1).await?;
        ensure!(seen[0] == json!(["withheld", null]), "{seen:?}");
        for person in ["sam", "nora", "erin"] {
            let token = guarded.reader(person).await?;
            let answer = system.ask_sql(&token, "SELECT 1", "application/json").await?;
            let (status, body): (_, Value) = (answer.status(), answer.json().await?);
            ensure!(status == 403 && body["code"] == "role_required", "{person}: {status} {body}");
        }
        let accesses = "SELECT subject, role, result FROM events WHERE door = 'sql' AND result = 'denied' \
                        ORDER BY leaf_index";
        let denied = |person: &str| json!([person, null, "denied"]);
        let expected = [denied("sam"), denied("nora"), denied("erin")];
        system.rows(&ada, accesses, |rows| rows == expected).await?;
        Ok(())
    })
}

#[test]
fn rows_prove_that_they_are_in_the_log() -> Result<()> {
    tests::run(async {
        let Some(guarded) = Guarded::start(Shape::Together).await? else { return Ok(()) };
        let system = &guarded.system;
        guarded.client("erin").await?;
        let ada = guarded.reader("ada").await?;
        let question = "SELECT leaf_index, leaf, inclusion_proof(leaf_index) FROM events WHERE kind = 'RequestReceived'";
        let rows = system.rows(&ada, question, |rows| rows.len() > 2).await?;
        let log = VerifyingKey::parse(system.vkey("log"))?;
        for row in &rows {
            let leaf = hex::decode(row[1].as_str().unwrap_or_default())?;
            let proof = TlogProof::parse(row[2].as_str().unwrap_or_default())?;
            ensure!(row[0] == proof.index.0, "{row}");
            proof.verify(&tlog::leaf_hash(&leaf), &log)?;
            let other = tlog::leaf_hash(b"another leaf");
            ensure!(proof.verify(&other, &log).is_err(), "the proof also proves another leaf");
        }
        Ok(())
    })
}

#[test]
fn the_command_line_asks_proves_and_tails() -> Result<()> {
    tests::run(async {
        let Some(guarded) = Guarded::start(Shape::Together).await? else { return Ok(()) };
        let system = &guarded.system;
        let mut erin = guarded.client("erin").await?;
        erin.call("deploy", &json!({"service": "billing"})).await?;
        let ada = guarded.reader("ada").await?;
        let question = "SELECT request_index FROM exchanges WHERE tool = 'deploy' AND NOT is_open";
        let rows = system.rows(&ada, question, |rows| rows.len() == 1).await?;
        let index = rows[0][0].to_string();

        let table = system.exhibit(&ada, &["sql", question])?.succeed().await?.stdout;
        ensure!(table.contains(&index) && table.contains("request_index"), "{table}");
        let answer = system.exhibit(&ada, &["--json", "sql", question])?.succeed().await?.json()?;
        ensure!(answer["rows"] == json!([[rows[0][0]]]), "{answer}");
        let refused =
            system.exhibit(&ada, &["--json", "sql", "DROP TABLE events"])?.run().await?.ended(2)?;
        ensure!(refused.error_code()? == "sql_not_read_only", "{}", refused.stdout);

        let log = system.vkey("log");
        let proof = system
            .exhibit(&ada, &["--json", "proof", &index, "--log", log])?
            .succeed()
            .await?
            .json()?;
        ensure!(proof["leaf_index"] == rows[0][0], "{proof}");
        let wrong = system.vkey("packages");
        let failed = system
            .exhibit(&ada, &["--json", "proof", &index, "--log", wrong])?
            .run()
            .await?
            .ended(1)?;
        ensure!(failed.error_code()? == "proof", "{}", failed.stdout);
        let beyond = system
            .exhibit(&ada, &["--json", "proof", "999999", "--log", log])?
            .run()
            .await?
            .ended(2)?;
        ensure!(beyond.error_code()? == "no_such_leaf", "{}", beyond.stdout);

        let tail = system
            .exhibit(&ada, &["--json", "tail", "--from-start", "--no-wait"])?
            .succeed()
            .await?;
        let indexes: Vec<Value> = tail
            .stdout
            .lines()
            .map(|line| Ok(serde_json::from_str::<Value>(line)?["leaf_index"].clone()))
            .collect::<Result<_>>()?;
        ensure!(indexes.iter().enumerate().all(|(at, index)| *index == at), "{indexes:?}");
        ensure!(
            indexes.len() > rows[0][0].as_u64().map_or(0, |index| index as usize),
            "{indexes:?}"
        );

        // For a person: what was called, and what was decided.
        let told = system.exhibit(&ada, &["tail", "--from-start", "--no-wait"])?.succeed().await?;
        let told_of = |words: &[&str]| {
            let asked = told.stdout.lines().filter(|line| line.contains("RequestReceived"));
            asked.filter(|line| words.iter().all(|word| line.contains(word))).count()
        };
        ensure!(told_of(&["tools/call", "deploy", "allow"]) == 1, "{}", told.stdout);

        let nobody = system.exhibit("", &["--json", "sql", question])?.run().await?.ended(2)?;
        ensure!(nobody.error_code()?.starts_with("token_"), "{}", nobody.stdout);
        let away =
            system.exhibit(&ada, &["--json", "sql", question, "--query", "http://127.0.0.1:9"])?;
        ensure!(away.run().await?.ended(3)?.error_code()? == "service_unreachable", "exit code 3");
        Ok(())
    })
}
