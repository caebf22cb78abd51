//! The controls themselves: snapshots, decisions performed again, what the policies saw, masking.

use std::collections::{BTreeMap, BTreeSet};

use controls::{
    Arguments, CallFacts, DecisionInput, InputError, PrincipalInput, PrincipalKind, Snapshot,
};
use proto::kind::{Kind, call_of};
use proto::v1::{AuthMethod, Call, Slot, Verdict};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::case::{Case, Decoded, Disclosures};
use crate::layout;
use crate::material::Status;
use crate::report::{Checked, Stop, fail_at};

/// How arguments from `Mcp-Param-…` headers are named in a decision input.
const HEADER_PARAMETER: &str = "mcp-param-";

/// Snapshots of the package by their digest.
pub(super) struct Snapshots(BTreeMap<Vec<u8>, Snapshot>);

/// Each snapshot has the digest that its activation names, and is laid out as files to the byte.
pub(super) fn check_snapshots(
    case: &Case<'_>,
    readable: impl Fn(&str) -> bool,
) -> (Checked, Result<Snapshots, Stop>) {
    match read_snapshots(case) {
        Ok(snapshots) => (check_snapshot_files(case, &snapshots, readable), Ok(snapshots)),
        Err(stop) => {
            let reason = match &stop {
                Stop::Fail(failure) => format!("the snapshots cannot be used: see [{}]", failure.code),
                Stop::NotChecked(reason) => format!("the snapshots cannot be used: {reason}"),
            };
            (Err(stop), Err(Stop::NotChecked(reason)))
        }
    }
}

fn read_snapshots(case: &Case<'_>) -> Result<Snapshots, Stop> {
    let disclosures = case.all_disclosures()?;
    let mut snapshots = BTreeMap::new();
    for (index, decoded) in case.all_leaves()? {
        let Some(Kind::PolicyActivated(activated)) = &decoded.leaf.event.kind else { continue };
        let Some(bytes) = disclosures.content(index, Slot::Snapshot) else { continue };
        let at = || format!("leaf {index}");
        if Sha256::digest(bytes)[..] != activated.snapshot_digest[..] {
            let detail = "the snapshot's bytes do not have the digest that the leaf names";
            return Err(fail_at("snapshots.digest", at(), detail));
        }
        if !snapshots.contains_key(&activated.snapshot_digest[..]) {
            let snapshot = Snapshot::parse(bytes)
                .map_err(|error| fail_at("snapshots.malformed", at(), error))?;
            snapshots.insert(activated.snapshot_digest.to_vec(), snapshot);
        }
    }
    Ok(Snapshots(snapshots))
}

fn check_snapshot_files(
    case: &Case<'_>,
    Snapshots(snapshots): &Snapshots,
    readable: impl Fn(&str) -> bool,
) -> Checked {
    let mut expected = BTreeSet::new();
    for (digest, snapshot) in snapshots {
        for (name, bytes) in snapshot.files() {
            let path = format!("{}{}/{name}", layout::SNAPSHOTS, hex::encode(digest));
            if readable(&path) {
                match case.package.file(&path) {
                    Some(found) if found[..] == bytes[..] => {}
                    Some(_) => {
                        let detail = "this is not what the activated snapshot says: the copy was changed";
                        return Err(fail_at("snapshots.files", path, detail));
                    }
                    None => return Err(fail_at("snapshots.files", path, "the file is missing")),
                }
            }
            expected.insert(path);
        }
    }
    let stray = case
        .package
        .paths()
        .find(|path| path.starts_with(layout::SNAPSHOTS) && !expected.contains(*path));
    if let Some(path) = stray {
        return Err(fail_at("snapshots.files", path, "no activated snapshot has this file"));
    }
    match snapshots.len() {
        0 => Err(Stop::NotChecked("no policy snapshot was active in this range".to_owned())),
        count => Ok(format!("{count} policy snapshots, each with its digest, their files equal to the byte")),
    }
}

/// Every decision, performed again from what the policies saw and the snapshot that decided.
pub(super) fn check_decisions(case: &Case<'_>, snapshots: &Snapshots) -> Checked {
    let disclosures = case.all_disclosures()?;
    let mut tally = Tally::default();
    for (index, decoded, call) in decided(case)? {
        let at = || format!("leaf {index}");
        if !has_commitment(decoded, Slot::DecisionInput) {
            return Err(fail_at("decisions.no_input", at(), "a verdict without what it was made from"));
        }
        let Some(bytes) = tally.take(&disclosures, index, Slot::DecisionInput) else { continue };
        let Some(snapshot) = snapshots.0.get(&call.snapshot_digest[..]) else {
            let detail = format!(
                "it was decided by the snapshot {}, which is not in the package",
                hex::encode(&call.snapshot_digest)
            );
            return Err(fail_at("decisions.no_snapshot", at(), detail));
        };
        let input =
            DecisionInput::parse(bytes).map_err(|error| fail_at("decisions.input", at(), error))?;
        let decision = snapshot.authorize(&input);
        let same = i32::from(decision.verdict) == call.verdict
            && decision.policy_ids == call.policy_ids
            && decision.evaluation_error == call.evaluation_error;
        if !same {
            let engine = if snapshot.engine_matches() {
                String::new()
            } else {
                format!(" (the snapshot names the engine {})", snapshot.engine())
            };
            let detail = format!(
                "recorded as {} by [{}], decided again as {} by [{}]{engine}",
                verdict(call.verdict),
                call.policy_ids.join(", "),
                verdict(decision.verdict.into()),
                decision.policy_ids.join(", "),
            );
            return Err(fail_at("decisions.differ", at(), detail));
        }
    }
    tally.passed("decisions performed again with the same verdict and policies")
}

/// What the policies saw is what the recorded message and principal say.
pub(super) fn check_inputs(case: &Case<'_>) -> Checked {
    let disclosures = case.all_disclosures()?;
    let mut tally = Tally::default();
    for (index, decoded, call) in decided(case)? {
        let Some(bytes) = tally.take(&disclosures, index, Slot::DecisionInput) else { continue };
        let at = || format!("leaf {index}");
        let seen: Seen = serde_json::from_slice(bytes)
            .map_err(|error| fail_at("inputs.malformed", at(), error))?;
        let differs = |what: &str| {
            let detail = format!("the policies saw another {what} than was recorded");
            fail_at("inputs.differ", at(), detail)
        };
        if let Some(principal) = disclosures.content(index, Slot::Principal) {
            let recorded: SeenPrincipal = serde_json::from_slice(principal)
                .map_err(|error| fail_at("inputs.malformed", at(), error))?;
            if recorded.sorted() != seen.principal.clone().sorted() {
                return Err(differs("principal"));
            }
        }
        let message = has_commitment(decoded, Slot::Message)
            .then(|| disclosures.row(index, Slot::Message))
            .flatten();
        let message = match message {
            // The caller's text cannot be compared; what stands in the leaf still is.
            Some(row) if row.status != Status::Disclosed => {
                tally.partly += 1;
                None
            }
            Some(row) => row.content().map(|content| &content[..]),
            None => None,
        };
        let again =
            seen.again(call, message).map_err(|error| fail_at("inputs.malformed", at(), error))?;
        if again.bytes() != bytes {
            return Err(differs("call"));
        }
    }
    let partly = tally.partly;
    let detail = tally.passed("inputs made again from message, principal and leaf")?;
    Ok(if partly > 0 { format!("{detail}; {partly} without their message") } else { detail })
}

/// The snapshot's own detectors find nothing in what was recorded as masked.
pub(super) fn check_residue(case: &Case<'_>, Snapshots(snapshots): &Snapshots) -> Checked {
    let disclosures = case.all_disclosures()?;
    let leaves = case.all_leaves()?;
    let (mut scanned, mut unseen, mut unruled) = (0, 0, 0);
    for row in disclosures.rows().filter(|row| matches!(row.slot, Slot::Message | Slot::DecisionInput)) {
        let Some(content) = row.content() else {
            unseen += 1;
            continue;
        };
        let decided_by = leaves
            .get(&row.index)
            .and_then(|decoded| decoded.leaf.event.kind.as_ref().and_then(call_of))
            .map(|call| call.snapshot_digest.clone())
            .filter(|digest| !digest.is_empty());
        let active = || {
            leaves.range(..row.index).rev().find_map(|(_, decoded)| match &decoded.leaf.event.kind {
                Some(Kind::PolicyActivated(activated)) => Some(activated.snapshot_digest.clone()),
                _ => None,
            })
        };
        let Some(snapshot) = decided_by.or_else(active).and_then(|digest| snapshots.get(&digest[..]))
        else {
            unruled += 1;
            continue;
        };
        let found = if row.slot == Slot::DecisionInput {
            // Who called is exempt from masking; what was called with is not.
            arguments_of(content).map_or_else(|| snapshot.residue(content), |part| snapshot.residue(&part))
        } else {
            snapshot.residue(content)
        };
        if let Some(first) = found.first() {
            let at = format!("leaf {}, {}", row.index, row.slot_name());
            let detail = format!("the detector {} finds a value that should have been masked", first.rule);
            return Err(fail_at("residue.found", at, detail));
        }
        scanned += 1;
    }
    if scanned == 0 {
        return Err(Stop::NotChecked(format!(
            "no message or input could be searched ({unseen} withheld or erased, {unruled} without a snapshot)"
        )));
    }
    Ok(format!(
        "{scanned} of {} recorded messages and inputs searched, nothing left unmasked; {unseen} withheld or erased, \
         {unruled} without a snapshot",
        scanned + unseen + unruled
    ))
}

/// Leaves that carry a decision, with their call.
fn decided<'c>(
    case: &'c Case<'_>,
) -> Result<Vec<(u64, &'c Decoded, &'c Call)>, Stop> {
    let population = super::case::need(&case.population, "the leaves")?;
    let decided = population.iter().filter_map(|decoded| {
        let kind = decoded.leaf.event.kind.as_ref()?;
        let call = call_of(kind)?;
        let is_request = matches!(kind, Kind::RequestReceived(_)) && call.verdict != 0;
        (is_request || has_commitment(decoded, Slot::DecisionInput))
            .then_some((decoded.index, decoded, call))
    });
    Ok(decided.collect())
}

fn has_commitment(decoded: &Decoded, slot: Slot) -> bool {
    decoded.leaf.event.disclosures.iter().any(|disclosure| disclosure.slot == i32::from(slot))
}

fn verdict(number: i32) -> String {
    Verdict::try_from(number).map_or_else(
        |_| number.to_string(),
        |verdict| verdict.as_str_name().trim_start_matches("VERDICT_").to_owned(),
    )
}

/// The members of a decision input in which a caller's text stands.
fn arguments_of(input: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize, serde::Serialize)]
    struct Part {
        arguments: Box<RawValue>,
        #[serde(default)]
        name: Option<String>,
    }
    let part: Part = serde_json::from_slice(input).ok()?;
    serde_json::to_vec(&part).ok()
}

/// How many could be checked, and why the others could not.
#[derive(Default)]
struct Tally {
    checked: usize,
    withheld: usize,
    erased: usize,
    partly: usize,
}

impl Tally {
    fn take<'a>(
        &mut self,
        disclosures: &Disclosures<'a>,
        index: u64,
        slot: Slot,
    ) -> Option<&'a bytes::Bytes> {
        match disclosures.status(index, slot) {
            Status::Disclosed => self.checked += 1,
            Status::Withheld => self.withheld += 1,
            Status::Erased => self.erased += 1,
        }
        disclosures.content(index, slot)
    }

    fn passed(self, what: &str) -> Checked {
        let Tally { checked, withheld, erased, .. } = self;
        let total = checked + withheld + erased;
        let rest = format!("{withheld} withheld, {erased} erased");
        match (checked, total) {
            (0, 0) => Ok(format!("0 of 0 {what}: nothing was decided in this range")),
            (0, _) => Err(Stop::NotChecked(format!("0 of {total}: {rest}"))),
            _ => Ok(format!("{checked} of {total} {what}; {rest}")),
        }
    }
}

/// A decision input as JSON, as far as it is needed to make it again.
#[derive(Deserialize)]
struct Seen {
    arguments: serde_json::Value,
    method: String,
    #[serde(default)]
    name: Option<String>,
    principal: SeenPrincipal,
    server: String,
    time_ms: i64,
}

#[derive(Deserialize, Clone, PartialEq, Eq)]
struct SeenPrincipal {
    issuer: String,
    subject: String,
    kind: String,
    groups: Vec<String>,
    roles: Vec<String>,
}

impl SeenPrincipal {
    fn sorted(mut self) -> Self {
        for names in [&mut self.groups, &mut self.roles] {
            names.sort_unstable();
            names.dedup();
        }
        self
    }
}

impl Seen {
    /// The input, made again with everything that is recorded elsewhere taken from there.
    fn again(&self, call: &Call, message: Option<&[u8]>) -> Result<DecisionInput, InputError> {
        let or_seen = |recorded: &str, seen: &str| {
            if recorded.is_empty() { seen.to_owned() } else { recorded.to_owned() }
        };
        let named = message.and_then(|message| recorded_name(message, &self.method));
        let merged = message.and_then(|message| self.with_header_parameters(message));
        let SeenPrincipal { issuer, subject, kind, groups, roles } = self.principal.clone();
        let facts = CallFacts {
            principal: PrincipalInput {
                issuer,
                subject,
                kind: match kind.as_str() {
                    "human" => PrincipalKind::Human,
                    "machine" => PrincipalKind::Machine,
                    _ => PrincipalKind::Unauthenticated,
                },
                groups,
                roles,
            },
            server: or_seen(&call.server, &self.server),
            method: or_seen(&call.method, &self.method),
            name: named.or_else(|| (!call.name.is_empty()).then(|| call.name.clone())).or_else(|| self.name.clone()),
            arguments: merged.as_deref().or(message).map_or_else(
                || Arguments::Value(self.arguments.clone()),
                Arguments::OfMessage,
            ),
            facts: call.facts.clone(),
            auth: AuthMethod::try_from(call.auth_method).unwrap_or(AuthMethod::None),
            at_unix_ms: self.time_ms,
        };
        DecisionInput::new(&facts)
    }
}

impl Seen {
    /// The message with the arguments that came in `Mcp-Param-…` headers, which no message holds; `None` when
    /// there were none.
    fn with_header_parameters(&self, message: &[u8]) -> Option<Vec<u8>> {
        #[derive(Deserialize)]
        struct Message<'a> {
            #[serde(borrow, default)]
            params: Option<Params<'a>>,
        }
        #[derive(Deserialize)]
        struct Params<'a> {
            #[serde(borrow, default)]
            arguments: Option<BTreeMap<String, &'a RawValue>>,
        }
        let parameters = self.arguments.as_object()?.iter();
        let parameters: Vec<_> =
            parameters.filter(|(name, _)| name.starts_with(HEADER_PARAMETER)).collect();
        if parameters.is_empty() {
            return None;
        }
        let message: Message<'_> = serde_json::from_slice(message).ok()?;
        let arguments = message.params.and_then(|params| params.arguments).unwrap_or_default();
        let mut members = Vec::new();
        for (name, value) in arguments {
            members.push(format!("{}:{}", serde_json::to_string(&name).ok()?, value.get()));
        }
        for (name, value) in parameters {
            members.push(format!("{}:{value}", serde_json::to_string(name).ok()?));
        }
        Some(format!("{{\"params\":{{\"arguments\":{{{}}}}}}}", members.join(",")).into_bytes())
    }
}

/// The name that the message gives to what is called, by the rule of [`CallFacts::name`].
fn recorded_name(message: &[u8], method: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Message {
        params: Option<serde_json::Map<String, serde_json::Value>>,
    }
    let member = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => "uri",
        _ => return None,
    };
    let params = serde_json::from_slice::<Message>(message).ok()?.params?;
    params.get(member)?.as_str().map(str::to_owned)
}
