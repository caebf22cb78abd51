//! Evidence for a stranger: exported, verified, and checked with stock tools.

mod period;
mod sampled;
mod tampered;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
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

/// A system in which something happened: calls that passed, were masked, blocked and denied.
pub(crate) async fn worked() -> Result<Option<Guarded>> {
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
pub(crate) async fn export(guarded: &Guarded, name: &str) -> Result<PathBuf> {
    recorded(guarded, 5).await?;
    export_with(guarded, name, "min(recorded_at)", &[]).await
}

/// Waits until the query node shows so many calls of tools, answered.
async fn recorded(guarded: &Guarded, calls: u32) -> Result<()> {
    let ada = guarded.reader("ada").await?;
    let count = "SELECT count(*) FROM exchanges WHERE method = 'tools/call' AND NOT is_open";
    guarded.system.rows(&ada, count, |rows| rows == [json!([calls])]).await?;
    Ok(())
}

/// Exports from the time that this SQL names until now, for who kept these files of checkpoints.
async fn export_with(guarded: &Guarded, name: &str, from: &str, kept: &[&str]) -> Result<PathBuf> {
    let system = &guarded.system;
    let ada = guarded.reader("ada").await?;
    let times = format!("SELECT {from}, max(recorded_at) FROM events");
    let period = system.sql(&ada, &times).await?;
    let time = |column: usize| period["rows"][0][column].as_str().unwrap_or_default().to_owned();
    let (from, to) = (time(0), time(1));
    let mut args = vec!["--json", "export", "--from", &from, "--to", &to, "--out", name];
    args.extend(kept.iter().flat_map(|file| ["--since", file]));
    let exported = system.exhibit(&ada, &args)?.succeed().await?.json()?;
    ensure!(exported["package"] == name, "{exported}");
    let package = system.path(name);
    let mode = std::fs::metadata(&package)?.permissions().mode();
    ensure!(mode & 0o077 == 0, "others may read {name}: {mode:o}");
    Ok(package)
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
