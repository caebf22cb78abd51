//! The sealing of a stream's disclosures, each under the key of its exchange.

use std::sync::Arc;

use proto::ids::Id;
use proto::kind::{begins_exchange, may_be_erased};
use proto::v1::{Event, Opening};
use zeroize::Zeroizing;

use super::{
    DisclosureKey, KeyId, Sealed, cipher, fill, fresh_key, key_id, nonce, own_key_id, seal,
};
use crate::recent::Recent;
use crate::store::{Store, StoreError, StoredKey};

/// Disclosure keys that a stream keeps at hand: of about as many exchanges as may be open.
pub(super) const MAX_CACHED_KEYS: usize = 8_192;

/// Keys that are drawn from the operating system at once: each call costs as much as sealing a few hundred bytes.
const DRAWN: usize = 32;

/// Why an event is not sealed, and must not come to the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSealed {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The recorder is at fault.
    #[error(
        "event {sequence} begins exchange {exchange}, in which something was disclosed before: each request, each refusal and each \
         access has an exchange of its own, or none"
    )]
    Begun { sequence: u64, exchange: String },
}

/// Seals the disclosures of one recorder's epoch, on the thread of the stream that brings them.
///
/// The keys of an epoch belong to its one stream, so nobody else makes one meanwhile.
pub(crate) struct Sealer {
    store: Arc<dyn Store>,
    keys: Recent<Place, Known>,
    fresh: FreshKeys,
    /// The store may have keys of this epoch that were never in `keys`.
    continues: bool,
}

/// Exchange or else event, within the epoch of a stream: it is looked at for every event, and the id of its key is not
/// hashed for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Exchange(Id),
    Event(Id),
    /// Of an event without a whole id, which none is that was accepted.
    Key(KeyId),
}

impl Place {
    fn of(event: &Event) -> Self {
        let place = if event.exchange_id.is_empty() {
            Id::from_slice(&event.event_id).map(Self::Event)
        } else {
            Id::from_slice(&event.exchange_id).map(Self::Exchange)
        };
        place.unwrap_or_else(|| Self::Key(key_id(event)))
    }
}

/// What a stream knows of a key.
#[derive(Clone)]
struct Known {
    /// None: it is destroyed.
    key: Option<Arc<DisclosureKey>>,
    /// The store's count of destructions when this was found out.
    destructions: u64,
}

impl Known {
    /// A key that is shared is on its way into the store, where it could not be found yet.
    fn is_on_its_way(&mut self) -> bool {
        self.key.as_mut().is_some_and(|key| Arc::get_mut(key).is_none())
    }
}

impl Sealer {
    /// `continues`: the epoch has events already.
    pub(crate) fn new(store: Arc<dyn Store>, continues: bool) -> Self {
        let keys = Recent::with_stay(MAX_CACHED_KEYS, Known::is_on_its_way);
        Self { store, keys, fresh: FreshKeys::default(), continues }
    }

    /// Seals what `event`, the number `sequence` of its epoch, discloses. The result must reach the store.
    ///
    /// # Errors
    /// [`NotSealed`]: no key can be had, or the event begins an exchange anew. Retention rests on it that after the event
    /// which closes an exchange nothing of it looks like another beginning (`erase/late.rs`).
    pub(crate) fn seal(
        &mut self,
        event: &Event,
        sequence: u64,
        openings: &[Opening],
    ) -> Result<Sealed, NotSealed> {
        let begins =
            !event.exchange_id.is_empty() && event.kind.as_ref().is_some_and(begins_exchange);
        if openings.is_empty() && !begins {
            return Ok(Sealed::default());
        }
        // Counted before the key is looked for: a destruction in between shows in the sequencer.
        let destructions = self.store.destructions();
        let known = self.known(event, destructions)?;
        if begins && known.is_some() {
            return Err(NotSealed::Begun { sequence, exchange: hex::encode(&event.exchange_id) });
        }
        if openings.is_empty() {
            return Ok(Sealed::default());
        }
        let (key, is_new) = self.key(event, known, destructions)?;
        let cipher = cipher(&key.secret);
        let sealed = |opening: &Opening| {
            Ok((opening.slot, seal(&cipher, &key.id, nonce(sequence, opening.slot), opening)?))
        };
        let disclosures = openings.iter().map(sealed).collect::<Result<_, StoreError>>()?;
        Ok(Sealed { disclosures, key: Some(key), is_new, destructions })
    }

    /// What is known of the key that belongs to the event's exchange, or to its id: `None` when no event before had one.
    fn known(&mut self, event: &Event, destructions: u64) -> Result<Option<Known>, StoreError> {
        let place = Place::of(event);
        let cached = self.keys.find(&place).cloned();
        let is_current = |known: &Known| known.key.is_none() || known.destructions == destructions;
        if cached.as_ref().is_some_and(is_current) {
            return Ok(cached);
        }
        if cached.is_none() && !self.continues && !self.keys.has_forgotten() {
            return Ok(None);
        }
        let id = key_id(event);
        let cached = cached.and_then(|known| known.key);
        let stored = match self.store.disclosure_key(&id) {
            // It may be there, and nobody can tell: what comes has keys of its own from here on.
            Err(StoreError::Damaged(_)) => StoredKey::Destroyed,
            stored => stored?,
        };
        let key = match (stored, cached) {
            (StoredKey::Destroyed, _) => None,
            // Not in the store: it is on its way.
            (_, Some(key)) => Some(key),
            (StoredKey::There(secret), None) => Some(Arc::new(DisclosureKey { id, secret })),
            (StoredKey::Unknown, None) => return Ok(None),
        };
        let known = Known { key, destructions };
        self.keys.insert(place, known.clone());
        Ok(Some(known))
    }

    /// The key for an event, and whether it is not on its way to the store yet.
    fn key(
        &mut self,
        event: &Event,
        known: Option<Known>,
        destructions: u64,
    ) -> Result<(Arc<DisclosureKey>, bool), StoreError> {
        if has_own_key(event) {
            return own_key(event);
        }
        if let Some(known) = known {
            // Outside exchanges an id of an event stands for that event, however often somebody writes it.
            let shared = known.key.filter(|_| !event.exchange_id.is_empty());
            return shared.map_or_else(|| own_key(event), |key| Ok((key, false)));
        }
        let key = Arc::new(DisclosureKey { id: key_id(event), secret: self.fresh.take()? });
        let known = Known { key: Some(Arc::clone(&key)), destructions };
        self.keys.insert(Place::of(event), known);
        Ok((key, true))
    }
}

/// What is never erased has no part in the key of an exchange, which is.
fn has_own_key(event: &Event) -> bool {
    let stays = event.kind.as_ref().is_some_and(|kind| !may_be_erased(kind));
    stays && !event.exchange_id.is_empty()
}

#[cfg(test)]
impl Sealer {
    /// Whether the key for an event is at hand.
    pub(super) fn knows(&mut self, event: &Event) -> bool {
        self.keys.find(&Place::of(event)).is_some()
    }
}

/// A fresh key for one event alone.
fn own_key(event: &Event) -> Result<(Arc<DisclosureKey>, bool), StoreError> {
    let key = DisclosureKey { id: own_key_id(event), secret: fresh_key()? };
    Ok((Arc::new(key), true))
}

/// Random keys that nothing is sealed under yet.
#[derive(Default)]
struct FreshKeys(Vec<Zeroizing<[u8; 32]>>);

impl FreshKeys {
    fn take(&mut self) -> Result<[u8; 32], StoreError> {
        if self.0.is_empty() {
            let mut drawn = Zeroizing::new([0; 32 * DRAWN]);
            fill(&mut drawn[..])?;
            let (keys, _) = drawn.as_chunks();
            self.0.extend(keys.iter().map(|key| Zeroizing::new(*key)));
        }
        self.0.pop().map_or_else(fresh_key, |key| Ok(*key))
    }
}
