//! Evidence for a stranger: exported, verified, checked with stock tools, and caught when one byte is other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest, Sha256};
use tests::binary::{Ran, Tool, exhibit};
use tests::peers::Python;
use tests::system::{Shape, System};

use crate::guarded::Guarded;

#[test]
fn a_package_verifies_with_our_tool_and_with_stock_tools() -> Result<()> {
    tests::run(async {
        let (Some(guarded), Some(python)) = (worked().await?, Python::find()?) else {
            return Ok(());
        };
        let system = &guarded.system;
        let package = export(&guarded, "package").await?;
        let report = verify(system, &package).await?.ended(0)?.json()?;
        ensure!(report["ok"] == true, "{report}");
        let checks = report["checks"].as_array().context("checks")?;
        let passed = checks.iter().filter(|check| check["outcome"] == "pass").count();
        ensure!(passed >= 10, "{passed} checks passed: {report}");

        let bagit = Tool::new(python.program("bagit.py"))
            .args(["--validate".as_ref(), package.as_os_str()]);
        bagit.succeed().await?;
        for manifest in ["tagmanifest-sha256.txt", "manifest-sha256.txt"] {
            Tool::new("sha256sum")
                .args(["-c", "--strict", "--quiet", manifest])
                .within(&package)
                .succeed()
                .await?;
        }
        signature(system, &package, "packages").await?.ended(0)?;
        let other = signature(system, &package, "gateway").await?;
        ensure!(other.code != 0, "ssh-keygen accepts the signature for another key");

        let script = python.path("duckdb_file.py");
        let duckdb = |file: &str| {
            let arguments =
                [script.as_os_str(), format!("data/verify/{file}").as_ref()].map(ToOwned::to_owned);
            Tool::new(python.program("python")).args(arguments).within(&package)
        };
        let root = duckdb("root.sql").succeed().await?.json()?;
        ensure!(
            root["verdict"] == "MATCH" && root["recomputed_root"] == root["checkpoint_root"],
            "{root}"
        );
        let inclusion = duckdb("inclusion.sql").succeed().await?.json()?;
        ensure!(inclusion.is_object(), "{inclusion}");
        // The lists, made again by DuckDB from the package's own tables and queries.
        let lists = Tool::new(python.program("python"))
            .args([python.path("duckdb_lists.py")])
            .within(&package);
        let rows = lists.succeed().await?.json()?;
        for (list, count) in [("CC6.1/population", 5), ("CC7.2/exceptions", 2)] {
            ensure!(rows[list].as_u64() >= Some(count), "{list} in {rows}");
        }
        let far = [script.as_os_str(), "data/verify/inclusion.sql".as_ref(), "99999".as_ref()];
        let far = Tool::new(python.program("python")).args(far).within(&package);
        let far = far.succeed().await?.json()?;
        let verdict = far["verdict"].as_str().unwrap_or_default();
        ensure!(verdict.starts_with("NOT IN THIS PACKAGE"), "{far}");
        let script = |args: &[&str]| {
            Tool::new("python3").args(["data/verify/verify.py"]).args(args).within(&package)
        };
        let bad = script(&["--log", "bad"]).run().await?.ended(1)?;
        ensure!(bad.stdout.contains("FAIL --log 'bad'") && bad.stderr.is_empty(), "{bad:?}");
        script(&["--log", system.vkey("log")]).succeed().await?;
        let wrong = script(&["--log", system.vkey("packages")]).run().await?;
        ensure!(wrong.code != 0, "verify.py accepts another log's key");

        // The stock tools also catch what is not as it was packed.
        let leaves = package.join("data/population/leaves.parquet");
        flip(&leaves)?;
        let bagit = Tool::new(python.program("bagit.py"))
            .args(["--validate".as_ref(), package.as_os_str()]);
        ensure!(bagit.run().await?.code != 0, "bagit.py accepts a changed file");
        ensure!(script(&[]).run().await?.code != 0, "verify.py accepts a changed file");
        Ok(())
    })
}

#[test]
fn the_commands_of_the_readme_work_as_they_stand() -> Result<()> {
    tests::run(async {
        let (Some(guarded), Some(python)) = (worked().await?, Python::find()?) else {
            return Ok(());
        };
        let system = &guarded.system;
        let package = export(&guarded, "package").await?;
        std::fs::copy(system.path("trust"), system.path("trust.txt"))?;
        let programs = programs(system, &python)?;
        let readme = std::fs::read_to_string(package.join("data/README.md"))?;
        let shell = |commands: &str| {
            let path = std::env::var("PATH").unwrap_or_default();
            Tool::new("bash")
                .args(["-euo", "pipefail", "-c", commands])
                .env("PATH", format!("{}:{path}", programs.display()))
                .within(&package)
        };
        let blocks: Vec<&str> =
            readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        ensure!(blocks.len() == 3, "{} blocks of commands in {readme}", blocks.len());
        for block in blocks {
            shell(&block.replace("<nonce>", "4711")).succeed().await?;
        }
        verify(system, &package).await?.ended(0)?;
        let printed = shell("exhibit verify --print-allowed-signers --trust ../trust.txt");
        let printed = printed.succeed().await?.stdout;
        let written = std::fs::read_to_string(system.path("allowed_signers"))?;
        ensure!(printed == written, "{printed} is not {written}");
        // A trust file with another signer: the first command stops the reader.
        let other = std::fs::read_to_string(system.path("trust"))?
            .replace(system.vkey("packages"), system.vkey("gateway"));
        std::fs::write(system.path("trust.txt"), other)?;
        let first = readme.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
        let stopped = shell(first.unwrap_or_default()).run().await?;
        ensure!(stopped.code != 0, "the README's comparison accepts another key");
        Ok(())
    })
}

/// A folder with the programs that the README names: ours, and those of the venv. DuckDB's own command is no PyPI
/// package, so it is one line of Python here.
fn programs(system: &System, python: &Python) -> Result<PathBuf> {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = system.path("programs");
    std::fs::create_dir(&folder)?;
    symlink(exhibit()?, folder.join("exhibit"))?;
    symlink(python.program("bagit.py"), folder.join("bagit.py"))?;
    let duckdb = format!(
        "#!{}\nimport sys, duckdb\nprint(duckdb.connect().execute(sys.stdin.read()).fetchall())\n",
        python.program("python").display()
    );
    let path = folder.join("duckdb");
    std::fs::write(&path, duckdb)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

#[test]
fn one_flipped_byte_in_any_file_is_caught() -> Result<()> {
    tests::run(async {
        let Some(guarded) = worked().await? else { return Ok(()) };
        let system = &guarded.system;
        let package = export(&guarded, "package").await?;
        verify(system, &package).await?.ended(0)?;
        let files = files(&package)?;
        ensure!(files.len() > 30, "a package of {} files", files.len());
        let mut caught: BTreeMap<String, usize> = BTreeMap::new();
        for file in &files {
            let original = std::fs::read(file)?;
            flip(file)?;
            let report = verify(system, &package).await?;
            std::fs::write(file, original)?;
            let shown = file.strip_prefix(&package)?.display().to_string();
            let code = first_code(&report.ended(1).with_context(|| shown.clone())?)?;
            *caught.entry(code).or_default() += 1;
        }
        println!("{} files, one flipped byte each: {caught:?}", files.len());
        verify(system, &package).await?.ended(0)?;
        Ok(())
    })
}

#[test]
fn other_tampering_is_caught_with_its_code() -> Result<()> {
    tests::run(async {
        let Some(guarded) = worked().await? else { return Ok(()) };
        let system = &guarded.system;
        let package = export(&guarded, "package").await?;

        let stray = package.join("data/criteria/notes.txt");
        std::fs::write(&stray, "all good")?;
        caught(system, &package, "bag.stray").await?;
        std::fs::remove_file(&stray)?;

        let checkpoint = package.join("data/proofs/checkpoint");
        std::fs::rename(&checkpoint, system.path("checkpoint"))?;
        caught(system, &package, "bag.missing").await?;
        std::fs::rename(system.path("checkpoint"), &checkpoint)?;

        // A row goes, and the manifests are made to fit: the signature is not.
        let list = package.join("data/criteria/CC6.1/population.csv");
        let text = std::fs::read_to_string(&list)?;
        let shorter: Vec<&str> = text.split_inclusive('\n').collect();
        std::fs::write(&list, shorter[..shorter.len() - 1].concat())?;
        refit(&package)?;
        caught(system, &package, "signature.mismatch").await?;

        // Keys that the reader does not trust.
        let package = export(&guarded, "second").await?;
        let trust = std::fs::read_to_string(system.path("trust"))?;
        let swapped =
            |name: &str, other: &str| trust.replace(system.vkey(name), system.vkey(other));
        for (name, other) in [("packages", "gateway"), ("log", "packages")] {
            std::fs::write(system.path("other-trust"), swapped(name, other))?;
            let report = verify_with(system, &package, "other-trust").await?.ended(1)?;
            ensure!(!first_code(&report)?.is_empty(), "{}", report.stdout);
        }
        let missing = trust.replace(&format!("recorder {}\n", system.vkey("gateway")), "");
        std::fs::write(system.path("other-trust"), missing)?;
        verify_with(system, &package, "other-trust").await?.ended(1)?;
        std::fs::write(system.path("other-trust"), "log nonsense\n")?;
        let unusable = verify_with(system, &package, "other-trust").await?.ended(2)?;
        ensure!(unusable.error_code()? == "trust", "{}", unusable.stdout);
        verify(system, &package).await?.ended(0)?;
        Ok(())
    })
}

#[test]
fn a_zip_verifies_and_a_sample_is_drawn_from_it() -> Result<()> {
    tests::run(async {
        let Some(guarded) = worked().await? else { return Ok(()) };
        let system = &guarded.system;
        let package = export(&guarded, "package.zip").await?;
        verify(system, &package).await?.ended(0)?;
        let draw = |nonce: &str, out: &str| {
            let args = [
                "--json",
                "sample",
                "package.zip",
                "--criterion",
                "CC6.1",
                "--nonce",
                nonce,
                "--size",
                "3",
            ];
            let args: Vec<String> =
                args.iter().chain(&["--out", out]).map(ToString::to_string).collect();
            Ok::<_, anyhow::Error>(Tool::exhibit(args)?.within(system.dir()))
        };
        let drawn = draw("auditor's own words", "sample")?.succeed().await?.json()?;
        let leaves = drawn["leaves"].as_array().context("leaves")?;
        ensure!(leaves.len() == 3 && drawn["population"].as_u64() > Some(3), "{drawn}");
        let again = draw("auditor's own words", "again")?.succeed().await?.json()?;
        ensure!(again["leaves"] == drawn["leaves"], "the same nonce draws {again}, not {drawn}");
        let manifest = system.path("sample/manifest-sha256.txt");
        ensure!(manifest.exists(), "a sample is a bag");
        let args = ["verify", "sample", "--trust", "trust"];
        let alone = Tool::exhibit(args)?.within(system.dir()).run().await?.ended(2)?;
        ensure!(alone.stderr.contains("no package but a sample"), "{}", alone.stderr);
        let of = ["--json", "verify", "sample", "--of", "package.zip", "--trust", "trust"];
        let compared = || Ok::<_, anyhow::Error>(Tool::exhibit(of)?.within(system.dir()));
        let same = compared()?.succeed().await?.json()?;
        ensure!(same["ok"] == true && same["sample"]["size"] == 3, "{same}");
        let leaf = leaves[0].as_u64().context("a leaf index")?;
        let item = system.path(&format!("sample/data/items/{leaf}/call.json"));
        let kept = std::fs::read(&item)?;
        flip(&item)?;
        let other = compared()?.run().await?.ended(1)?.json()?;
        ensure!(other["ok"] == false && other["sample"]["wrong"][0].is_string(), "{other}");
        std::fs::write(&item, kept)?;
        let proofs = files(&system.path("sample"))?.into_iter();
        let proofs =
            proofs.filter(|path| path.extension().is_some_and(|end| end == "tlog-proof")).count();
        ensure!(proofs >= 3, "{proofs} proofs in a sample of 3");
        let args = [
            "--json",
            "sample",
            "package.zip",
            "--criterion",
            "CC99",
            "--nonce",
            "n",
            "--out",
            "none",
        ];
        Tool::exhibit(args)?.within(system.dir()).run().await?.ended(2)?;
        Ok(())
    })
}

#[test]
fn a_period_without_evidence_is_no_package() -> Result<()> {
    tests::run(async {
        let Some(guarded) = worked().await? else { return Ok(()) };
        let system = &guarded.system;
        let ada = guarded.reader("ada").await?;
        // Reversed, empty, not over, no time at all.
        let cases = [
            ("2026-03-01T00:00:00Z", "2026-02-01T00:00:00Z"),
            ("2001-01-01T00:00:00Z", "2001-02-01T00:00:00Z"),
            ("2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z"),
            ("yesterday", "2099-01-01T00:00:00Z"),
        ];
        let mut codes = Vec::new();
        for (from, to) in cases {
            let args = ["--json", "export", "--from", from, "--to", to, "--out", "nothing"];
            let refused = system.exhibit(&ada, &args)?.run().await?.ended(2)?;
            ensure!(!system.path("nothing").exists(), "a package of {from} to {to}");
            ensure!(refused.stderr.len() > 40, "it says little: {}", refused.stderr);
            codes.push(refused.error_code()?);
        }
        let distinct: std::collections::BTreeSet<_> = codes.iter().collect();
        ensure!(distinct.len() == cases.len(), "each has its own code: {codes:?}");
        // Whoever may not export is told so.
        let sam = guarded.reader("sam").await?;
        let args =
            ["--json", "export", "--from", cases[0].1, "--to", cases[0].0, "--out", "nothing"];
        let denied = system.exhibit(&sam, &args)?.run().await?.ended(2)?;
        ensure!(denied.error_code()? == "role_required", "{}", denied.stdout);
        Ok(())
    })
}

/// A system in which something happened: calls that passed, were masked, blocked and denied.
async fn worked() -> Result<Option<Guarded>> {
    let Some(guarded) = Guarded::start(Shape::Together).await? else { return Ok(None) };
    let mut erin = guarded.client("erin").await?;
    let mut carl = guarded.client("carl").await?;
    erin.call("find_customer", &json!({"query": "grace"})).await?;
    erin.call("run_sql", &json!({"statement": "DROP DATABASE billing"})).await?;
    erin.call("deploy", &json!({"service": "=cmd|' /C calc'!A0"})).await?;
    carl.call("deploy", &json!({"service": "billing"})).await?;
    erin.call("digest", &json!({"note": "<script>alert(1)</script>"})).await?;
    Ok(Some(guarded))
}

/// Exports everything so far, to `name` in the system's folder.
async fn export(guarded: &Guarded, name: &str) -> Result<PathBuf> {
    let system = &guarded.system;
    let ada = guarded.reader("ada").await?;
    let calls = "SELECT count(*) FROM exchanges WHERE method = 'tools/call' AND NOT is_open";
    system.rows(&ada, calls, |rows| rows == [json!([5])]).await?;
    let period = system.sql(&ada, "SELECT min(recorded_at), max(recorded_at) FROM events").await?;
    let time = |column: usize| period["rows"][0][column].as_str().unwrap_or_default().to_owned();
    let (from, to) = (time(0), time(1));
    let args = ["--json", "export", "--from", &from, "--to", &to, "--out", name];
    let exported = system.exhibit(&ada, &args)?.succeed().await?.json()?;
    ensure!(exported["package"] == name, "{exported}");
    Ok(system.path(name))
}

async fn verify(system: &System, package: &Path) -> Result<Ran> {
    verify_with(system, package, "trust").await
}

async fn verify_with(system: &System, package: &Path, trust: &str) -> Result<Ran> {
    let trust = system.path(trust);
    let args = [
        "--json".as_ref(),
        "verify".as_ref(),
        package.as_os_str(),
        "--trust".as_ref(),
        trust.as_os_str(),
    ];
    Tool::exhibit(args)?.run().await
}

/// The package must be refused, and this code be among the reasons.
async fn caught(system: &System, package: &Path, code: &str) -> Result<()> {
    let report = verify(system, package).await?.ended(1)?.json()?;
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    ensure!(checks.iter().any(|check| check["code"] == code), "{code} is not in {report}");
    Ok(())
}

/// The code of the first check that failed.
fn first_code(ran: &Ran) -> Result<String> {
    let report = ran.json()?;
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    let failed = checks.iter().find(|check| check["outcome"] == "fail");
    let code = failed.and_then(|check| check["code"].as_str());
    code.map(str::to_owned).with_context(|| format!("no check failed with a code: {report}"))
}

/// `ssh-keygen -Y verify`, with an allowed_signers file made from the vkey of the key `name`.
async fn signature(system: &System, package: &Path, name: &str) -> Result<Ran> {
    let vkey = system.vkey(name);
    let typed = STANDARD.decode(vkey.splitn(3, '+').nth(2).context("the form of a vkey")?)?;
    let mut blob = Vec::new();
    for part in [&b"ssh-ed25519"[..], &typed[1..]] {
        blob.extend_from_slice(&u32::try_from(part.len())?.to_be_bytes());
        blob.extend_from_slice(part);
    }
    let allowed = system.path("allowed_signers");
    std::fs::write(&allowed, format!("auditee ssh-ed25519 {}\n", STANDARD.encode(blob)))?;
    let args = [
        "-Y",
        "verify",
        "-I",
        "auditee",
        "-n",
        "exhibit-package@v1",
        "-s",
        "tagmanifest-sha256.txt.sig",
    ];
    let tool = Tool::new("ssh-keygen")
        .args(args)
        .args(["-f".as_ref(), allowed.as_os_str()])
        .within(package);
    tool.reading(&package.join("tagmanifest-sha256.txt"))?.run().await
}

/// Writes both manifests anew, for the files that are there now.
fn refit(package: &Path) -> Result<()> {
    for manifest in ["manifest-sha256.txt", "tagmanifest-sha256.txt"] {
        let path = package.join(manifest);
        let lines = std::fs::read_to_string(&path)?;
        let refitted: Vec<String> = lines
            .lines()
            .map(|line| {
                let name = line.split_once("  ").context("a line of a manifest")?.1;
                let digest = Sha256::digest(std::fs::read(package.join(name))?);
                Ok(format!("{}  {name}\n", hex::encode(digest)))
            })
            .collect::<Result<_>>()?;
        std::fs::write(&path, refitted.concat())?;
    }
    Ok(())
}

/// Flips one bit in the middle of a file.
fn flip(file: &Path) -> Result<()> {
    let mut bytes = std::fs::read(file)?;
    let middle = bytes.len() / 2;
    match bytes.get_mut(middle) {
        Some(byte) => *byte ^= 1,
        None => bytes.push(b'\n'),
    }
    Ok(std::fs::write(file, bytes)?)
}

/// Every file below a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    found.sort();
    Ok(found)
}
