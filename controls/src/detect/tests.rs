use super::*;
use proptest::prelude::*;
use std::sync::LazyLock;

static DEFAULT: LazyLock<DetectorSet> =
    LazyLock::new(|| DetectorSet::load(DEFAULT_DETECTORS, &[]).unwrap());

/// Texts that hold exactly one value, with the value; then texts that hold none.
struct Corpus {
    detector: &'static str,
    positives: &'static [(&'static str, &'static str)],
    negatives: &'static [&'static str],
}

// Keys are put together from parts, so that no scanner takes this file for a leak.
const CORPORA: &[Corpus] = &[
    Corpus {
        detector: "api_key",
        positives: &[
            (concat!("id AKIA", "IOSFODNN7EXAMPLE."), concat!("AKIA", "IOSFODNN7EXAMPLE")),
            (concat!("export X=ASIA", "Y34FZKBOKMUTVV7A"), concat!("ASIA", "Y34FZKBOKMUTVV7A")),
            (
                concat!("(ghp", "_16C7e42F292c6912E7710c838347Ae178B4a)"),
                concat!("ghp", "_16C7e42F292c6912E7710c838347Ae178B4a"),
            ),
            (
                concat!("github", "_pat_11ABCDEFG0123456789_abcdefghij"),
                concat!("github", "_pat_11ABCDEFG0123456789_abcdefghij"),
            ),
            (concat!("token xoxb", "-2154-8736-AbCdEfGh"), concat!("xoxb", "-2154-8736-AbCdEfGh")),
            (
                concat!("\"sk", "_live_4eC39HqLyjWDarjtT1zdp7dc\""),
                concat!("sk", "_live_4eC39HqLyjWDarjtT1zdp7dc"),
            ),
            (
                concat!("key=AIza", "SyA1bC2dE3fG4hI5jK6lM7nO8pQ9rS0tU1v"),
                concat!("AIza", "SyA1bC2dE3fG4hI5jK6lM7nO8pQ9rS0tU1v"),
            ),
            (
                concat!("OPENAI sk", "-proj-AbCd1234EfGh5678IjKl"),
                concat!("sk", "-proj-AbCd1234EfGh5678IjKl"),
            ),
            ("api_key=9f86d081884c7d659a2feaa0", "9f86d081884c7d659a2feaa0"),
            ("{\"apiKey\": \"Zx81-kQ93_mmPP20aa71\"}", "Zx81-kQ93_mmPP20aa71"),
            ("{\\\"api_key\\\":\\\"9f86d081884c7d659a2f\\\"}", "9f86d081884c7d659a2f"),
            ("Authorization: Bearer 4f9c2b7e81d04a6f93", "4f9c2b7e81d04a6f93"),
            ("MY_SERVICE_ACCESS_TOKEN: '7yH2kP0qLs9dVb3n'", "7yH2kP0qLs9dVb3n"),
        ],
        negatives: &[
            "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
            "api_key=YOUR_API_KEY_HERE",
            "api_key: string",
            "let api_key = \"test_key\";",
            "AKIAshort",
            "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
            "550e8400-e29b-41d4-a716-446655440000",
            "sk-button-primary",
            "task-12345678901234567890",
            "the bearer of this letter shall pass",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "primary_key=customer_identifier",
        ],
    },
    Corpus {
        detector: "password",
        positives: &[
            ("password: hunter2", "hunter2"),
            ("password: x", "x"),
            ("PASSWORD=s3cr3t!\nUSER=joe", "s3cr3t!"),
            ("DB_PASSWORD=s3cr3t", "s3cr3t"),
            ("{\"password\":\"correct horse\"}", "correct horse"),
            ("{\\\"password\\\": \\\"tr0ub4dor\\\"}", "tr0ub4dor"),
            ("'passwd' => 'abc def'", "abc def"),
            ("postgres://app:hunter2@db.example.com:5432/app", "hunter2"),
            ("redis://:p4ss@cache:6379", "p4ss"),
            ("CREATE USER u IDENTIFIED BY 'hunter2'", "hunter2"),
            ("ALTER ROLE app PASSWORD 'hunter2'", "hunter2"),
            ("client_secret=abc123", "abc123"),
            ("mysql --password hunter2 -u root", "hunter2"),
            ("dbPassword: \"two words\"", "two words"),
            ("Authorization: Basic YWxpY2U6aHVudGVyMg==", "YWxpY2U6aHVudGVyMg=="),
        ],
        negatives: &[
            "forgot your password?",
            "password: string",
            "password: Option<String>",
            "password = None",
            "password: null",
            "PASSWORD=${DB_PASSWORD}",
            "PASSWORD=$DB_PASSWORD",
            "password = os.environ",
            "password: ********",
            "password = read_password()",
            "passwords must have 12 characters",
            "http://example.com:8080/path?a=b@c",
            "basic understanding",
            "the secret of success",
            "https://example.com/a:b/c",
        ],
    },
    Corpus {
        detector: "payment_card",
        positives: &[
            ("4111111111111111", "4111111111111111"),
            ("card 4111 1111 1111 1111, thanks", "4111 1111 1111 1111"),
            ("5555-5555-5555-4444.", "5555-5555-5555-4444"),
            ("amex 3782 822463 10005", "3782 822463 10005"),
            ("2 4111111111111111 123", "4111111111111111"),
            ("4111 1111 1111 1111 737", "4111 1111 1111 1111"),
            ("6011111111111117;3530111333300000", "6011111111111117"),
            ("{\\\"pan\\\":\\\"4012888888881881\\\"}", "4012888888881881"),
            ("a\\n4111111111111111\\n", "4111111111111111"),
        ],
        negatives: &[
            "4111111111111112",
            "order 1000000000000008",
            "1732176000000",
            "1732176000000000000",
            "550e8400-e29b-41d4-a716-446655440000",
            "4111-1111-1111-1111-deadbeef",
            "ORD-4111111111111111",
            "v4111111111111111",
            "+4915112345678901",
            "0.4111111111111111",
            "4111111111111111.5",
            "2026-11-21 08:51:00 2026-11-22",
            "978-3-16-148410-0",
            "0000 0000 0000 0000",
            "e4111111111111111f",
            "192.168.100.200 10.0.0.1 8.8.8.8",
        ],
    },
    Corpus {
        detector: "us_ssn",
        positives: &[
            ("SSN 219-09-9998", "219-09-9998"),
            ("ssn: 219099998", "219099998"),
            ("Social Security Number is 219 09 9998", "219 09 9998"),
            ("(219-09-9998)", "219-09-9998"),
            ("{\\\"ssn\\\":\\\"219099998\\\"}", "219099998"),
        ],
        negatives: &[
            "000-12-3456",
            "666-12-3456",
            "912-12-3456",
            "219-00-9998",
            "219-09-0000",
            "415-555-2671",
            "2026-11-21",
            "123-45-67890",
            "1219-09-9998",
            "part 219-09-9998-04",
            "SKU-219-09-9998",
            "1.2.3-45-6789",
            "order 219099998",
            "zip 12345-6789",
        ],
    },
    Corpus {
        detector: "email",
        positives: &[
            ("write to alice@example.com.", "alice@example.com"),
            ("<bob.o'neil+tag@mail.example.co.uk>", "bob.o'neil+tag@mail.example.co.uk"),
            ("jürgen@müller.de", "jürgen@müller.de"),
            ("mailto:carol@example.org?subject=x", "carol@example.org"),
        ],
        negatives: &[
            "npm i @scope/pkg@1.2.3",
            "git@github.com:org/repo.git",
            "icon@2x.png",
            "user@localhost",
            "@alice said hi",
            "a @ b.com",
            "price@10.50",
            "commit 9f86d08@{2026-11-21}",
        ],
    },
    Corpus {
        detector: "private_key",
        positives: &[
            (
                "x\n-----BEGIN PRIVATE KEY-----\nMIIEvQ==\n-----END PRIVATE KEY-----\ny",
                "-----BEGIN PRIVATE KEY-----\nMIIEvQ==\n-----END PRIVATE KEY-----",
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----",
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----",
            ),
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAA",
                "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAA",
            ),
            (
                "\"-----BEGIN EC PRIVATE KEY-----\\nMHcCAQEE\\n-----END EC PRIVATE KEY-----\"",
                "-----BEGIN EC PRIVATE KEY-----\\nMHcCAQEE\\n-----END EC PRIVATE KEY-----",
            ),
            (
                "MHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY\n-----END EC PRIVATE KEY-----",
                "MHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY\n-----END EC PRIVATE KEY-----",
            ),
        ],
        negatives: &[
            "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "the private key stays in the vault",
        ],
    },
    Corpus {
        detector: "jwt",
        positives: &[
            (
                concat!("t=eyJ", "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"),
                concat!("eyJ", "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"),
            ),
            (
                concat!("eyJ", "hbGciOiJub25lIn0.eyJzdWIiOiIxIn0. end"),
                concat!("eyJ", "hbGciOiJub25lIn0.eyJzdWIiOiIxIn0."),
            ),
        ],
        negatives: &[
            "eyJhIjoxfQ.eyJiIjoyfQ.c2ln",
            "eyJhbGciOiJIUzI1NiJ9",
            "com.example.application.Main",
            "1.2.3 and eyJ.eyJ.eyJ",
        ],
    },
];

#[test]
fn positives_are_found_whole_and_alone() {
    for corpus in CORPORA {
        for (text, value) in corpus.positives {
            let found: Vec<_> = DEFAULT
                .scan(text)
                .into_iter()
                .map(|hit| (DEFAULT.id(hit.detector).to_owned(), text[hit.span].to_owned()))
                .collect();
            assert!(
                found.contains(&(corpus.detector.to_owned(), (*value).to_owned())),
                "{}: {text:?} gives {found:?}",
                corpus.detector
            );
        }
    }
}

#[test]
fn hard_negatives_stay_clean() {
    for corpus in CORPORA {
        for text in corpus.negatives {
            let found: Vec<_> = DEFAULT
                .scan(text)
                .iter()
                .map(|hit| (DEFAULT.id(hit.detector).to_owned(), text[hit.span.clone()].to_owned()))
                .collect();
            assert!(found.is_empty(), "{text:?} gives {found:?}");
        }
    }
}

#[test]
fn fields_are_known_by_name() {
    let of = |name: &str| DEFAULT.field(name).map(|detector| DEFAULT.id(detector));
    for name in
        ["password", "Passwd", "dbPassword", "client_secret", "clientSecret", "secret", "user.pwd"]
    {
        assert_eq!(of(name), Some("password"), "{name}");
    }
    for name in
        ["api_key", "apiKey", "x-api-key", "aws_secret_access_key", "access_token", "Authorization"]
    {
        assert_eq!(of(name), Some("api_key"), "{name}");
    }
    assert_eq!(of("ssn"), Some("us_ssn"));
    assert_eq!(of("social_security_number"), Some("us_ssn"));
    assert_eq!(of("privateKey"), Some("private_key"));
    for name in [
        "progressToken",
        "nextCursor",
        "key",
        "token_count",
        "password_policy",
        "requestState",
        "secretary",
        "name",
        "",
    ] {
        assert_eq!(of(name), None, "{name}");
    }
}

#[test]
fn markers_of_known_detectors_are_no_values() {
    assert_eq!(DEFAULT.scan("password=[masked:password] ok"), []);
    assert_eq!(DEFAULT.scan("password=[masked:payment_card]"), []);
    let text = "password=[masked:hunter2]";
    assert_eq!(&text[DEFAULT.scan(text)[0].span.clone()], "[masked:hunter2]");
    let text = "password=[masked:email]hunter2";
    assert_eq!(&text[DEFAULT.scan(text)[0].span.clone()], "[masked:email]hunter2");
}

/// Sixteen times the text takes about sixteen times the time, not two hundred and fifty times, however many
/// markers and claims stand in it.
#[test]
fn time_grows_with_the_text_and_not_faster() {
    for (unit, end) in [
        ("[masked:email] a@b.io ", ""),
        ("[masked:", " a@b.io"),
        ("[masked:email]", " a@b.io"),
        ("a@b.io,", ""),
        ("/:a@b.io", ""),
        ("password=[masked:email]x ", ""),
    ] {
        let time = |units: usize| {
            let text = [&unit.repeat(units), end].concat();
            let once = || {
                let start = std::time::Instant::now();
                DEFAULT.scan(&text);
                start.elapsed()
            };
            (0..5).map(|_| once()).min().unwrap()
        };
        let (short, long) = (time(2_000), time(32_000));
        let most = short * 64 + std::time::Duration::from_millis(20);
        assert!(long < most, "{unit}: {short:?} {long:?}");
    }
}

#[test]
fn mistakes_in_data_are_all_named() {
    let data = "[[detector]]\nid = \"A\"\ntitle = \"\"\n[[detector.pattern]]\nregex = '('\n\
        [[detector.pattern]]\nregex = 'a*'\n[[detector.pattern]]\nregex = 'a'\nmask = 1\n\
        [[detector]]\nid = \"b\"\ntitle = \"\"\n[[detector]]\nid = \"b\"\ntitle = \"\"\n[[detector.field]]\nname = 'x'\n";
    let mistakes = DetectorSet::load(data, &[]).unwrap_err();
    let of = |needle: &str| mistakes.iter().filter(|m| m.message.contains(needle)).count();
    assert_eq!(of("no detector id"), 1);
    assert_eq!(of("not a regular expression"), 1);
    assert_eq!(of("matches the empty text"), 1);
    assert_eq!(of("mask = 1"), 1);
    assert_eq!(of("neither a pattern nor a field"), 1);
    assert_eq!(of("two detectors"), 1);
    let mistakes = DetectorSet::load("[[detector]]\nid = 1\ntitle = \"\"", &[]).unwrap_err();
    assert_eq!(mistakes[0].offset, 18);
    assert_eq!(DetectorSet::load("detector = []\nx = 1", &[]).unwrap_err().len(), 1);
}

#[test]
fn disabled_detectors_find_nothing() {
    let set = DetectorSet::load(DEFAULT_DETECTORS, &["email".to_owned()]).unwrap();
    assert_eq!(set.scan("alice@example.com"), []);
    assert_eq!(set.detectors().len(), DEFAULT.detectors().len());
}

/// Text in which values, near-values and separators meet.
fn dense_text() -> impl Strategy<Value = String> {
    let values: Vec<String> = CORPORA
        .iter()
        .flat_map(|corpus| {
            let positives = corpus.positives.iter().map(|(text, _)| *text);
            positives.chain(corpus.negatives.iter().copied())
        })
        .map(str::to_owned)
        .collect();
    let glue = [
        "",
        " ",
        "\n",
        ":",
        "=",
        "-",
        "@",
        "\"",
        "\\",
        "[masked:email]",
        "[masked:",
        "]",
        "1",
        "é",
        "password",
        "secret=",
        "://",
    ];
    let piece = prop_oneof![
        prop::sample::select(values),
        prop::sample::select(glue.to_vec()).prop_map(str::to_owned),
        "[a-zA-Z0-9@:=\" -]{0,6}",
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// The prefilter saves time and nothing else.
    #[test]
    fn the_prefilter_hides_nothing(text in dense_text()) {
        let unfiltered = DEFAULT.scan_for(&text, |_| true);
        prop_assert_eq!(DEFAULT.scan(&text), unfiltered);
    }

    #[test]
    fn field_literals_hide_nothing(name in "[a-zA-Z_.-]{0,4}(password|pwd|api_key|ApiKey|secret|ssn|token|access_token|private_key|credentials|x)?[a-z_]{0,3}") {
        if DEFAULT.field(&name).is_some() {
            prop_assert!(DEFAULT.candidates(&name).has_field(), "{}", name);
        }
    }

    #[test]
    fn claims_are_disjoint_and_ascend(text in dense_text()) {
        let hits = DEFAULT.scan(&text);
        prop_assert!(hits.windows(2).all(|pair| pair[0].span.end <= pair[1].span.start));
        prop_assert!(hits.iter().all(|hit| text.is_char_boundary(hit.span.start) && text.is_char_boundary(hit.span.end)));
    }

    /// What is masked in the whole is masked in the text, whatever stands around.
    #[test]
    fn masking_ends(text in dense_text()) {
        let masked = crate::mask::plain(&DEFAULT, &text);
        prop_assert_eq!(DEFAULT.scan(&masked.text), vec![]);
        prop_assert_eq!(masked.changed, masked.text != text);
        prop_assert_eq!(masked.changed, !masked.counts.is_empty());
    }
}
