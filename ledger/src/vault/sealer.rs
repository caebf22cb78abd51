//! The sealing of a stream's disclosures, each under the key of its exchange.

use std::sync::Arc;

use proto::ids::Id;
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
    /// [`StoreError`] when no key can be had.
    pub(crate) fn seal(
        &mut self,
        event: &Event,
        sequence: u64,
        openings: &[Opening],
    ) -> Result<Sealed, StoreError> {
        if openings.is_empty() {
            return Ok(Sealed::default());
        }
        // Counted before the key is looked for: a destruction in between shows in the sequencer.
        let destructions = self.store.destructions();
        let (key, is_new) = self.key(event, destructions)?;
        let cipher = cipher(&key.secret);
        let sealed = |opening: &Opening| {
            Ok((opening.slot, seal(&cipher, &key.id, nonce(sequence, opening.slot), opening)?))
        };
        let disclosures = openings.iter().map(sealed).collect::<Result<_, StoreError>>()?;
        Ok(Sealed { disclosures, key: Some(key), is_new, destructions })
    }

    /// The key for an event, and whether it is not on its way to the store yet.
    fn key(
        &mut self,
        event: &Event,
        destructions: u64,
    ) -> Result<(Arc<DisclosureKey>, bool), StoreError> {
        let place = Place::of(event);
        let known = self.keys.find(&place).cloned();
        match &known {
            Some(Known { key: None, .. }) => return own_key(event),
            Some(Known { key: Some(key), destructions: since }) if *since == destructions => {
                return Ok((Arc::clone(key), false));
            }
            _ => {}
        }
        let id = key_id(event);
        let may_be_stored = known.is_some() || self.continues || self.keys.has_forgotten();
        let stored =
            if may_be_stored { self.store.disclosure_key(&id)? } else { StoredKey::Unknown };
        let of_secret = |secret| Arc::new(DisclosureKey { id, secret });
        let (key, is_new) = match (stored, known.and_then(|known| known.key)) {
            (StoredKey::Destroyed, _) => (None, false),
            // Not in the store: it is on its way.
            (_, Some(key)) => (Some(key), false),
            (StoredKey::There(secret), None) => (Some(of_secret(secret)), false),
            (StoredKey::Unknown, None) => (Some(of_secret(self.fresh.take()?)), true),
        };
        self.keys.insert(place, Known { key: key.clone(), destructions });
        key.map_or_else(|| own_key(event), |key| Ok((key, is_new)))
    }
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
