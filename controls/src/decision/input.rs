//! The exact input of a decision, as bytes that are recorded.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proto::v1::{AuthMethod, Fact, FactKind};

use super::call::{Arguments, CallFacts, PrincipalInput, PrincipalKind};
use super::data::{Data, MAX_VALUES};
use crate::json::{Document, JsonError, Kind, Node};

/// Version of the input's form.
const VERSION: i64 = 1;

/// Why a call cannot be put before the policies, or bytes are not a decision input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The bytes are not JSON that Exhibit accepts.
    #[error("the decision input is not acceptable JSON: {0}")]
    Json(#[from] JsonError),
    /// `params.arguments` is not an object.
    #[error("the arguments of the call are not a JSON object")]
    ArgumentsNotAnObject,
    /// An argument of the body is named as only those from headers are.
    #[error(
        "an argument's name starts with `mcp-param-`: names that do are kept for Mcp-Param headers, so call it otherwise"
    )]
    ReservedArgument,
    /// A header parameter is not named as one, or its name holds a value that is masked.
    #[error("the name of an Mcp-Param header holds a value that may not be recorded: rename it")]
    ParameterName,
    /// More than a decision can take.
    #[error(
        "the arguments of the call hold more than {MAX_VALUES} values: split the call, or send long lists as one text"
    )]
    TooManyValues,
    /// A `#` in the issuer would let two principals share a name.
    #[error("the issuer's name contains `#`")]
    IssuerWithHash,
    /// A `/` in the server's name would let two tools share a name.
    #[error("the server's name contains `/`")]
    ServerWithSlash,
    /// A member is missing, surplus or of the wrong kind.
    #[error("member `{0}` of the decision input is missing or not of its kind")]
    Member(&'static str),
    /// The bytes differ from their own canonical form.
    #[error(
        "the decision input is not canonical: it differs from its canonical form at byte {offset}"
    )]
    NotCanonical {
        /// First differing byte.
        offset: usize,
    },
}

/// What the policies see of one call, in one canonical encoding: JSON without spaces, member names ascending,
/// version 1:
///
/// `{"arguments":{…},"auth":"bearer","facts":{"detectors":["email"],"sql":["select"]},"method":"tools/call",`
/// `"name":"query","principal":{"groups":[…],"issuer":"…","kind":"human","roles":[…],"subject":"…"},`
/// `"server":"db","time_ms":1,"version":1}`
///
/// `name` is absent when the call has none. Arguments are mapped to the types of Cedar before they are
/// written, so the bytes hold no null and no number that 64 bits do not hold. These bytes are what a
/// DECISION_INPUT disclosure commits to.
#[derive(Debug, Clone)]
pub struct DecisionInput {
    bytes: Bytes,
    pub(super) call: Seen,
}

/// The parsed input.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) principal: PrincipalInput,
    pub(super) server: String,
    pub(super) method: String,
    pub(super) name: Option<String>,
    pub(super) arguments: BTreeMap<String, Data>,
    /// Labels by kind of fact.
    pub(super) facts: BTreeMap<String, BTreeSet<String>>,
    pub(super) auth: &'static str,
    pub(super) time_ms: i64,
}

impl DecisionInput {
    /// Fixes what the policies will see of a call.
    ///
    /// # Errors
    /// [`InputError`] when the call cannot be expressed without ambiguity; it must be refused.
    pub fn new(call: &CallFacts<'_>) -> Result<Self, InputError> {
        let arguments = match &call.arguments {
            Arguments::None => BTreeMap::new(),
            Arguments::OfMessage(message) => {
                let document = Document::parse(message)?;
                let arguments =
                    document.root().get("params").and_then(|params| params.get("arguments"));
                arguments.map_or_else(|| Ok(BTreeMap::new()), record)?
            }
            Arguments::Value(value) => {
                let text = value.to_string();
                record(Document::parse(text.as_bytes())?.root())?
            }
        };
        let mut principal = call.principal.clone();
        for names in [&mut principal.groups, &mut principal.roles] {
            names.sort_unstable();
            names.dedup();
        }
        Self::of(Seen {
            principal,
            server: call.server.clone(),
            method: call.method.clone(),
            name: call.name.clone(),
            arguments,
            facts: labels(&call.facts),
            auth: auth_word(call.auth),
            time_ms: call.at_unix_ms,
        })
    }

    /// Reads recorded bytes.
    ///
    /// # Errors
    /// [`InputError`] unless the bytes are exactly what [`DecisionInput::new`] can have written.
    pub fn parse(bytes: &[u8]) -> Result<Self, InputError> {
        let document = Document::parse(bytes)?;
        let input = Self::of(read(document.root())?)?;
        let differs = input.bytes.iter().zip(bytes).position(|(ours, theirs)| ours != theirs);
        if differs.is_some() || input.bytes.len() != bytes.len() {
            let offset = differs.unwrap_or_else(|| input.bytes.len().min(bytes.len()));
            return Err(InputError::NotCanonical { offset });
        }
        Ok(input)
    }

    /// The canonical bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    fn of(call: Seen) -> Result<Self, InputError> {
        if call.principal.issuer.contains('#') {
            return Err(InputError::IssuerWithHash);
        }
        if call.server.contains('/') {
            return Err(InputError::ServerWithSlash);
        }
        let mut bytes = Vec::new();
        call.to_data().write(&mut bytes);
        Ok(DecisionInput { bytes: bytes.into(), call })
    }
}

impl Seen {
    fn to_data(&self) -> Data {
        let text = |text: &str| Data::Text(text.to_owned());
        let mut data = Data::record([
            ("arguments", Data::Record(self.arguments.clone())),
            ("auth", text(self.auth)),
            ("facts", self.facts_data()),
            ("method", text(&self.method)),
            (
                "principal",
                Data::record([
                    ("groups", Data::texts(&self.principal.groups)),
                    ("issuer", text(&self.principal.issuer)),
                    ("kind", text(self.principal.kind.as_str())),
                    ("roles", Data::texts(&self.principal.roles)),
                    ("subject", text(&self.principal.subject)),
                ]),
            ),
            ("server", text(&self.server)),
            ("time_ms", Data::Long(self.time_ms)),
            ("version", Data::Long(VERSION)),
        ]);
        if let (Data::Record(members), Some(name)) = (&mut data, &self.name) {
            members.insert("name".to_owned(), text(name));
        }
        data
    }

    pub(super) fn facts_data(&self) -> Data {
        let labels =
            |(kind, labels): (&String, &BTreeSet<String>)| (kind.clone(), Data::texts(labels));
        Data::Record(self.facts.iter().map(labels).collect())
    }
}

fn record(node: Node<'_>) -> Result<BTreeMap<String, Data>, InputError> {
    if !Data::is_within_bounds(node) {
        return Err(InputError::TooManyValues);
    }
    match Data::from_json(node) {
        Some(Data::Record(members)) => Ok(members),
        None => Ok(BTreeMap::new()),
        Some(_) => Err(InputError::ArgumentsNotAnObject),
    }
}

/// Name of a kind of fact in `context.facts`.
fn kind_word(kind: FactKind) -> Option<&'static str> {
    match kind {
        FactKind::Unspecified => None,
        FactKind::Detector => Some("detectors"),
        FactKind::Sql => Some("sql"),
        FactKind::Shell => Some("shell"),
    }
}

fn labels(facts: &[Fact]) -> BTreeMap<String, BTreeSet<String>> {
    let always = [FactKind::Detector, FactKind::Sql].into_iter().filter_map(kind_word);
    let mut labels: BTreeMap<String, BTreeSet<String>> =
        always.map(|kind| (kind.to_owned(), BTreeSet::new())).collect();
    for fact in facts.iter().filter(|fact| fact.count > 0) {
        if let Some(kind) = kind_word(fact.kind()) {
            labels.entry(kind.to_owned()).or_default().insert(fact.label.clone());
        }
    }
    labels
}

fn auth_word(auth: AuthMethod) -> &'static str {
    match auth {
        AuthMethod::Bearer => "bearer",
        AuthMethod::Machine => "machine",
        AuthMethod::None | AuthMethod::Unspecified => "none",
    }
}

/// Reads what `to_data` wrote. Order, spelling, repetition and surplus members are left to the comparison
/// with the canonical form.
fn read(root: Node<'_>) -> Result<Seen, InputError> {
    let principal = root.get("principal").ok_or(InputError::Member("principal"))?;
    if integer(root, "version")? != VERSION {
        return Err(InputError::Member("version"));
    }
    let auth = text(root, "auth")?;
    let auth = ["none", "bearer", "machine"].into_iter().find(|word| *word == auth);
    let kind = PrincipalKind::parse(&text(principal, "kind")?);
    let facts = root.get("facts").ok_or(InputError::Member("facts"))?;
    let mut read_facts = labels(&[]);
    for member in facts.members() {
        if !matches!(&*member.key, "detectors" | "sql" | "shell") {
            return Err(InputError::Member("facts"));
        }
        let labels = texts(facts, &member.key, "facts")?.into_iter().collect();
        read_facts.insert(member.key.into_owned(), labels);
    }
    Ok(Seen {
        principal: PrincipalInput {
            issuer: text(principal, "issuer")?,
            subject: text(principal, "subject")?,
            kind: kind.ok_or(InputError::Member("kind"))?,
            groups: sorted(texts(principal, "groups", "groups")?),
            roles: sorted(texts(principal, "roles", "roles")?),
        },
        server: text(root, "server")?,
        method: text(root, "method")?,
        name: root.get("name").map(|_| text(root, "name")).transpose()?,
        arguments: record(root.get("arguments").ok_or(InputError::Member("arguments"))?)?,
        facts: read_facts,
        auth: auth.ok_or(InputError::Member("auth"))?,
        time_ms: integer(root, "time_ms")?,
    })
}

fn text(object: Node<'_>, name: &'static str) -> Result<String, InputError> {
    let value = object.get(name).and_then(Node::as_str);
    value.map(Cow::into_owned).ok_or(InputError::Member(name))
}

fn integer(object: Node<'_>, name: &'static str) -> Result<i64, InputError> {
    object.get(name).and_then(Node::as_i64).ok_or(InputError::Member(name))
}

fn texts(object: Node<'_>, key: &str, name: &'static str) -> Result<Vec<String>, InputError> {
    let array = object.get(key).filter(|node| node.kind() == Kind::Array);
    array
        .ok_or(InputError::Member(name))?
        .elements()
        .map(|element| element.as_str().map(Cow::into_owned))
        .collect::<Option<Vec<_>>>()
        .ok_or(InputError::Member(name))
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names.dedup();
    names
}
