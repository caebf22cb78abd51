//! Events as a gateway makes them: two to an exchange, each a leaf of about 300 bytes with one disclosure of 1 KiB.

use bytes::Bytes;
use proto::canonical::encode_event;
use proto::disclosure::disclose;
use proto::ids::Id;
use proto::kind::Kind;
use proto::v1::{
    AuthMethod, Call, Era, Event, MediaType, NewEvent, Opening, Outcome, RequestReceived,
    ResponseReturned, Slot, Verdict,
};
use proto::{ChainHead, chain, event_hash};
use tlog::SigningKey;

use crate::measure::Failure;

pub(crate) const ORIGIN: &str = "bench.example/log";
/// Bytes that each event discloses.
const DISCLOSED_BYTES: usize = 1_024;

/// One recorder's chain.
pub(crate) struct Chain {
    pub(crate) key: SigningKey,
    pub(crate) epoch: Id,
    /// Whether events disclose anything.
    discloses: bool,
    head: Option<ChainHead>,
    call: Call,
}

impl Chain {
    pub(crate) fn new(recorder: u8, discloses: bool) -> Result<Self, Failure> {
        let call = Call {
            server: "files".into(),
            method: "tools/call".into(),
            name: "read".into(),
            definition_digest: Bytes::from_static(&[4; 32]),
            verdict: Verdict::Allow.into(),
            policy_ids: vec!["read-only".into()],
            snapshot_digest: Bytes::from_static(&[5; 32]),
            auth_method: AuthMethod::Bearer.into(),
            era: Era::Modern.into(),
            ..Call::default()
        };
        let name = format!("gateway-{recorder}");
        let key = SigningKey::from_seed(&name, [recorder; 32])?;
        let mut epoch = [0; 16];
        getrandom::fill(&mut epoch)?;
        Ok(Self { key, epoch: Id(epoch), discloses, head: None, call })
    }

    /// The next events, in frames of `size`.
    pub(crate) fn frames(
        &mut self,
        count: usize,
        size: usize,
    ) -> Result<Vec<Vec<NewEvent>>, Failure> {
        (0..count).map(|_| self.frame(size)).collect()
    }

    pub(crate) fn frame(&mut self, size: usize) -> Result<Vec<NewEvent>, Failure> {
        (0..size).map(|_| self.event()).collect()
    }

    fn event(&mut self) -> Result<NewEvent, Failure> {
        let recorder = chain::next(self.head.as_ref(), self.key.name(), &self.epoch.0);
        let sequence = recorder.sequence;
        let exchange = sequence / 2;
        let opening = self.discloses.then(|| opening(sequence));
        let commitment = |opening: &Opening| {
            let salt = salt(sequence);
            disclose(Slot::Message, MediaType::Json, &salt, &opening.content)
        };
        let event = Event {
            event_id: id(1, sequence),
            occurred_at_ns: 1_800_000_000_000_000_000 + sequence,
            recorder: Some(recorder),
            session_id: Bytes::from_static(&[2; 16]),
            exchange_id: id(3, exchange),
            disclosures: opening.iter().map(commitment).collect(),
            kind: Some(self.kind(sequence)),
            ..Event::default()
        };
        let bytes = encode_event(&event)?;
        self.head = Some(ChainHead { sequence, hash: event_hash(&bytes) });
        Ok(NewEvent { event: bytes, openings: opening.into_iter().collect() })
    }

    fn kind(&self, sequence: u64) -> Kind {
        let call = Some(self.call.clone());
        if sequence.is_multiple_of(2) {
            return Kind::RequestReceived(RequestReceived { call, ..RequestReceived::default() });
        }
        Kind::ResponseReturned(ResponseReturned {
            call,
            outcome: Outcome::Result.into(),
            http_status: 200,
            latency_ns: 12_345_678,
            size_class: 1_024,
            request_event_id: id(1, sequence - 1),
            ..ResponseReturned::default()
        })
    }
}

fn opening(sequence: u64) -> Opening {
    let mut content = vec![b'x'; DISCLOSED_BYTES];
    content[..8].copy_from_slice(&sequence.to_be_bytes());
    Opening {
        slot: Slot::Message.into(),
        salt: Bytes::copy_from_slice(&salt(sequence)),
        content: content.into(),
    }
}

fn salt(sequence: u64) -> [u8; 32] {
    let mut salt = [7; 32];
    salt[..8].copy_from_slice(&sequence.to_be_bytes());
    salt
}

fn id(kind: u8, number: u64) -> Bytes {
    let mut id = [kind; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    Bytes::copy_from_slice(&id)
}
