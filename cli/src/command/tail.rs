//! `exhibit tail`: events as they are recorded, one line each.

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use proto::kind::{call_of, verdict_name};
use proto::terminal::shown;
use serde_json::Value;

use crate::failure::Failure;
use crate::say::say;
use crate::service::{Service, ask};

#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// Start at the first event of the log, not at the newest
    #[arg(long)]
    from_start: bool,
    /// End after what is there, instead of waiting for more
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    service: Service,
}

impl Tail {
    pub(crate) async fn run(self, json: bool) -> Result<(), Failure> {
        let client = self.service.client()?;
        let mut cursor = String::new();
        let wait = if self.no_wait { 0 } else { 20 };
        let mut silent = !self.from_start;
        if !json {
            line(["LEAF", "RECORDED AT", "KIND", "SERVER", "METHOD", "TOOL", "VERDICT"]);
        }
        loop {
            // While it skips what is there, it must not wait for more.
            let wait = if silent { 0 } else { wait };
            let mut request = client
                .get(self.service.url("/v1/events/poll"))
                .query(&[("format", "raw"), ("limit", "1000")])
                .query(&[("wait", wait)]);
            if !cursor.is_empty() {
                request = request.query(&[("cursor", &cursor)]);
            }
            let page: Value = ask(request)
                .await?
                .json()
                .await
                .map_err(|error| Failure::unreachable("answer_unreadable", error))?;
            let events = page["events"].as_array().cloned().unwrap_or_default();
            if !silent {
                events.iter().for_each(|event| print(event, json));
            }
            cursor = page["next_cursor"].as_str().unwrap_or_default().to_owned();
            if events.is_empty() && page["has_more"] != true {
                if self.no_wait {
                    return Ok(());
                }
                silent = false;
            }
        }
    }
}

fn print(event: &Value, json: bool) {
    if json {
        say!("{event}");
        return;
    }
    let text = |field: &str| event[field].as_str().unwrap_or("-");
    let Called { server, method, name, verdict } = called(event);
    line([
        &event["leaf_index"].to_string(),
        text("recorded_at"),
        text("kind"),
        &server,
        &method,
        &name,
        &verdict,
    ]);
}

/// What an event says of the call that it belongs to.
#[derive(Default)]
struct Called {
    server: String,
    method: String,
    name: String,
    verdict: String,
}

/// From the leaf itself. Nothing when the event is of no call, `?` when the leaf cannot be read.
fn called(event: &Value) -> Called {
    let leaf = STANDARD.decode(event["leaf"].as_str().unwrap_or_default());
    let Some(leaf) = leaf.ok().and_then(|leaf| proto::decode_entry(&leaf.into()).ok()) else {
        let unread = || "?".to_owned();
        return Called { server: unread(), method: unread(), name: unread(), verdict: unread() };
    };
    let Some(call) = leaf.event.kind.as_ref().and_then(call_of) else { return Called::default() };
    Called {
        server: call.server.clone(),
        method: call.method.clone(),
        name: call.name.clone(),
        verdict: verdict_name(call.verdict()).to_owned(),
    }
}

fn line([index, recorded_at, kind, server, method, name, verdict]: [&str; 7]) {
    let of = |text| match shown(text) {
        empty if empty.is_empty() => "-".into(),
        text => text,
    };
    say!(
        "{:>8}  {:<30}  {:<22} {:<12} {:<14} {:<20} {}",
        of(index),
        of(recorded_at),
        of(kind),
        of(server),
        of(method),
        of(name),
        of(verdict),
    );
}
