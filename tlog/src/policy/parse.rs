//! Reading policy files, line by line.

use std::collections::HashSet;

use super::{Group, Policy, Quorum, Witness};
use crate::cosignature::WitnessKey;
use crate::decimal;
use crate::key::{KeyError, VerifyingKey, without_keys};

/// The longest policy accepted, in bytes.
pub const MAX_POLICY_BYTES: usize = 1 << 20;
/// The most logs, witnesses, and groups accepted, each; the specification asks for at least 32.
const MAX_ITEMS: usize = 1024;
/// The predefined quorum that no witness or group may be named after.
const NONE: &str = "none";
/// A first word that is longer is not repeated: it may be a secret, in a file that was taken for a policy.
const MAX_WORD_BYTES: usize = 32;

pub(super) fn parse(
    text: &str,
    mut directive: impl FnMut(usize, &str, &str) -> Result<bool, String>,
) -> Result<Policy, PolicyError> {
    check_characters(text)?;
    let mut parser = Parser::default();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_matches(BLANKS);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (word, rest) = line.split_once(BLANKS).unwrap_or((line, ""));
        let rest = rest.trim_matches(BLANKS);
        let fields: Vec<&str> = rest.split(BLANKS).filter(|field| !field.is_empty()).collect();
        let known = match word {
            "log" => parser.log(&fields),
            "witness" => parser.witness(&fields),
            "group" => parser.group(&fields),
            "quorum" => parser.quorum(&fields),
            _ => match directive(number, word, rest) {
                Ok(true) => Ok(()),
                Ok(false) if word.len() > MAX_WORD_BYTES => Err(Wrong::NoDirective),
                Ok(false) => Err(Wrong::Directive(word.to_owned())),
                Err(message) => Err(Wrong::Other(message)),
            },
        };
        known.map_err(|wrong| {
            let message = without_keys(&wrong.to_string()).into_owned();
            PolicyError::Line { line: number, message }
        })?;
    }
    parser.finish()
}

/// The only blanks of the format.
const BLANKS: [char; 2] = [' ', '\t'];

fn check_characters(text: &str) -> Result<(), PolicyError> {
    if text.len() > MAX_POLICY_BYTES {
        return Err(PolicyError::TooLong);
    }
    let mut line = 1;
    for byte in text.bytes() {
        match byte {
            b'\n' => line += 1,
            b'\t' | b' '..=b'~' | 0x80.. => {}
            _ => return Err(PolicyError::ControlCharacter { line }),
        }
    }
    if text.is_empty() || text.ends_with('\n') { Ok(()) } else { Err(PolicyError::NoNewline) }
}

#[derive(Default)]
struct Parser {
    logs: Vec<VerifyingKey>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Option<Quorum>,
    /// Names of witnesses and groups: one namespace.
    names: HashSet<String>,
    /// Names that are members of a group: each may be so once.
    members: HashSet<String>,
}

impl Parser {
    fn log(&mut self, fields: &[&str]) -> Result<(), Wrong> {
        let ([vkey] | [vkey, _]) = fields else {
            return Err(Wrong::Form("log <vkey> [<url>]"));
        };
        let key = VerifyingKey::parse(vkey)?;
        if self.logs.iter().any(|log| log.public_key() == key.public_key()) {
            return Err(Wrong::DuplicateKey);
        }
        push(&mut self.logs, key)
    }

    fn witness(&mut self, fields: &[&str]) -> Result<(), Wrong> {
        let (name, vkey, url) = match fields {
            [name, vkey] => (name, vkey, None),
            [name, vkey, url] => (name, vkey, Some((*url).to_owned())),
            _ => return Err(Wrong::Form("witness <name> <vkey> [<url>]")),
        };
        let key = WitnessKey::parse(vkey)?;
        if self.witnesses.iter().any(|witness| witness.key.public_key() == key.public_key()) {
            return Err(Wrong::DuplicateKey);
        }
        let name = self.define(name)?;
        push(&mut self.witnesses, Witness { name, key, url })
    }

    fn group(&mut self, fields: &[&str]) -> Result<(), Wrong> {
        let [name, threshold, members @ ..] = fields else {
            return Err(Wrong::Form("group <name> all|any|<k> <name>..."));
        };
        let count = members.len();
        let threshold = match *threshold {
            "any" => Some(1),
            "all" => Some(count),
            number => decimal::parse(number).and_then(|number| number.try_into().ok()),
        };
        let threshold = threshold.filter(|k| (1..=count).contains(k)).ok_or(Wrong::Threshold)?;
        for member in members {
            self.check_defined(member)?;
            if !self.members.insert((*member).to_owned()) {
                return Err(Wrong::MemberTwice((*member).to_owned()));
            }
        }
        let members = members.iter().map(|member| (*member).to_owned()).collect();
        let name = self.define(name)?;
        push(&mut self.groups, Group { name, threshold, members })
    }

    fn quorum(&mut self, fields: &[&str]) -> Result<(), Wrong> {
        let [name] = fields else { return Err(Wrong::Form("quorum <name>|none")) };
        if self.quorum.is_some() {
            return Err(Wrong::SecondQuorum);
        }
        self.quorum = Some(if *name == NONE {
            Quorum::None
        } else {
            self.check_defined(name)?;
            Quorum::Name((*name).to_owned())
        });
        Ok(())
    }

    fn define(&mut self, name: &str) -> Result<String, Wrong> {
        if name == NONE {
            return Err(Wrong::NamedNone);
        }
        if self.names.insert(name.to_owned()) {
            Ok(name.to_owned())
        } else {
            Err(Wrong::NameTwice(name.to_owned()))
        }
    }

    fn check_defined(&self, name: &str) -> Result<(), Wrong> {
        if self.names.contains(name) { Ok(()) } else { Err(Wrong::Undefined(name.to_owned())) }
    }

    fn finish(self) -> Result<Policy, PolicyError> {
        let Self { logs, witnesses, groups, quorum, .. } = self;
        let quorum = quorum.ok_or(PolicyError::NoQuorum)?;
        Ok(Policy { logs, witnesses, groups, quorum })
    }
}

fn push<T>(items: &mut Vec<T>, item: T) -> Result<(), Wrong> {
    if items.len() == MAX_ITEMS {
        return Err(Wrong::TooMany);
    }
    items.push(item);
    Ok(())
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error("the form of this line is `{0}`")]
    Form(&'static str),
    #[error("the key: {0}")]
    Key(#[from] KeyError),
    #[error("this public key is already in use by an earlier line of the same kind")]
    DuplicateKey,
    #[error("the name {0:?} is already in use")]
    NameTwice(String),
    #[error("`{NONE}` is predefined and cannot be a name")]
    NamedNone,
    #[error("{0:?} is not the name of a witness or group on an earlier line")]
    Undefined(String),
    #[error("{0:?} is already a member of a group")]
    MemberTwice(String),
    #[error(
        "a group needs at least one member and a threshold of all, any, or 1 to the number of members"
    )]
    Threshold,
    #[error("there is already a quorum line; a policy has exactly one")]
    SecondQuorum,
    #[error("more than {MAX_ITEMS} lines of this kind")]
    TooMany,
    #[error("its first word is no directive: this may be another file than the one that was meant")]
    NoDirective,
    #[error("unknown directive {0:?}")]
    Directive(String),
    #[error("{0}")]
    Other(String),
}

/// Why a text is not a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Longer than [`MAX_POLICY_BYTES`].
    #[error("the policy is longer than {MAX_POLICY_BYTES} bytes")]
    TooLong,
    /// A control character other than tab and newline.
    #[error(
        "line {line}: a control character; only tab and newline are allowed (were the line ends CR LF?)"
    )]
    ControlCharacter {
        /// The 1-based line.
        line: usize,
    },
    /// The last line is not ended.
    #[error("the last line is not ended by a newline: the file may be cut off")]
    NoNewline,
    /// A line is wrong.
    #[error("line {line}: {message}")]
    Line {
        /// The 1-based line.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// No quorum line.
    #[error("there is no quorum line; without witnesses write `quorum none`")]
    NoQuorum,
}
