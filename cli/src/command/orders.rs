//! What `exhibit erase`, `exhibit hold` and `exhibit orders` have in common: an order is asked for by one person, and
//! approved by another, who is shown first what it is.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use reqwest::Client;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::say::say;
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
}

impl Scope {
    /// As the ledger takes it.
    pub(super) fn value(&self) -> Result<Value, Failure> {
        self.value_with(None)
    }

    /// The same, of a retention class beside it.
    pub(super) fn value_with(&self, class: Option<&String>) -> Result<Value, Failure> {
        let mut scope = serde_json::Map::new();
        let texts = [
            ("subject", self.subject.as_ref()),
            ("issuer", self.issuer.as_ref()),
            ("session", self.session.as_ref()),
            ("exchange", self.exchange.as_ref()),
            ("class", class),
        ];
        for (field, text) in texts {
            scope.extend(text.map(|text| (field.to_owned(), text.as_str().into())));
        }
        for (field, time) in [("from_ns", &self.from), ("before_ns", &self.before)] {
            if let Some(time) = time {
                scope.insert(field.to_owned(), nanoseconds(time)?.into());
            }
        }
        if scope.is_empty() {
            let message = "say what it is about: --subject, --session, --exchange, --from or --before; of an erasure --class, too";
            return Err(Failure::unusable("scope_missing", message));
        }
        if let (Some(from), Some(before)) = (scope.get("from_ns"), scope.get("before_ns"))
            && from.as_u64() >= before.as_u64()
        {
            let message =
                "nothing lies between --from and --before: --from must be the earlier of the two";
            return Err(Failure::unusable("scope_reversed", message));
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
        let asked = self.post("/v1/orders", order, self.token_file.as_deref()).await?;
        let Some(approver) = approved_by else { return Ok(asked) };
        let id = asked["order"].as_str().unwrap_or_default();
        let approval = json!({ "kind": order["kind"] });
        let approved =
            self.post(&format!("/v1/orders/{id}/approve"), &approval, Some(approver)).await;
        approved.map_err(|failure| {
            let id = proto::terminal::shown(id);
            failure.and(&format!(
                "nothing was done. Order {id} waits all the same, for 24 h: have somebody with the role approver approve it"
            ))
        })
    }

    /// Approves what somebody else asked for, if it is of one of these kinds. What it is is printed first, unless the
    /// answer is for programs.
    pub(super) async fn approve(
        &self,
        order: &str,
        kinds: &[&str],
        json: bool,
    ) -> Result<Value, Failure> {
        let waiting = self.waiting(order).await?;
        let kind = waiting["kind"].as_str().unwrap_or_default();
        if !kinds.contains(&kind) {
            let command = match kind {
                "erase" => "exhibit erase --approve",
                _ => "exhibit hold approve",
            };
            let message =
                format!("order {order} is to {kind}, and is approved with: {command} {order}");
            return Err(Failure::unusable("order_of_another_kind", message));
        }
        if !json {
            tell(&waiting);
        }
        let path = format!("/v1/orders/{order}/approve");
        self.post(&path, &json!({ "kind": kind }), self.token_file.as_deref()).await
    }

    /// An order that waits.
    pub(super) async fn waiting(&self, order: &str) -> Result<Value, Failure> {
        let is_id = order.len() == 32 && order.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id {
            let message = format!("{order:?} is no order: it has 32 hex digits");
            return Err(Failure::unusable("order_unusable", message));
        }
        let mut listed = self.list("/v1/orders").await?;
        let orders = listed["orders"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let is_it = |listed: &Value| {
            listed["order"].as_str().is_some_and(|id| id.eq_ignore_ascii_case(order))
        };
        orders.into_iter().find(is_it).ok_or_else(|| {
            let message = format!(
                "no order {order} waits: it may have been approved, or have expired, or the ledger was restarted; see \
                 exhibit orders list"
            );
            Failure::unusable("order_unknown", message)
        })
    }

    /// What the ledger lists under a path.
    pub(super) async fn list(&self, path: &str) -> Result<Value, Failure> {
        let token = read_token(self.token_file.as_deref())?;
        read(client()?.get(self.url(path)?).bearer_auth(token)).await
    }

    async fn post(&self, path: &str, body: &Value, token: Option<&Path>) -> Result<Value, Failure> {
        let request = client()?.post(self.url(path)?).bearer_auth(read_token(token)?);
        read(request.json(body)).await
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

/// An order that waits, or a hold, line by line.
pub(super) fn tell(told: &Value) {
    for (label, value) in lines(told) {
        say!("{label:<12} {value}");
    }
}

fn lines(told: &Value) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let text = |value: &Value| match value.as_str() {
        Some(text) => proto::terminal::shown(text).into_owned(),
        None => proto::terminal::shown(&value.to_string()).into_owned(),
    };
    for (label, value) in [
        ("order", &told["order"]),
        ("kind", &told["kind"]),
        ("hold", &told["hold"]),
        ("released", &told["released"]),
    ] {
        if !value.is_null() {
            lines.push((label, text(value)));
        }
    }
    if let Some(scope) = told["scope"].as_object() {
        let all: Vec<_> = scope.iter().map(|(field, value)| condition(field, value)).collect();
        lines.push(("about", all.join(", ")));
    }
    let would = &told["would"];
    if would["leaves"].is_u64() {
        let message = format!(
            "{} disclosures of {} leaves, under {} keys; {} open exchanges are left out",
            would["disclosures"], would["leaves"], would["keys"], would["open_exchanges"]
        );
        lines.push(("would erase", message));
    }
    for covers in [&would["covers"], &told["covers"]].into_iter().filter_map(Value::as_u64) {
        lines.push(("covers", covered(covers)));
    }
    if let Some(released) = would.get("hold").filter(|_| would["scope"].is_object()) {
        lines.push(("would release", text(released)));
    }
    if !told["reason"].is_null() {
        lines.push(("reason", text(&told["reason"])));
    }
    for (label, field) in [("asked by", "asked_by"), ("approved by", "approved_by")] {
        if let Some(subject) = told[field]["subject"].as_str() {
            let issuer = text(&told[field]["issuer"]);
            lines.push((label, format!("{} of {issuer}", proto::terminal::shown(subject))));
        }
    }
    let times = [
        ("asked at", "asked_at_ns"),
        ("expires at", "expires_at_ns"),
        ("placed at", "placed_at_ns"),
    ];
    for (label, field) in times {
        lines.extend(told[field].as_u64().map(|ns| (label, instant(ns))));
    }
    lines
}

/// What a hold keeps.
pub(super) fn covered(count: u64) -> String {
    match count {
        0 => "NOTHING that is in the log now: look at subject and issuer as the issuer writes them"
            .to_owned(),
        1 => "1 exchange, or event outside of any, when it was asked for".to_owned(),
        count => format!("{count} exchanges, or events outside of any, when it was asked for"),
    }
}

fn condition(field: &str, value: &Value) -> String {
    let said = match (field, value.as_u64()) {
        ("from_ns", Some(ns)) => format!("from {}", instant(ns)),
        ("before_ns", Some(ns)) => format!("before {}", instant(ns)),
        _ => format!("{field} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
    };
    proto::terminal::shown(&said).into_owned()
}

/// Unix ns as a person reads it.
fn instant(ns: u64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(ns));
    time.map_or_else(|_| format!("{ns} ns"), |time| time.to_string())
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
    fn an_order_is_told_in_words_before_it_is_approved() {
        let order = json!({
            "order": "0f", "kind": "erase", "scope": { "subject": "ali\u{202e}ce", "before_ns": 1_000_000_000 },
            "reason": "request 4711", "asked_by": { "issuer": "https://i", "subject": "cora" },
            "would": { "leaves": 4, "disclosures": 6, "keys": 2, "open_exchanges": 0 },
            "asked_at_ns": 2_000_000_000
        });
        let told: Vec<_> =
            lines(&order).into_iter().map(|(label, value)| format!("{label}: {value}")).collect();
        let told = told.join("\n");
        for expected in [
            "kind: erase",
            "before 1970-01-01T00:00:01Z",
            "6 disclosures of 4 leaves",
            "reason: request 4711",
            "asked by: cora of https://i",
            "asked at: 1970-01-01T00:00:02Z",
        ] {
            assert!(told.contains(expected), "{expected:?} is not in\n{told}");
        }
        assert!(!told.contains('\u{202e}'), "{told}");
        let hold = json!({ "hold": "0f", "scope": { "subject": "alise" }, "covers": 0 });
        assert!(lines(&hold).iter().any(|(_, value)| value.starts_with("NOTHING")));
    }

    #[test]
    fn a_time_is_an_instant_since_1970() {
        assert_eq!(nanoseconds("1970-01-01T00:00:01Z").unwrap(), 1_000_000_000);
        for bad in ["1969-12-31T00:00:00Z", "2026-03-01", "yesterday"] {
            assert!(nanoseconds(bad).is_err(), "{bad}");
        }
    }
}
