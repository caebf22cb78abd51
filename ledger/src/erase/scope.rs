//! What an erasure takes, and what a hold covers: exchanges, by what is known of them.

use proto::ids::Id;
use serde::{Deserialize, Serialize};

use super::kinds::server_of;
use super::unit::{Caller, Seen, Unit};

/// Longest text of a field, in bytes.
const MAX_TEXT_BYTES: usize = 1_024;

/// Conditions that must all hold. An exchange is taken whole or not at all, since it has one key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Scope {
    /// `subject` of the caller (or reader), exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    /// `issuer` of that subject; without it, of any issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<String>,
    /// A session, 32 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<String>,
    /// An exchange, 32 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exchange: Option<String>,
    /// Recorded at or after this time, Unix ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from_ns: Option<u64>,
    /// Recorded before this time, Unix ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before_ns: Option<u64>,
    /// A retention class of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) class: Option<String>,
}

/// A scope that was checked.
#[derive(Debug, Clone)]
pub(crate) struct Conditions {
    scope: Scope,
    session: Option<Id>,
    exchange: Option<Id>,
    /// What was recorded up to this time is taken, with all that belongs to it, and nothing that began after it.
    begun_by_ns: u64,
}

/// Why a scope is none, in words for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ScopeError(String);

impl Scope {
    /// # Errors
    /// When nothing is said, or an id is none.
    pub(crate) fn check(self) -> Result<Conditions, ScopeError> {
        if self == Self::default() {
            return Err(ScopeError(
                "say what it is about: subject, session, exchange, from_ns, before_ns or class"
                    .into(),
            ));
        }
        if self.issuer.is_some() && self.subject.is_none() {
            return Err(ScopeError("issuer needs a subject beside it".into()));
        }
        let texts = [("subject", &self.subject), ("issuer", &self.issuer), ("class", &self.class)];
        for (field, text) in texts {
            let is_usable = |text: &String| (1..=MAX_TEXT_BYTES).contains(&text.len());
            if !text.as_ref().is_none_or(is_usable) {
                let message = format!("{field} must have 1 to {MAX_TEXT_BYTES} bytes");
                return Err(ScopeError(message));
            }
        }
        if let (Some(from), Some(before)) = (self.from_ns, self.before_ns)
            && from >= before
        {
            let message = format!("nothing lies between from_ns {from} and before_ns {before}");
            return Err(ScopeError(message));
        }
        let session = id("session", self.session.as_deref())?;
        let exchange = id("exchange", self.exchange.as_deref())?;
        Ok(Conditions { scope: self, session, exchange, begun_by_ns: u64::MAX })
    }
}

fn id(field: &str, text: Option<&str>) -> Result<Option<Id>, ScopeError> {
    let Some(text) = text else { return Ok(None) };
    let parsed = hex::decode(text).ok().and_then(|bytes| Id::from_slice(&bytes));
    let message = || ScopeError(format!("{field} must be 32 hex digits, as events show it"));
    parsed.map(Some).ok_or_else(message)
}

impl Conditions {
    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether disclosures must be opened to tell.
    pub(crate) fn needs_principal(&self) -> bool {
        self.scope.subject.is_some()
    }

    /// Takes nothing that begins after this time, Unix ns: somebody is shown what there is, and approves that.
    pub(crate) fn as_of(&mut self, time_ns: u64) {
        self.begun_by_ns = time_ns;
    }

    /// Everything of the unit is within: what an erasure takes.
    pub(crate) fn take(&self, unit: &Unit, class: Option<&str>) -> bool {
        self.is_of_person(unit)
            && self.is_of_session(unit)
            && self.is_otherwise_about(unit, class)
            && unit.oldest_ns <= self.begun_by_ns
            && self.scope.from_ns.is_none_or(|from| unit.oldest_ns >= from)
            && self.scope.before_ns.is_none_or(|before| unit.newest_ns < before)
    }

    /// Anything of the unit is within: what a hold keeps. One whose caller cannot be read may be anybody's, and one of more
    /// sessions than are known may be of any.
    pub(crate) fn touch(&self, unit: &Unit, class: Option<&str>) -> bool {
        (unit.is_unreadable || self.is_of_person(unit))
            && (unit.has_more_sessions || self.is_of_session(unit))
            && self.is_otherwise_about(unit, class)
            && self.scope.from_ns.is_none_or(|from| unit.newest_ns >= from)
            && self.scope.before_ns.is_none_or(|before| unit.oldest_ns < before)
    }

    /// Whether a leaf shows that its unit may be within: one condition is shown to hold by it, and it contradicts none. Of
    /// the others another leaf of the unit may tell.
    pub(crate) fn point_at<'c>(
        &self,
        seen: &Seen,
        class_of: impl Fn(Option<&str>) -> Option<&'c str>,
    ) -> bool {
        let (event, recorded_at_ns) = (&seen.leaf.event, seen.leaf.recorded_at_ns);
        if self.scope.from_ns.is_some_and(|from| recorded_at_ns < from)
            || self.scope.before_ns.is_some_and(|before| recorded_at_ns >= before)
        {
            return false;
        }
        // What the leaf says of each that is asked for: that it holds, that it does not, or nothing.
        let exchange = self.exchange.map(|exchange| Some(event.exchange_id == exchange.0[..]));
        let session = self.session.map(|session| match &event.session_id[..] {
            [] => None,
            named => Some(named == &session.0[..]),
        });
        let subject = self.scope.subject.as_ref().map(|_| match &seen.principal {
            Caller::Named(issuer, subject) => Some(self.is_person(issuer, subject)),
            Caller::Unknown | Caller::Unreadable => None,
        });
        let server = event.kind.as_ref().and_then(server_of);
        // Of an exchange another leaf names the server.
        let tells_class = server.is_some() || event.exchange_id.is_empty();
        let class = self.scope.class.as_deref();
        let class = class.map(|wanted| tells_class.then(|| class_of(server) == Some(wanted)));
        let said = [exchange, subject, session, class];
        let contradicts = said.contains(&Some(Some(false)));
        // The most telling of what is asked for must be shown: exchange, subject, session, class.
        let shown = said.into_iter().flatten().next();
        !contradicts && shown.is_none_or(|shown| shown == Some(true))
    }

    fn is_person(&self, issuer: &str, subject: &str) -> bool {
        self.scope.subject.as_deref().is_none_or(|wanted| wanted == subject)
            && self.scope.issuer.as_deref().is_none_or(|wanted| wanted == issuer)
    }

    fn is_of_person(&self, unit: &Unit) -> bool {
        let is_person = |(issuer, subject): &(String, String)| self.is_person(issuer, subject);
        self.scope.subject.is_none() || unit.principals.iter().any(is_person)
    }

    fn is_of_session(&self, unit: &Unit) -> bool {
        self.session.is_none_or(|session| unit.sessions.contains(&session))
    }

    /// Exchange and class.
    fn is_otherwise_about(&self, unit: &Unit, class: Option<&str>) -> bool {
        self.exchange.is_none_or(|exchange| unit.exchange == Some(exchange))
            && self.scope.class.as_deref().is_none_or(|wanted| class == Some(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit() -> Unit {
        Unit {
            oldest_ns: 100,
            newest_ns: 200,
            exchange: Some(Id([1; 16])),
            sessions: vec![Id([2; 16])],
            principals: vec![("https://issuer".into(), "alice".into())],
            ..Unit::default()
        }
    }

    fn scope(text: &str) -> Conditions {
        serde_json::from_str::<Scope>(text).unwrap().check().unwrap()
    }

    #[test]
    fn every_condition_must_hold() {
        let exchange = "01".repeat(16);
        for (text, takes) in [
            (r#"{"subject":"alice"}"#.to_owned(), true),
            (r#"{"subject":"alice","issuer":"https://other"}"#.to_owned(), false),
            (r#"{"subject":"alic"}"#.to_owned(), false),
            (format!(r#"{{"exchange":"{exchange}"}}"#), true),
            (format!(r#"{{"exchange":"{exchange}","subject":"bob"}}"#), false),
            (format!(r#"{{"session":"{exchange}"}}"#), false),
            (r#"{"class":"trading"}"#.to_owned(), true),
            (r#"{"class":"other"}"#.to_owned(), false),
        ] {
            assert_eq!(scope(&text).take(&unit(), Some("trading")), takes, "{text}");
        }
    }

    /// A leaf as an order sees it: its exchange, its session, its caller.
    fn seen(session: &[u8], principal: Caller) -> Seen {
        let event = proto::v1::Event {
            exchange_id: vec![1; 16].into(),
            session_id: session.to_vec().into(),
            ..Default::default()
        };
        let leaf =
            proto::entry::Leaf { recorded_at_ns: 150, event_bytes: bytes::Bytes::new(), event };
        let hash = tlog::Hash([0; 32]);
        let (index, key) = (tlog::LeafIndex(1), [0; 16]);
        Seen { index, hash, key, leaf, slots: vec![1], is_lost: false, principal }
    }

    #[test]
    fn a_leaf_points_at_its_unit_only_when_it_contradicts_nothing_that_is_asked_for() {
        let alice = || Caller::Named("https://issuer".into(), "alice".into());
        let (one, two) = ("01".repeat(16), "02".repeat(16));
        for (text, points) in [
            (r#"{"subject":"alice"}"#.to_owned(), true),
            (r#"{"subject":"bob"}"#.to_owned(), false),
            (r#"{"subject":"alice","issuer":"https://other"}"#.to_owned(), false),
            (r#"{"subject":"alice","from_ns":150,"before_ns":151}"#.to_owned(), true),
            (r#"{"subject":"alice","from_ns":151}"#.to_owned(), false),
            (r#"{"subject":"alice","before_ns":150}"#.to_owned(), false),
            (format!(r#"{{"session":"{two}","from_ns":151}}"#), false),
            (format!(r#"{{"session":"{two}"}}"#), true),
            (format!(r#"{{"session":"{one}","subject":"alice"}}"#), false),
            (format!(r#"{{"exchange":"{one}","subject":"bob"}}"#), false),
            (format!(r#"{{"exchange":"{one}","subject":"alice"}}"#), true),
            (r#"{"subject":"alice","class":"trading"}"#.to_owned(), true),
            (r#"{"class":"trading"}"#.to_owned(), false),
        ] {
            let leaf = seen(&[2; 16], alice());
            assert_eq!(scope(&text).point_at(&leaf, |_| Some("other")), points, "{text}");
        }
        // A leaf that does not tell the session leaves that to the others of its exchange.
        let text = format!(r#"{{"session":"{one}","subject":"alice"}}"#);
        assert!(scope(&text).point_at(&seen(&[], alice()), |_| None));
        assert!(!scope(&text).point_at(&seen(&[], Caller::Unknown), |_| None));
    }

    #[test]
    fn a_hold_on_somebody_keeps_what_cannot_be_told_to_be_somebody_elses() {
        let unreadable = Unit { is_unreadable: true, principals: Vec::new(), ..unit() };
        let alice = scope(r#"{"subject":"alice"}"#);
        assert!(alice.touch(&unreadable, None) && !alice.take(&unreadable, None));
        assert!(!scope(r#"{"subject":"alice","from_ns":201}"#).touch(&unreadable, None));
    }

    /// Break it: let `touch` ask for the session alone.
    #[test]
    fn a_hold_on_a_session_keeps_what_may_be_of_it() {
        let many = Unit { has_more_sessions: true, ..unit() };
        let session = scope(&format!(r#"{{"session":"{}"}}"#, "09".repeat(16)));
        assert!(session.touch(&many, None) && !session.take(&many, None));
        assert!(!session.touch(&unit(), None));
    }

    #[test]
    fn an_erasure_takes_what_is_within_and_a_hold_keeps_what_it_touches() {
        for (text, takes, touches) in [
            (r#"{"before_ns":201}"#, true, true),
            (r#"{"before_ns":200}"#, false, true),
            (r#"{"before_ns":100}"#, false, false),
            (r#"{"from_ns":100}"#, true, true),
            (r#"{"from_ns":101}"#, false, true),
            (r#"{"from_ns":201}"#, false, false),
        ] {
            let scope = scope(text);
            assert_eq!((scope.take(&unit(), None), scope.touch(&unit(), None)), (takes, touches));
        }
    }

    #[test]
    fn a_scope_says_something() {
        for bad in [
            "{}",
            r#"{"from_ns":5,"before_ns":5}"#,
            r#"{"from_ns":6,"before_ns":5}"#,
            r#"{"issuer":"x"}"#,
            r#"{"exchange":"12"}"#,
            r#"{"subject":""}"#,
        ] {
            assert!(serde_json::from_str::<Scope>(bad).unwrap().check().is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Scope>(r#"{"subjekt":"x"}"#).is_err());
    }
}
