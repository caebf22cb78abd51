//! A key that an ssh-agent holds (draft-ietf-sshm-ssh-agent): the file has only its name, and every signature is asked
//! for over the agent's socket.
//!
//! The line of such a file is
//!
//! ```text
//! SSH+AGENT+KEY <vkey> [<path of the socket>]
//! ```
//!
//! Without a path the agent is where `SSH_AUTH_SOCK` says when the program starts. The key is chosen by its public key.
//! SSH's Ed25519 signatures are plain Ed25519 over the bytes that the agent is given, so they are what notes and seals
//! carry. Whatever an agent answers is verified before it is used.

mod wire;

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tlog::{KeyError, SignError, Signer, VerifyingKey, without_keys};

use self::wire::Answer;

const FIRST_WORD: &str = "SSH+AGENT+KEY";
/// Where an agent is when the line does not say.
const SOCKET: &str = "SSH_AUTH_SOCK";
/// How long an agent may take to read, or to answer. It asks nobody: a key that wants a person's confirmation cannot be
/// used by a server.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The longest answer that is read: an agent's own bound.
const MAX_ANSWER_BYTES: usize = 256 << 10;

/// Whether the line says that the key is in an agent.
pub fn is_agent_line(line: &str) -> bool {
    line.split_whitespace().next() == Some(FIRST_WORD)
}

/// The line of a key file for a key that an agent holds.
pub fn line(key: &VerifyingKey, socket: Option<&Path>) -> String {
    match socket {
        Some(socket) => format!("{FIRST_WORD} {key} {}", socket.display()),
        None => format!("{FIRST_WORD} {key}"),
    }
}

/// Why a line does not name a key of an agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentLineError {
    /// Other words than these.
    #[error("the form of the line is `{FIRST_WORD} <vkey> [<path of the agent's socket>]`")]
    Form,
    /// The second word is no vkey.
    #[error("{0:?} is no vkey: {1}")]
    Vkey(String, KeyError),
    /// Nobody says where the agent is.
    #[error(
        "it does not say where the agent is, nor does the environment ({SOCKET}): add the path of its socket to the line"
    )]
    Socket,
}

/// A key that an agent holds. Nobody is asked before something is to be signed.
#[derive(Debug, Clone)]
pub struct AgentKey {
    key: VerifyingKey,
    socket: PathBuf,
}

impl AgentKey {
    /// Reads the line of a key file.
    ///
    /// # Errors
    /// [`AgentLineError`].
    pub fn parse(line: &str) -> Result<Self, AgentLineError> {
        let mut words = line.trim().splitn(3, ' ');
        if words.next() != Some(FIRST_WORD) {
            return Err(AgentLineError::Form);
        }
        let vkey = words.next().ok_or(AgentLineError::Form)?;
        let key = VerifyingKey::parse(vkey)
            .map_err(|error| AgentLineError::Vkey(without_keys(vkey).into_owned(), error))?;
        let socket = match words.next() {
            Some(path) => PathBuf::from(path),
            None => std::env::var_os(SOCKET).map(PathBuf::from).ok_or(AgentLineError::Socket)?,
        };
        Ok(Self { key, socket })
    }

    /// The same key at an agent that listens there.
    pub fn at(key: VerifyingKey, socket: PathBuf) -> Self {
        Self { key, socket }
    }

    /// Whether the agent is there and holds the key. Nothing is signed.
    ///
    /// # Errors
    /// Why not, in words for whoever runs it.
    pub fn is_held(&self) -> Result<(), SignError> {
        let answer = self.ask(&wire::list()).map_err(|error| self.failed(why_silent(&error)))?;
        match wire::read_keys(&answer) {
            Some(keys) if keys.contains(&wire::key_blob(&self.key)) => Ok(()),
            _ => Err(self.failed(self.why_refused())),
        }
    }

    /// One question over a connection of its own, so that an agent may be restarted between two.
    fn ask(&self, question: &[u8]) -> io::Result<Vec<u8>> {
        let mut agent = UnixStream::connect(&self.socket)?;
        agent.set_read_timeout(Some(TIMEOUT))?;
        agent.set_write_timeout(Some(TIMEOUT))?;
        agent.write_all(question)?;
        let mut length = [0; 4];
        agent.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_ANSWER_BYTES {
            return Err(io::Error::other("its answer is longer than any agent's"));
        }
        let mut answer = vec![0; length];
        agent.read_exact(&mut answer)?;
        Ok(answer)
    }

    fn failed(&self, what: impl std::fmt::Display) -> SignError {
        let (agent, key) = (self.socket.display(), &self.key);
        SignError::new(format_args!("the ssh-agent at {agent} did not sign with {key}: {what}"))
    }

    /// Why an agent refused, as far as it tells.
    fn why_refused(&self) -> &'static str {
        let asked = self.ask(&wire::list());
        match asked.ok().as_deref().and_then(wire::read_keys) {
            Some(keys) if keys.contains(&wire::key_blob(&self.key)) => {
                "it holds the key and refused; a key that was added with -c or -h cannot be used here"
            }
            Some(_) => {
                "it does not hold the key: give it the key with ssh-add, or unlock it with ssh-add -X"
            }
            None => "it refused, and does not tell which keys it holds",
        }
    }
}

impl Signer for AgentKey {
    fn verifying_key(&self) -> VerifyingKey {
        self.key.clone()
    }

    fn sign_bytes(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let asked = self.ask(&wire::sign(&self.key, message));
        let answer = asked.map_err(|error| self.failed(why_silent(&error)))?;
        match wire::read_signature(&answer) {
            Some(Answer::Signature(signature)) if self.key.verify(message, &signature) => {
                Ok(signature)
            }
            Some(Answer::Signature(_)) => {
                Err(self
                    .failed("what it signed with is another key, or what it signed another text"))
            }
            Some(Answer::Refused) => Err(self.failed(self.why_refused())),
            None => Err(self.failed("its answer is no signature of an Ed25519 key")),
        }
    }
}

/// Why an agent gave no answer.
fn why_silent(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            format!("no agent listens there ({error}); start it, or correct the path")
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("it did not answer within {TIMEOUT:?}")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::SigningKey;

    #[test]
    fn a_line_names_key_and_socket() {
        let key = SigningKey::from_seed("log.example", [1; 32]).unwrap().verifying_key();
        let written = line(&key, Some(Path::new("/run/my agent/socket")));
        assert!(is_agent_line(&written));
        let read = AgentKey::parse(&written).unwrap();
        assert_eq!(read.verifying_key(), key);
        assert_eq!(read.socket, Path::new("/run/my agent/socket"));
        assert!(matches!(AgentKey::parse("SSH+AGENT+KEY x"), Err(AgentLineError::Vkey(..))));
        assert_eq!(AgentKey::parse("SSH+AGENT+KEY").unwrap_err(), AgentLineError::Form);
        let secret = SigningKey::from_seed("log.example", [1; 32]).unwrap().encode();
        let told = AgentKey::parse(&format!("SSH+AGENT+KEY {}", *secret)).unwrap_err().to_string();
        assert!(!told.contains(secret.rsplit('+').next().unwrap()), "{told}");
        assert!(!is_agent_line(&SigningKey::from_seed("a", [1; 32]).unwrap().encode()));
    }

    #[test]
    fn no_agent_is_an_error_that_says_where_it_was_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::from_seed("log.example", [1; 32]).unwrap().verifying_key();
        let socket = dir.path().join("socket");
        let error = AgentKey::at(key, socket.clone()).sign_bytes(b"text").unwrap_err().to_string();
        assert!(
            error.contains(&*socket.to_string_lossy()) && error.contains("no agent"),
            "{error}"
        );
    }
}
