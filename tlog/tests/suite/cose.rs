//! COSE signed roots and receipts: what they prove, and that nothing else is read.

use coset::cbor::value::Value;
use coset::{CoseSign1, HeaderBuilder, Label, TaggedCborSerializable};
use tlog::{
    Checkpoint, LeafIndex, ReceiptError, SignedRoot, SigningKey, TreeSize, leaf_hash,
    prove_inclusion, tree_root, verify_receipt,
};

use crate::tree::{Tree, entry};

const SIGNED_ROOT: &str = include_str!("../../testdata/root.cose.hex");
const RECEIPT: &str = include_str!("../../testdata/leaf-5.cose.hex");

fn log_key() -> SigningKey {
    SigningKey::from_seed("log.example/exhibit", [1; 32]).unwrap()
}

fn signed_root(size: usize) -> SignedRoot {
    let root = tree_root(TreeSize(size as u64), &Tree::new(size)).unwrap();
    let size = TreeSize(size as u64);
    let checkpoint = Checkpoint { origin: "log.example/exhibit".into(), size, root };
    SignedRoot::sign(&checkpoint, &log_key()).unwrap()
}

fn receipt(size: usize, index: usize) -> Vec<u8> {
    let at = LeafIndex(index as u64);
    let path = prove_inclusion(at, TreeSize(size as u64), &Tree::new(size)).unwrap();
    signed_root(size).receipt(at, &leaf_hash(&entry(index)), &path).unwrap()
}

/// Hexadecimal digits with line breaks.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let text = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(text).collect()
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.chunks(32).map(|line| line.concat() + "\n").collect()
}

#[test]
fn golden() {
    let log = log_key().verifying_key();
    let root = signed_root(13);
    assert_eq!(hex(&root.encode().unwrap()), SIGNED_ROOT);
    let opened = SignedRoot::open(&bytes(SIGNED_ROOT), &log).unwrap();
    assert_eq!(opened.checkpoint(), root.checkpoint());
    assert_eq!(hex(&receipt(13, 5)), RECEIPT);
    // A root that was read makes the same receipts as one that was signed here.
    let path = prove_inclusion(LeafIndex(5), TreeSize(13), &Tree::new(13)).unwrap();
    let again = opened.receipt(LeafIndex(5), &leaf_hash(&entry(5)), &path).unwrap();
    assert_eq!(hex(&again), RECEIPT);
}

#[test]
fn every_leaf_of_every_small_tree_has_a_receipt() {
    let log = log_key().verifying_key();
    for size in 2..40 {
        for index in 0..size {
            let receipt = receipt(size, index);
            let (at, checkpoint) =
                verify_receipt(&receipt, &leaf_hash(&entry(index)), &log).unwrap();
            assert_eq!((at.0, checkpoint.size.0), (index as u64, size as u64));
            assert_eq!(&checkpoint, signed_root(size).checkpoint());
            let other = leaf_hash(&entry(index + 1));
            assert_eq!(verify_receipt(&receipt, &other, &log), Err(ReceiptError::Signature));
        }
    }
    // The path of an only leaf is empty, which RFC 9942 does not allow.
    let alone = signed_root(1).receipt(LeafIndex(0), &leaf_hash(&entry(0)), &[]);
    assert_eq!(alone, Err(ReceiptError::OneLeaf));
    let beyond = signed_root(0).receipt(LeafIndex(0), &leaf_hash(&entry(0)), &[]);
    assert!(matches!(beyond, Err(ReceiptError::Proof(_))));
}

#[test]
fn every_changed_bit_is_noticed() {
    let log = log_key().verifying_key();
    let leaf = leaf_hash(&entry(5));
    let (root, receipt) = (bytes(SIGNED_ROOT), bytes(RECEIPT));
    for (name, whole) in [("root", &root), ("receipt", &receipt)] {
        for bit in 0..whole.len() * 8 {
            let mut wrong = whole.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            let opened = match name {
                "root" => SignedRoot::open(&wrong, &log).is_ok(),
                _ => verify_receipt(&wrong, &leaf, &log).is_ok(),
            };
            assert!(!opened, "bit {bit} of the {name}");
        }
        for end in 0..whole.len() {
            assert!(SignedRoot::open(&whole[..end], &log).is_err(), "{name} cut at {end}");
            assert!(verify_receipt(&whole[..end], &leaf, &log).is_err(), "{name} cut at {end}");
        }
    }
    // Neither passes for the other, and nothing may follow.
    assert_eq!(SignedRoot::open(&receipt, &log), Err(ReceiptError::Unprotected));
    assert_eq!(verify_receipt(&root, &leaf, &log), Err(ReceiptError::Payload));
    assert!(verify_receipt(&[receipt, vec![0]].concat(), &leaf, &log).is_err());
}

#[test]
fn it_is_of_one_log() {
    let leaf = leaf_hash(&entry(5));
    let same_name = SigningKey::from_seed("log.example/exhibit", [2; 32]).unwrap();
    let same_key = SigningKey::from_seed("log.example/other", [1; 32]).unwrap();
    for other in [same_name, same_key] {
        let other = other.verifying_key();
        let refused = verify_receipt(&bytes(RECEIPT), &leaf, &other);
        assert_eq!(refused, Err(ReceiptError::Protected));
        assert!(SignedRoot::open(&bytes(SIGNED_ROOT), &other).is_err());
    }
}

/// RFC 9942 leaves size and index unsigned: the path of leaf 1 of 4 is also one of leaf 1 of 3, with the same root.
#[test]
fn the_size_is_signed() {
    let log = log_key().verifying_key();
    let leaf = leaf_hash(&entry(1));
    let whole = receipt(4, 1);
    verify_receipt(&whole, &leaf, &log).unwrap();
    let smaller = with_proof(&whole, |fields| fields[0] = 3.into());
    assert_eq!(verify_receipt(&smaller, &leaf, &log), Err(ReceiptError::Protected));
    let moved = with_proof(&whole, |fields| fields[1] = 2.into());
    assert_eq!(verify_receipt(&moved, &leaf, &log), Err(ReceiptError::Signature));
}

#[test]
fn only_the_headers_of_the_format_are_read() {
    let log = log_key().verifying_key();
    let leaf = leaf_hash(&entry(5));
    let whole = bytes(RECEIPT);
    let refused = |bytes: &[u8]| verify_receipt(bytes, &leaf, &log).unwrap_err();
    // A second proof type, a second header, a second proof, another order of what is in it.
    let changed = |change: &dyn Fn(&mut CoseSign1)| {
        let mut message = CoseSign1::from_tagged_slice(&whole).unwrap();
        change(&mut message);
        message.to_tagged_vec().unwrap()
    };
    let consistency = changed(&|message| {
        let Value::Map(proofs) = &mut message.unprotected.rest[0].1 else { panic!() };
        proofs.push(((-2).into(), Value::Array(Vec::new())));
    });
    assert_eq!(refused(&consistency), ReceiptError::Unprotected);
    let header = changed(&|message| {
        message.unprotected.rest.push((Label::Text("note".into()), "hello".into()));
    });
    assert_eq!(refused(&header), ReceiptError::Unprotected);
    let key_id = changed(&|message| message.unprotected.key_id = vec![1]);
    assert_eq!(refused(&key_id), ReceiptError::Unprotected);
    let payload = changed(&|message| message.payload = Some(vec![0; 32]));
    assert_eq!(refused(&payload), ReceiptError::Payload);
    // Signed by the log, but for another use.
    let other_use = HeaderBuilder::new().algorithm(coset::iana::Algorithm::EdDSA).build();
    let other_use = coset::CoseSign1Builder::new()
        .protected(other_use)
        .payload(vec![7; 32])
        .create_signature(&[], |message| log_key().sign_bytes(message).to_vec())
        .build();
    let other_use = other_use.to_tagged_vec().unwrap();
    assert_eq!(SignedRoot::open(&other_use, &log), Err(ReceiptError::Protected));
    // Longer numbers than needed, and lengths that nothing stands behind.
    let longer =
        with_proof(&whole, |fields| fields[2] = Value::Array(vec![Value::Bytes(vec![0; 33])]));
    assert_eq!(refused(&longer), ReceiptError::Path);
    let mut wide = whole.clone();
    wide.splice(0..1, [0xd8, 0x12]);
    assert_eq!(refused(&wide), ReceiptError::Spelling);
    for start in [&[0xd2, 0x9b][..], &[0xd2, 0x84, 0x5b], &[0xd2, 0x84, 0x40, 0xbb]] {
        let endless = [start, &[0x7f; 8], &[0; 64]].concat();
        assert_eq!(refused(&endless), ReceiptError::Form);
    }
    assert_eq!(refused(&[0xd2; 10_000]), ReceiptError::Form);
    assert_eq!(refused(&vec![0x81; tlog::cose::MAX_COSE_BYTES + 1]), ReceiptError::TooLong);
}

/// The same receipt with its inclusion proof changed.
fn with_proof(receipt: &[u8], change: impl Fn(&mut Vec<Value>)) -> Vec<u8> {
    let mut message = CoseSign1::from_tagged_slice(receipt).unwrap();
    let Value::Map(proofs) = &mut message.unprotected.rest[0].1 else { panic!() };
    let Value::Array(inclusion) = &mut proofs[0].1 else { panic!() };
    let proof: Value =
        coset::cbor::de::from_reader(inclusion[0].as_bytes().unwrap().as_slice()).unwrap();
    let Value::Array(mut fields) = proof else { panic!() };
    change(&mut fields);
    let mut encoded = Vec::new();
    coset::cbor::ser::into_writer(&Value::Array(fields), &mut encoded).unwrap();
    inclusion[0] = Value::Bytes(encoded);
    message.to_tagged_vec().unwrap()
}
