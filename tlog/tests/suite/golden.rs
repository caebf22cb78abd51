//! The exact bytes of everything that is signed or written to a file (`testdata/`).

use tlog::{
    Checkpoint, LeafIndex, Note, Policy, RangeProof, SigningKey, TlogProof, TreeSize,
    WitnessSigningKey, format_hash_lines, leaf_hash, open_checkpoint, parse_hash_lines,
    prove_consistency, prove_inclusion, tree_root, verify_consistency,
};

use crate::tree::{Tree, entry};

const NOTE: &str = include_str!("../../testdata/note.txt");
const CHECKPOINT: &str = include_str!("../../testdata/checkpoint.txt");
const COSIGNED: &str = include_str!("../../testdata/cosigned.txt");
const TLOG_PROOF: &str = include_str!("../../testdata/leaf-5.tlog-proof");
const RANGE: &str = include_str!("../../testdata/range.proof");
const CONSISTENCY: &str = include_str!("../../testdata/consistency.txt");
const POLICY: &str = include_str!("../../testdata/policy.txt");
const KEYS: &str = include_str!("../../testdata/keys.txt");

const SIZE: TreeSize = TreeSize(13);
/// 2026-11-01T00:00:00Z.
const TIME: u64 = 1_793_491_200;

fn log_key() -> SigningKey {
    SigningKey::from_seed("log.example/exhibit", [1; 32]).unwrap()
}

fn witness_key() -> WitnessSigningKey {
    WitnessSigningKey::from_seed("witness.example/w1", [2; 32]).unwrap()
}

fn checkpoint() -> Checkpoint {
    let root = tree_root(SIZE, &Tree::new(13)).unwrap();
    Checkpoint { origin: "log.example/exhibit".into(), size: SIZE, root }
}

fn cosigned() -> String {
    let mut note = Note::parse(&checkpoint().sign(&log_key())).unwrap();
    note.add_signature(witness_key().sign(note.text(), TIME).unwrap()).unwrap();
    note.to_string()
}

#[test]
fn keys() {
    let (log, witness) = (log_key(), witness_key());
    let lines = [
        log.verifying_key().to_string(),
        log.encode().to_string(),
        witness.witness_key().to_string(),
        witness.encode().to_string(),
    ];
    assert_eq!(lines.map(|line| line + "\n").concat(), KEYS);
}

#[test]
fn note() {
    let mut note = Note::new("Ein Text.\n\nMit leerer Zeile.\n").unwrap();
    note.add_signature(log_key().sign_note(note.text())).unwrap();
    assert_eq!(note.to_string(), NOTE);
    let read = Note::parse(NOTE).unwrap();
    assert_eq!(read, note);
    assert_eq!(read.verified_by(&log_key().verifying_key()), Ok(true));
}

#[test]
fn checkpoint_and_cosignature() {
    assert_eq!(checkpoint().sign(&log_key()), CHECKPOINT);
    assert_eq!(cosigned(), COSIGNED);
    assert_eq!(open_checkpoint(COSIGNED, &log_key().verifying_key()), Ok(checkpoint()));
    let time = witness_key().witness_key().verify(&Note::parse(COSIGNED).unwrap());
    assert_eq!(time, Ok(Some(TIME)));
}

#[test]
fn tlog_proof() {
    let hashes = prove_inclusion(LeafIndex(5), SIZE, &Tree::new(13)).unwrap();
    let proof = TlogProof {
        extra: Some(b"exhibit".to_vec()),
        index: LeafIndex(5),
        hashes,
        checkpoint: cosigned(),
    };
    assert_eq!(proof.to_string(), TLOG_PROOF);
    let read = TlogProof::parse(TLOG_PROOF).unwrap();
    assert_eq!(read, proof);
    let log = log_key().verifying_key();
    assert_eq!(read.verify(&leaf_hash(&entry(5)), &log), Ok(checkpoint()));
    assert!(read.verify(&leaf_hash(&entry(4)), &log).is_err());
    let moved = TlogProof { index: LeafIndex(4), ..read.clone() };
    assert!(moved.verify(&leaf_hash(&entry(5)), &log).is_err());
    let without = TlogProof { extra: None, ..read };
    assert_eq!(without.to_string(), TLOG_PROOF.replace("extra ZXhoaWJpdA==\n", ""));
    assert_eq!(TlogProof::parse(&without.to_string()), Ok(without));
}

#[test]
fn range_proof() {
    let tree = Tree::new(13);
    let proof = RangeProof::prove(3, 7, SIZE, cosigned(), &tree).unwrap();
    assert_eq!(proof.to_string(), RANGE);
    let read = RangeProof::parse(RANGE).unwrap();
    let checkpoint = open_checkpoint(&read.checkpoint, &log_key().verifying_key()).unwrap();
    let leaves = (3..7).map(|index| leaf_hash(&entry(index)));
    assert_eq!(read.verify(checkpoint.size, &checkpoint.root, leaves), Ok(()));
}

#[test]
fn consistency_proof() {
    let tree = Tree::new(13);
    let proof = prove_consistency(TreeSize(6), SIZE, &tree).unwrap();
    assert_eq!(format_hash_lines(&proof), CONSISTENCY);
    let old_root = tree_root(TreeSize(6), &tree).unwrap();
    let read = parse_hash_lines(CONSISTENCY).unwrap();
    verify_consistency(TreeSize(6), SIZE, &old_root, &checkpoint().root, &read).unwrap();
}

#[test]
fn policy() {
    let opened = Policy::parse(POLICY).unwrap().open_checkpoint(COSIGNED).unwrap();
    assert_eq!(opened.checkpoint, checkpoint());
    assert_eq!(opened.log, log_key().verifying_key());
    assert_eq!(opened.cosigned, [("w1".to_owned(), TIME)]);
    assert!(opened.quorum_satisfied);
    let opened = Policy::parse(POLICY).unwrap().open_checkpoint(CHECKPOINT).unwrap();
    assert!(opened.cosigned.is_empty() && !opened.quorum_satisfied);
}
