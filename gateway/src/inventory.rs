//! The tools that servers were seen to offer, as recorded in this epoch.
//!
//! A tool's name may stand in a leaf only when it stands in a recorded inventory, so what is observed here
//! becomes known ([`Inventory::adopt`]) only after its events are durable.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use controls::json::{Document, Kind, Node};
use proto::names::is_leaf_name;
use proto::v1;
use sha2::{Digest, Sha256};

/// Most tools that are remembered for a server; further ones count as foreign.
const MAX_TOOLS: usize = 10_000;
/// Definitions in one event: at 128 bytes a name they fit an event with room to spare.
const TOOLS_PER_EVENT: usize = 300;
/// Deepest nesting of `properties` that is searched for declared headers.
const MAX_SCHEMA_DEPTH: usize = 8;
/// Most headers that a definition can declare.
const MAX_DECLARED: usize = 64;

/// The tools of all servers.
#[derive(Debug, Default)]
pub(crate) struct Inventory(RwLock<HashMap<String, Arc<Tools>>>);

/// The tools of a server.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Tools {
    known: BTreeMap<String, Tool>,
    foreign: u32,
}

/// A definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tool {
    /// SHA-256 of its bytes as the server sent them.
    pub(crate) digest: [u8; 32],
    /// Arguments that clients repeat in headers.
    pub(crate) declared: Arc<[Declared]>,
}

/// An argument that a definition declares (`x-mcp-header`) to be repeated in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared {
    /// What follows `Mcp-Param-`, in lower case.
    pub(crate) header: String,
    /// Where the argument stands below `arguments`.
    pub(crate) path: Vec<String>,
}

/// Something new about a server's tools.
#[derive(Debug)]
pub(crate) struct Observation {
    server: String,
    tools: Arc<Tools>,
}

impl Inventory {
    /// The definition of a tool, when it was recorded.
    pub(crate) fn tool(&self, server: &str, name: &str) -> Option<Tool> {
        let servers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        servers.get(server)?.known.get(name).cloned()
    }

    /// What the response of a `tools/list` says that was not known; `masked` is the same response as it is
    /// recorded. `later_page`: the request had a cursor.
    pub(crate) fn observe(
        &self,
        server: &str,
        response: &Document<'_>,
        masked: &Document<'_>,
        later_page: bool,
    ) -> Option<Observation> {
        let result = response.root().get("result")?;
        let tools = result.get("tools").filter(|tools| tools.kind() == Kind::Array)?;
        let page = Tools::of_page(tools, masked.root().get("result")?.get("tools")?);
        let whole = !later_page && result.get("nextCursor").is_none();
        let before = {
            let servers = self.0.read().unwrap_or_else(PoisonError::into_inner);
            servers.get(server).cloned()
        };
        let after = match before.as_deref() {
            Some(before) if !whole => before.joined_by(page),
            _ => page,
        };
        (before.as_deref() != Some(&after))
            .then(|| Observation { server: server.to_owned(), tools: Arc::new(after) })
    }

    /// Makes an observation known whose events are durable.
    pub(crate) fn adopt(&self, observation: Observation) {
        let mut servers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        servers.insert(observation.server, observation.tools);
    }
}

impl Observation {
    /// The events that record it: the whole inventory of the server, in as many parts as it needs.
    pub(crate) fn events(&self) -> Vec<v1::ToolInventoryObserved> {
        let definitions: Vec<v1::Definition> = self
            .tools
            .known
            .iter()
            .map(|(name, tool)| v1::Definition {
                name: name.clone(),
                digest: Bytes::copy_from_slice(&tool.digest),
            })
            .collect();
        let event = |part: usize, tools: &[v1::Definition]| v1::ToolInventoryObserved {
            server: self.server.clone(),
            tools: tools.to_vec(),
            part: u32::try_from(part).unwrap_or(u32::MAX),
            foreign_names: self.tools.foreign,
        };
        if definitions.is_empty() {
            return vec![event(0, &[])];
        }
        let parts = definitions.chunks(TOOLS_PER_EVENT).enumerate();
        parts.map(|(part, tools)| event(part, tools)).collect()
    }
}

impl Tools {
    /// A name that is masked in the record is foreign.
    fn of_page(tools: Node<'_>, masked: Node<'_>) -> Tools {
        let mut page = Tools::default();
        for (definition, masked) in tools.elements().zip(masked.elements()) {
            let name = definition.get("name").and_then(Node::as_str);
            let recorded = masked.get("name").and_then(Node::as_str);
            let name = name.filter(|name| Some(name) == recorded.as_ref());
            match name.filter(|name| is_leaf_name(name) && page.known.len() < MAX_TOOLS) {
                Some(name) => {
                    page.known.insert(name.into_owned(), Tool::of(definition));
                }
                None => page.foreign = page.foreign.saturating_add(1),
            }
        }
        page
    }

    /// These tools and those of a page among several. Pages tell no end, so nothing is taken away.
    fn joined_by(&self, page: Tools) -> Tools {
        let mut joined = self.clone();
        joined.foreign = joined.foreign.max(page.foreign);
        for (name, tool) in page.known {
            if joined.known.len() < MAX_TOOLS || joined.known.contains_key(&name) {
                joined.known.insert(name, tool);
            }
        }
        joined
    }
}

impl Tool {
    fn of(definition: Node<'_>) -> Tool {
        let mut declared = Vec::new();
        if let Some(schema) = definition.get("inputSchema") {
            declarations(schema, &mut Vec::new(), &mut declared);
        }
        Tool { digest: Sha256::digest(definition.raw()).into(), declared: declared.into() }
    }
}

fn declarations(schema: Node<'_>, path: &mut Vec<String>, found: &mut Vec<Declared>) {
    let Some(properties) = schema.get("properties").filter(|_| path.len() < MAX_SCHEMA_DEPTH)
    else {
        return;
    };
    for property in properties.members() {
        if found.len() == MAX_DECLARED {
            return;
        }
        path.push(property.key.into_owned());
        if let Some(header) = property.value.get("x-mcp-header").and_then(Node::as_str) {
            found.push(Declared { header: header.to_ascii_lowercase(), path: path.clone() });
        }
        declarations(property.value, path, found);
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observe(
        inventory: &Inventory,
        text: &str,
        later: bool,
    ) -> Option<Vec<v1::ToolInventoryObserved>> {
        let document = Document::parse(text.as_bytes()).unwrap();
        let masked = text.replace("hunter2", "[masked:password]");
        let masked = Document::parse(masked.as_bytes()).unwrap();
        let observation = inventory.observe("db", &document, &masked, later)?;
        let events = observation.events();
        inventory.adopt(observation);
        Some(events)
    }

    fn list(tools: &str, more: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{tools}]{more}}}}}"#)
    }

    #[test]
    fn only_changes_are_observed() {
        let inventory = Inventory::default();
        let one = list(r#"{"name":"b", "x":1},{"name":"a"},{"name":"no t"},{}"#, "");
        let events = observe(&inventory, &one, false).unwrap();
        let names: Vec<_> = events[0].tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!((names, events[0].foreign_names), (vec!["a", "b"], 2));
        let digest: [u8; 32] = Sha256::digest(br#"{"name":"b", "x":1}"#).into();
        assert_eq!(inventory.tool("db", "b").unwrap().digest, digest);
        assert_eq!(inventory.tool("other", "b"), None);
        assert!(observe(&inventory, &one, false).is_none());
        assert!(
            observe(&inventory, &list(r#"{"name":"b","x":2},{"name":"a"}"#, ""), false).is_some()
        );
        assert!(observe(&inventory, &list(r#"{"name":"a"}"#, ""), false).is_some());
        assert_eq!(inventory.tool("db", "b"), None);
        assert!(observe(&inventory, &list("", ""), false).is_some());
    }

    #[test]
    fn pages_join() {
        let inventory = Inventory::default();
        assert!(
            observe(&inventory, &list(r#"{"name":"a"}"#, r#","nextCursor":"1""#), false).is_some()
        );
        let events = observe(&inventory, &list(r#"{"name":"b"}"#, ""), true).unwrap();
        assert_eq!(events[0].tools.len(), 2);
        assert!(
            observe(&inventory, &list(r#"{"name":"a"}"#, r#","nextCursor":"1""#), false).is_none()
        );
    }

    #[test]
    fn many_tools_take_several_events_that_fit() {
        let tools: Vec<String> = (0..700).map(|n| format!(r#"{{"name":"{n:0128}"}}"#)).collect();
        let events = observe(&Inventory::default(), &list(&tools.join(","), ""), false).unwrap();
        assert_eq!(events.iter().map(|event| event.part).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(events.iter().map(|event| event.tools.len()).sum::<usize>(), 700);
        let entry = |tool: &v1::Definition| tool.name.len() + tool.digest.len() + 10;
        assert!(events[0].tools.iter().map(entry).sum::<usize>() < proto::MAX_EVENT_BYTES - 8_000);
    }

    #[test]
    fn declared_headers_are_found_with_their_paths() {
        let inventory = Inventory::default();
        let tool = r#"{"name":"a","inputSchema":{"properties":{"r":{"x-mcp-header":"Region"},
            "o":{"properties":{"deep":{"x-mcp-header":"Deep"}}}}}}"#;
        observe(&inventory, &list(tool, ""), false).unwrap();
        let declared = inventory.tool("db", "a").unwrap().declared;
        let found: Vec<_> =
            declared.iter().map(|d| (d.header.as_str(), d.path.join("."))).collect();
        assert_eq!(found, [("region", "r".to_owned()), ("deep", "o.deep".to_owned())]);
    }

    #[test]
    fn a_name_that_is_masked_is_foreign() {
        let inventory = Inventory::default();
        let tools = list(r#"{"name":"password:hunter2"},{"name":"a"}"#, "");
        let events = observe(&inventory, &tools, false).unwrap();
        assert_eq!((events[0].tools.len(), events[0].foreign_names), (1, 1));
        assert_eq!(inventory.tool("db", "password:hunter2"), None);
    }

    #[test]
    fn other_shapes_are_no_observation() {
        for text in ["[]", "{}", r#"{"result":{}}"#, r#"{"result":{"tools":3}}"#, r#"{"error":{}}"#]
        {
            assert!(observe(&Inventory::default(), text, false).is_none(), "{text}");
        }
    }
}
