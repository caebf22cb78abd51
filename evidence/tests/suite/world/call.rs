//! Exchanges, decided by real snapshots.

use bytes::Bytes;
use controls::{
    Arguments, CallFacts, DecisionInput, Document, PrincipalInput, PrincipalKind, Snapshot,
};
use proto::ids::Id;
use proto::kind::Kind;
use proto::v1::{self, AuthMethod, Call, MediaType, Slot};
use serde_json::json;

use super::{GATEWAY, World, event_id, principal};

impl World {
    /// A whole exchange; returns the index of its request.
    pub(super) fn call(
        &mut self,
        snapshot: &Snapshot,
        who: &str,
        group: &str,
        sql: &str,
        outcome: v1::Outcome,
    ) -> u64 {
        let (index, exchange, call) = self.request(snapshot, who, group, sql);
        let request_event_id = event_id(index);
        let kind = match call.verdict() {
            v1::Verdict::Allow => Kind::ResponseReturned(v1::ResponseReturned {
                outcome: outcome.into(),
                http_status: 200,
                latency_ns: 5_000_000,
                size_class: 256,
                request_event_id,
                call: Some(call),
                ..v1::ResponseReturned::default()
            }),
            v1::Verdict::Block => {
                Kind::CallBlocked(v1::CallBlocked { call: Some(call), request_event_id })
            }
            _ => Kind::CallDenied(v1::CallDenied {
                call: Some(call),
                refusal: v1::Refusal::NoPolicy.into(),
                request_event_id,
                http_status: 200,
                ..v1::CallDenied::default()
            }),
        };
        let said = match &kind {
            Kind::ResponseReturned(_) => {
                let answer =
                    json!({"jsonrpc": "2.0", "id": index, "result": {"content": []}}).to_string();
                vec![(Slot::Message, MediaType::Json, answer.into_bytes())]
            }
            _ => vec![],
        };
        self.say_in(GATEWAY, kind, said, Some(exchange));
        index
    }

    pub(super) fn request(
        &mut self,
        snapshot: &Snapshot,
        who: &str,
        group: &str,
        sql: &str,
    ) -> (u64, Id, Call) {
        let index = self.entries.len() as u64;
        let raw = json!({
            "jsonrpc": "2.0", "id": index, "method": "tools/call",
            "params": {"name": "query", "arguments": {"sql": sql}},
        })
        .to_string();
        let document = Document::parse(raw.as_bytes()).unwrap();
        let masked = snapshot.mask_message(raw.as_bytes()).unwrap();
        let facts = snapshot.facts(&document, &masked);
        let input = DecisionInput::new(&CallFacts {
            principal: PrincipalInput {
                issuer: "https://idp.example".into(),
                subject: who.into(),
                kind: PrincipalKind::Human,
                groups: vec![group.into()],
                roles: vec![],
            },
            server: "db".into(),
            method: "tools/call".into(),
            name: Some("query".into()),
            arguments: Arguments::OfMessage(&masked.bytes),
            facts: facts.clone(),
            auth: AuthMethod::Bearer,
            at_unix_ms: i64::try_from(self.now_ns / 1_000_000).unwrap(),
        })
        .unwrap();
        let decision = snapshot.authorize(&input);
        let call = Call {
            server: "db".into(),
            method: "tools/call".into(),
            name: "query".into(),
            definition_digest: Bytes::from_static(&[5; 32]),
            verdict: decision.verdict.into(),
            policy_ids: decision.policy_ids,
            snapshot_digest: Bytes::copy_from_slice(&snapshot.digest()),
            facts,
            auth_method: AuthMethod::Bearer.into(),
            era: v1::Era::Modern.into(),
            masks: masked.counts.clone(),
            evaluation_error: decision.evaluation_error,
        };
        let mut exchange = [0x44; 16];
        exchange[..8].copy_from_slice(&index.to_be_bytes());
        let exchange = Id(exchange);
        let received =
            v1::RequestReceived { call: Some(call.clone()), ..v1::RequestReceived::default() };
        let said = vec![
            (Slot::Principal, MediaType::Json, principal(who, group)),
            (Slot::Message, MediaType::Json, masked.bytes.to_vec()),
            (Slot::DecisionInput, MediaType::Json, input.bytes().to_vec()),
        ];
        self.say_in(GATEWAY, Kind::RequestReceived(received), said, Some(exchange));
        (index, exchange, call)
    }
}
