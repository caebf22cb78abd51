//! Keys, notes, checkpoints and cosignatures: what is accepted, and above all what is not.

use tlog::note::{MAX_NOTE_BYTES, MAX_SIGNATURES};
use tlog::{
    Checkpoint, CheckpointError, Hash, KeyError, Note, NoteError, NoteSignature, SigningKey,
    TlogProof, TreeSize, VerifyingKey, WitnessKey, WitnessSigningKey, open_checkpoint,
};

/// The example of the signed-note specification.
const SPEC_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const SPEC_NOTE: &str = "This is an example message.\n\n\
    — example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

fn key() -> SigningKey {
    SigningKey::from_seed("log.example/a", [9; 32]).unwrap()
}

fn checkpoint(size: u64, root: Hash) -> Checkpoint {
    Checkpoint { origin: "log.example/a".into(), size: TreeSize(size), root }
}

#[test]
fn the_specifications_example() {
    let key = VerifyingKey::parse(SPEC_KEY).unwrap();
    assert_eq!(key.name(), "example.com/foo");
    assert_eq!(key.key_id(), [0x53, 0x0d, 0x90, 0x3a]);
    assert_eq!(format!("{key} {key:?}"), format!("{SPEC_KEY} {SPEC_KEY}"));
    let note = Note::parse(SPEC_NOTE).unwrap();
    assert_eq!(note.text(), "This is an example message.\n");
    assert_eq!(note.verified_by(&key), Ok(true));
    assert_eq!(note.to_string(), SPEC_NOTE);
}

#[test]
fn vkeys_have_one_spelling() {
    for bad in [
        "",
        "+",
        "++",
        "example.com/foo",
        "example.com/foo+530d903a",
        "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+0530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/fop+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k=",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\n",
        "example.com/foo+530d903a+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/f oo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    ] {
        assert!(VerifyingKey::parse(bad).is_err(), "{bad:?}");
    }
    assert_eq!(
        WitnessKey::parse(SPEC_KEY),
        Err(KeyError::Type { expected: 4, actual: 1 }),
        "one key, one kind of signature"
    );
}

#[test]
fn weak_and_second_encodings_of_points_are_no_keys() {
    // y = 1 is the neutral element, y = 0 a point of order 4.
    let small = |y: u8| std::array::from_fn(|at| if at == 0 { y } else { 0 });
    for bytes in [small(0), small(1)] {
        assert_eq!(VerifyingKey::from_bytes("a", &bytes), Err(KeyError::Point));
        assert_eq!(WitnessKey::from_bytes("a", &bytes), Err(KeyError::Point));
    }
    // y + p spells the same point as y, where it fits 255 bits.
    let mut both = 0;
    for y in 0..=18 {
        let mut second = [0xff; 32];
        (second[0], second[31]) = (0xed + y, 0x7f);
        assert_eq!(VerifyingKey::from_bytes("a", &second), Err(KeyError::Point), "y = {y}");
        both += usize::from(VerifyingKey::from_bytes("a", &small(y)).is_ok());
    }
    assert!(both > 3, "{both} of these y are on the curve");
    let good = key().verifying_key();
    assert_eq!(VerifyingKey::from_bytes(good.name(), good.public_key()), Ok(good));
}

#[test]
fn key_names() {
    for bad in ["", " ", "a b", "a+b", "a\n", "a\u{a0}b", "a\u{2003}", "a\u{1}", "\u{85}"] {
        assert_eq!(SigningKey::from_seed(bad, [1; 32]).unwrap_err(), KeyError::Name, "{bad:?}");
        assert!(WitnessSigningKey::from_seed(bad, [1; 32]).is_err(), "{bad:?}");
    }
    SigningKey::from_seed("größe.example/log", [1; 32]).unwrap();
}

#[test]
fn signing_keys_come_back_and_stay_secret() {
    let key = key();
    let text = key.encode();
    let again = SigningKey::parse(&text).unwrap();
    assert_eq!(again.verifying_key(), key.verifying_key());
    let seed = text.rsplit('+').next().unwrap();
    let shown = format!("{key:?}");
    assert!(shown.contains(&key.verifying_key().to_string()));
    assert!(!shown.contains(seed) && !shown.contains("[9, 9"));
    for bad in [
        text.replacen("PRIVATE", "private", 1),
        text.replacen("log.example/a", "log.example/b", 1),
        text.trim_start_matches("PRIVATE+KEY+").to_owned(),
        format!("{}\n", *text),
        key.verifying_key().to_string(),
    ] {
        let error = SigningKey::parse(&bad).unwrap_err();
        assert!(!error.to_string().contains(seed));
    }
    assert!(WitnessSigningKey::parse(&text).is_err());
}

#[test]
fn signatures_are_checked_strictly() {
    let key = key();
    let vkey = key.verifying_key();
    let signature = key.sign_bytes(b"message");
    assert!(vkey.verify(b"message", &signature));
    assert!(!vkey.verify(b"massage", &signature));
    for bit in 0..512 {
        let mut bad = signature;
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(!vkey.verify(b"message", &bad), "bit {bit}");
    }
    // S + L, the malleable twin.
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut twin = signature;
    let mut carry = 0;
    for (byte, add) in twin[32..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert!(!vkey.verify(b"message", &twin));
}

#[test]
fn notes_are_strict() {
    let line = SPEC_NOTE.lines().last().unwrap();
    let base64 = line.rsplit(' ').next().unwrap();
    for bad in [
        String::new(),
        "\n".into(),
        "text\n".into(),
        "text\n\n".into(),
        format!("text\n{line}\n"),
        format!("text\n\n{line}"),
        format!("text\n\n{line}\n\n"),
        format!("text\n\n\n{line}\nmore\n"),
        format!("text\r\n\r\n{line}\r\n"),
        format!("te\txt\n\n{line}\n"),
        format!("te\0xt\n\n{line}\n"),
        format!("text\n\n{line} \n"),
        format!("text\n\n {line}\n"),
        format!("text\n\n- example.com/foo {base64}\n"),
        format!("text\n\n— example.com/foo  {base64}\n"),
        format!("text\n\n— example.com/f+oo {base64}\n"),
        format!("text\n\n— example.com/\u{a0}foo {base64}\n"),
        format!("text\n\n—  {base64}\n"),
        format!("text\n\n— example.com/foo {}\n", base64.trim_end_matches('=')),
        "text\n\n— example.com/foo \n".into(),
        "text\n\n— example.com/foo AAAA\n".into(),
        "text\n\n— example.com/foo AAAAAA==\n".into(),
        "text\n\n— example.com/foo AAAAAAB=\n".into(),
        format!("text\n\n{}", format!("{line}\n").repeat(MAX_SIGNATURES + 1)),
        format!("{}\n\n{line}\n", "x".repeat(MAX_NOTE_BYTES)),
    ] {
        assert!(Note::parse(&bad).is_err(), "{:?}", &bad[..bad.len().min(200)]);
    }
    let many = format!("text\n\n{}", format!("{line}\n").repeat(MAX_SIGNATURES));
    assert_eq!(Note::parse(&many).unwrap().signatures().len(), MAX_SIGNATURES);
    let blank_lines = Note::parse(&format!("\n\n\n{line}\n")).unwrap();
    assert_eq!(blank_lines.text(), "\n\n");
    assert_eq!(
        Note::parse(&format!("a\n\nb\n\n{line}\nx\n")),
        Err(NoteError::SignatureLine { line: 6 })
    );
}

#[test]
fn a_bad_signature_by_a_known_key_condemns_the_note() {
    let (key, other) = (key(), SigningKey::from_seed("log.example/b", [8; 32]).unwrap());
    let mut note = Note::new("text\n").unwrap();
    note.add_signature(other.sign_note("text\n")).unwrap();
    assert_eq!(note.verified_by(&key.verifying_key()), Ok(false));
    note.add_signature(key.sign_note("text\n")).unwrap();
    note.add_signature(key.sign_note("text\n")).unwrap();
    assert_eq!(note.signatures().len(), 2, "a line is not doubled");
    assert_eq!(note.verified_by(&key.verifying_key()), Ok(true));

    note.add_signature(key.sign_note("another text\n")).unwrap();
    assert!(matches!(note.verified_by(&key.verifying_key()), Err(NoteError::BadSignature { .. })));
    assert_eq!(note.verified_by(&other.verifying_key()), Ok(true));

    // Same name, other key: another id, so a stranger.
    let namesake = SigningKey::from_seed("log.example/a", [7; 32]).unwrap();
    assert_eq!(note.verified_by(&namesake.verifying_key()), Ok(false));

    let mut short = key.sign_note("text\n");
    short.signature.pop();
    let mut note = Note::new("text\n").unwrap();
    note.add_signature(short).unwrap();
    assert!(note.verified_by(&key.verifying_key()).is_err());
}

#[test]
fn lines_that_would_break_the_note_are_not_added() {
    let mut note = Note::new("text\n").unwrap();
    let line = |name: &str, signature: &[u8]| NoteSignature {
        name: name.into(),
        key_id: [0; 4],
        signature: signature.to_vec(),
    };
    for bad in [line("a\n— b", b"x"), line("", b"x"), line("a", b"")] {
        assert!(note.add_signature(bad).is_err());
    }
    assert_eq!(note.add_signature(line("a", &vec![0; MAX_NOTE_BYTES])), Err(NoteError::TooLong));
    for count in 0..MAX_SIGNATURES {
        note.add_signature(line("a", &count.to_be_bytes())).unwrap();
    }
    assert_eq!(note.add_signature(line("b", b"x")), Err(NoteError::TooManySignatures));
    assert_eq!(Note::parse(&note.to_string()), Ok(note));
    assert!(Note::new("no newline").is_err() && Note::new("").is_err());
}

#[test]
fn checkpoints_are_strict() {
    let root = tlog::leaf_hash(b"x");
    let text = checkpoint(1, root).text();
    assert_eq!(Checkpoint::parse_text(&text), Ok(checkpoint(1, root)));
    let empty = checkpoint(0, Hash::empty_root());
    assert_eq!(Checkpoint::parse_text(&empty.text()), Ok(empty));
    for bad in [
        String::new(),
        text.replacen("log.example/a", "", 1),
        text.replacen("\n1\n", "\n01\n", 1),
        text.replacen("\n1\n", "\n+1\n", 1),
        text.replacen("\n1\n", "\n1 \n", 1),
        text.replacen("\n1\n", "\n18446744073709551616\n", 1),
        text.replacen("\n1\n", "\n0\n", 1),
        text.trim_end().to_owned(),
        text.replacen("=\n", "\n", 1),
        format!("{text}\n"),
        text.replace('\n', "\r\n"),
    ] {
        assert!(Checkpoint::parse_text(&bad).is_err(), "{bad:?}");
    }
    let extended = format!("{text}extension\n");
    assert_eq!(Checkpoint::parse_text(&extended), Err(CheckpointError::ExtensionLine));
}

#[test]
fn only_the_logs_own_checkpoint_opens() {
    let key = key();
    let vkey = key.verifying_key();
    let ours = checkpoint(1, tlog::leaf_hash(b"x"));
    assert_eq!(open_checkpoint(&ours.sign(&key), &vkey), Ok(ours.clone()));

    let foreign = Checkpoint { origin: "log.example/b".into(), ..ours.clone() };
    assert!(matches!(
        open_checkpoint(&foreign.sign(&key), &vkey),
        Err(CheckpointError::OtherOrigin { .. })
    ));
    let other = SigningKey::from_seed("log.example/a", [7; 32]).unwrap();
    // Signed by a key of the same name, as after a change of keys: which one is told.
    let id = other.verifying_key().to_string().split('+').nth(1).unwrap().to_owned();
    let not_signed = open_checkpoint(&ours.sign(&other), &vkey).unwrap_err();
    assert!(
        matches!(&not_signed, CheckpointError::NotSigned { by, .. } if *by == [format!("log.example/a+{id}")])
    );
    assert!(not_signed.to_string().contains("if the log has changed its key"), "{not_signed}");
    let stranger = SigningKey::from_seed("other.example", [7; 32]).unwrap();
    let by_nobody = open_checkpoint(&ours.sign(&stranger), &vkey).unwrap_err().to_string();
    assert!(!by_nobody.contains("changed"), "{by_nobody}");
    let resized = ours.sign(&key).replacen("\n1\n", "\n2\n", 1);
    assert!(matches!(
        open_checkpoint(&resized, &vkey),
        Err(CheckpointError::Note(NoteError::BadSignature { .. }))
    ));
}

#[test]
fn cosignatures_bind_time_and_text() {
    let witness = WitnessSigningKey::from_seed("witness.example/w", [3; 32]).unwrap();
    let key = witness.witness_key();
    assert_eq!(WitnessKey::parse(&key.to_string()), Ok(key.clone()));
    let again = WitnessSigningKey::parse(&witness.encode()).unwrap();
    assert_eq!(again.witness_key(), key);
    assert_eq!(format!("{witness:?}"), format!("WitnessSigningKey({key})"));

    let mut note = Note::parse(&checkpoint(1, tlog::leaf_hash(b"x")).sign(&self::key())).unwrap();
    assert_eq!(key.verify(&note), Ok(None));
    let line = witness.sign(note.text(), 1000).unwrap();
    assert_eq!(NoteSignature::parse_lines(&line.to_string()), Ok(vec![line.clone()]));
    assert_eq!(key.verify_signature(note.text(), &line), Ok(1000));
    assert!(key.verify_signature("another\n1\n", &line).is_err());
    note.add_signature(line.clone()).unwrap();
    assert_eq!(key.verify(&note), Ok(Some(1000)));
    note.add_signature(witness.sign(note.text(), 2000).unwrap()).unwrap();
    assert_eq!(key.verify(&note), Ok(Some(2000)));

    // A cosignature is no log signature, not even with the same seed and name.
    let log = SigningKey::from_seed("witness.example/w", [3; 32]).unwrap().verifying_key();
    assert_eq!(note.verified_by(&log), Ok(false));

    let mut later = line.clone();
    later.signature[7] ^= 1;
    assert!(key.verify_signature(note.text(), &later).is_err());
    let mut short = line.clone();
    short.signature.truncate(7);
    assert!(key.verify_signature(note.text(), &short).is_err());
    let stranger = NoteSignature { name: "witness.example/x".into(), ..line };
    assert!(key.verify_signature(note.text(), &stranger).is_err());
    note.add_signature(later).unwrap();
    assert!(key.verify(&note).is_err());

    assert!(witness.sign("text\n", 1 << 63).is_err());
    witness.sign("text\n", (1 << 63) - 1).unwrap();
}

#[test]
fn tlog_proofs_are_strict() {
    let text = include_str!("../../testdata/leaf-5.tlog-proof");
    let hash = text.lines().nth(3).unwrap();
    for (from, to) in [
        ("@v1", "@v2"),
        ("extra ZXhoaWJpdA==\n", "extra \n"),
        ("extra ZXhoaWJpdA==\n", "extra ZXhoaWJpdA\n"),
        ("extra ZXhoaWJpdA==\n", "extra ZXhoaWJpdA==\nextra ZXhoaWJpdA==\n"),
        ("index 5\n", ""),
        ("index 5\n", "index 05\n"),
        ("index 5\n", "index 5 \n"),
        ("index 5\n", "index -5\n"),
        ("index 5\n", "index 5\nindex 5\n"),
        ("\n\nlog.example", "\nlog.example"),
        ("\n\nlog.example", "\n\n\nlog.example\n\n"),
        (hash, "AAAA"),
        (hash, &[hash; 62].join("\n")),
    ] {
        assert!(text.contains(from), "{from:?}");
        assert!(TlogProof::parse(&text.replacen(from, to, 1)).is_err(), "{from:?} as {to:?}");
    }
    for end in 0..text.len() {
        let Some(cut) = text.get(..end) else { continue };
        assert!(TlogProof::parse(cut).is_err() || cut.ends_with('\n'), "{cut:?}");
    }
}
