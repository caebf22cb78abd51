//! What `exhibit erase`, `exhibit hold` and `exhibit orders` have in common: an order is asked for by one person, and
//! approved by another, who is shown first what it is.

#[cfg(test)]
mod tests;
mod told;

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use ledger::approved_with;
use reqwest::Client;
use serde_json::{Value, json};

pub(super) use self::told::{covered, tell};
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

fn check_id(order: &str) -> Result<(), Failure> {
    if order.len() == 32 && order.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    let message = format!("{order:?} is no order: it has 32 hex digits");
    Err(Failure::unusable("order_unusable", message))
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
        let kind = order["kind"].as_str().unwrap_or_default();
        self.carry_out(id, kind, Some(approver)).await.map_err(|failure| {
            if failure.may_be_done() {
                return failure;
            }
            let (id, command) = (proto::terminal::shown(id), approved_with(kind));
            failure.and(&format!(
                "nothing was done. Order {id} waits all the same, for 24 h, for somebody with the role approver: exhibit \
                 {command} {id}"
            ))
        })
    }

    /// Has an order carried out by this approver. What fails otherwise than by a refusal may have been done: the ledger goes
    /// on when whoever asked went away.
    async fn carry_out(
        &self,
        id: &str,
        kind: &str,
        approver: Option<&Path>,
    ) -> Result<Value, Failure> {
        let approval = json!({ "kind": kind });
        let done = self.post(&format!("/v1/orders/{id}/approve"), &approval, approver).await;
        done.map_err(|failure| {
            // Of what was done in part the ledger itself says how much.
            if !failure.may_be_done() || failure.code() == "erased_in_part" {
                return failure;
            }
            failure.and(&unknown_outcome(&proto::terminal::shown(id), kind))
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
            let command = approved_with(kind);
            let message = format!(
                "order {order} is to {kind}, and is approved with: exhibit {command} {order}"
            );
            return Err(Failure::unusable("order_of_another_kind", message));
        }
        if !json {
            tell(&waiting);
        }
        self.carry_out(order, kind, self.token_file.as_deref()).await
    }

    /// Takes an order back.
    pub(super) async fn withdraw(&self, order: &str) -> Result<Value, Failure> {
        check_id(order)?;
        let path = format!("/v1/orders/{order}/withdraw");
        self.post(&path, &json!({}), self.token_file.as_deref()).await
    }

    /// An order that waits.
    pub(super) async fn waiting(&self, order: &str) -> Result<Value, Failure> {
        check_id(order)?;
        let mut listed = self.list("/v1/orders").await?;
        let orders = listed["orders"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let is_it = |listed: &Value| {
            listed["order"].as_str().is_some_and(|id| id.eq_ignore_ascii_case(order))
        };
        orders.into_iter().find(is_it).ok_or_else(|| {
            let message = format!(
                "no order {order} waits: it may have been approved or withdrawn, or have expired, or the ledger was restarted; \
                 see exhibit orders list"
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

/// What is to be said when nobody knows whether an order was carried out.
fn unknown_outcome(id: &str, kind: &str) -> String {
    let (listed, look) = match kind {
        "erase" => (
            "it was not, or not all of it (an exchange of more than 50,000 leaves goes in several commits): approve it once \
             more, and the rest goes",
            "What was erased the log says: exhibit sql \"SELECT leaf_index, recorded_at FROM events WHERE kind = \
             'DisclosureErased' ORDER BY leaf_index DESC LIMIT 10\"",
        ),
        _ => ("it was not", "What is held says: exhibit hold list"),
    };
    format!(
        "Order {id} MAY HAVE BEEN CARRIED OUT, or is being carried out now: the ledger goes on without whoever asked. While \
         exhibit orders list names it, {listed}. When it does not, it was, or the ledger was started anew. {look}"
    )
}

fn client() -> Result<Client, Failure> {
    client_builder().build().map_err(|error| Failure::unusable("client", error))
}

async fn read(request: reqwest::RequestBuilder) -> Result<Value, Failure> {
    let answer = ask(request).await?;
    let read = answer.json().await;
    read.map_err(|error| Failure::unreachable("answer_unreadable", error).perhaps_done())
}

/// How somebody else approves an order of this kind that waits.
pub(super) fn how_to_approve(kind: &str, answer: &Value) -> String {
    let order = proto::terminal::shown(answer["order"].as_str().unwrap_or_default());
    let command = approved_with(kind);
    format!(
        "waits for its approval by somebody else, within 24 h: exhibit {command} {order} (with this --ledger, and the \
         approver's --token-file)"
    )
}
