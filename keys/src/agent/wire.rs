//! The two questions that are asked of an agent, and its answers, as bytes.
//!
//! A message is a u32 length and that many bytes, of which the first is its type; a string is a u32 length and bytes.

use tlog::VerifyingKey;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
const ED25519: &[u8] = b"ssh-ed25519";

/// What an agent says to a request for a signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Signature([u8; 64]),
    Refused,
}

/// A request for a signature over these bytes.
pub(super) fn sign(key: &VerifyingKey, bytes: &[u8]) -> Vec<u8> {
    let mut body = vec![SIGN_REQUEST];
    put(&mut body, &key_blob(key));
    put(&mut body, bytes);
    // No flags.
    body.extend([0; 4]);
    message(&body)
}

/// A request for the public keys that the agent holds.
pub(super) fn list() -> Vec<u8> {
    message(&[REQUEST_IDENTITIES])
}

/// An Ed25519 key as SSH writes it.
pub(super) fn key_blob(key: &VerifyingKey) -> Vec<u8> {
    let mut blob = Vec::new();
    put(&mut blob, ED25519);
    put(&mut blob, key.public_key());
    blob
}

/// The answer to [`sign`]; `None` when it is neither a signature of an Ed25519 key nor a refusal.
pub(super) fn read_signature(answer: &[u8]) -> Option<Answer> {
    let (kind, mut body) = answer.split_first()?;
    match *kind {
        FAILURE => Some(Answer::Refused),
        SIGN_RESPONSE => {
            let mut signature = take(&mut body)?;
            let algorithm = take(&mut signature)?;
            let bytes = take(&mut signature)?.try_into().ok()?;
            let is_whole = algorithm == ED25519 && signature.is_empty() && body.is_empty();
            is_whole.then_some(Answer::Signature(bytes))
        }
        _ => None,
    }
}

/// The answer to [`list`]: the keys as SSH writes them.
pub(super) fn read_keys(answer: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (&IDENTITIES_ANSWER, mut body) = answer.split_first()? else { return None };
    let count = take_u32(&mut body)?;
    let mut keys = Vec::new();
    for _ in 0..count {
        keys.push(take(&mut body)?.to_vec());
        let _comment = take(&mut body)?;
    }
    Some(keys)
}

fn message(body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(4 + body.len());
    put(&mut message, body);
    message
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    // What is signed here has some hundred bytes; an agent refuses what its length does not fit.
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(bytes);
}

fn take<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(take_u32(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> VerifyingKey {
        tlog::SigningKey::from_seed("a", [1; 32]).unwrap().verifying_key()
    }

    #[test]
    fn a_request_has_the_bytes_of_the_draft() {
        let request = sign(&key(), b"text");
        let blob = [b"\0\0\0\x0bssh-ed25519\0\0\0\x20".as_slice(), key().public_key()].concat();
        assert_eq!(key_blob(&key()), blob);
        let body = [b"\x0d\0\0\0\x33", blob.as_slice(), b"\0\0\0\x04text\0\0\0\0"].concat();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        assert_eq!(request, [length.as_slice(), &body].concat());
        assert_eq!(list(), b"\0\0\0\x01\x0b");
    }

    #[test]
    fn only_whole_answers_are_read() {
        let mut signature = Vec::new();
        put(&mut signature, ED25519);
        put(&mut signature, &[7; 64]);
        let mut answer = vec![SIGN_RESPONSE];
        put(&mut answer, &signature);
        assert_eq!(read_signature(&answer), Some(Answer::Signature([7; 64])));
        for end in 0..answer.len() {
            assert_eq!(read_signature(&answer[..end]), None, "cut at {end}");
        }
        answer.push(0);
        assert_eq!(read_signature(&answer), None);
        assert_eq!(read_signature(&[FAILURE]), Some(Answer::Refused));
        assert_eq!(read_signature(&[]), None);

        let mut keys = vec![IDENTITIES_ANSWER, 0, 0, 0, 1];
        put(&mut keys, &key_blob(&key()));
        put(&mut keys, b"comment");
        assert_eq!(read_keys(&keys), Some(vec![key_blob(&key())]));
        assert_eq!(read_keys(&keys[..keys.len() - 1]), None);
        assert_eq!(read_keys(&[IDENTITIES_ANSWER, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
