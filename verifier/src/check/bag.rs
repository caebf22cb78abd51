//! Is the bag complete and unaltered, and who signed it?

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::layout::{DATA, bag, sshsig};
use crate::material::Parameters;
use crate::read::{Package, is_plain_path};
use crate::report::{Checked, Failure, Stop, fail_at};
use crate::trust::Trust;

/// Files that the tag manifest names: these, no other, and nothing else stands at the root but it and its signature.
const TAGS: [&str; 3] = [bag::BAGIT, bag::BAG_INFO, bag::MANIFEST];

/// Every file is in a manifest and as the manifest says; no other file, link or device is there.
pub(super) fn check(package: &Package) -> Checked {
    let mut found = Vec::new();
    if let Some(path) = package.irregular().first() {
        found.push(failure(
            "bag.irregular",
            path,
            "this is a symbolic link, a device, or a name that leads outside; a package has plain files only",
        ));
    }
    if package.file(bag::BAGIT).is_none_or(|text| text != bag::DECLARATION) {
        found.push(failure(
            "bag.declaration",
            bag::BAGIT,
            "it does not declare BagIt 1.0 in UTF-8",
        ));
    }
    let tags = listed(package, bag::TAG_MANIFEST, &mut found);
    let payload = listed(package, bag::MANIFEST, &mut found);
    for required in TAGS {
        if !tags.contains_key(required) {
            let detail = format!("it does not name {required}");
            found.push(failure("bag.manifest", bag::TAG_MANIFEST, &detail));
        }
    }
    for (manifest, path) in tags
        .keys()
        .map(|path| (bag::TAG_MANIFEST, path))
        .chain(payload.keys().map(|path| (bag::MANIFEST, path)))
    {
        let is_tag = TAGS.contains(&path.as_str());
        let may_stand = if manifest == bag::MANIFEST { path.starts_with(DATA) } else { is_tag };
        if !may_stand {
            let detail = format!("{path} is not a path that this manifest may name");
            found.push(failure("bag.manifest", manifest, &detail));
        }
    }
    for (path, expected) in tags.iter().chain(&payload) {
        match package.file(path) {
            None => found.push(failure(
                "bag.missing",
                path,
                "the manifest names this file, but it is missing",
            )),
            Some(bytes) if Sha256::digest(bytes)[..] != expected[..] => found.push(failure(
                "bag.altered",
                path,
                "the file is not the one that was packed: its SHA-256 is not the manifest's",
            )),
            Some(_) => {}
        }
    }
    for path in package.paths() {
        if TAGS.contains(&path) || [bag::TAG_MANIFEST, bag::SIGNATURE].contains(&path) {
            continue;
        }
        if !path.starts_with(DATA) {
            let detail =
                "it stands outside data/, where a package has its five tag files and nothing else";
            found.push(failure("bag.stray", path, detail));
        } else if !payload.contains_key(path) {
            found.push(failure("bag.stray", path, "no manifest names this file; it was added"));
        }
    }
    let files = tags.len() + payload.len();
    first(found, &format!("{files} files, each as its manifest says"))
}

/// A trusted key signed the tag manifest, and is the one that the parameters name.
pub(super) fn check_signature(
    package: &Package,
    trust: &Trust,
    parameters: Option<&Parameters>,
) -> Checked {
    let missing = |path| fail_at("signature.missing", path, "the file is missing");
    let signature = package.file(bag::SIGNATURE).ok_or_else(|| missing(bag::SIGNATURE))?;
    let message = package.file(bag::TAG_MANIFEST).ok_or_else(|| missing(bag::TAG_MANIFEST))?;
    let key = sshsig::verify(signature, message, &trust.signers).map_err(|error| {
        let code = match error {
            sshsig::SignatureError::Malformed(_) => "signature.malformed",
            sshsig::SignatureError::Untrusted(_) => "signature.untrusted",
            sshsig::SignatureError::Mismatch => "signature.mismatch",
        };
        fail_at(code, bag::SIGNATURE, error)
    })?;
    if let Some(named) = parameters.map(|parameters| &parameters.signer)
        && *named != key.to_string()
    {
        let detail = format!("it is by {key}, the parameters name {named} as the signer");
        return Err(fail_at("signature.other_signer", bag::SIGNATURE, detail));
    }
    Ok(format!("by {key}"))
}

/// Lines of a manifest; what is wrong with it goes to `found`.
fn listed(package: &Package, path: &str, found: &mut Vec<Failure>) -> BTreeMap<String, [u8; 32]> {
    let mut lines = BTreeMap::new();
    let Some(bytes) = package.file(path) else {
        found.push(failure("bag.missing", path, "every bag has this file"));
        return lines;
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        found.push(failure("bag.manifest", path, "it is not UTF-8 text"));
        return lines;
    };
    for (number, line) in (1..).zip(text.split_terminator('\n')) {
        let parsed = line.split_once("  ").and_then(|(digest, name)| {
            let mut sha256 = [0; 32];
            hex::decode_to_slice(digest, &mut sha256).ok()?;
            is_plain_path(name).then(|| (name.to_owned(), sha256))
        });
        match parsed {
            Some((name, sha256)) if !lines.contains_key(&name) => {
                lines.insert(name, sha256);
            }
            Some((name, _)) => {
                let detail = format!("line {number} names {name} a second time");
                found.push(failure("bag.manifest", path, &detail));
            }
            None => {
                let detail = format!("line {number} is not `<sha256>  <path>`");
                found.push(failure("bag.manifest", path, &detail));
            }
        }
    }
    lines
}

fn failure(code: &'static str, at: &str, detail: &str) -> Failure {
    Failure { code, detail: detail.to_owned(), at: Some(at.to_owned()) }
}

fn first(found: Vec<Failure>, passed: &str) -> Checked {
    let more = found.len().saturating_sub(1);
    match found.into_iter().next() {
        None => Ok(passed.to_owned()),
        Some(mut first) => {
            if more > 0 {
                first.detail.push_str(&format!(" (and {more} more)"));
            }
            Err(Stop::Fail(first))
        }
    }
}
