//! The targets on a stable toolchain: inputs made from the corpus by small changes, for some seconds each.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

/// Seconds that one target runs; EXHIBIT_FUZZ_SECONDS sets others.
const SECONDS: u64 = 5;
/// Inputs between two looks at the clock.
const ROUND: u32 = 500;
/// Changes of one input.
const MAX_EDITS: usize = 6;

/// Runs a target over its corpus, then over what is nearly it. The first input that fails is made small and printed.
///
/// # Panics
/// When the target does, or its corpus is not there or has nothing that it accepts.
pub(crate) fn smoke(name: &str, target: fn(&[u8]) -> bool) {
    let corpus = corpus(name);
    let good = corpus.iter().filter(|seed| target(seed)).count();
    assert!(good > 0, "{name}: nothing of the corpus is accepted");
    let seconds = std::env::var("EXHIBIT_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let budget = Duration::from_secs(seconds.unwrap_or(SECONDS));
    let config = Config { cases: ROUND, failure_persistence: None, ..Config::default() };
    let inputs = nearly(corpus);
    let (started, mut count) = (Instant::now(), 0);
    while started.elapsed() < budget {
        let mut runner = TestRunner::new(config.clone());
        let round = runner.run(&inputs, |input| {
            target(&input);
            Ok(())
        });
        if let Err(failure) = round {
            panic!("fuzz {name}: {failure}");
        }
        count += ROUND;
    }
    println!("fuzz {name}: {count} inputs in {:.1} s", started.elapsed().as_secs_f32());
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let files =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}

/// A change of an input.
#[derive(Debug, Clone)]
enum Edit {
    Flip(Index, u8),
    Put(Index, Vec<u8>),
    Remove(Index, usize),
    Double(Index, usize),
    Overwrite(Index, Vec<u8>),
}

fn edit() -> impl Strategy<Value = Edit> {
    // Numbers at the edges, as text, little-endian and as varints; what formats are made of.
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..9),
        any::<u64>().prop_map(|number| number.to_le_bytes().to_vec()),
        prop::sample::select(vec![
            &b"\n"[..],
            b"\n\n",
            b" ",
            b"=",
            b"+",
            b"0",
            b"18446744073709551616",
            "— ".as_bytes(),
            &[0xff; 8],
            &[0x80; 9],
            &[0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0, 0],
            &[0xff, 0xff],
            b"x001/",
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    (any::<Index>(), 0..5u8, 0..64usize, any::<u8>(), piece).prop_map(
        |(at, what, length, bit, piece)| match what {
            0 => Edit::Flip(at, bit % 8),
            1 => Edit::Put(at, piece),
            2 => Edit::Remove(at, length),
            3 => Edit::Double(at, length),
            _ => Edit::Overwrite(at, piece),
        },
    )
}

fn nearly(corpus: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (any::<Index>(), prop::collection::vec(edit(), 0..=MAX_EDITS)).prop_map(move |(seed, edits)| {
        let mut bytes = corpus[seed.index(corpus.len())].clone();
        for edit in edits {
            apply(&mut bytes, edit);
        }
        bytes
    })
}

fn apply(bytes: &mut Vec<u8>, edit: Edit) {
    let place = |at: Index, bytes: &[u8]| at.index(bytes.len() + 1);
    match edit {
        Edit::Flip(at, bit) => {
            let at = place(at, bytes);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        Edit::Put(at, piece) => {
            let at = place(at, bytes);
            bytes.splice(at..at, piece);
        }
        Edit::Remove(at, length) => {
            let at = place(at, bytes);
            let end = (at + length).min(bytes.len());
            bytes.drain(at..end);
        }
        Edit::Double(at, length) => {
            let at = place(at, bytes);
            let end = (at + length).min(bytes.len());
            let part = bytes[at..end].to_vec();
            bytes.splice(end..end, part);
        }
        Edit::Overwrite(at, piece) => {
            let at = place(at, bytes);
            let end = (at + piece.len()).min(bytes.len());
            bytes.splice(at..end, piece);
        }
    }
}
