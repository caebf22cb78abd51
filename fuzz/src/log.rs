//! Bytes of a log and of those who sign it: notes, checkpoints, tiles, proofs, policies.

use tlog::{
    Checkpoint, Hash, LeafIndex, Note, NoteSignature, Policy, RangeProof, SignedRoot, SigningKey,
    Tile, TlogProof, TreeSize, VerifyingKey, decode_bundle, encode_bundle, format_hash_lines,
    leaf_hash, open_checkpoint, parse_hash_lines, verify_consistency, verify_inclusion,
    verify_receipt,
};

/// The log of the golden files.
fn log() -> Option<VerifyingKey> {
    let key = SigningKey::from_seed("log.example/exhibit", [1; 32]).ok()?;
    Some(key.verifying_key())
}

fn text(data: &[u8]) -> &str {
    std::str::from_utf8(data).unwrap_or_default()
}

/// Signed notes, and signature lines alone.
pub fn note(data: &[u8]) -> bool {
    let text = text(data);
    if let Ok(lines) = NoteSignature::parse_lines(text) {
        assert_eq!(lines.iter().map(ToString::to_string).collect::<String>(), text);
    }
    let Ok(note) = Note::parse(text) else { return false };
    assert_eq!(note.to_string(), text);
    true
}

/// Checkpoints, signed by the log of the golden files or not at all.
pub fn checkpoint(data: &[u8]) -> bool {
    let text = text(data);
    if let Ok(checkpoint) = Checkpoint::parse_text(text) {
        assert_eq!(checkpoint.text(), text);
    }
    let opened = log().and_then(|log| open_checkpoint(text, &log).ok());
    if let Some(checkpoint) = &opened {
        assert!(text.starts_with(&checkpoint.text()), "it signed something else");
        assert_eq!(checkpoint.size, TreeSize(13), "a signature that nobody made");
    }
    opened.is_some()
}

/// Paths of tiles.
pub fn tile_path(data: &[u8]) -> bool {
    let text = text(data);
    let Ok(tile) = Tile::parse(text) else { return false };
    assert_eq!(tile.to_string(), text);
    true
}

/// Bundles of entries.
pub fn bundle(data: &[u8]) -> bool {
    let Ok(entries) = decode_bundle(data) else { return false };
    assert_eq!(encode_bundle(entries).ok().as_deref(), Some(data));
    true
}

/// Files of proofs: `.tlog-proof`, range proofs, consistency proofs.
pub fn proof_file(data: &[u8]) -> bool {
    let text = text(data);
    let mut is_accepted = false;
    if let Ok(proof) = TlogProof::parse(text) {
        assert_eq!(proof.to_string(), text);
        if let Some(log) = log() {
            let verified = proof.verify(&leaf_hash(b"entry 5"), &log).is_ok();
            assert!(!verified || proof.verify(&leaf_hash(b"entry 6"), &log).is_err());
        }
        is_accepted = true;
    }
    if let Ok(proof) = RangeProof::parse(text) {
        assert_eq!(proof.to_string(), text);
        is_accepted = true;
    }
    if let Ok(hashes) = parse_hash_lines(text) {
        assert_eq!(format_hash_lines(&hashes), text);
        is_accepted = true;
    }
    is_accepted
}

/// Proofs over numbers and hashes as they come: two numbers (u64 LE), then hashes, the first two of which are leaf and root.
pub fn proof(data: &[u8]) -> bool {
    let Some((numbers, rest)) = data.split_first_chunk::<16>() else { return false };
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| numbers[at + byte]));
    let (a, b) = (number(0), number(8));
    let mut hashes = rest.chunks_exact(32).filter_map(|hash| Hash::try_from(hash).ok());
    let (Some(leaf), Some(root)) = (hashes.next(), hashes.next()) else { return false };
    let path: Vec<Hash> = hashes.collect();
    let other = Hash(root.0.map(|byte| !byte));
    let included = verify_inclusion(LeafIndex(a), TreeSize(b), &leaf, &path, &root).is_ok();
    if included {
        assert!(verify_inclusion(LeafIndex(a), TreeSize(b), &leaf, &path, &other).is_err());
        assert!(a < b, "an index beyond the tree");
    }
    let consistent = verify_consistency(TreeSize(a), TreeSize(b), &leaf, &root, &path).is_ok();
    if consistent && a > 0 {
        assert!(verify_consistency(TreeSize(a), TreeSize(b), &leaf, &other, &path).is_err());
        assert!(a <= b, "a tree that shrank");
    }
    // As many as there are perfect subtrees before `a`.
    let left = (a.count_ones() as usize).min(path.len());
    let range = RangeProof {
        start: a,
        end: b,
        left: path[..left].to_vec(),
        right: path[left..].to_vec(),
        checkpoint: String::new(),
    };
    let complete = range.verify(TreeSize(b), &root, [leaf]).is_ok();
    if complete {
        assert!(range.verify(TreeSize(b), &other, [leaf]).is_err());
    }
    included || consistent || complete
}

/// COSE: signed roots and receipts of the golden files' log.
pub fn receipt(data: &[u8]) -> bool {
    let Some(log) = log() else { return false };
    let root = SignedRoot::open(data, &log);
    if let Ok(root) = &root {
        assert_eq!(root.encode().ok().as_deref(), Some(data));
    }
    let verified = verify_receipt(data, &leaf_hash(b"entry 5"), &log);
    if verified.is_ok() {
        assert!(verify_receipt(data, &leaf_hash(b"entry 6"), &log).is_err());
    }
    root.is_ok() || verified.is_ok()
}

/// Policies of witnesses.
pub fn policy(data: &[u8]) -> bool {
    let text = text(data);
    let Ok(policy) = Policy::parse(text) else { return false };
    policy.quorum_satisfied([text]);
    assert!(policy.open_checkpoint(text).is_err(), "a policy is no checkpoint");
    true
}
