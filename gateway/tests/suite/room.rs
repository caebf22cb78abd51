//! No caller takes what all share, and no stream outlives what it stands on.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Response};
use proto::kind::Kind;
use proto::v1::{Outcome, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{PATIENCE, Recorded, Script, World, answer, call, id_of};

const EVENTS: &str = "text/event-stream";

/// A stream that says nothing.
fn silence() -> Response<Body> {
    let silence = futures_util::stream::pending::<Result<&str, std::io::Error>>();
    answer(200, EVENTS, Body::from_stream(silence))
}

/// Streams that say nothing for GET, answers for all else.
fn silent_streams() -> Script {
    Arc::new(|method, body| {
        if method == Method::GET {
            return silence();
        }
        let text = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, id_of(body));
        answer(200, "application/json", text)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_and_strangers_leave_room_to_others() {
    let world = World::start("open_exchanges = 20\n", silent_streams()).await;
    let listen = |route: &str| world.http.get(world.url(route)).header("accept", EVENTS);
    let mut streams = Vec::new();
    for _ in 0..2 {
        let stream = listen("open").send().await.unwrap();
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    let refused = listen("open").send().await.unwrap();
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    let told = refused.text().await.unwrap();
    assert!(told.contains("2 listening streams of yours"), "{told}");
    // Calls of the same caller, and streams of another.
    assert_eq!(world.post("open", call(1)).send().await.unwrap().status(), 200);
    let mine = listen("guarded").bearer_auth(world.token()).send().await.unwrap();
    assert_eq!(mine.status(), 200);
    // A place is free again when its stream has ended.
    drop(streams);
    let ends = |kind: &Kind| matches!(kind, Kind::ResponseReturned(end) if end.outcome() == Outcome::StreamEnded);
    let recorded = world
        .until("both ends", |recorded| {
            recorded.iter().filter(|event| ends(&event.kind)).count() == 2
        })
        .await;
    let denied = recorded.iter().filter_map(|event| match &event.kind {
        Kind::CallDenied(denied) => Some((denied.refusal(), denied.http_status)),
        _ => None,
    });
    assert_eq!(denied.collect::<Vec<_>>(), [(Refusal::Unavailable, 429)]);
    let deadline = std::time::Instant::now() + PATIENCE;
    while listen("open").send().await.unwrap().status() != 200 {
        assert!(std::time::Instant::now() < deadline);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_caller_gets_its_share_of_open_calls() {
    let world = World::start("open_exchanges = 8\n", Arc::new(|_, _| silence())).await;
    let mut open = Vec::new();
    for id in 0..2 {
        open.push(world.post("open", call(id)).send().await.unwrap());
    }
    let refused = world.post("open", call(2)).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    let other = world.post("guarded", call(3)).bearer_auth(world.token()).send().await.unwrap();
    assert_eq!(other.status(), 200);
}

/// 12 MiB of a message that is announced to be longer.
async fn slow_message(world: &World) -> tokio::net::TcpStream {
    let mut slow = tokio::net::TcpStream::connect(world.address).await.unwrap();
    let head = format!(
        "POST /mcp/open HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 16000000\r\n\r\n",
        world.address
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    // It may be refused in the middle of it.
    let _ = slow.write_all(&vec![b' '; 12 << 20]).await;
    slow
}

/// Whether the gateway has said anything to it yet, or hung up.
fn is_answered(slow: &tokio::net::TcpStream) -> bool {
    let mut byte = [0];
    !matches!(slow.try_read(&mut byte), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_have_room_in_all_and_of_one_caller() {
    let world = World::start("message_bytes = 16777216\n", silent_streams()).await;
    // Two bytes more than the slow one leaves.
    let large = || format!("\"{}\"", "x".repeat(4 << 20));
    // It holds what it sent so far, while the rest does not come. Whichever of the two asks last for room is refused: when
    // that was the slow one, it comes again.
    let mut slow = slow_message(&world).await;
    let deadline = std::time::Instant::now() + PATIENCE;
    let (status, told) = loop {
        let response = world.post("open", large()).send().await.unwrap();
        let status = response.status();
        if status != 400 {
            break (status, response.text().await.unwrap());
        }
        if is_answered(&slow) {
            slow = slow_message(&world).await;
        }
        assert!(std::time::Instant::now() < deadline, "the slow message is not counted");
    };
    assert_eq!(status, 429, "{told}");
    let other = world.post("guarded", large()).bearer_auth(world.token()).send();
    let other = other.await.unwrap();
    assert_eq!(other.status(), 503);
    assert!(other.headers().contains_key("retry-after"));
    // What broke off says where.
    slow.shutdown().await.unwrap();
    let mut told = String::new();
    slow.read_to_string(&mut told).await.unwrap();
    assert!(told.starts_with("HTTP/1.1 400"), "{told}");
    assert!(
        told.contains("broke off after 12582912 bytes of 16000000: nothing was forwarded"),
        "{told}"
    );
    let again = world.post("guarded", large()).bearer_auth(world.token()).send().await;
    assert_eq!(again.unwrap().status(), 400, "there is room, but it is no message");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_version_takes_no_answer_away() {
    let world = World::start("abandoned_wait_ms = 1\n", Arc::new(|_, _| silence())).await;
    for version in ["zzz", "2026-07-28"] {
        let request = world.post("open", call(1)).header("mcp-protocol-version", version);
        let hung_up = request.send().await.unwrap();
        assert_eq!(hung_up.status(), 200);
    }
    let ends = |recorded: &[Recorded]| -> Vec<Option<Outcome>> {
        let end = |event: &Recorded| match &event.kind {
            Kind::ResponseReturned(returned) => Some(Some(returned.outcome())),
            Kind::Cancelled(_) => Some(None),
            _ => None,
        };
        recorded.iter().filter_map(end).collect()
    };
    // The answer to the first is awaited, for as long as is configured; to hang up cancels the second.
    let recorded = world.until("both ends", |recorded| ends(recorded).len() == 2).await;
    let mut ends = ends(&recorded);
    ends.sort();
    assert_eq!(ends, [None, Some(Outcome::Ambiguous)]);
}
