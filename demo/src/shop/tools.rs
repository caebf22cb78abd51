//! The shop's tools, as MCP shows them.

use rmcp::handler::server::wrapper::Parameters;
use rmcp::{Json, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Shop, documents};

/// One session's view of the shop.
#[derive(Clone)]
pub(super) struct Tools {
    shop: Shop,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Search {
    /// Words to look for.
    text: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Sql {
    /// One SQL statement over the table customers (id, name, email, card, ssn, tier).
    sql: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Service {
    /// Name of the service.
    service: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Deployment {
    /// Name of the service.
    service: String,
    /// Version to deploy.
    version: String,
    /// staging or production.
    environment: String,
}

/// Rows of a query.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Rows {
    /// How many.
    pub(super) row_count: usize,
    /// Each by column name.
    pub(super) rows: Vec<Map<String, Value>>,
}

#[tool_router]
impl Tools {
    pub(super) fn new(shop: Shop) -> Self {
        Self { shop }
    }

    /// Search the shop's documents.
    #[tool(annotations(read_only_hint = true))]
    async fn search_docs(&self, Parameters(Search { text }): Parameters<Search>) -> String {
        let found = documents::find(&text);
        if found.is_empty() { "nothing found".to_owned() } else { found.join("\n") }
    }

    /// Query the customers by SQL SELECT.
    #[tool(annotations(read_only_hint = true))]
    async fn query_customers(
        &self,
        Parameters(Sql { sql }): Parameters<Sql>,
    ) -> Result<Json<Rows>, String> {
        let rows = self.shop.state().database.query(&sql)?;
        Ok(Json(Rows { row_count: rows.len(), rows }))
    }

    /// Run any SQL statement on the customers.
    #[tool(annotations(destructive_hint = true))]
    async fn run_sql(&self, Parameters(Sql { sql }): Parameters<Sql>) -> Result<String, String> {
        self.shop.state().database.execute(&sql)
    }

    /// Replace the secret key of a service and return the new one.
    #[tool]
    async fn rotate_key(
        &self,
        Parameters(Service { service }): Parameters<Service>,
    ) -> Result<String, String> {
        let key = new_key()?;
        self.shop.state().keys.push(key.clone());
        Ok(format!("new key of {service}: {key}\nThe old key works for another 24 hours."))
    }

    /// Deploy a version of a service to an environment.
    #[tool]
    async fn deploy(
        &self,
        Parameters(Deployment { service, version, environment }): Parameters<Deployment>,
    ) -> Result<String, String> {
        if !matches!(environment.as_str(), "staging" | "production") {
            return Err(format!("there is no environment {environment:?}: staging or production"));
        }
        self.shop.state().deployments.push(format!("{service} {version} {environment}"));
        Ok(format!("{service} {version} is live in {environment}"))
    }
}

#[tool_handler(name = "shop", instructions = "The demo's shop: customers, services, documents.")]
impl ServerHandler for Tools {}

/// A fresh key, in the form that a well-known payment service gives its keys.
fn new_key() -> Result<String, String> {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789Ab";
    let mut random = [0_u8; 24];
    getrandom::fill(&mut random).map_err(|error| format!("no random bytes: {error}"))?;
    let random = random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 64)]));
    Ok(format!("sk_live_{}", random.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use controls::{NamedText, Snapshot, SnapshotSource};
    use serde_json::json;

    use super::*;

    fn tools() -> Tools {
        Tools::new(Shop::new().unwrap())
    }

    fn sql(sql: &str) -> Parameters<Sql> {
        Parameters(Sql { sql: sql.to_owned() })
    }

    #[tokio::test]
    async fn everything_regulated_that_they_return_is_known_to_the_detectors() {
        let tools = tools();
        let rows = tools.query_customers(sql("SELECT * FROM customers")).await.unwrap().0;
        let key = tools.rotate_key(Parameters(Service { service: "a".to_owned() })).await.unwrap();
        let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {
            "content": [{"type": "text", "text": key}, {"type": "text", "text": json!(rows).to_string()}],
            "structuredContent": rows,
        }});
        let permit = NamedText {
            name: "p.cedar".to_owned(),
            text: "permit (principal, action, resource);".to_owned(),
        };
        let snapshot =
            Snapshot::build(SnapshotSource { policies: vec![permit], ..SnapshotSource::default() });
        let masked = snapshot.unwrap().mask_for_caller(&answer.to_string().into_bytes());
        let masked = String::from_utf8(masked.unwrap().bytes.to_vec()).unwrap();
        let values = tools.shop.regulated_values();
        assert_eq!(values.len(), 3 * rows.row_count + 1);
        for value in values {
            assert!(!masked.contains(&value), "{value} in {masked}");
        }
        assert!(masked.contains("Maria Lopez"), "{masked}");
    }

    #[tokio::test]
    async fn what_is_forwarded_is_done() {
        let tools = tools();
        let before = tools.shop.customers();
        assert!(before > 3);
        let deployment = |environment: &str| {
            Parameters(Deployment {
                service: "checkout".to_owned(),
                version: "1".to_owned(),
                environment: environment.to_owned(),
            })
        };
        assert!(tools.deploy(deployment("mars")).await.is_err());
        tools.deploy(deployment("staging")).await.unwrap();
        assert_eq!(tools.shop.deployments(), ["checkout 1 staging"]);
        tools.run_sql(sql("DELETE FROM customers WHERE id = 1")).await.unwrap();
        assert_eq!(tools.shop.customers(), before - 1);
        tools.run_sql(sql("DROP DATABASE customers")).await.unwrap();
        assert_eq!(tools.shop.customers(), 0);
        assert!(tools.query_customers(sql("SELECT * FROM customers")).await.is_err());
    }

    #[test]
    fn keys_are_never_the_same() {
        assert_ne!(new_key().unwrap(), new_key().unwrap());
    }
}
