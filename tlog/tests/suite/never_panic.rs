//! Outside bytes: no parser panics, and whatever one accepts has exactly one spelling.

use proptest::prelude::*;
use tlog::{
    Checkpoint, Hash, LeafIndex, Note, NoteSignature, Policy, RangeProof, SignedRoot, SigningKey,
    Tile, TlogProof, TreeSize, VerifyingKey, WitnessKey, WitnessSigningKey, decode_bundle,
    encode_bundle, format_hash_lines, node_from_tile, parse_hash_lines, tile_of,
    verify_consistency, verify_inclusion, verify_receipt,
};

const ROOT_COSE: &str = include_str!("../../testdata/root.cose.hex");
const RECEIPT_COSE: &str = include_str!("../../testdata/leaf-5.cose.hex");

const SEEDS: [&str; 8] = [
    include_str!("../../testdata/note.txt"),
    include_str!("../../testdata/checkpoint.txt"),
    include_str!("../../testdata/cosigned.txt"),
    include_str!("../../testdata/leaf-5.tlog-proof"),
    include_str!("../../testdata/range.proof"),
    include_str!("../../testdata/consistency.txt"),
    include_str!("../../testdata/policy.txt"),
    include_str!("../../testdata/keys.txt"),
];

/// Hands the text to every parser.
fn parse_all(text: &str) {
    if let Ok(value) = Hash::from_base64(text) {
        assert_eq!(value.to_string(), text);
    }
    if let Ok(value) = VerifyingKey::parse(text) {
        assert_eq!(value.to_string(), text);
    }
    if let Ok(value) = WitnessKey::parse(text) {
        assert_eq!(value.to_string(), text);
    }
    if let Ok(value) = SigningKey::parse(text) {
        assert_eq!(value.encode().as_str(), text);
    }
    if let Ok(value) = WitnessSigningKey::parse(text) {
        assert_eq!(value.encode().as_str(), text);
    }
    if let Ok(value) = Note::parse(text) {
        assert_eq!(value.to_string(), text);
    }
    if let Ok(value) = NoteSignature::parse_lines(text) {
        assert_eq!(value.iter().map(ToString::to_string).collect::<String>(), text);
    }
    if let Ok(value) = Checkpoint::parse_text(text) {
        assert_eq!(value.text(), text);
    }
    if let Ok(value) = TlogProof::parse(text) {
        assert_eq!(value.to_string(), text);
    }
    if let Ok(value) = RangeProof::parse(text) {
        assert_eq!(value.to_string(), text);
    }
    if let Ok(value) = parse_hash_lines(text) {
        assert_eq!(format_hash_lines(&value), text);
    }
    if let Ok(value) = Tile::parse(text) {
        assert_eq!(value.to_string(), text);
    }
    if let Ok(value) = decode_bundle(text.as_bytes()) {
        assert_eq!(encode_bundle(value).unwrap(), text.as_bytes());
    }
    // Policies have blanks and comments: no one spelling.
    if let Ok(policy) = Policy::parse(text) {
        policy.quorum_satisfied([text]);
        assert!(policy.open_checkpoint(text).is_err());
    }
}

/// A valid text with a few characters changed, taken out, put in, or doubled.
fn nearly_valid() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\n".to_owned()),
        Just("\n\n".to_owned()),
        Just(" ".to_owned()),
        Just("0".to_owned()),
        Just("=".to_owned()),
        Just("+".to_owned()),
        Just("— ".to_owned()),
        Just("18446744073709551616".to_owned()),
        any::<char>().prop_map(String::from),
    ];
    let edit = (any::<prop::sample::Index>(), 0..4usize, piece);
    (0..SEEDS.len(), 0..60usize, prop::collection::vec(edit, 0..4)).prop_map(
        |(seed, line, edits)| {
            let whole = SEEDS[seed];
            // Half the time a single line: keys, hashes, tile paths.
            let text = whole.lines().nth(line).filter(|_| line < 30).unwrap_or(whole);
            let mut chars: Vec<char> = text.chars().collect();
            for (at, removed, piece) in edits {
                let at = at.index(chars.len() + 1);
                let end = (at + removed).min(chars.len());
                chars.splice(at..end, piece.chars());
            }
            chars.into_iter().collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn parsers_take_nearly_valid_text(text in nearly_valid()) {
        parse_all(&text);
    }

    #[test]
    fn parsers_take_any_text(text in any::<String>()) {
        parse_all(&text);
    }

    #[test]
    fn tile_parser_takes_path_like_text(path in "tile/(entries|[0-9]{1,3})(/x?[0-9]{1,4}){0,8}(\\.p/[0-9]{0,4})?") {
        parse_all(&path);
    }

    #[test]
    fn bundle_decoder_takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600), small in any::<bool>()) {
        let bytes: Vec<u8> = if small { bytes.into_iter().map(|b| b % 3).collect() } else { bytes };
        if let Ok(entries) = decode_bundle(&bytes) {
            prop_assert_eq!(encode_bundle(entries).unwrap(), bytes);
        }
    }

    #[test]
    fn cose_readers_take_nearly_valid_bytes(
        root in any::<bool>(), edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4usize, any::<[u8; 2]>()), 0..4),
    ) {
        let seed = if root { ROOT_COSE } else { RECEIPT_COSE };
        let digits: Vec<u8> = seed.bytes().filter_map(|b| char::from(b).to_digit(16)).map(|d| d as u8).collect();
        let mut bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        let whole = bytes.clone();
        for (at, removed, put) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, put);
        }
        let log = SigningKey::from_seed("log.example/exhibit", [1; 32]).unwrap().verifying_key();
        if let Ok(read) = SignedRoot::open(&bytes, &log) {
            prop_assert_eq!(read.encode().unwrap(), bytes.clone());
        }
        let leaf = tlog::leaf_hash(b"entry 5");
        prop_assert!(verify_receipt(&bytes, &leaf, &log).is_err() || bytes == whole);
    }

    #[test]
    fn verifiers_take_any_numbers(
        a in any::<u64>(), b in any::<u64>(), shifts in (0..64u32, 0..64u32),
        hashes in 0..140usize, level in any::<u8>(), in_tile in any::<(u8, u16)>(),
    ) {
        let (a, b) = (a >> shifts.0, b >> shifts.1);
        let proof = vec![Hash([3; 32]); hashes];
        let hash = Hash([4; 32]);
        prop_assert!(verify_inclusion(LeafIndex(a), TreeSize(b), &hash, &proof, &hash).is_err() || b == 1);
        let consistent = verify_consistency(TreeSize(a), TreeSize(b), &hash, &hash, &proof);
        prop_assert!(consistent.is_err() || a == b);
        let range = RangeProof {
            start: a, end: b, left: proof.clone(), right: proof.clone(), checkpoint: String::new(),
        };
        for size in [a, b, u64::MAX] {
            prop_assert!(range.verify(TreeSize(size), &hash, proof.iter().copied()).is_err());
        }
        let place = tile_of(level, a);
        prop_assert!(place.level < 8 && place.index < 256);
        let bytes: Vec<u8> = proof.iter().flat_map(|hash| hash.0).collect();
        let _node = node_from_tile(&bytes, in_tile.0, in_tile.1);
    }
}

#[test]
fn the_seeds_are_valid() {
    assert!(SEEDS.iter().all(|seed| !seed.is_empty()));
    Note::parse(SEEDS[0]).unwrap();
    TlogProof::parse(SEEDS[3]).unwrap();
    RangeProof::parse(SEEDS[4]).unwrap();
    assert!(!parse_hash_lines(SEEDS[5]).unwrap().is_empty());
    Policy::parse(SEEDS[6]).unwrap();
    SEEDS.iter().for_each(|seed| parse_all(seed));
}
