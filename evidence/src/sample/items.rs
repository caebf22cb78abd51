//! Test-of-one files: everything that the package knows of one drawn call.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proto::kind::{Kind, call_of, closes_exchange, kind_name, request_event_id};
use proto::v1::{Slot, Verdict};
use serde_json::{Map, Value, json};
use verifier::layout::Files;
use verifier::layout::csv::CsvWriter;
use verifier::{DisclosureRow, LeafRow, Material};

use super::draw::Drawn;
use super::tree::RangeTree;
use crate::criteria::Criterion;
use crate::derive::{Decoded, EXHIBIT_VERSION, time_text};

/// What was asked for and drawn.
pub(super) struct Request<'a> {
    pub(super) criterion: &'a Criterion,
    pub(super) nonce: &'a str,
    pub(super) digest: &'a [u8; 32],
    pub(super) seed: &'a [u8; 32],
    pub(super) population: usize,
    pub(super) drawn: &'a [Drawn],
}

/// The payload of the sample's bag.
pub(super) fn files(material: &Material, request: &Request<'_>) -> Result<Files, String> {
    let book = Book::of(material)?;
    let tree = RangeTree::new(material)?;
    let mut files = Files::new();
    let mut sheet = CsvWriter::new([
        "item",
        "leaf_index",
        "score",
        "recorded_at",
        "kind",
        "server",
        "method",
        "tool",
        "verdict",
        "tested_by",
        "result",
        "notes",
    ]);
    for (item, drawn) in (1..).zip(request.drawn) {
        let leaf = book.leaf(drawn.leaf_index).ok_or_else(|| {
            format!("leaf {} of the list is not in the package", drawn.leaf_index)
        })?;
        let call = leaf.event.kind.as_ref().and_then(call_of);
        let text = |of: fn(&proto::v1::Call) -> &str| call.map(of).unwrap_or_default();
        sheet.row([
            item.to_string().as_str(),
            &drawn.leaf_index.to_string(),
            &hex::encode(drawn.score),
            &time_text(leaf.recorded_at_ns),
            leaf.event.kind.as_ref().map_or("", kind_name),
            text(|call| &call.server),
            text(|call| &call.method),
            text(|call| &call.name),
            call.map_or("", |call| verdict(call.verdict)),
            "",
            "",
            "",
        ]);
        book.item(drawn.leaf_index, &tree, &mut files)?;
    }
    let parameters = json!({
        "format": "exhibit/sample@v1",
        "exhibit_version": EXHIBIT_VERSION,
        "package_sha256": hex::encode(request.digest),
        "criterion": request.criterion.id,
        "nonce": request.nonce,
        "seed": hex::encode(request.seed),
        "population": request.population,
        "size": request.drawn.len(),
        "leaves": request.drawn.iter().map(|drawn| drawn.leaf_index).collect::<Vec<_>>(),
    });
    files.insert("data/sample.json".to_owned(), pretty(&parameters));
    for (name, bytes) in sheet.finish("data/sample") {
        files.insert(name, bytes);
    }
    files.insert("data/README.md".to_owned(), readme(request).into_bytes());
    Ok(files)
}

fn readme(request: &Request<'_>) -> String {
    format!(
        "# Sample for {} {}\n\n\
         {} of {} rows, drawn from the package whose tag manifest has the SHA-256 `{}`, with the nonce `{}`.\n\n\
         `sample.csv` is the sheet to fill in. `items/<leaf_index>/` holds what the package knows of each: `call.json`, \
         `identity.json`, `decision.json`, `approval.json`, `result.json`; and for every leaf that they are from its exact \
         bytes (`<index>.leaf`) and its proof (`<index>.tlog-proof`, C2SP tlog-proof).\n\n\
         `exhibit sample` with the same package, nonce and size writes this bag again, byte by byte.\n",
        request.criterion.id,
        request.criterion.title,
        request.drawn.len(),
        request.population,
        hex::encode(request.digest),
        request.nonce,
    )
}

/// The package, by what items are looked up by.
struct Book<'a> {
    material: &'a Material,
    decoded: Decoded,
    rows: BTreeMap<u64, &'a LeafRow>,
    /// Positions in `decoded.leaves`, by exchange.
    exchanges: BTreeMap<Bytes, Vec<usize>>,
    /// Likewise, by approval.
    approvals: BTreeMap<Bytes, Vec<usize>>,
}

impl<'a> Book<'a> {
    fn of(material: &'a Material) -> Result<Self, String> {
        let decoded = Decoded::of(material)?;
        let rows = material.leaves.iter().map(|row| (row.index, row)).collect();
        let mut exchanges: BTreeMap<Bytes, Vec<usize>> = BTreeMap::new();
        let mut approvals: BTreeMap<Bytes, Vec<usize>> = BTreeMap::new();
        for (at, (_, leaf)) in decoded.leaves.iter().enumerate() {
            if !leaf.event.exchange_id.is_empty() {
                exchanges.entry(leaf.event.exchange_id.clone()).or_default().push(at);
            }
            if let Some(id) = leaf.event.kind.as_ref().and_then(approval_id) {
                approvals.entry(id.clone()).or_default().push(at);
            }
        }
        Ok(Self { material, decoded, rows, exchanges, approvals })
    }

    fn leaf(&self, index: u64) -> Option<&proto::entry::Leaf> {
        let at = self.decoded.leaves.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        self.decoded.leaves.get(at).map(|(_, leaf)| leaf)
    }

    fn item(&self, index: u64, tree: &RangeTree<'_>, files: &mut Files) -> Result<(), String> {
        let Some(leaf) = self.leaf(index) else { return Ok(()) };
        let mut related: BTreeSet<u64> = BTreeSet::from([index]);
        let exchange =
            self.exchanges.get(&leaf.event.exchange_id).map(Vec::as_slice).unwrap_or_default();
        let of = |at: &usize| self.decoded.leaves.get(*at);
        let in_exchange: Vec<_> = exchange.iter().filter_map(of).collect();
        related.extend(in_exchange.iter().map(|(index, _)| *index));
        let approvals: BTreeSet<usize> = in_exchange
            .iter()
            .filter_map(|(_, leaf)| leaf.event.kind.as_ref().and_then(approval_id))
            .filter_map(|id| self.approvals.get(id))
            .flatten()
            .copied()
            .collect();
        let approvals: Vec<_> = approvals.iter().filter_map(of).collect();
        related.extend(approvals.iter().map(|(index, _)| *index));
        let results: Vec<_> = in_exchange
            .iter()
            .filter(|(_, leaf)| leaf.event.kind.as_ref().is_some_and(closes_exchange))
            .collect();

        let folder = format!("data/items/{index}");
        let mut put = |name: &str, value: &Value| {
            files.insert(format!("{folder}/{name}"), pretty(value));
        };
        put("call.json", &self.event(index, leaf, &[Slot::Message]));
        put(
            "identity.json",
            &json!({
                "leaf_index": index,
                "principal": self.disclosed(index, Slot::Principal),
                "client": self.disclosed(index, Slot::Client),
            }),
        );
        put("decision.json", &self.decision(index, leaf));
        let approvals = approvals
            .iter()
            .map(|(index, leaf)| self.event(*index, leaf, &[Slot::Principal, Slot::Reason]));
        put("approval.json", &approvals.collect());
        let results =
            results.iter().map(|(index, leaf)| self.event(*index, leaf, &[Slot::Message]));
        put("result.json", &results.collect());
        for index in related {
            let Some(row) = self.rows.get(&index) else { continue };
            let proof = tree.prove(index, &row.bytes)?;
            files.insert(format!("{folder}/{index}.leaf"), row.bytes.to_vec());
            files.insert(format!("{folder}/{index}.tlog-proof"), proof.to_string().into_bytes());
        }
        Ok(())
    }

    fn event(&self, index: u64, leaf: &proto::entry::Leaf, slots: &[Slot]) -> Value {
        let mut event = Map::new();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() && value != "" {
                event.insert(name.to_owned(), value);
            }
        };
        put("leaf_index", index.into());
        put("recorded_at", time_text(leaf.recorded_at_ns).into());
        put("occurred_at", time_text(leaf.event.occurred_at_ns).into());
        put("event_id", hex::encode(&leaf.event.event_id).into());
        put("session_id", hex::encode(&leaf.event.session_id).into());
        put("exchange_id", hex::encode(&leaf.event.exchange_id).into());
        if let Some(kind) = &leaf.event.kind {
            put("kind", kind_name(kind).into());
            put(
                "request_event_id",
                request_event_id(kind).map(hex::encode).unwrap_or_default().into(),
            );
            put("approval_id", approval_id(kind).map(hex::encode).unwrap_or_default().into());
            if let Some(call) = call_of(kind) {
                put("server", call.server.clone().into());
                put("method", call.method.clone().into());
                put("tool", call.name.clone().into());
                put("verdict", verdict(call.verdict).into());
            }
            if let Kind::ResponseReturned(response) = kind {
                put("outcome", outcome(response.outcome).into());
                put("error_code", (response.error_code != 0).then_some(response.error_code).into());
                put("latency_ns", response.latency_ns.into());
            }
        }
        for slot in slots {
            let name = proto::disclosure::slot_name((*slot).into()).to_ascii_lowercase();
            put(&name, self.disclosed(index, *slot));
        }
        Value::Object(event)
    }

    fn decision(&self, index: u64, leaf: &proto::entry::Leaf) -> Value {
        let Some(call) = leaf.event.kind.as_ref().and_then(call_of) else { return Value::Null };
        json!({
            "leaf_index": index,
            "verdict": verdict(call.verdict),
            "policy_ids": call.policy_ids,
            "evaluation_error": call.evaluation_error,
            "snapshot_digest": hex::encode(&call.snapshot_digest),
            "input": self.disclosed(index, Slot::DecisionInput),
        })
    }

    /// JSON or text as disclosed; `withheld` or `erased`; null when nothing was committed to.
    fn disclosed(&self, index: u64, slot: Slot) -> Value {
        let rows: &[DisclosureRow] = &self.material.disclosures;
        let found = rows.binary_search_by_key(&(index, slot), |row| (row.index, row.slot));
        let Some(row) = found.ok().and_then(|at| rows.get(at)) else { return Value::Null };
        match row.content() {
            Some(bytes) => serde_json::from_slice(bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned())),
            None => Value::String(row.status.as_str().to_owned()),
        }
    }
}

fn approval_id(kind: &Kind) -> Option<&Bytes> {
    match kind {
        Kind::ApprovalRequested(event) => Some(&event.approval_id),
        Kind::ApprovalGranted(event) => Some(&event.approval_id),
        Kind::ApprovalDenied(event) => Some(&event.approval_id),
        Kind::ApprovalExpired(event) => Some(&event.approval_id),
        Kind::CallReleased(event) => Some(&event.approval_id),
        _ => None,
    }
}

fn verdict(number: i32) -> &'static str {
    match Verdict::try_from(number) {
        Ok(Verdict::Allow) => "allow",
        Ok(Verdict::Deny) => "deny",
        Ok(Verdict::Block) => "block",
        Ok(Verdict::Hold) => "hold",
        _ => "",
    }
}

fn outcome(number: i32) -> String {
    proto::v1::Outcome::try_from(number).map_or_else(
        |_| number.to_string(),
        |outcome| outcome.as_str_name().trim_start_matches("OUTCOME_").to_ascii_lowercase(),
    )
}

fn pretty(value: &Value) -> Vec<u8> {
    // A JSON value always serializes.
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
