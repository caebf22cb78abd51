//! The SIEM's two ways to pull: pages by cursor, and a stream that goes on where it broke off.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tests::system::{Shape, System};

use crate::guarded::Guarded;

#[test]
fn pages_deliver_the_whole_log_exactly_once() -> Result<()> {
    tests::run(async {
        let Some(guarded) = Guarded::start(Shape::Together).await? else { return Ok(()) };
        let system = &guarded.system;
        let mut erin = guarded.client("erin").await?;
        for service in ["a", "b", "c"] {
            erin.call("deploy", &json!({"service": service})).await?;
        }
        // By role, and by scope alone.
        for person in ["sam", "pull"] {
            let token = guarded.reader(person).await?;
            let deploys = |uids: &[Value]| uids.iter().filter(|event| is_deploy(event)).count();
            let mut events = Vec::new();
            let mut cursor = String::new();
            let deadline = std::time::Instant::now() + Duration::from_secs(20);
            while deploys(&events) < 6 {
                ensure!(
                    std::time::Instant::now() < deadline,
                    "{} of 6 events of deployments came",
                    deploys(&events)
                );
                let page = page(system, &token, &cursor, 7, 2).await?;
                let came = page["events"].as_array().context("events")?;
                ensure!(came.len() <= 7, "a page of {}", came.len());
                events.extend(came.iter().cloned());
                cursor = page["next_cursor"]
                    .as_str()
                    .context("poll always has a next_cursor")?
                    .to_owned();
            }
            let uids: Vec<&Value> = events.iter().map(|event| &event["metadata"]["uid"]).collect();
            for (index, uid) in uids.iter().enumerate() {
                let expected = format!("{}#{index}", tests::system::ORIGIN);
                ensure!(**uid == expected, "{person}: {uid} where {expected} was due");
            }
            let deploy = events.iter().find(|event| is_deploy(event)).context("a deployment")?;
            ensure!(
                deploy["class_uid"] == 6003 && deploy["metadata"]["version"].is_string(),
                "{deploy}"
            );
            ensure!(deploy["src_endpoint"]["ip"] == "127.0.0.1", "whence? {deploy}");
            ensure!(deploy["actor"]["user"]["uid"] == "erin", "who? {deploy}");
            ensure!(
                deploy["unmapped"]["mcp"].get("arguments").is_none(),
                "a SIEM sees arguments: {deploy}"
            );
            // A page again is the same page.
            let first = page(system, &token, "", 5, 0).await?;
            let first = first["events"].as_array().context("events")?;
            ensure!(first.len() == 5, "a page of {}", first.len());
            let alike = first.iter().zip(&events).all(|(a, b)| undated(a) == undated(b));
            ensure!(alike, "replay differs: {first:?}");
        }
        Ok(())
    })
}

#[test]
fn a_finite_listing_ends_and_a_bad_cursor_is_told() -> Result<()> {
    tests::run(async {
        let Some(guarded) = Guarded::start(Shape::Together).await? else { return Ok(()) };
        let system = &guarded.system;
        guarded.client("erin").await?;
        let sam = guarded.reader("sam").await?;
        let get = async |path: &str| -> Result<(u16, Value)> {
            let answer = system.get(&sam, path).send().await?;
            Ok((answer.status().as_u16(), answer.json().await?))
        };
        let (_, listed) = get("/v1/events?since=2&until=5&limit=2").await?;
        ensure!(listed["has_more"] == true, "{listed}");
        let next = listed["next_cursor"].as_str().context("next_cursor")?;
        let (_, last) = get(&format!("/v1/events?cursor={next}&until=5&limit=2")).await?;
        ensure!(last["has_more"] == false && last.get("next_cursor").is_none(), "{last}");
        ensure!(last["resume_cursor"].is_string(), "{last}");
        let count = |page: &Value| page["events"].as_array().map_or(0, Vec::len);
        ensure!(count(&listed) == 2 && count(&last) == 1, "{listed} {last}");
        for (path, code) in [
            ("/v1/events/poll?cursor=nonsense", "feed_bad_cursor"),
            ("/v1/events/poll?limit=100000", "feed_bad_limit"),
            ("/v1/events/poll?format=xml", "feed_unknown_format"),
            ("/v1/events?since=5&until=2", "feed_reversed_range"),
            ("/v1/events?since=yesterday", "feed_bad_time"),
            ("/v1/events/poll?curser=x", "feed_bad_parameter"),
        ] {
            let (status, body) = get(path).await?;
            ensure!(status == 400 && body["code"] == code, "{path}: {status} {body}");
        }
        Ok(())
    })
}

#[test]
fn a_stream_goes_on_where_it_broke_off() -> Result<()> {
    tests::run(async {
        let Some(guarded) = Guarded::start(Shape::Together).await? else { return Ok(()) };
        let system = &guarded.system;
        let mut erin = guarded.client("erin").await?;
        let sam = guarded.reader("sam").await?;
        let (first, last_id) = listen(system, &sam, None, 6).await?;
        erin.call("deploy", &json!({"service": "meanwhile"})).await?;
        let (second, _) = listen(system, &sam, Some(&last_id), 6).await?;
        let uids: Vec<Value> =
            first.iter().chain(&second).map(|event| event["metadata"]["uid"].clone()).collect();
        let expected: Vec<String> =
            (0..12).map(|index| format!("{}#{index}", tests::system::ORIGIN)).collect();
        ensure!(json!(uids) == json!(expected), "{uids:?}");
        Ok(())
    })
}

async fn page(system: &System, token: &str, cursor: &str, limit: u32, wait: u32) -> Result<Value> {
    let mut path = format!("/v1/events/poll?limit={limit}&wait={wait}");
    if !cursor.is_empty() {
        path.push_str(&format!("&cursor={cursor}"));
    }
    Ok(system.get(token, &path).send().await?.error_for_status()?.json().await?)
}

/// The next `count` events of the stream, and the id of the last; then the connection is dropped.
async fn listen(
    system: &System,
    token: &str,
    last_id: Option<&str>,
    count: usize,
) -> Result<(Vec<Value>, String)> {
    let mut request = system.get(token, "/v1/events/stream").header("accept", "text/event-stream");
    if let Some(id) = last_id {
        request = request.header("last-event-id", id);
    }
    let mut response = request.send().await?.error_for_status()?;
    let (mut text, mut events, mut id) = (String::new(), Vec::new(), String::new());
    while events.len() < count {
        let chunk = tokio::time::timeout(Duration::from_secs(20), response.chunk()).await;
        let Some(chunk) = chunk.context("the stream says nothing")?? else {
            bail!("the stream ended after {} events", events.len());
        };
        text.push_str(std::str::from_utf8(&chunk)?);
        while let Some((event, rest)) = text.split_once("\n\n") {
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
            if let (Some(data), true) = (field("data:"), events.len() < count) {
                events.push(serde_json::from_str(data.trim())?);
                id = field("id:").context("an event without id")?.trim().to_owned();
            }
            text = rest.to_owned();
        }
    }
    Ok((events, id))
}

fn is_deploy(event: &Value) -> bool {
    event["unmapped"]["mcp"]["tool"] == "deploy" && event["activity_id"] == 99
}

/// An event without the checkpoint that the node had verified when it was asked.
fn undated(event: &Value) -> Value {
    let mut event = event.clone();
    event["unmapped"]["exhibit"]["checkpoint"] = Value::Null;
    event
}
