//! Whoever kept an older checkpoint is shown that the log only grew.

use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use evidence::{Derivation, ExportError, ExportRequest, Exported, Source, SourceError};
use proto::Role;
use proto::v1::Opening;
use tlog::{Checkpoint, Hash, RangeProof, TlogProof, TreeSize, VerifyingKey};
use verifier::{Options, Report, verify};

use crate::export::outcome;
use crate::world::{Notebook, World, key};

/// A node that names the log's key, and may remember earlier exports.
struct Node {
    world: World,
    exported: Vec<u64>,
}

impl Source for Node {
    fn checkpoint(&self) -> (Checkpoint, String) {
        Source::checkpoint(&self.world)
    }

    async fn leaves(&self, range: Range<u64>) -> Result<Vec<Bytes>, SourceError> {
        self.world.leaves(range).await
    }

    async fn openings(
        &self,
        role: Role,
        range: Range<u64>,
    ) -> Result<Vec<(u64, Opening)>, SourceError> {
        Source::openings(&self.world, role, range).await
    }

    async fn first_at_or_after(&self, recorded_at_ns: u64) -> Result<Option<u64>, SourceError> {
        self.world.first_at_or_after(recorded_at_ns).await
    }

    fn range_proof(&self, range: Range<u64>) -> Result<RangeProof, SourceError> {
        self.world.range_proof(range)
    }

    fn inclusion_proof(&self, index: u64) -> Result<TlogProof, SourceError> {
        self.world.inclusion_proof(index)
    }

    fn consistency_proof(&self, old: TreeSize) -> Result<Vec<Hash>, SourceError> {
        self.world.consistency_proof(old)
    }

    fn older_checkpoints(&self) -> Vec<(Checkpoint, String)> {
        self.world.older_checkpoints()
    }

    fn exported_checkpoints(&self) -> Vec<(Checkpoint, String)> {
        self.exported.iter().map(|size| self.world.checkpoint_at(*size)).collect()
    }

    fn log_key(&self) -> Option<VerifyingKey> {
        Some(self.world.keys.log.verifying_key())
    }
}

impl Node {
    fn new(exported: &[u64]) -> Self {
        Self { world: World::new(), exported: exported.to_vec() }
    }

    fn export(&self, since: &[String], into: &Path) -> Result<Exported, ExportError> {
        let request =
            ExportRequest { since: since.to_vec(), ..self.world.request_of(Role::Auditor) };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (notebook, signer) = (Notebook::default(), &self.world.keys.signer);
        runtime.block_on(evidence::export_from(self, &notebook, signer, request, into))
    }

    fn verify(&self, package: &Path, since: String) -> Report {
        let options =
            Options { since: Some(since), rederive: Some(&Derivation), ..Options::default() };
        verify(package, &self.world.keys.trust(), &options, &mut |_| ()).unwrap()
    }
}

fn is_bound(report: &Report) -> bool {
    matches!(outcome(report, "consistency"), verifier::Outcome::Pass { .. })
}

/// Left of the range: the package's own leaves cannot bridge from there.
const KEPT: u64 = 2;

#[test]
fn a_kept_checkpoint_that_is_given_along_is_proved() {
    let node = Node::new(&[]);
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let kept = node.world.checkpoint_at(KEPT).1;
    node.export(&[], &at("without")).unwrap();
    assert!(!is_bound(&node.verify(&at("without"), kept.clone())));

    // As a note, in a proof, and twice.
    let proof = TlogProof { checkpoint: kept.clone(), ..node.world.inclusion_proof(0).unwrap() };
    node.export(&[kept.clone(), proof.to_string()], &at("with")).unwrap();
    let report = node.verify(&at("with"), kept.clone());
    assert!(report.ok() && is_bound(&report), "{report}");

    // What others signed on it is theirs to show: nothing of it can spoil the package.
    let witness = key("witness.example", 9);
    let foreign = witness.sign_note("another text\n");
    node.export(&[format!("{kept}{foreign}")], &at("foreign")).unwrap();
    let stored = std::fs::read_to_string(at("foreign/data/proofs/checkpoints/2")).unwrap();
    assert_eq!(stored, kept);

    // The newest checkpoint, and the empty log's, need no proof.
    let newest = Source::checkpoint(&node).1;
    let empty = Checkpoint {
        origin: crate::world::ORIGIN.into(),
        size: TreeSize(0),
        root: Hash::empty_root(),
    };
    node.export(&[newest.clone(), empty.sign(&node.world.keys.log)], &at("newest")).unwrap();
    assert!(is_bound(&node.verify(&at("newest"), newest)));
}

#[test]
fn checkpoints_of_earlier_exports_are_proved_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::new(&[KEPT, 5]);
    let package = dir.path().join("package");
    node.export(&[], &package).unwrap();
    for size in [KEPT, 5] {
        let report = node.verify(&package, node.world.checkpoint_at(size).1);
        assert!(report.ok() && is_bound(&report), "{report}");
    }
}

#[test]
fn what_this_log_does_not_go_on_from_is_refused() {
    let node = Node::new(&[]);
    let dir = tempfile::tempdir().unwrap();
    let refused = |since: String| {
        let error = node.export(&[since], &dir.path().join("package")).unwrap_err();
        assert!(error.to_string().contains("kept checkpoint 1"), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        error.code()
    };
    let (kept, note) = node.world.checkpoint_at(KEPT);
    assert_eq!(refused("no note".into()), "since_unusable");
    assert_eq!(refused(note.replacen('2', "3", 1)), "since_unusable");
    assert_eq!(refused(kept.sign(&key("other.example", 9))), "since_unusable");
    assert_eq!(refused("c2sp.org/tlog-proof@v1\nindex x\n".into()), "since_unusable");
    let forked = Checkpoint { root: tlog::leaf_hash(b"another history"), ..kept.clone() };
    assert_eq!(refused(forked.sign(&node.world.keys.log)), "since_forked");
    let newer = Checkpoint { size: TreeSize(10_000), ..kept };
    assert_eq!(refused(newer.sign(&node.world.keys.log)), "since_newer");
    let many = node.export(&vec![note.clone(); 101], &dir.path().join("package")).unwrap_err();
    assert_eq!(many.code(), "since_too_many");
    // A source that cannot check signatures proves nothing from what it is given.
    let request = ExportRequest { since: vec![note], ..node.world.request_of(Role::Auditor) };
    let error = node.world.export_as(request, &dir.path().join("package")).unwrap_err();
    assert_eq!(error.code(), "since_unusable");
}
