//! Packages that were doctored, with and without the key that signs packages.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use evidence::Derivation;
use tlog::SigningKey;
use verifier::layout::bag::{Bag, BagInfo};
use verifier::layout::{self, Files};
use verifier::{
    Material, Options, Outcome, Package, Rederive, Report, Trust, read_material, verify,
};

use crate::export::files;
use crate::world::World;

/// One export for all tests.
pub(crate) struct Exported {
    pub(crate) world: World,
    pub(crate) files: Files,
    pub(crate) material: Material,
}

impl Exported {
    pub(crate) fn of(world: World) -> Self {
        let request = world.request_of(proto::Role::Auditor);
        Self::as_asked(world, request)
    }

    pub(crate) fn as_asked(world: World, request: evidence::ExportRequest) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path().join("package");
        world.export_as(request, &package).unwrap();
        let material = read_material(&Package::open(&package).unwrap()).unwrap();
        Self { files: files(&package), world, material }
    }

    /// What an insider with the package key can do: other material, and everything derived from it anew.
    pub(crate) fn remade(&self, change: impl FnOnce(&mut Material)) -> Files {
        let mut material = self.material.clone();
        change(&mut material);
        let mut payload = layout::material_files(&material).unwrap();
        match Derivation.derive(&material) {
            Ok(derived) => payload
                .extend(derived.into_iter().map(|(path, bytes)| (format!("data/{path}"), bytes))),
            Err(_) => payload
                .extend(self.payload().into_iter().filter(|(path, _)| !layout::is_material(path))),
        }
        let info = BagInfo::of_package(&material.parameters);
        Bag::seal(payload, &info, &self.world.keys.signer).unwrap().files().clone()
    }

    pub(crate) fn payload(&self) -> Files {
        let files = self.files.iter().filter(|(path, _)| path.starts_with("data/"));
        files.map(|(path, bytes)| (path.clone(), bytes.clone())).collect()
    }
}

pub(crate) static EXPORTED: LazyLock<Exported> = LazyLock::new(|| Exported::of(World::new()));

/// Everything that verification may use.
pub(crate) fn all() -> Options<'static> {
    Options { rederive: Some(&Derivation), ..Options::default() }
}

/// Writes files as they are.
pub(crate) fn write(files: &BTreeMap<String, Vec<u8>>) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let path = dir.path().to_owned();
    (dir, path)
}

pub(crate) fn verify_with(files: &Files, trust: &Trust, options: &Options<'_>) -> Report {
    let (_dir, path) = write(files);
    verify(&path, trust, options, &mut |_| ()).unwrap()
}

pub(crate) fn verify_files(files: &Files) -> Report {
    verify_with(files, &EXPORTED.world.keys.trust(), &all())
}

pub(crate) fn payload() -> Files {
    EXPORTED.payload()
}

/// Manifests rewritten to fit, and signed.
pub(crate) fn resealed(payload: Files, signer: &SigningKey) -> Files {
    let info = BagInfo::of_package(&EXPORTED.material.parameters);
    Bag::seal(payload, &info, signer).unwrap().files().clone()
}

/// Other material by the holder of the package key, verified.
pub(crate) fn remade(change: impl FnOnce(&mut Material)) -> Report {
    verify_files(&EXPORTED.remade(change))
}

/// One file changed; manifests rewritten; signed by the right key.
pub(crate) fn insider(path: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Report {
    let mut payload = payload();
    let bytes = payload.remove(path).unwrap_or_else(|| panic!("{path} is not in the package"));
    payload.insert(path.to_owned(), change(bytes));
    verify_files(&resealed(payload, &EXPORTED.world.keys.signer))
}

#[track_caller]
pub(crate) fn has(report: &Report, code: &str) {
    assert!(!report.ok() && report.codes().contains(&code), "{code} expected\n{report}");
}

/// Why a check was not made; such a check must be required here.
#[track_caller]
pub(crate) fn left_open<'r>(report: &'r Report, id: &str) -> &'r str {
    let check = report.checks.iter().find(|check| check.id == id).unwrap();
    match &check.outcome {
        Outcome::NotChecked { reason } if check.required && !report.ok() => reason,
        other => panic!("{id}: {other:?}\n{report}"),
    }
}

/// The meaning of a remark, if it is there.
pub(crate) fn remark<'r>(report: &'r Report, word: &str) -> Option<&'r str> {
    let found = report.remarks.iter().find(|remark| remark.word == word);
    found.map(|remark| remark.meaning.as_str())
}

pub(crate) fn without_line(text: &[u8], at: usize) -> Vec<u8> {
    let lines = text.split_inclusive(|byte| *byte == b'\n').enumerate();
    lines.filter(|(number, _)| *number != at).flat_map(|(_, line)| line.to_vec()).collect()
}
