//! What happened in the logs of these tests.

use controls::{NamedText, Server, Snapshot, SnapshotSource};
use proto::chain::ChainHead;
use proto::ids::Id;
use proto::kind::Kind;
use proto::v1::{self, MediaType, Slot};

use super::{GATEWAY, LEDGER, SECOND_NS, World};

const BASE: &str = r#"
    @id("session") permit(principal, action in [Action::"session", Action::"list"], resource);
    @id("engineers-query") permit(principal in Group::"engineers", action == Action::"tools/call", resource == Tool::"db/query");
    @id("no-drop") @reason("dropping a database is never done by an agent")
    forbid(principal, action == Action::"tools/call", resource) when { context.facts.sql.contains("drop_database") };
"#;
const WIDER: &str = r#"
    @id("contractors-query") permit(principal in Group::"contractors", action == Action::"tools/call", resource == Tool::"db/query");
"#;

pub(crate) fn snapshot(wider: bool) -> Snapshot {
    let mut policies = vec![NamedText { name: "base.cedar".into(), text: BASE.into() }];
    if wider {
        policies.push(NamedText { name: "wider.cedar".into(), text: WIDER.into() });
    }
    Snapshot::build(SnapshotSource {
        policies,
        entities: vec![Server { name: "db".into(), open: false }],
        ..SnapshotSource::default()
    })
    .unwrap()
}

impl World {
    /// A log with a period from `from` to `to`, leaves before and after it, and one exception for each criterion.
    pub(crate) fn new() -> Self {
        Self::having_erased(Slot::Message)
    }

    /// As [`new`](Self::new), in which this slot of a decided request was erased.
    pub(crate) fn having_erased(slot: Slot) -> Self {
        let mut world = Self::empty();
        world.begin();
        let base = snapshot(false);
        world.activate(&base, None);
        world.seal(GATEWAY);
        world.call(&base, "ada", "engineers", "SELECT 1", v1::Outcome::Result);

        world.now_ns += 3600 * SECOND_NS;
        world.from = world.now_ns;
        let erased = world.call(
            &base,
            "ada",
            "engineers",
            "SELECT name FROM customers",
            v1::Outcome::Result,
        );
        world.call(&base, "ada", "engineers", "DROP DATABASE prod", v1::Outcome::Result);
        world.call(&base, "eve", "contractors", "SELECT 2", v1::Outcome::Result);
        world.call(
            &base,
            "ada",
            "engineers",
            "SELECT * FROM t WHERE mail = 'bob@example.com'",
            v1::Outcome::ToolError,
        );
        world.call(
            &base,
            "=cmd|' /C calc'!A0",
            "engineers",
            "SELECT '<script>alert(1)</script>'",
            v1::Outcome::Result,
        );
        world.say(
            GATEWAY,
            Kind::AuthenticationFailed(v1::AuthenticationFailed {
                server: "db".into(),
                reason: v1::authentication_failed::Reason::BadSignature.into(),
                http_status: 401,
                ..v1::AuthenticationFailed::default()
            }),
            vec![(Slot::Client, MediaType::Json, br#"{"address":"203.0.113.9"}"#.to_vec())],
        );
        world.seal(GATEWAY);
        world.now_ns += 400 * SECOND_NS;
        let wider = snapshot(true);
        world.activate(&wider, Some(&base));
        world.call(&wider, "eve", "contractors", "SELECT 2", v1::Outcome::Result);
        world.say(GATEWAY, Kind::RecorderStopped(v1::RecorderStopped { drained: true }), vec![]);
        let last = world.chains[GATEWAY].head;
        let epoch = std::mem::replace(&mut world.chains[GATEWAY].epoch, Id([0x22; 16]));
        world.chains[GATEWAY].head = None;
        world.start(GATEWAY, last.map(|head| (epoch, head)));
        world.activate(&wider, Some(&wider));
        world.access(v1::evidence_accessed::Door::Sql, "SELECT * FROM events");
        // A request that is never answered.
        world.request(&wider, "ada", "engineers", "SELECT 3");
        world.seal(GATEWAY);

        world.now_ns += 60 * SECOND_NS;
        world.to = world.now_ns;
        world.call(&wider, "ada", "engineers", "SELECT 4", v1::Outcome::Result);
        world.seal(GATEWAY);
        world.seal(LEDGER);
        world.erase(erased, slot);
        world.access(v1::evidence_accessed::Door::Feed, "");
        world.call(&wider, "ada", "engineers", "SELECT 5", v1::Outcome::Result);
        world
    }

    /// A log from its first leaf on, in which the gateway stops, starts again, and says that it had left off at what
    /// `left_off` makes of the truth.
    pub(crate) fn restarted(left_off: impl FnOnce(Id, ChainHead) -> (Id, ChainHead)) -> Self {
        let mut world = Self::empty();
        world.from = world.now_ns;
        world.begin();
        let base = snapshot(false);
        world.activate(&base, None);
        world.call(&base, "ada", "engineers", "SELECT 1", v1::Outcome::Result);
        world.say(GATEWAY, Kind::RecorderStopped(v1::RecorderStopped { drained: true }), vec![]);
        let left = left_off(world.chains[GATEWAY].epoch, world.chains[GATEWAY].head.unwrap());
        world.chains[GATEWAY].epoch = Id([0x22; 16]);
        world.chains[GATEWAY].head = None;
        world.start(GATEWAY, Some(left));
        world.activate(&base, Some(&base));
        world.seal(GATEWAY);
        world.seal(LEDGER);
        world.now_ns += 60 * SECOND_NS;
        world.to = world.now_ns;
        world.call(&base, "ada", "engineers", "SELECT 2", v1::Outcome::Result);
        world
    }

    /// A log that says that it continues another, of which 9 leaves were published and 5 were left: as its first leaf, or
    /// only after the gateway's start.
    pub(crate) fn continuing(is_first: bool) -> Self {
        let mut world = Self::empty();
        world.from = world.now_ns;
        let old = "log.example/old";
        let checkpoint = tlog::Checkpoint {
            origin: old.into(),
            size: tlog::TreeSize(9),
            root: tlog::Hash([7; 32]),
        };
        let key = tlog::SigningKey::from_seed(old, [9; 32]).unwrap();
        let (checkpoint, restored_size) = (checkpoint.sign(&key), 5);
        let continued = Kind::LogContinued(v1::LogContinued { checkpoint, restored_size });
        if !is_first {
            world.start(GATEWAY, None);
        }
        world.say(LEDGER, continued, vec![]);
        world.start(LEDGER, None);
        if is_first {
            world.start(GATEWAY, None);
        }
        world.mark();
        let base = snapshot(false);
        world.activate(&base, None);
        world.call(&base, "ada", "engineers", "SELECT 1", v1::Outcome::Result);
        world.seal(GATEWAY);
        world.seal(LEDGER);
        world.now_ns += 60 * SECOND_NS;
        world.to = world.now_ns;
        world.call(&base, "ada", "engineers", "SELECT 2", v1::Outcome::Result);
        world
    }

    /// A log of a few calls, decided by this snapshot, from its first leaf on; all of it sealed.
    pub(crate) fn sealed(snapshot: &Snapshot) -> Self {
        Self::sealed_after(snapshot, |_| ())
    }

    /// As [`sealed`](Self::sealed), and a gateway that masks nothing recorded a server's message as it came.
    pub(crate) fn unmasked(snapshot: &Snapshot, message: &str) -> Self {
        Self::sealed_after(snapshot, |world| {
            let said = vec![(Slot::Message, MediaType::Json, message.as_bytes().to_vec())];
            world.say(GATEWAY, Kind::StreamMessage(v1::StreamMessage::default()), said);
        })
    }

    /// As [`sealed`](Self::sealed), and a gateway counted refusals of one address.
    pub(crate) fn counted(snapshot: &Snapshot, count: u64) -> Self {
        Self::sealed_after(snapshot, |world| {
            let failed = v1::AuthenticationFailed {
                server: "db".into(),
                reason: v1::authentication_failed::Reason::BadSignature.into(),
                http_status: 401,
                count,
            };
            let denied = v1::CallDenied {
                refusal: v1::Refusal::UnknownServer.into(),
                http_status: 404,
                count,
                ..v1::CallDenied::default()
            };
            for kind in [Kind::AuthenticationFailed(failed), Kind::CallDenied(denied)] {
                let client = br#"{"address":"203.0.113.9"}"#.to_vec();
                world.say(GATEWAY, kind, vec![(Slot::Client, MediaType::Json, client)]);
            }
        })
    }

    /// A reader asks this.
    pub(crate) fn ask(&mut self, query: &str) {
        self.access(v1::evidence_accessed::Door::Sql, query);
    }

    /// A server's message of this many bytes, once more after the period and before the next seal.
    pub(crate) fn sealed_behind(snapshot: &Snapshot, size_bytes: usize) -> Self {
        let mut world = Self::empty();
        world.from = world.now_ns;
        world.begin();
        world.activate(snapshot, None);
        world.call(snapshot, "ada", "engineers", "SELECT 1", v1::Outcome::Result);
        world.now_ns += 60 * SECOND_NS;
        world.to = world.now_ns;
        world.call(snapshot, "ada", "engineers", "SELECT 2", v1::Outcome::Result);
        let message = format!(r#"{{"jsonrpc":"2.0","method":"{}"}}"#, "x".repeat(size_bytes));
        let said = vec![(Slot::Message, MediaType::Json, message.into_bytes())];
        world.say(GATEWAY, Kind::StreamMessage(v1::StreamMessage::default()), said);
        world.seal(GATEWAY);
        world.seal(LEDGER);
        world
    }

    fn sealed_after(snapshot: &Snapshot, last: impl FnOnce(&mut Self)) -> Self {
        let mut world = Self::empty();
        world.from = world.now_ns;
        world.begin();
        world.activate(snapshot, None);
        world.call(snapshot, "ada", "engineers", "SELECT 1", v1::Outcome::Result);
        world.call(snapshot, "eve", "contractors", "SELECT 2", v1::Outcome::Result);
        last(&mut world);
        world.seal(GATEWAY);
        world.seal(LEDGER);
        world.now_ns += 60 * SECOND_NS;
        world.to = world.now_ns;
        world.grow(snapshot);
        world
    }

    /// Another sealed call.
    pub(crate) fn grow(&mut self, snapshot: &Snapshot) {
        self.call(snapshot, "ada", "engineers", "SELECT 3", v1::Outcome::Result);
        self.seal(GATEWAY);
    }

    /// Both recorders start, and the ledger says who is registered.
    fn begin(&mut self) {
        self.start(GATEWAY, None);
        self.start(LEDGER, None);
        self.mark();
    }

    fn mark(&mut self) {
        let heads = [("gateway-1", GATEWAY), ("ledger", LEDGER)].map(|(id, at)| v1::RecorderHead {
            recorder_id: id.into(),
            vkey: self.chains[at].key.verifying_key().to_string(),
            epoch: self.chains[at].epoch.to_bytes(),
            ..v1::RecorderHead::default()
        });
        self.say(
            LEDGER,
            Kind::LogMark(v1::LogMark { recorders: heads.to_vec(), ..Default::default() }),
            vec![],
        );
    }
}
