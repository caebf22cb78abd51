//! Test vectors from elsewhere, read from the folder beside the workspace when it is there.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tlog::{
    Checkpoint, CompactRange, Hash, LeafIndex, RangeProof, Tile, TileKind, TileNodes, TreeSize,
    VerifyingKey, decode_bundle, leaf_hash, open_checkpoint, prove_consistency, prove_inclusion,
    tree_root, verify_consistency, verify_inclusion,
};

const SAMPLE_KEY: &str =
    "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";

/// The folder, or `None` after saying that and why the test is skipped.
fn vectors(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: {} is not there (it is not part of this repository)", path.display());
    None
}

/// A case's hash; `None` when it is not 32 bytes, as in some cases that must fail.
fn hash(value: &Value) -> Option<Hash> {
    Hash::from_base64(value.as_str().unwrap()).ok()
}

/// A root that may be a placeholder such as "don't care 1": some hash, equal for equal ones.
fn root(value: &Value) -> Option<Hash> {
    let bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
    if bytes.starts_with(b"don't care ") { Some(leaf_hash(&bytes)) } else { hash(value) }
}

fn proof(case: &Value) -> Option<Vec<Hash>> {
    case["proof"].as_array().map_or(Some(Vec::new()), |proof| proof.iter().map(hash).collect())
}

fn check_cases(file: &str, verify: impl Fn(&Value) -> Option<bool>) {
    let Some(path) = vectors(file) else { return };
    let text = fs::read_to_string(path).unwrap();
    let (mut passing, mut failing) = (0, 0);
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let want_err = case["wantErr"].as_bool().unwrap();
        assert_eq!(verify(&case).unwrap_or(false), !want_err, "{line}");
        if want_err { failing += 1 } else { passing += 1 }
    }
    println!("{file}: {passing} cases verified, {failing} refused");
    assert!(passing >= 6 && failing >= 80, "{file} is not complete");
}

#[test]
fn inclusion_vectors() {
    check_cases("merkle/inclusion.jsonl", |case| {
        let index = LeafIndex(case["leafIdx"].as_u64().unwrap());
        let size = TreeSize(case["treeSize"].as_u64().unwrap());
        let (leaf, root) = (hash(&case["leafHash"])?, hash(&case["root"])?);
        Some(verify_inclusion(index, size, &leaf, &proof(case)?, &root).is_ok())
    });
}

#[test]
fn consistency_vectors() {
    check_cases("merkle/consistency.jsonl", |case| {
        let old = TreeSize(case["size1"].as_u64().unwrap());
        let new = TreeSize(case["size2"].as_u64().unwrap());
        let (old_root, new_root) = (root(&case["root1"])?, root(&case["root2"])?);
        Some(verify_consistency(old, new, &old_root, &new_root, &proof(case)?).is_ok())
    });
}

fn sample_checkpoint(log: &Path, name: &str) -> (Checkpoint, String) {
    let key = VerifyingKey::parse(SAMPLE_KEY).unwrap();
    let note = fs::read_to_string(log.join(name)).unwrap();
    (open_checkpoint(&note, &key).unwrap(), note)
}

#[test]
fn sample_log() {
    let Some(log) = vectors("tlog/sample-log") else { return };
    let (latest, note) = sample_checkpoint(&log, "checkpoint");
    assert_eq!(latest.size, TreeSize(15));
    let nodes = TileNodes::new(latest.size, |tile: &Tile| fs::read(log.join(tile.to_string())));
    let bundle = Tile::at(TileKind::Entries, 0, latest.size).unwrap();
    let bundle = fs::read(log.join(bundle.to_string())).unwrap();
    let leaves: Vec<Hash> = decode_bundle(&bundle).unwrap().into_iter().map(leaf_hash).collect();
    assert_eq!(leaves.len(), 15);

    let mut range = CompactRange::new(0);
    for size in 0..=15u64 {
        let (checkpoint, text) = sample_checkpoint(&log, &format!("checkpoint.{size}"));
        assert_eq!(checkpoint.size.0, size);
        assert_eq!(range.root(), Some(checkpoint.root));
        assert_eq!(tree_root(checkpoint.size, &nodes).unwrap(), checkpoint.root);

        let (old, new) = (checkpoint.size, latest.size);
        let steps = prove_consistency(old, new, &nodes).unwrap();
        let result = verify_consistency(old, new, &checkpoint.root, &latest.root, &steps);
        assert_eq!(result.is_ok(), size > 0, "{result:?}");
        let proof = RangeProof::prove(size / 2, size, checkpoint.size, text, &nodes).unwrap();
        let part = leaves[size as usize / 2..size as usize].iter().copied();
        proof.verify(checkpoint.size, &checkpoint.root, part).unwrap();

        if let Some(leaf) = leaves.get(size as usize) {
            let path = prove_inclusion(LeafIndex(size), latest.size, &nodes).unwrap();
            verify_inclusion(LeafIndex(size), latest.size, leaf, &path, &latest.root).unwrap();
            range.append(*leaf);
        }
        if let Some(tile) = Tile::at(TileKind::Hashes { level: 0 }, 0, checkpoint.size) {
            let hashes = fs::read(log.join(tile.to_string())).unwrap();
            let expected: Vec<u8> =
                leaves[..size as usize].iter().flat_map(|leaf| leaf.0).collect();
            assert_eq!(hashes, expected);
        }
    }

    let altered = note.replace("\n15\n", "\n14\n");
    assert!(open_checkpoint(&altered, &VerifyingKey::parse(SAMPLE_KEY).unwrap()).is_err());
}
