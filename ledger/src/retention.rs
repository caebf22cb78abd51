//! Retention classes: how long disclosures of which servers are kept, as the configuration says it.

mod in_force;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::in_force::InForce;

pub(crate) const DAY_NS: u64 = 24 * 3600 * 1_000_000_000;
/// A thousand years: more cannot be told from an error.
const MAX_DAYS: u32 = 365_000;

/// Table `[ledger.retention.<class>]`: what becomes of the disclosures of one class.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionClass {
    /// Servers, as the gateway's configuration names them. None: everything that no other class names, such as who read
    /// evidence; one class may be so.
    #[serde(default)]
    pub servers: Vec<String>,
    /// Days after which disclosures are erased, counted from the last event of their exchange; or `"forbid_erasure"`.
    pub keep: Keep,
}

/// How long a class is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "keep is a number of days, or forbid_erasure in quotes")]
pub enum Keep {
    /// So many days. Somebody may ask to erase earlier.
    Days(u32),
    /// For good, whoever asks.
    Always(Always),
}

/// That nothing of a class is ever erased, as SEC Rule 17a-4 wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Always {
    /// No order and no retention erases it.
    ForbidErasure,
}

/// All classes, checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Retention(BTreeMap<String, RetentionClass>);

impl Retention {
    /// # Errors
    /// Every mistake, one line each.
    pub(crate) fn check(classes: BTreeMap<String, RetentionClass>) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut named: BTreeMap<&str, &str> = BTreeMap::new();
        let mut rest: Option<&str> = None;
        for (name, class) in &classes {
            if !proto::names::is_leaf_name(name) {
                mistakes
                    .push(format!("retention: the class {name:?} needs a name of A-Z a-z 0-9 _ -"));
            }
            if matches!(class.keep, Keep::Days(days) if days == 0 || days > MAX_DAYS) {
                mistakes.push(format!(
                    "retention.{name}: keep must be 1 to {MAX_DAYS} days, or \"forbid_erasure\""
                ));
            }
            if class.servers.is_empty()
                && let Some(other) = rest.replace(name)
            {
                mistakes.push(format!(
                    "retention: {other} and {name} both name no server; one class can be for the rest"
                ));
            }
            for server in &class.servers {
                if let Some(other) = named.insert(server, name) {
                    mistakes
                        .push(format!("retention: server {server:?} is in {other} and in {name}"));
                }
            }
        }
        if mistakes.is_empty() { Ok(Self(classes)) } else { Err(mistakes) }
    }

    /// The class of what concerns a server, or none, if there is one.
    pub(crate) fn class_of(&self, server: Option<&str>) -> Option<&str> {
        let names =
            |class: &RetentionClass| class.servers.iter().any(|name| Some(name.as_str()) == server);
        let named = self.0.iter().find(|(_, class)| names(class));
        let rest = || self.0.iter().find(|(_, class)| class.servers.is_empty());
        named.or_else(rest).map(|(name, _)| name.as_str())
    }

    pub(crate) fn has(&self, class: &str) -> bool {
        self.0.contains_key(class)
    }

    pub(crate) fn names(&self) -> String {
        self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn forbids_erasure(&self, class: &str) -> bool {
        self.0.get(class).is_some_and(|class| matches!(class.keep, Keep::Always(_)))
    }

    /// Classes that are erased in time, with their days, and the time (Unix ns) before which they are due.
    pub(crate) fn due(&self, now_ns: u64) -> impl Iterator<Item = (&str, u32, u64)> {
        self.0.iter().filter_map(move |(name, class)| match class.keep {
            Keep::Days(days) => {
                Some((name.as_str(), days, now_ns.saturating_sub(u64::from(days) * DAY_NS)))
            }
            Keep::Always(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<Retention, Vec<String>> {
        Retention::check(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn an_exchange_belongs_to_the_class_of_its_server() {
        let retention = check(
            r#"{"trading": {"servers": ["broker"], "keep": "forbid_erasure"}, "other": {"keep": 400}}"#,
        )
        .unwrap();
        let class = |server| retention.class_of(server).unwrap().to_owned();
        assert_eq!(class(Some("broker")), "trading");
        assert_eq!((class(Some("crm")), class(None)), ("other".into(), "other".into()));
        assert!(retention.forbids_erasure("trading") && !retention.forbids_erasure("other"));
        let now = 500 * DAY_NS;
        assert_eq!(retention.due(now).collect::<Vec<_>>(), [("other", 400, 100 * DAY_NS)]);
    }

    #[test]
    fn every_mistake_is_told() {
        let mistakes = check(
            r#"{"a": {"keep": 0}, "b": {"keep": 1}, "c": {"servers": ["x"], "keep": 1},
                "d": {"servers": ["x"], "keep": 1}}"#,
        )
        .unwrap_err();
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
        assert!(serde_json::from_str::<RetentionClass>(r#"{"keep": "for_ever"}"#).is_err());
    }
}
