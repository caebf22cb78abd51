//! `exhibit tail`: events as they are recorded, one line each.

use clap::Args;
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
    let text = |field: &str| match &event[field] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.chars().flat_map(char::escape_debug).collect(),
        other => other.to_string(),
    };
    say!(
        "{:>8}  {}  {:<22} {:<12} {:<14} {:<20} {}",
        text("leaf_index"),
        text("recorded_at"),
        text("kind"),
        text("server"),
        text("method"),
        text("tool"),
        text("verdict"),
    );
}
