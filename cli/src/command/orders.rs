//! What `exhibit erase` and `exhibit hold` have in common: an order is asked for by one person, and approved by another.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use reqwest::Client;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::service::{ask, client_builder, read_token};

/// Where the ledger is, and who asks.
#[derive(Debug, Args)]
pub(super) struct Door {
    /// URL of the ledger, which is also the audience of the tokens
    #[arg(
        long,
        env = "EXHIBIT_LEDGER",
        default_value = "http://127.0.0.1:7601",
        value_name = "URL"
    )]
    ledger: String,
    /// File with the bearer token; without it EXHIBIT_TOKEN is used
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Which exchanges; every condition that is given must hold.
#[derive(Debug, Args)]
pub(super) struct Scope {
    /// Exchanges of this subject, as the issuer names it
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// The issuer of that subject; any without it
    #[arg(long, value_name = "ISSUER", requires = "subject")]
    issuer: Option<String>,
    /// Exchanges of this session, 32 hex digits
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// This exchange, 32 hex digits
    #[arg(long, value_name = "ID")]
    exchange: Option<String>,
    /// Recorded at or after this instant, RFC 3339, such as 2026-03-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Recorded before this instant
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// Of this retention class of the ledger's configuration
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
}

impl Scope {
    /// As the ledger takes it.
    pub(super) fn value(&self) -> Result<Value, Failure> {
        let mut scope = serde_json::Map::new();
        let texts = [
            ("subject", &self.subject),
            ("issuer", &self.issuer),
            ("session", &self.session),
            ("exchange", &self.exchange),
            ("class", &self.class),
        ];
        for (field, text) in texts {
            scope.extend(text.as_ref().map(|text| (field.to_owned(), text.as_str().into())));
        }
        for (field, time) in [("from_ns", &self.from), ("before_ns", &self.before)] {
            if let Some(time) = time {
                scope.insert(field.to_owned(), nanoseconds(time)?.into());
            }
        }
        if scope.is_empty() {
            let message = "say what it is about: --subject, --session, --exchange, --from, --before or --class";
            return Err(Failure::unusable("scope_missing", message));
        }
        Ok(scope.into())
    }
}

fn nanoseconds(time: &str) -> Result<u64, Failure> {
    let parsed = time.parse::<Timestamp>().ok();
    let since_1970 = parsed.and_then(|time| u64::try_from(time.as_nanosecond()).ok());
    since_1970.ok_or_else(|| {
        let message = format!("{time:?} is no time: write it as 2026-03-01T00:00:00Z");
        Failure::unusable("time", message)
    })
}

impl Door {
    /// Asks for an order, and has it approved when the approver's token is at hand. What the ledger answered last.
    pub(super) async fn order(
        &self,
        order: &Value,
        approved_by: Option<&Path>,
    ) -> Result<Value, Failure> {
        let asked = self.post("/v1/orders", Some(order), self.token_file.as_deref()).await?;
        let Some(approver) = approved_by else { return Ok(asked) };
        let id = asked["order"].as_str().unwrap_or_default();
        self.post(&format!("/v1/orders/{id}/approve"), None, Some(approver)).await
    }

    /// Approves what somebody else asked for.
    pub(super) async fn approve(&self, order: &str) -> Result<Value, Failure> {
        let is_id = order.len() == 32 && order.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id {
            let message = format!("{order:?} is no order: it has 32 hex digits");
            return Err(Failure::unusable("order_unusable", message));
        }
        let path = format!("/v1/orders/{order}/approve");
        self.post(&path, None, self.token_file.as_deref()).await
    }

    /// What the ledger lists under a path.
    pub(super) async fn list(&self, path: &str) -> Result<Value, Failure> {
        let token = read_token(self.token_file.as_deref())?;
        read(client()?.get(self.url(path)?).bearer_auth(token)).await
    }

    async fn post(
        &self,
        path: &str,
        body: Option<&Value>,
        token: Option<&Path>,
    ) -> Result<Value, Failure> {
        let request = client()?.post(self.url(path)?).bearer_auth(read_token(token)?);
        read(request.json(body.unwrap_or(&json!({})))).await
    }

    fn url(&self, path: &str) -> Result<String, Failure> {
        let is_http = |url: &reqwest::Url| matches!(url.scheme(), "http" | "https");
        if reqwest::Url::parse(&self.ledger).is_ok_and(|url| is_http(&url)) {
            return Ok(format!("{}{path}", self.ledger.trim_end_matches('/')));
        }
        let message =
            format!("--ledger {:?} is no URL: write it as http://127.0.0.1:7601", self.ledger);
        Err(Failure::unusable("ledger_url", message))
    }
}

fn client() -> Result<Client, Failure> {
    client_builder().build().map_err(|error| Failure::unusable("client", error))
}

async fn read(request: reqwest::RequestBuilder) -> Result<Value, Failure> {
    let answer = ask(request).await?;
    answer.json().await.map_err(|error| Failure::unreachable("answer_unreadable", error))
}

/// How somebody else approves an order that waits, with this command.
pub(super) fn how_to_approve(command: &str, answer: &Value) -> String {
    let order = proto::terminal::shown(answer["order"].as_str().unwrap_or_default());
    format!("waits for its approval by somebody else, within 24 h: {command} {order}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_an_instant_since_1970() {
        assert_eq!(nanoseconds("1970-01-01T00:00:01Z").unwrap(), 1_000_000_000);
        for bad in ["1969-12-31T00:00:00Z", "2026-03-01", "yesterday"] {
            assert!(nanoseconds(bad).is_err(), "{bad}");
        }
    }
}
