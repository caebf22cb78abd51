//! What a witness cosigns, and above all what it does not.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use proptest::prelude::*;
use tempfile::TempDir;
use tlog::{
    Checkpoint, Hash, Note, NoteSignature, SigningKey, TreeSize, WitnessSigningKey, leaf_hash,
    node_hash, prove_consistency, tree_root,
};
use tower::ServiceExt;

use crate::{AddCheckpoint, OpenError, Refused, SIZE_CONTENT_TYPE, StateError, Witness, router};

const ORIGIN: &str = "log.example";
const NOW: u64 = 1_800_000_000;

/// A log whose leaves from `fork` on are its own.
#[derive(Clone, Copy)]
struct Tree {
    fork: u64,
}

const HONEST: Tree = Tree { fork: u64::MAX };

impl Tree {
    fn node(&self, level: u8, index: u64) -> Hash {
        let Some(below) = level.checked_sub(1) else {
            return leaf_hash(
                &[&index.to_be_bytes()[..], &[u8::from(index >= self.fork)]].concat(),
            );
        };
        node_hash(&self.node(below, 2 * index), &self.node(below, 2 * index + 1))
    }

    fn checkpoint(&self, size: u64) -> Checkpoint {
        let nodes = |level: u8, index: u64| Ok::<_, Infallible>(self.node(level, index));
        let root = tree_root(TreeSize(size), &nodes).unwrap();
        Checkpoint { origin: ORIGIN.to_owned(), size: TreeSize(size), root }
    }

    /// The request for this size, by somebody who believes that the witness is at `old`.
    fn request(&self, old: u64, size: u64) -> AddCheckpoint {
        let nodes = |level: u8, index: u64| Ok::<_, Infallible>(self.node(level, index));
        let proof = prove_consistency(TreeSize(old.min(size)), TreeSize(size), &nodes).unwrap();
        let checkpoint = self.checkpoint(size).sign(&log_key());
        AddCheckpoint { old_size: TreeSize(old), proof, checkpoint }
    }
}

fn log_key() -> SigningKey {
    SigningKey::from_seed(ORIGIN, [1; 32]).unwrap()
}

fn witness_key() -> WitnessSigningKey {
    WitnessSigningKey::from_seed("witness.example", [2; 32]).unwrap()
}

fn open(dir: &TempDir) -> Witness {
    Witness::open(witness_key(), &[log_key().verifying_key()], dir.path()).unwrap()
}

fn submit(witness: &Witness, request: &AddCheckpoint) -> Result<u64, Refused> {
    submit_at(witness, request, NOW)
}

/// The time of the cosignature, which must verify.
fn submit_at(witness: &Witness, request: &AddCheckpoint, now: u64) -> Result<u64, Refused> {
    let lines = witness.add_checkpoint(request.to_string().as_bytes(), now)?;
    let lines = NoteSignature::parse_lines(&lines).unwrap();
    let note = Note::parse(&request.checkpoint).unwrap();
    assert_eq!(lines.len(), 1);
    Ok(witness.key().verify_signature(note.text(), &lines[0]).unwrap())
}

#[test]
fn a_tree_that_grows_is_cosigned() {
    let dir = tempfile::tempdir().unwrap();
    let witness = open(&dir);
    let mut old = 0;
    for size in [0, 0, 1, 1, 7, 256, 257, 1_000] {
        assert_eq!(submit(&witness, &HONEST.request(old, size)), Ok(NOW));
        old = size;
    }
}

#[test]
fn nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let witness = open(&dir);
    // The first one is taken as it is, but not with a proof of nothing.
    let mut proved = HONEST.request(0, 5);
    proved.proof = vec![Hash([0; 32])];
    assert!(matches!(submit(&witness, &proved), Err(Refused::Inconsistent(_))));
    submit(&witness, &HONEST.request(0, 5)).unwrap();

    let known = TreeSize(5);
    assert_eq!(submit(&witness, &HONEST.request(0, 9)), Err(Refused::Conflict { known }));
    assert_eq!(submit(&witness, &HONEST.request(0, 3)), Err(Refused::Conflict { known }));
    assert_eq!(submit(&witness, &HONEST.request(7, 9)), Err(Refused::Conflict { known }));
    let back = Refused::OldSize { old: known, size: TreeSize(3) };
    assert_eq!(submit(&witness, &HONEST.request(5, 3)), Err(back));
    // Another tree: of the same size, of a larger one, and of one that would hide the difference.
    let other = Tree { fork: 2 };
    for (old, size) in [(5, 5), (5, 9)] {
        assert!(matches!(
            submit(&witness, &other.request(old, size)),
            Err(Refused::Inconsistent(_))
        ));
    }
    let mut mixed = other.request(5, 9);
    mixed.proof = HONEST.request(5, 9).proof;
    assert!(matches!(submit(&witness, &mixed), Err(Refused::Inconsistent(_))));
    // None of this has moved the witness.
    assert_eq!(submit(&witness, &HONEST.request(5, 9)), Ok(NOW));
}

#[test]
fn time_does_not_go_back() {
    let dir = tempfile::tempdir().unwrap();
    let witness = open(&dir);
    assert_eq!(submit_at(&witness, &HONEST.request(0, 5), NOW), Ok(NOW));
    assert_eq!(submit_at(&witness, &HONEST.request(5, 6), NOW - 100), Ok(NOW));
    assert_eq!(submit_at(&witness, &HONEST.request(6, 6), NOW + 100), Ok(NOW + 100));
    drop(witness);
    assert_eq!(submit_at(&open(&dir), &HONEST.request(6, 7), NOW), Ok(NOW + 100));
    // Zero is no time.
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(submit_at(&open(&dir), &HONEST.request(0, 5), 0), Ok(1));
}

#[test]
fn a_restart_remembers() {
    let dir = tempfile::tempdir().unwrap();
    let witness = open(&dir);
    submit(&witness, &HONEST.request(0, 5)).unwrap();
    let logs = [log_key().verifying_key()];
    let second = Witness::open(witness_key(), &logs, dir.path());
    assert!(matches!(second, Err(OpenError::State(StateError::InUse { .. }))));
    drop(witness);
    std::fs::write(dir.path().join("unfinished-abc"), "half").unwrap();

    let witness = open(&dir);
    assert!(!dir.path().join("unfinished-abc").exists());
    let known = TreeSize(5);
    assert_eq!(submit(&witness, &HONEST.request(0, 9)), Err(Refused::Conflict { known }));
    assert_eq!(submit(&witness, &HONEST.request(5, 9)), Ok(NOW));
    drop(witness);

    let other = WitnessSigningKey::from_seed("witness.example", [3; 32]).unwrap();
    let strange = Witness::open(other, &logs, dir.path());
    assert!(matches!(strange, Err(OpenError::Strange { .. })), "{strange:?}");
    // One bit of what it remembers.
    let kept = crate::state::origin_hash(ORIGIN);
    let text = std::fs::read_to_string(dir.path().join(&kept)).unwrap();
    std::fs::write(dir.path().join(&kept), text.replace("\n9\n", "\n8\n")).unwrap();
    let damaged = Witness::open(witness_key(), &logs, dir.path());
    assert!(matches!(damaged, Err(OpenError::Strange { .. })), "{damaged:?}");
}

#[test]
fn what_cannot_be_kept_is_not_cosigned_and_nothing_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let witness = Witness::open(witness_key(), &[log_key().verifying_key()], &state).unwrap();
    submit(&witness, &HONEST.request(0, 5)).unwrap();
    std::fs::rename(&state, dir.path().join("away")).unwrap();
    assert_eq!(submit(&witness, &HONEST.request(5, 6)), Err(Refused::MemoryLost));
    // What is on the disk is only known again after a restart.
    std::fs::rename(dir.path().join("away"), &state).unwrap();
    assert_eq!(submit(&witness, &HONEST.request(5, 7)), Err(Refused::MemoryLost));
    drop(witness);
    let witness = Witness::open(witness_key(), &[log_key().verifying_key()], &state).unwrap();
    assert_eq!(submit(&witness, &HONEST.request(5, 7)), Ok(NOW));
}

#[test]
fn of_requests_at_once_one_is_cosigned() {
    let dir = tempfile::tempdir().unwrap();
    let witness = open(&dir);
    submit(&witness, &HONEST.request(0, 5)).unwrap();
    let won: Vec<u64> = std::thread::scope(|scope| {
        let submit = |size| {
            let witness = &witness;
            scope.spawn(move || (size, submit(witness, &HONEST.request(5, size))))
        };
        let all: Vec<_> = (6..26).map(submit).collect();
        let ended = all.into_iter().map(|one| one.join().unwrap());
        ended.filter_map(|(size, answer)| answer.is_ok().then_some(size)).collect()
    });
    assert_eq!(won.len(), 1, "{won:?}");
    let known = TreeSize(won[0]);
    assert_eq!(submit(&witness, &HONEST.request(0, 99)), Err(Refused::Conflict { known }));
}

#[test]
fn a_log_may_have_several_keys_and_extension_lines() {
    let dir = tempfile::tempdir().unwrap();
    let newer = SigningKey::from_seed(ORIGIN, [4; 32]).unwrap();
    let logs = [log_key().verifying_key(), newer.verifying_key()];
    let witness = Witness::open(witness_key(), &logs, dir.path()).unwrap();
    submit(&witness, &HONEST.request(0, 5)).unwrap();

    let mut request = HONEST.request(5, 6);
    let text = format!("{}an extension\n", HONEST.checkpoint(6).text());
    let stranger = SigningKey::from_seed("stranger.example", [5; 32]).unwrap();
    let signatures = [newer.sign_note(&text), stranger.sign_note(&text)];
    request.checkpoint = format!("{text}\n{}{}", signatures[0], signatures[1]);
    assert_eq!(submit(&witness, &request), Ok(NOW));
    // Monitors are shown what was verified, and nothing else.
    let shown = witness.checkpoint(&crate::state::origin_hash(ORIGIN)).unwrap();
    assert!(shown.starts_with(&text) && !shown.contains("stranger"), "{shown}");
    assert_eq!(Note::parse(&shown).unwrap().signatures().len(), 2);

    let text = format!("{}\nlast\n", HONEST.checkpoint(7).text());
    request.checkpoint = format!("{text}\n{}", newer.sign_note(&text));
    assert!(matches!(submit(&witness, &request), Err(Refused::Malformed(_))));
}

/// Status, content type and body of the answer.
async fn answer(witness: &Arc<Witness>, request: Request<Body>) -> (StatusCode, String, String) {
    let response = router(Arc::clone(witness)).oneshot(request).await.unwrap();
    let kind = response.headers().get("content-type");
    let kind = kind.map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, kind, String::from_utf8(body.to_vec()).unwrap())
}

async fn post(witness: &Arc<Witness>, body: impl Into<Body>) -> (StatusCode, String, String) {
    answer(witness, Request::post("/add-checkpoint").body(body.into()).unwrap()).await
}

#[tokio::test]
async fn every_refusal_has_its_status() {
    let dir = tempfile::tempdir().unwrap();
    let witness = Arc::new(open(&dir));
    let monitored = format!("/{}/checkpoint", crate::state::origin_hash(ORIGIN));
    let monitor = || Request::get(&monitored).body(Body::empty()).unwrap();
    assert_eq!(answer(&witness, monitor()).await.0, StatusCode::NOT_FOUND);
    let (status, _, lines) = post(&witness, HONEST.request(0, 5).to_string()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(lines.starts_with("— witness.example ") && lines.ends_with('\n'), "{lines}");
    let (status, _, shown) = answer(&witness, monitor()).await;
    let expected = format!("{}{lines}", HONEST.request(0, 5).checkpoint);
    assert_eq!((status, shown), (StatusCode::OK, expected));

    let (status, kind, size) = post(&witness, HONEST.request(0, 9).to_string()).await;
    assert_eq!((status, &*kind, &*size), (StatusCode::CONFLICT, SIZE_CONTENT_TYPE, "5\n"));
    let statuses = [
        ("no request".to_owned(), StatusCode::BAD_REQUEST),
        (HONEST.request(5, 3).to_string(), StatusCode::BAD_REQUEST),
        (HONEST.request(5, 9).to_string().replace("\n9\n", "\n09\n"), StatusCode::FORBIDDEN),
        (
            HONEST.request(5, 9).to_string().replace("log.example", "other.example"),
            StatusCode::NOT_FOUND,
        ),
        (Tree { fork: 0 }.request(5, 5).to_string(), StatusCode::UNPROCESSABLE_ENTITY),
        (Tree { fork: 0 }.request(5, 9).to_string(), StatusCode::UNPROCESSABLE_ENTITY),
        ("x".repeat(crate::MAX_REQUEST_BYTES + 1), StatusCode::BAD_REQUEST),
    ];
    for (body, expected) in statuses {
        let (status, _, message) = post(&witness, body.clone()).await;
        assert_eq!(status, expected, "{body}: {message}");
        assert!(message.len() > 20, "it says little: {message}");
    }
    let mut unsigned = HONEST.request(5, 9);
    let stranger = SigningKey::from_seed(ORIGIN, [9; 32]).unwrap();
    unsigned.checkpoint = HONEST.checkpoint(9).sign(&stranger);
    assert_eq!(post(&witness, unsigned.to_string()).await.0, StatusCode::FORBIDDEN);
    // A size of zero with a root that no empty tree has.
    let mut empty = HONEST.request(5, 9);
    let checkpoint = Checkpoint { size: TreeSize(0), ..HONEST.checkpoint(9) };
    (empty.old_size, empty.checkpoint) = (TreeSize(0), checkpoint.sign(&log_key()));
    assert_eq!(post(&witness, empty.to_string()).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(post(&witness, vec![0xff, 0xfe]).await.0, StatusCode::BAD_REQUEST);
}

proptest! {
    /// Whatever is submitted, in whatever order: what was cosigned is one history.
    #[test]
    fn what_is_cosigned_is_one_history(
        submissions in prop::collection::vec((0u64..3, 0u64..12, 0u64..12, any::<bool>()), 1..40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut witness = open(&dir);
        let mut cosigned: Vec<(Tree, u64)> = Vec::new();
        for (fork, old, size, restart) in submissions {
            if restart {
                drop(witness);
                witness = open(&dir);
            }
            let tree = if fork == 2 { HONEST } else { Tree { fork: 4 + fork } };
            if submit(&witness, &tree.request(old, size)).is_ok() {
                cosigned.push((tree, size));
            }
        }
        for pair in cosigned.windows(2) {
            let [(one, size), (other, larger)] = pair else { continue };
            prop_assert!(size <= larger);
            prop_assert_eq!(one.checkpoint(*size).root, other.checkpoint(*size).root);
        }
    }
}
