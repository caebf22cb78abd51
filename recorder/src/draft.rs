//! An event before it has its place in the chain.

use bytes::Bytes;
use proto::ids::Id;
use proto::kind::Kind;
use proto::v1::{MediaType, Slot};

/// An event to be. Its id is minted here, so that other events may refer to it before it is durable.
#[derive(Debug, Clone)]
pub struct Draft {
    pub(crate) event_id: Id,
    pub(crate) kind: Kind,
    pub(crate) session_id: Option<Id>,
    pub(crate) exchange_id: Option<Id>,
    pub(crate) trace_id: Option<Id>,
    pub(crate) contents: Vec<Content>,
}

/// What is disclosed in one slot.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) slot: Slot,
    pub(crate) media_type: MediaType,
    pub(crate) bytes: Bytes,
}

impl Draft {
    /// An event of this kind, without disclosures, outside any session.
    pub fn new(kind: Kind) -> Self {
        Self {
            event_id: Id(uuid::Uuid::now_v7().into_bytes()),
            kind,
            session_id: None,
            exchange_id: None,
            trace_id: None,
            contents: Vec::new(),
        }
    }

    /// Places it in a session.
    #[must_use]
    pub fn session(mut self, id: Id) -> Self {
        self.session_id = Some(id);
        self
    }

    /// Places it in an exchange; disclosures of one exchange are erased together.
    #[must_use]
    pub fn exchange(mut self, id: Id) -> Self {
        self.exchange_id = Some(id);
        self
    }

    /// Gives it the W3C trace id of its request.
    #[must_use]
    pub fn trace(mut self, id: Id) -> Self {
        self.trace_id = Some(id);
        self
    }

    /// Adds a disclosure: masked content, of which the leaf holds a salted commitment. A second one for a slot
    /// replaces the first.
    #[must_use]
    pub fn disclose(
        mut self,
        slot: Slot,
        media_type: MediaType,
        content: impl Into<Bytes>,
    ) -> Self {
        self.contents.retain(|other| other.slot != slot);
        self.contents.push(Content { slot, media_type, bytes: content.into() });
        self.contents.sort_by_key(|content| content.slot);
        self
    }

    /// The id under which the event will be recorded.
    pub fn event_id(&self) -> Id {
        self.event_id
    }

    /// Bytes it holds in queues.
    pub(crate) fn size_bytes(&self) -> usize {
        1_024 + self.contents.iter().map(|content| content.bytes.len()).sum::<usize>()
    }
}

/// 16 random bytes, for a session or an exchange.
///
/// # Panics
/// When the operating system has no randomness to give: nothing may go on without it.
pub fn random_id() -> Id {
    let mut id = [0; 16];
    getrandom::fill(&mut id).expect("the operating system gives randomness");
    Id(id)
}
