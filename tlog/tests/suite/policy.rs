//! Trust policies.

use tlog::{
    Checkpoint, CheckpointError, Hash, Note, Policy, PolicyError, Quorum, SigningKey, TreeSize,
    WitnessSigningKey,
};

fn log(seed: u8) -> SigningKey {
    SigningKey::from_seed(&format!("log.example/{seed}"), [seed; 32]).unwrap()
}

fn witness(seed: u8) -> WitnessSigningKey {
    WitnessSigningKey::from_seed(&format!("witness.example/{seed}"), [seed; 32]).unwrap()
}

fn line(name: &str, seed: u8) -> String {
    format!("witness {name} {}\n", witness(seed).witness_key())
}

/// The example of the specification, with keys, blanks and comments.
fn example() -> String {
    [
        format!("# Trust\n\n \t# more\nlog {}  https://log.example/ \n", log(1).verifying_key()),
        line("X1", 11),
        line("X2", 12),
        format!("\twitness X3\t {}\thttps://x3.example/\n", witness(13).witness_key()),
        "group X-witnesses 2 X1 X2 X3\n".into(),
        line("Y1", 21),
        line("Y2", 22),
        line("Y3", 23),
        "group Y-witnesses any Y1 Y2 Y3\n".into(),
        "group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n".into(),
    ]
    .concat()
}

#[test]
fn the_specifications_example() {
    let policy = Policy::parse(&example()).unwrap();
    assert_eq!(policy.logs, [log(1).verifying_key()]);
    assert_eq!(policy.witnesses.len(), 6);
    assert_eq!(policy.witnesses[0].url, None);
    assert_eq!(policy.witnesses[2].url.as_deref(), Some("https://x3.example/"));
    assert_eq!(policy.groups[0].threshold, 2);
    assert_eq!(policy.groups[2].threshold, 2);
    assert_eq!(policy.quorum, Quorum::Name("X-and-Y".into()));
    for (cosigned, satisfied) in [
        (&["X1", "X3", "Y2"][..], true),
        (&["X1", "X2", "X3", "Y1", "Y2", "Y3"], true),
        (&["X1", "X2", "X3"], false),
        (&["X1", "Y1", "Y2", "Y3"], false),
        (&["X1", "X1", "X1", "Y1"], false),
        (&["X-witnesses", "Y-witnesses", "X-and-Y"], false),
        (&["X1", "X4", "Y1"], false),
        (&[], false),
    ] {
        assert_eq!(policy.quorum_satisfied(cosigned.iter().copied()), satisfied, "{cosigned:?}");
    }
}

#[test]
fn simple_quorums() {
    let none = Policy::parse("quorum none\n").unwrap();
    assert!(none.quorum_satisfied([]) && none.logs.is_empty());
    let one = Policy::parse(&format!("{}quorum a\n", line("a", 11))).unwrap();
    assert!(one.quorum_satisfied(["a"]) && !one.quorum_satisfied([]));
}

#[test]
fn further_directives_go_to_the_caller() {
    let text = "signer  some key \nquorum none\nrecorder\tx+y\n";
    let mut seen = Vec::new();
    let policy = Policy::parse_with(text, |line, directive, rest| {
        seen.push((line, directive.to_owned(), rest.to_owned()));
        Ok(true)
    });
    assert_eq!(policy.unwrap().quorum, Quorum::None);
    let expected = [(1, "signer", "some key"), (3, "recorder", "x+y")];
    assert_eq!(seen, expected.map(|(line, word, rest)| (line, word.into(), rest.into())));

    let unknown = Policy::parse(text).unwrap_err();
    assert_eq!(unknown.to_string(), "line 1: unknown directive \"signer\"");
    let refused = Policy::parse_with(text, |_, _, _| Err("the key is bad".into())).unwrap_err();
    assert_eq!(refused.to_string(), "line 1: the key is bad");
}

#[test]
fn wrong_lines_are_named() {
    let (a, b) = (line("a", 11), line("b", 12));
    let key = log(1).verifying_key();
    for (text, wrong_line) in [
        (format!("{a}quorum b\n"), 2),
        (format!("quorum a\n{a}"), 1),
        (format!("{a}quorum a\nquorum a\n"), 3),
        (format!("{a}quorum\n"), 2),
        (format!("{a}quorum a a\n"), 2),
        (format!("{a}{a}"), 2),
        (format!("{a}{}", line("b", 11)), 2),
        (format!("{a}{}", line("a", 12)), 2),
        (line("none", 11), 1),
        (format!("{a}group none any a\n"), 2),
        (format!("{a}group a any a\n"), 2),
        (format!("{a}group g any none\n"), 2),
        (format!("{a}group g any\n"), 2),
        (format!("{a}group g all\n"), 2),
        (format!("{a}group g\n"), 2),
        (format!("{a}group g 0 a\n"), 2),
        (format!("{a}group g 2 a\n"), 2),
        (format!("{a}group g 01 a\n"), 2),
        (format!("{a}group g 99999999999999999999 a\n"), 2),
        (format!("{a}group g any g\n"), 2),
        (format!("{a}group g any a a\n"), 2),
        (format!("{a}{b}group g any a\ngroup h any a b\n"), 4),
        (format!("{a}group g any b\n{b}"), 2),
        (format!("log {key}\nlog {key}\n"), 2),
        (format!("log {key} url url\n"), 1),
        ("log\n".into(), 1),
        (format!("log {}\n", witness(11).witness_key()), 1),
        (format!("witness a {key}\n"), 1),
        (a.replace("witness a", "Witness a"), 1),
        ("# comment\n\nwitness a\n".into(), 3),
    ] {
        match Policy::parse(&text) {
            Err(PolicyError::Line { line, message }) => {
                assert_eq!(line, wrong_line, "{text}: {message}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn wrong_files_are_refused() {
    assert_eq!(Policy::parse(""), Err(PolicyError::NoQuorum));
    assert_eq!(Policy::parse("# quorum none\n"), Err(PolicyError::NoQuorum));
    assert_eq!(Policy::parse("quorum none"), Err(PolicyError::NoNewline));
    let control = |line| Err(PolicyError::ControlCharacter { line });
    assert_eq!(Policy::parse("#\nquorum none\r\n"), control(2));
    assert_eq!(Policy::parse("# \u{7f}\nquorum none\n"), control(1));
    assert_eq!(Policy::parse(&"#".repeat(1 << 21)), Err(PolicyError::TooLong));
    // A blank that is not ASCII is part of a word.
    assert!(Policy::parse("quorum\u{a0}none\n").is_err());
}

#[test]
fn opening_checkpoints() {
    let policy = format!("log {}\n{}", log(2).verifying_key(), example());
    let policy = Policy::parse(&policy).unwrap();
    let checkpoint =
        Checkpoint { origin: "log.example/1".into(), size: TreeSize(0), root: Hash::empty_root() };
    let mut note = Note::parse(&checkpoint.sign(&log(1))).unwrap();
    for seed in [11, 13, 99, 22] {
        note.add_signature(witness(seed).sign(note.text(), u64::from(seed)).unwrap()).unwrap();
    }
    let opened = policy.open_checkpoint(&note.to_string()).unwrap();
    assert_eq!((opened.checkpoint, opened.log), (checkpoint.clone(), log(1).verifying_key()));
    let cosigned = [("X1", 11), ("X3", 13), ("Y2", 22)].map(|(name, time)| (name.to_owned(), time));
    assert_eq!(opened.cosigned, cosigned);
    assert!(opened.quorum_satisfied && policy.is_cosigned(&note));

    // Another log of the policy may sign it too, but it cannot sign for this one.
    note.add_signature(log(2).sign_note(note.text())).unwrap();
    let opened = policy.open_checkpoint(&note.to_string()).unwrap();
    assert_eq!(opened.log, log(1).verifying_key());
    assert!(matches!(
        policy.open_checkpoint(&checkpoint.sign(&log(2))),
        Err(CheckpointError::OtherOrigin { .. })
    ));
    assert!(matches!(
        policy.open_checkpoint(&checkpoint.sign(&log(3))),
        Err(CheckpointError::NotSigned { .. })
    ));
    let unsigned = policy.open_checkpoint(&checkpoint.sign(&log(1))).unwrap();
    assert!(!unsigned.quorum_satisfied);
    assert!(!policy.is_cosigned(&Note::parse(&checkpoint.sign(&log(1))).unwrap()));

    note.add_signature(witness(12).sign("another text\n", 1).unwrap()).unwrap();
    assert!(policy.open_checkpoint(&note.to_string()).is_err());
    assert!(!policy.is_cosigned(&note));
}
