//! What passes on an event stream stands in the record.

use std::sync::Arc;

use axum::body::Body;
use proto::kind::Kind;
use proto::v1::{Outcome, Slot};

use crate::world::{Recorded, World, answer, call, id_of};

const EVENTS: &str = "text/event-stream";

fn stream_messages(recorded: &[Recorded]) -> Vec<&Recorded> {
    recorded.iter().filter(|event| matches!(event.kind, Kind::StreamMessage(_))).collect()
}

fn outcomes(recorded: &[Recorded]) -> Vec<Outcome> {
    let outcome = |event: &Recorded| match &event.kind {
        Kind::ResponseReturned(returned) => Some(returned.outcome()),
        _ => None,
    };
    recorded.iter().filter_map(outcome).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_around_messages_is_recorded_or_stays_here() {
    let long = "7".repeat(930);
    let server = {
        let long = long.clone();
        move |_: &_, body: &str| {
            let events = [
                format!("id: {long}\nretry: 00042\ndata:\n\n"),
                "event: hunter\ndata:\n\n".to_owned(),
                "retry: 4242424242\n\n".to_owned(),
                "id: 8\nevent: message\nretry: 7\ndata: {\"method\":\"notifications/message\"}\n\n"
                    .to_owned(),
                format!(
                    "event: hunter\nid: 9\ndata: {{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{}}}}\n\n",
                    id_of(body)
                ),
            ];
            answer(200, EVENTS, events.concat())
        }
    };
    let world = World::start("", Arc::new(server)).await;
    let response = world.post("open", call(1)).send().await.unwrap();
    let released = response.text().await.unwrap();
    let expected = format!(
        "id: {long}\nretry: 42\ndata: \n\nevent: message\nid: 8\nretry: 7\ndata: {{\"method\":\"notifications/message\"}}\n\n\
         event: withheld\nid: 9\ndata: {{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{}}}}\n\n"
    );
    assert_eq!(released, expected);
    let recorded = world.until("its end", |recorded| outcomes(recorded).len() == 1).await;
    let messages = stream_messages(&recorded);
    assert_eq!(messages[0].text(Slot::Frame), Some(format!(r#"{{"id":"{long}","retry":42}}"#)));
    assert_eq!(messages[0].text(Slot::Message), None);
    let frame = messages[1].text(Slot::Frame);
    assert_eq!(frame.as_deref(), Some(r#"{"id":"8","event":"message","retry":7}"#));
    assert_eq!(messages.len(), 2);
    let last = recorded.iter().find(|event| matches!(event.kind, Kind::ResponseReturned(_)));
    let frame = last.unwrap().text(Slot::Frame);
    assert_eq!(frame.as_deref(), Some(r#"{"id":"9","event":"withheld"}"#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_recorded_however_often_the_same_one_came() {
    let server = |method: &axum::http::Method, body: &str| {
        if body.contains("initialize") {
            let mut response =
                answer(200, "application/json", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
            response.headers_mut().insert("mcp-session-id", "s-1".parse().unwrap());
            return response;
        }
        let again = "id: 1\ndata: {\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{}}\n\n";
        if method == axum::http::Method::GET {
            return answer(200, EVENTS, again);
        }
        answer(200, EVENTS, format!("id: 0\ndata: {{\"method\":\"notifications/x\"}}\n\n{again}"))
    };
    let world = World::start("", Arc::new(server)).await;
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
    assert!(world.post("open", initialize).send().await.unwrap().status().is_success());
    for _ in 0..3 {
        let post = world.post("open", call(5)).header("mcp-session-id", "s-1");
        assert!(post.send().await.unwrap().text().await.unwrap().contains("result"));
    }
    // Asked for again, it is passed on again, and not recorded again.
    let get = world.http.get(world.url("open")).header("mcp-session-id", "s-1");
    let get = get.header("accept", EVENTS).header("last-event-id", "0");
    assert!(get.send().await.unwrap().text().await.unwrap().contains("result"));
    let recorded = world.until("every end", |recorded| outcomes(recorded).len() == 5).await;
    let expected =
        [Outcome::Result, Outcome::Result, Outcome::Result, Outcome::Result, Outcome::StreamEnded];
    assert_eq!(outcomes(&recorded), expected);
    assert_eq!(stream_messages(&recorded).len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_masked_as_one_whatever_its_status() {
    let secret = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-1,\"data\":{\"api_key\":\"hunter2hunter2\"}}}\n\n";
    let server = move |_: &_, body: &str| match id_of(body).as_i64() {
        Some(1) => answer(500, EVENTS, secret),
        Some(2) => answer(500, EVENTS, ": nothing\n\n"),
        _ => answer(401, EVENTS, secret),
    };
    let world = World::start("", Arc::new(server)).await;
    let response = world.post("open", call(1)).send().await.unwrap();
    assert_eq!(response.status(), 500);
    let text = response.text().await.unwrap();
    assert!(text.contains("[masked:api_key]") && !text.contains("hunter2"), "{text}");
    let response = world.post("open", call(2)).send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), ":\n");
    let response = world.post("open", call(3)).send().await.unwrap();
    let text = response.text().await.unwrap();
    assert!(text.contains("credential") && !text.contains("hunter2"), "{text}");
    let denied = |recorded: &[Recorded]| {
        recorded.iter().filter(|event| matches!(event.kind, Kind::CallDenied(_))).count()
    };
    let all = |recorded: &[Recorded]| outcomes(recorded).len() + denied(recorded) == 3;
    let recorded = world.until("every end", all).await;
    assert_eq!(outcomes(&recorded), [Outcome::ProtocolError, Outcome::HttpError]);
    let disclosed = recorded.iter().flat_map(|event| event.disclosed.values());
    for bytes in disclosed {
        assert!(!String::from_utf8_lossy(bytes).contains("hunter2"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_not_read_frees_its_place() {
    let server = |_: &_, _: &str| {
        let note = format!("data: {{\"method\":\"{}\"}}\n\n", "n".repeat(60_000));
        let notes =
            futures_util::stream::repeat_with(move || Ok::<_, std::io::Error>(note.clone()));
        answer(200, EVENTS, Body::from_stream(notes))
    };
    let limits = "stall_wait_ms = 200\nabandoned_wait_ms = 0\nopen_exchanges = 4\n";
    let world = World::start(limits, Arc::new(server)).await;
    let unread = world.post("open", call(1)).send().await.unwrap();
    let recorded = world.until("its end", |recorded| !outcomes(recorded).is_empty()).await;
    assert_eq!(outcomes(&recorded), [Outcome::Ambiguous]);
    drop(unread);
}
