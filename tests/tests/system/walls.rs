//! What may use what, as ARCHITECTURE.md says it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// Break it: let a crate depend on one that its row does not name, or take a row out.
#[test]
fn every_crate_uses_what_its_row_names_and_nothing_else() -> Result<()> {
    let rows = rows(&fs::read_to_string(root().join("ARCHITECTURE.md"))?);
    let mut crates = BTreeSet::new();
    for entry in fs::read_dir(root())? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            crates.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    ensure!(crates.iter().eq(rows.keys()), "crates: {crates:?}\nrows: {:?}", rows.keys());
    for (name, may_use) in &rows {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml"))?;
        let Some(may_use) = may_use else { continue };
        for used in dependencies(&manifest).filter(|used| crates.contains(*used)) {
            ensure!(may_use.contains(used), "{name} uses {used}; its row says {may_use:?}");
        }
    }
    Ok(())
}

/// Break it: compile a file of another crate by `#[path]`, or name `crate::backup` in the ledger's store.
#[test]
fn no_source_goes_past_cargo_and_the_parts_of_the_ledger_do_not_use_each_other_in_circles()
-> Result<()> {
    let all = sources(&root())?;
    ensure!(all.len() > 100, "only {} sources", all.len());
    for file in all {
        let text = fs::read_to_string(&file)?;
        let is_out = text.contains(concat!("#[path = \"", "../.."));
        ensure!(!is_out, "{}: compiles a file of another crate", file.display());
    }
    let ledger = root().join("ledger/src");
    for (part, others) in [("store", &["backup", "fsck"][..]), ("fsck", &["backup"][..])] {
        let mut of_part = sources(&ledger.join(part))?;
        of_part.push(ledger.join(format!("{part}.rs")));
        for file in of_part {
            let text = fs::read_to_string(&file)?;
            for other in others {
                let is_named = text.contains(&format!("crate::{other}::"));
                ensure!(!is_named, "{}: uses {other}, which uses {part}", file.display());
            }
        }
    }
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The crates of the table, and what each may use; `None`: all.
fn rows(architecture: &str) -> BTreeMap<String, Option<BTreeSet<String>>> {
    let row = |line: &str| {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let may_use = rest.strip_suffix(" |")?.rsplit_once(" | ")?.1;
        let named = may_use.split('`').skip(1).step_by(2);
        let named: BTreeSet<String> = named.map(str::to_owned).collect();
        Some((name.to_owned(), (may_use != "all").then_some(named)))
    };
    architecture.lines().filter_map(row).collect()
}

/// The names under `[dependencies]`.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let of = manifest.split("[dependencies]\n").nth(1).unwrap_or_default();
    let of = of.split("\n[").next().unwrap_or_default();
    of.lines().filter_map(|line| line.split(['.', ' ', '=']).next())
}

/// Every Rust file below a folder.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}
