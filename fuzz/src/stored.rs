//! Files that come back from another disk: manifests of backups, write-ahead logs. The same files of the ledger's source, so
//! that nothing here needs its engine.

#[allow(dead_code, reason = "a part of it is asked for here")]
#[path = "../../ledger/src/backup/manifest.rs"]
mod manifest;
#[allow(dead_code, unreachable_pub, reason = "a part of it is asked for here")]
#[path = "../../ledger/src/store/rocks/wal.rs"]
mod wal;

use manifest::Manifest;

/// Manifests, under the name that they must have.
pub fn manifest(data: &[u8]) -> bool {
    let backup = serde_json::from_slice::<serde_json::Value>(data).ok();
    let backup = backup.and_then(|manifest| manifest["backup"].as_u64()).unwrap_or(1);
    let name = format!("{backup:010}.{}.json", manifest::digest(data));
    let Ok(read) = Manifest::decode(&name, data) else { return false };
    let leads_out = |name: &str| name.contains('/') || name.starts_with('.') || name.is_empty();
    assert!(read.files.iter().all(|file| !leads_out(&file.name) && !leads_out(&file.sha256)));
    let _bytes = read.bytes();
    if let Ok((name, bytes)) = read.encode() {
        assert_eq!(Manifest::decode(&name, &bytes).as_ref(), Ok(&read));
    }
    let other = format!("{:010}.{}.json", backup ^ 1, manifest::digest(data));
    assert!(Manifest::decode(&other, data).is_err(), "a manifest under another number");
    true
}

/// Write-ahead logs, before the engine sees them.
pub fn wal(data: &[u8]) -> bool {
    match wal::damage_in("000001.log".to_owned(), data) {
        Ok(None) => true,
        Ok(Some(damage)) => {
            assert!(damage.offset <= data.len() as u64, "a damage behind the end");
            false
        }
        Err(_) => false,
    }
}
