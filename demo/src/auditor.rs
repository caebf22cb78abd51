//! The evidence doors, as the auditor and the SIEM use them.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{chain, http};
use crate::error::DemoError;

/// Longest wait for an entry to come under a published and verified checkpoint.
const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody who asks a query node.
#[derive(Clone)]
pub struct Auditor {
    client: reqwest::Client,
    url: String,
    token: String,
}

/// An answer of the SQL door.
#[derive(Debug, Clone, Deserialize)]
pub struct Answer {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows of as many cells.
    pub rows: Vec<Vec<Value>>,
    /// The signed note under which the answer is.
    pub checkpoint: String,
    /// Entries of the log at that checkpoint.
    pub tree_size: u64,
}

/// What the SIEM's puller got.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// Events in OCSF, in the order of the log.
    pub events: Vec<Value>,
}

impl Auditor {
    /// Asks the query node at `url` with this token.
    ///
    /// # Errors
    /// When there is no HTTP client.
    pub fn new(url: &str, token: &str) -> Result<Self, DemoError> {
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { client: http()?, url, token: token.to_owned() })
    }

    /// Asks in SQL.
    ///
    /// # Errors
    /// What the service said, or that it cannot be reached.
    pub async fn sql(&self, statement: &str) -> Result<Answer, DemoError> {
        let request = self.post("/v1/sql").header("accept", "application/json");
        let request =
            request.header("content-type", "text/plain; charset=utf-8").body(statement.to_owned());
        let answer = answer("the SQL door", request).await?;
        serde_json::from_value(answer).map_err(|error| DemoError::service("the SQL door", error))
    }

    /// The request for a package of a period; whoever sends it gets a ZIP.
    pub fn export(&self, from: Timestamp, to: Timestamp) -> RequestBuilder {
        let period = json!({ "from": from.to_string(), "to": to.to_string() });
        self.post("/v1/packages")
            .header("content-type", "application/json")
            .body(period.to_string())
    }

    /// Pulls the feed from its start until an event of `until` or later comes: then everything recorded before
    /// is there, since events come in the order of the log and its time only grows. And until `recorder` has sealed its
    /// chain: then its own signature says that this is all.
    ///
    /// # Errors
    /// When these do not come within 30 s.
    pub async fn pull_until(&self, until: Timestamp, recorder: &str) -> Result<Pulled, DemoError> {
        let deadline = Instant::now() + PATIENCE;
        let mut pulled = Pulled { events: Vec::new() };
        let mut cursor: Option<String> = None;
        while Instant::now() < deadline {
            let mut request =
                self.client.get(format!("{}/v1/events/poll", self.url)).bearer_auth(&self.token);
            request = request.query(&[("wait", "2"), ("limit", "1000")]);
            if let Some(cursor) = &cursor {
                request = request.query(&[("cursor", cursor)]);
            }
            let page = answer("the feed", request).await?;
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            pulled.events.extend(page["events"].as_array().cloned().unwrap_or_default());
            let is_over = |event: &Value| logged_at(event).is_some_and(|time| time >= until);
            if pulled.events.iter().any(is_over) && pulled.is_sealed(recorder) {
                return Ok(pulled);
            }
        }
        Err(DemoError::Late { what: "a seal after the period", waited: PATIENCE })
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).bearer_auth(&self.token)
    }
}

impl Pulled {
    /// Is the last event of this recorder a seal?
    fn is_sealed(&self, recorder: &str) -> bool {
        let own = |event: &&Value| event["unmapped"]["exhibit"]["recorder_id"] == recorder;
        let last = self.events.iter().rfind(own);
        last.is_some_and(|event| event["metadata"]["event_code"] == "RecorderSeal")
    }
}

impl Answer {
    /// A cell as text; null is empty.
    pub fn text(&self, row: usize, column: usize) -> String {
        self.rows.get(row).and_then(|row| row.get(column)).map(shown).unwrap_or_default()
    }

    /// A cell as a number; 0 when it is none.
    pub fn number(&self, row: usize, column: usize) -> u64 {
        self.rows
            .get(row)
            .and_then(|row| row.get(column))
            .and_then(Value::as_u64)
            .unwrap_or_default()
    }
}

/// A cell as text; null is empty.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// When the log recorded an OCSF event, in the log's own exactness.
fn logged_at(event: &Value) -> Option<Timestamp> {
    let milliseconds = event["metadata"]["logged_time"].as_i64()?;
    Timestamp::from_millisecond(milliseconds).ok()
}

async fn answer(what: &str, request: RequestBuilder) -> Result<Value, DemoError> {
    let failed = |error: reqwest::Error| DemoError::service(what, chain(&error));
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    let body = response.text().await.map_err(failed)?;
    if !status.is_success() {
        return Err(DemoError::service(format!("{what} answered {status}"), body));
    }
    serde_json::from_str(&body).map_err(|error| DemoError::service(what, error))
}
