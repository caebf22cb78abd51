//! COSE receipts of inclusion: [RFC 9942](https://www.rfc-editor.org/rfc/rfc9942), Section 5.2, for the structure
//! RFC9162_SHA256, whose tree is that of RFC 6962.
//!
//! The log signs the root of a published tree once, as a COSE_Sign1 message ([`SignedRoot`]). Whoever has it and an
//! inclusion proof completes it to a receipt without the log: the proof stands in a header that no signature covers, and
//! the root is left out, so that a reader has to compute it from the entry and the proof. What is signed beside the root
//! are the protected headers: algorithm, key id, the origin as the claim `iss`, the structure, and the tree size.
//!
//! The same key signs checkpoints. No message can be taken for the other: a note's text is UTF-8, and what COSE signs
//! begins with the byte 0x84, which no UTF-8 text does.

use coset::cbor::{de, ser, value::Value};
use coset::{
    CborSerializable as _, CoseSign1, CoseSign1Builder, Header, HeaderBuilder, Label,
    SignatureContext, TaggedCborSerializable as _, iana, sig_structure_data,
};

use crate::checkpoint::Checkpoint;
use crate::hash::Hash;
use crate::key::VerifyingKey;
use crate::position::{LeafIndex, TreeSize};
use crate::proof::{ProofError, inclusion_root, verify_inclusion};
use crate::signer::{SignError, Signer};

/// Header parameter: claims, of which we use `iss` (RFC 9597).
const CWT_CLAIMS: i64 = 15;
const ISSUER: i64 = 1;
/// Header parameter: which verifiable data structure (RFC 9942).
const VDS: i64 = 395;
const RFC9162_SHA256: i64 = 1;
/// Header parameter: proofs by type (RFC 9942).
const VDP: i64 = 396;
const INCLUSION: i64 = -1;
/// Header parameter for private use (RFC 9052, Section 11.1): the tree size, which RFC 9942 leaves unsigned.
const TREE_SIZE: i64 = -65_537;

/// An audit path has at most one hash per bit of the index.
const MAX_HASHES: usize = 64;
/// The longest message that is read, in bytes.
pub const MAX_COSE_BYTES: usize = 16 << 10;

/// The root of a log's tree, signed by the log as a COSE_Sign1 message with the root as its payload.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedRoot {
    checkpoint: Checkpoint,
    message: CoseSign1,
}

impl SignedRoot {
    /// Signs the root of a checkpoint, whose origin should be the key's name.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn sign(checkpoint: &Checkpoint, key: &dyn Signer) -> Result<Self, SignError> {
        let message = CoseSign1Builder::new()
            .protected(protected(checkpoint.size, &key.verifying_key()))
            .payload(checkpoint.root.0.to_vec())
            .try_create_signature(&[], |message| key.sign_bytes(message).map(Vec::from))?
            .build();
        Ok(Self { checkpoint: checkpoint.clone(), message })
    }

    /// Reads a root that the log's key has signed, strictly: exactly what [`encode`](Self::encode) writes.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn open(bytes: &[u8], log: &VerifyingKey) -> Result<Self, ReceiptError> {
        let message = parse(bytes)?;
        if message.unprotected != Header::default() {
            return Err(ReceiptError::Unprotected);
        }
        let root = message.payload.as_deref().and_then(|root| root.try_into().ok());
        let root = Hash(root.ok_or(ReceiptError::Payload)?);
        let size = message.protected.header.rest.iter().find_map(|(label, value)| {
            (*label == Label::Int(TREE_SIZE)).then(|| number(value)).flatten()
        });
        let size = TreeSize(size.ok_or(ReceiptError::Protected)?);
        check_signature(&message, size, &root, log)?;
        Ok(Self { checkpoint: Checkpoint { origin: log.name().to_owned(), size, root }, message })
    }

    /// What the log signed.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The message in CBOR, with the tag of COSE_Sign1.
    ///
    /// # Errors
    /// [`ReceiptError::Encode`].
    pub fn encode(&self) -> Result<Vec<u8>, ReceiptError> {
        encode(self.message.clone())
    }

    /// The receipt that this leaf is in the tree, in CBOR; the proof is checked first.
    ///
    /// # Errors
    /// When the proof does not lead to the root, or the tree has one leaf: its path is empty, and RFC 9942 wants a hash.
    pub fn receipt(
        &self,
        index: LeafIndex,
        leaf: &Hash,
        path: &[Hash],
    ) -> Result<Vec<u8>, ReceiptError> {
        let Checkpoint { size, root, .. } = &self.checkpoint;
        verify_inclusion(index, *size, leaf, path, root)?;
        if path.is_empty() {
            return Err(ReceiptError::OneLeaf);
        }
        let message = self.message.clone();
        encode(CoseSign1 { unprotected: proofs(*size, index, path)?, payload: None, ..message })
    }
}

/// Checks a receipt of inclusion of this leaf, strictly: exactly what [`SignedRoot::receipt`] writes. Returns the index
/// that it claims, and the checkpoint that the log signed.
///
/// # Errors
/// When it does not show that the leaf is in a tree of this log.
pub fn verify_receipt(
    bytes: &[u8],
    leaf: &Hash,
    log: &VerifyingKey,
) -> Result<(LeafIndex, Checkpoint), ReceiptError> {
    let message = parse(bytes)?;
    if message.payload.is_some() {
        return Err(ReceiptError::Payload);
    }
    let (size, index, path) = read_proof(&message.unprotected)?;
    if message.unprotected != proofs(size, index, &path)? {
        return Err(ReceiptError::Unprotected);
    }
    let root = inclusion_root(index, size, leaf, &path)?;
    check_signature(&message, size, &root, log)?;
    Ok((index, Checkpoint { origin: log.name().to_owned(), size, root }))
}

/// The headers that are signed; in the order of their labels' bytes, which is that of deterministic CBOR.
fn protected(size: TreeSize, log: &VerifyingKey) -> Header {
    let claims = vec![(ISSUER.into(), log.name().into())];
    HeaderBuilder::new()
        .algorithm(iana::Algorithm::EdDSA)
        .key_id(log.key_id().to_vec())
        .value(CWT_CLAIMS, Value::Map(claims))
        .value(VDS, RFC9162_SHA256.into())
        .value(TREE_SIZE, size.0.into())
        .build()
}

/// The header that is not signed.
fn proofs(size: TreeSize, index: LeafIndex, path: &[Hash]) -> Result<Header, ReceiptError> {
    let path = path.iter().map(|hash| Value::Bytes(hash.0.to_vec())).collect();
    let proof = Value::Array(vec![size.0.into(), index.0.into(), Value::Array(path)]);
    let mut encoded = Vec::new();
    ser::into_writer(&proof, &mut encoded).map_err(|_| ReceiptError::Encode)?;
    let inclusion = Value::Array(vec![Value::Bytes(encoded)]);
    let by_type = Value::Map(vec![(INCLUSION.into(), inclusion)]);
    Ok(HeaderBuilder::new().value(VDP, by_type).build())
}

fn read_proof(unprotected: &Header) -> Result<(TreeSize, LeafIndex, Vec<Hash>), ReceiptError> {
    let [(Label::Int(VDP), Value::Map(by_type))] = unprotected.rest.as_slice() else {
        return Err(ReceiptError::Unprotected);
    };
    let [(_, Value::Array(inclusion))] = by_type.as_slice() else {
        return Err(ReceiptError::Unprotected);
    };
    let [Value::Bytes(encoded)] = inclusion.as_slice() else {
        return Err(ReceiptError::Unprotected);
    };
    let decoded = de::from_reader(encoded.as_slice()).map_err(|_| ReceiptError::Unprotected)?;
    let Value::Array(fields) = decoded else { return Err(ReceiptError::Unprotected) };
    let [size, index, Value::Array(path)] = fields.as_slice() else {
        return Err(ReceiptError::Unprotected);
    };
    let (Some(size), Some(index)) = (number(size), number(index)) else {
        return Err(ReceiptError::Unprotected);
    };
    let hash = |value: &Value| Some(Hash(value.as_bytes()?.as_slice().try_into().ok()?));
    let hashes: Option<Vec<Hash>> = path.iter().map(hash).collect();
    let hashes = hashes.filter(|hashes| (1..=MAX_HASHES).contains(&hashes.len()));
    Ok((TreeSize(size), LeafIndex(index), hashes.ok_or(ReceiptError::Path)?))
}

fn number(value: &Value) -> Option<u64> {
    value.as_integer()?.try_into().ok()
}

/// That the log signed this root as that of a tree of this size, under exactly our headers.
fn check_signature(
    message: &CoseSign1,
    size: TreeSize,
    root: &Hash,
    log: &VerifyingKey,
) -> Result<(), ReceiptError> {
    let expected = protected(size, log).to_vec().map_err(|_| ReceiptError::Encode)?;
    if message.protected.original_data.as_ref() != Some(&expected) {
        return Err(ReceiptError::Protected);
    }
    let context = SignatureContext::CoseSign1;
    let signed = sig_structure_data(context, message.protected.clone(), None, &[], &root.0);
    let signature = message.signature.as_slice().try_into();
    match signature {
        Ok(signature) if log.verify(&signed, signature) => Ok(()),
        _ => Err(ReceiptError::Signature),
    }
}

fn encode(message: CoseSign1) -> Result<Vec<u8>, ReceiptError> {
    message.to_tagged_vec().map_err(|_| ReceiptError::Encode)
}

/// A tagged message that is the deterministic encoding of itself.
fn parse(bytes: &[u8]) -> Result<CoseSign1, ReceiptError> {
    if bytes.len() > MAX_COSE_BYTES {
        return Err(ReceiptError::TooLong);
    }
    let message = CoseSign1::from_tagged_slice(bytes).map_err(|_| ReceiptError::Form)?;
    if encode(message.clone())? == bytes { Ok(message) } else { Err(ReceiptError::Spelling) }
}

/// Why bytes are no signed root or no receipt, or do not prove what they should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Longer than [`MAX_COSE_BYTES`].
    #[error("the message is longer than {MAX_COSE_BYTES} bytes")]
    TooLong,
    /// No tagged COSE_Sign1 message.
    #[error("the bytes are no tagged COSE_Sign1 message (CBOR tag 18): they may be cut off")]
    Form,
    /// CBOR that can be written shorter or in another order.
    #[error("the message is not in deterministic CBOR")]
    Spelling,
    /// Other signed headers than ours.
    #[error(
        "the protected headers are not those of a tree of this log: they name another origin, key, structure or \
         tree size"
    )]
    Protected,
    /// Other headers beside the signed ones than one inclusion proof in a receipt, and none in a signed root.
    #[error("the unprotected headers are not exactly those of a receipt, or of a signed root")]
    Unprotected,
    /// A root where none belongs, or none where one does.
    #[error("a signed root holds its root of 32 bytes, a receipt holds none")]
    Payload,
    /// The audit path is empty, too long, or holds what is no hash.
    #[error("an inclusion path holds 1 to {MAX_HASHES} hashes of 32 bytes")]
    Path,
    /// A tree whose paths are empty.
    #[error("the tree has one leaf, whose path is empty; RFC 9942 has no receipt for it")]
    OneLeaf,
    /// The signature is not the log's over this root and size.
    #[error(
        "the log did not sign the root that leaf and path give: leaf, path, index, size or signature were altered"
    )]
    Signature,
    /// The leaf does not follow from the proof.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The encoder failed, which no message gives it reason to.
    #[error("the message could not be encoded, which is a defect")]
    Encode,
}
