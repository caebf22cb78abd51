//! What is fuzzed of manifests (`fuzz/`).

use super::manifest::{Manifest, digest};

/// Manifests, under the name that they must have. Whether they were accepted.
pub fn manifest(data: &[u8]) -> bool {
    let backup = serde_json::from_slice::<serde_json::Value>(data).ok();
    let backup = backup.and_then(|manifest| manifest["backup"].as_u64()).unwrap_or(1);
    let name = format!("{backup:010}.{}.json", digest(data));
    let Ok(read) = Manifest::decode(&name, data) else { return false };
    let leads_out = |name: &str| name.contains('/') || name.starts_with('.') || name.is_empty();
    assert!(read.files.iter().all(|file| !leads_out(&file.name) && !leads_out(&file.sha256)));
    let _bytes = read.bytes();
    if let Ok((name, bytes)) = read.encode() {
        assert_eq!(Manifest::decode(&name, &bytes).as_ref(), Ok(&read));
    }
    let other = format!("{:010}.{}.json", backup ^ 1, digest(data));
    assert!(Manifest::decode(&other, data).is_err(), "a manifest under another number");
    true
}
