//! Test-of-one files: everything that the package knows of one drawn call.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proto::kind::{Kind, call_of, closes_exchange};
use proto::v1::{Slot, Verdict};
use serde_json::{Value, json};
use verifier::layout::csv::CsvWriter;
use verifier::layout::{DATA, Files};
use verifier::{LeafRow, Material};

use super::draw::{Drawn, Population};
use super::tree::RangeTree;
use crate::criteria::Criterion;
use crate::derive::{Decoded, EXHIBIT_VERSION, disclosed, event_row};

/// Columns of the sheet that the auditor fills in; they come last.
pub(super) const FILLED_IN: [&str; 3] = ["tested_by", "result", "notes"];
/// The sheet, below `data/`.
pub(super) const SHEET: &str = "sample";

/// What was asked for and drawn.
pub(super) struct Request<'a> {
    pub(super) criterion: &'a Criterion,
    pub(super) nonce: &'a str,
    pub(super) digest: &'a [u8; 32],
    pub(super) seed: &'a [u8; 32],
    pub(super) population: &'a Population,
    pub(super) drawn: &'a [Drawn],
}

/// The payload of the sample's bag.
pub(super) fn files(material: &Material, request: &Request<'_>) -> Result<Files, String> {
    let book = Book::of(material)?;
    let tree = RangeTree::new(material)?;
    let mut files = Files::new();
    let columns = request.population.columns.iter().map(String::as_str);
    let columns = ["item", "leaf_index"].into_iter().chain(columns);
    let mut sheet = CsvWriter::new(columns.chain(["score"]).chain(FILLED_IN));
    for (item, drawn) in (1u32..).zip(request.drawn) {
        if book.leaf(drawn.leaf_index).is_none() {
            return Err(format!("leaf {} of the list is not in the package", drawn.leaf_index));
        }
        let (number, index) = (item.to_string(), drawn.leaf_index.to_string());
        let score = hex::encode(drawn.score);
        let cells = request.population.rows.get(&drawn.leaf_index).into_iter().flatten();
        let cells = [number.as_str(), index.as_str()].into_iter().chain(cells.map(String::as_str));
        sheet.row(cells.chain([score.as_str()]).chain(FILLED_IN.map(|_| "")));
        book.item(drawn.leaf_index, &tree, &mut files)?;
    }
    let parameters = json!({
        "format": "exhibit/sample@v1",
        "exhibit_version": EXHIBIT_VERSION,
        "package_sha256": hex::encode(request.digest),
        "criterion": request.criterion.id,
        "nonce": request.nonce,
        "seed": hex::encode(request.seed),
        "population": request.population.rows.len(),
        "size": request.drawn.len(),
        "leaves": request.drawn.iter().map(|drawn| drawn.leaf_index).collect::<Vec<_>>(),
    });
    files.insert("data/sample.json".to_owned(), pretty(&parameters));
    for (name, bytes) in sheet.finish(&format!("{DATA}{SHEET}")) {
        files.insert(name, bytes);
    }
    files.insert("data/README.md".to_owned(), readme(request).into_bytes());
    Ok(files)
}

fn readme(request: &Request<'_>) -> String {
    format!(
        "# Sample for {} {}\n\n\
         {} of {} rows, drawn from the package whose tag manifest has the SHA-256 `{}`, with the nonce `{}`.\n\n\
         `sample.csv` is the sheet to fill in: the drawn rows with all columns of the population, in the order of the draw, \
         and empty columns `tested_by`, `result`, `notes`. `score` is what the draw went by: SHA-256 of the seed (in \
         `sample.json`) and the leaf's index as 8 bytes, big-endian. The rows with the lowest scores of the whole population \
         are the sample. Nobody who does not know the nonce can foresee it, and anybody who does can compute it again.\n\n\
         `items/<leaf_index>/` holds what the package knows of each: `call.json` (the event itself: a call, or what else was \
         drawn, with its reason and HTTP status), `identity.json` (who), `decision.json` (by which policies), `approval.json`, \
         `result.json` (how it ended: outcome, or the refusal); and for every leaf that they are from its exact bytes \
         (`<index>.leaf`) and its proof (`<index>.tlog-proof`, C2SP tlog-proof). The columns are explained in `columns.csv` of \
         the package.\n\n\
         A sample is not signed. `exhibit verify SAMPLE --of PACKAGE --trust TRUST_FILE` verifies the package, draws again with \
         this nonce, and compares every file; what you fill in into `sample.csv` is left out of the comparison.\n",
        request.criterion.id,
        request.criterion.title,
        request.drawn.len(),
        request.population.rows.len(),
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
        put("call.json", &self.event(index, &[Slot::Message])?);
        put(
            "identity.json",
            &json!({
                "leaf_index": index,
                "principal": disclosed(self.material, index, Slot::Principal),
                "client": disclosed(self.material, index, Slot::Client),
            }),
        );
        put("decision.json", &self.decision(index, leaf));
        let approvals =
            approvals.iter().map(|(index, _)| self.event(*index, &[Slot::Principal, Slot::Reason]));
        put("approval.json", &approvals.collect::<Result<_, _>>()?);
        let results = results.iter().map(|(index, _)| self.event(*index, &[Slot::Message]));
        put("result.json", &results.collect::<Result<_, _>>()?);
        for index in related {
            let Some(row) = self.rows.get(&index) else { continue };
            let proof = tree.prove(index, &row.bytes)?;
            files.insert(format!("{folder}/{index}.leaf"), row.bytes.to_vec());
            files.insert(format!("{folder}/{index}.tlog-proof"), proof.to_string().into_bytes());
        }
        Ok(())
    }

    /// Every column that the leaf gives, and what was disclosed in `slots`.
    fn event(&self, index: u64, slots: &[Slot]) -> Result<Value, String> {
        let row = self.rows.get(&index).ok_or_else(|| format!("leaf {index} is not there"))?;
        let mut event = event_row(index, row.bytes.clone())?;
        // It stands beside this file, as `<index>.leaf`.
        event.remove("leaf");
        for slot in slots {
            let name = proto::disclosure::slot_name((*slot).into()).to_ascii_lowercase();
            let value = disclosed(self.material, index, *slot);
            if !value.is_null() {
                event.insert(name, value);
            }
        }
        Ok(Value::Object(event))
    }

    fn decision(&self, index: u64, leaf: &proto::entry::Leaf) -> Value {
        let Some(call) = leaf.event.kind.as_ref().and_then(call_of) else { return Value::Null };
        json!({
            "leaf_index": index,
            "verdict": verdict(call.verdict),
            "policy_ids": call.policy_ids,
            "evaluation_error": call.evaluation_error,
            "snapshot_digest": hex::encode(&call.snapshot_digest),
            "input": disclosed(self.material, index, Slot::DecisionInput),
        })
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

fn pretty(value: &Value) -> Vec<u8> {
    // A JSON value always serializes.
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
