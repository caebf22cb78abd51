//! The feed: every event once, in order; waits, cursors, records of deliveries.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use proto::kind::Kind;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use proto::v1::{self, EvidenceAccessed};
use serde_json::{Value, json};

use super::fixture::{Answer, Node, TestLog, URL, machine};
use crate::config::Limits;

fn uid(event: &Value) -> String {
    event["metadata"]["uid"].as_str().unwrap().to_owned()
}

fn expected(log: &TestLog, from: u64) -> Vec<String> {
    (from..log.len()).map(|index| format!("log.example/test#{index}")).collect()
}

/// Follows `Link: rel="next"`, as a puller does.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("link");
    let path = link.strip_prefix('<')?.strip_suffix(">; rel=\"next\"")?;
    Some(path.to_owned())
}

fn access() -> Kind {
    Kind::EvidenceAccessed(EvidenceAccessed {
        door: Door::Feed.into(),
        result: Outcome::Allowed.into(),
        role: "siem".into(),
        ..Default::default()
    })
}

#[tokio::test]
async fn polling_yields_each_event_once_in_order() {
    let mut log = TestLog::of_exchanges(20);
    let mut node = Node::start(&log, &Limits { segment_rows: 40, ..Limits::default() });
    let mut seen = Vec::new();
    let mut path = "/v1/events/poll?limit=7&wait=0".to_owned();
    loop {
        let answer = node.get("siem", &path).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let body = answer.json();
        let events = body["events"].as_array().unwrap();
        assert_eq!(body["has_more"], json!(seen.len() + events.len() < log.len() as usize));
        assert_eq!(body["checkpoint"], json!(log.note(log.len())));
        seen.extend(events.iter().map(uid));
        path = next(&answer).expect("poll always has a next");
        assert!(path.contains(body["next_cursor"].as_str().unwrap()));
        if seen.len() == 49 {
            log.exchange(20);
            node.grow(&log);
        }
        if events.is_empty() {
            break;
        }
    }
    assert_eq!(seen, expected(&log, 0));
}

#[tokio::test]
async fn a_poll_wakes_for_news_and_not_for_records_of_polls() {
    let mut log = TestLog::of_exchanges(2);
    let mut node = Node::start(&log, &Limits::default());
    let first = node.get("siem", "/v1/events/poll?wait=0").await;
    let waiting = next(&first).unwrap().replace("wait=0", "wait=30");
    let began = Instant::now();
    let doors = node.doors.router();
    let token = machine("siem").token(URL).unwrap();
    let request = Request::get(&waiting)
        .header("authorization", format!("Bearer {token}"))
        .body(Body::empty())
        .unwrap();
    let poll = tokio::spawn(async move {
        use tower::ServiceExt;
        Answer::of(doors.oneshot(request).await.unwrap()).await
    });
    log.push(access(), b"", b"", &[]);
    node.grow(&log);
    tokio::time::timeout(Duration::from_millis(300), async {
        while !poll.is_finished() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect_err("the record of a delivery woke a poll");
    log.exchange(2);
    node.grow(&log);
    let answer = poll.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10));
    let events = answer.json()["events"].as_array().unwrap().iter().map(uid).collect::<Vec<_>>();
    assert_eq!(events, expected(&log, 10), "what did not wake it comes along");
    // When time is up the answer is empty, with a next.
    let again = node.get("siem", &next(&answer).unwrap().replace("wait=30", "wait=1")).await;
    assert_eq!((again.status, &again.json()["events"]), (200, &json!([])));
    assert!(next(&again).is_some());
}

#[tokio::test]
async fn a_listing_is_finite() {
    let log = TestLog::of_exchanges(10);
    let node = Node::start(&log, &Limits { segment_rows: 16, ..Limits::default() });
    let mut seen = Vec::new();
    let mut path =
        "/v1/events?since=2026-07-28T09:00:10Z&until=2026-07-28T09:00:40Z&limit=11".to_owned();
    let resume = loop {
        let answer = node.get("auditor", &path).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let body = answer.json();
        seen.extend(body["events"].as_array().unwrap().iter().map(uid));
        match next(&answer) {
            Some(next) => {
                assert_eq!(body["has_more"], json!(true));
                path = next;
            }
            None => {
                assert_eq!(body["has_more"], json!(false));
                break body["resume_cursor"].as_str().unwrap().to_owned();
            }
        }
    };
    assert_eq!(seen, expected(&log, 0)[10..40]);
    let rest = node.get("auditor", &format!("/v1/events?cursor={resume}&until=42")).await.json();
    assert_eq!(
        rest["events"].as_array().unwrap().iter().map(uid).collect::<Vec<_>>(),
        expected(&log, 0)[40..42]
    );
    let lines = Request::get("/v1/events?since=3&until=5&format=raw")
        .header("authorization", format!("Bearer {}", machine("auditor").token(URL).unwrap()))
        .header("accept", "application/x-ndjson")
        .body(Body::empty())
        .unwrap();
    let lines = Answer::of(node.send(lines).await).await;
    let raw: Vec<Value> =
        lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((raw.len(), &raw[0]["leaf_index"]), (2, &json!(3)));
    assert_eq!(raw[0]["leaf_hash"], json!(format!("{:?}", log.hash(3))));
    assert_eq!(raw[0]["openings"][0]["slot"], json!("MESSAGE"));
    assert!(!lines.header("exhibit-next-cursor").is_empty());
}

#[tokio::test]
async fn readers_get_what_their_role_may_see() {
    let log = TestLog::of_exchanges(3);
    let node = Node::start(&log, &Limits::default());
    for format in ["ocsf", "raw"] {
        let siem = node.get("siem", &format!("/v1/events?format={format}")).await.text();
        assert!(!siem.contains("message-") && !siem.contains("MESSAGE"), "{format}");
    }
    let event = &node.get("siem", "/v1/events?since=1&until=2").await.json()["events"][0];
    assert_eq!(event["actor"]["user"]["uid"], json!("user-0"));
    assert_eq!(event["src_endpoint"]["ip"], json!("192.0.2.7"));
    let raw = node.get("auditor", "/v1/events?since=1&until=2&format=raw").await.json();
    assert_eq!(raw["events"][0]["openings"].as_array().unwrap().len(), 3);
    let raw = node.get("siem", "/v1/events?since=1&until=2&format=raw").await.json();
    assert_eq!(raw["events"][0]["openings"].as_array().unwrap().len(), 2);
    for role in ["approver", "follower"] {
        let answer = node.get(role, "/v1/events/poll").await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "role_required"));
        let Some(Kind::EvidenceAccessed(denied)) = node.notebook.kinds().pop() else { panic!() };
        assert_eq!((denied.door(), denied.result()), (Door::Feed, Outcome::Denied));
    }
}

#[tokio::test]
async fn bad_parameters_have_codes() {
    let node = Node::start(
        &TestLog::of_exchanges(2),
        &Limits { feed_concurrency: 0, ..Limits::default() },
    );
    for (path, status, code) in [
        ("/v1/events?cursor=nonsense", 400, "feed_bad_cursor"),
        ("/v1/events?cursor=AQAAAAAAAAAAAAAAAAAAAAA", 400, "feed_bad_cursor"),
        ("/v1/events?limit=0", 400, "feed_bad_limit"),
        ("/v1/events?limit=5001", 400, "feed_bad_limit"),
        ("/v1/events?limit=x", 400, "feed_bad_parameter"),
        ("/v1/events?form=ocsf", 400, "feed_bad_parameter"),
        ("/v1/events?format=cef", 400, "feed_unknown_format"),
        ("/v1/events?since=yesterday", 400, "feed_bad_time"),
        ("/v1/events?since=5&until=3", 400, "feed_reversed_range"),
        ("/v1/events/poll", 429, "feed_busy"),
        ("/v1/events/stream", 429, "feed_busy"),
    ] {
        let answer = node.get("siem", path).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path}");
        assert_eq!(answer.header("retry-after").is_empty(), status != 429);
    }
}

#[tokio::test]
async fn one_caller_cannot_take_all_places() {
    let limits = Limits { feed_concurrency: 8, ..Limits::default() };
    let node = Node::start(&TestLog::of_exchanges(2), &limits);
    let stream = async |role: &str| {
        let request = Request::get("/v1/events/stream")
            .header("authorization", format!("Bearer {}", machine(role).token(URL).unwrap()));
        node.send(request.body(Body::empty()).unwrap()).await
    };
    let mut held = vec![stream("siem").await, stream("siem").await];
    let refused = Answer::of(stream("siem").await).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "feed_share_taken"));
    assert!(refused.text().contains("one caller may have 2"), "{}", refused.text());
    assert!(!refused.header("retry-after").is_empty());
    for role in ["auditor", "compliance", "admin"] {
        for _ in 0..2 {
            held.push(stream(role).await);
        }
    }
    assert!(held.iter().all(|held| held.status() == 200));
    // All are taken now.
    assert_eq!(Answer::of(stream("auditor").await).await.code(), "feed_busy");
    held.remove(0);
    assert_eq!(stream("siem").await.status(), 200, "a place is given back");
}

#[tokio::test]
async fn deliveries_are_recorded_once_per_interval_with_their_range() {
    let log = TestLog::of_exchanges(4);
    let node = Node::start(&log, &Limits::default());
    let mut path = "/v1/events/poll?limit=6&wait=0".to_owned();
    for _ in 0..3 {
        path = next(&node.get("siem", &path).await).unwrap();
    }
    node.get("auditor", "/v1/events?limit=2").await;
    let ranges = || -> Vec<(String, u64, u64)> {
        let accessed = node.notebook.kinds().into_iter().map(|kind| match kind {
            Kind::EvidenceAccessed(a) => (a.role, a.first_index, a.end_index),
            other => panic!("{other:?}"),
        });
        accessed.collect()
    };
    // The first delivery of each consumer was recorded before it was made; the others wait.
    assert_eq!(ranges(), [("siem".into(), 0, 6), ("auditor".into(), 0, 2)]);
    node.doors.deliveries.flush(node.doors.journal.as_ref(), false).await;
    assert_eq!(ranges().len(), 2, "not yet due");
    node.doors.deliveries.flush(node.doors.journal.as_ref(), true).await;
    assert_eq!(ranges()[2..], [("siem".into(), 6, 18)]);
    node.doors.deliveries.flush(node.doors.journal.as_ref(), true).await;
    assert_eq!(ranges().len(), 3, "nothing is recorded twice");
}

#[tokio::test]
async fn the_stream_resumes_by_last_event_id() {
    let mut log = TestLog::of_exchanges(3);
    let mut node = Node::start(&log, &Limits::default());
    let token = machine("siem").token(URL).unwrap();
    let open = |last: Option<String>| {
        let mut request = Request::get("/v1/events/stream")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        if let Some(last) = last {
            request.headers_mut().insert("last-event-id", last.parse().unwrap());
        }
        request
    };
    let (ids, uids) = read_events(node.send(open(None)).await.into_body(), 9).await;
    assert_eq!(uids, expected(&log, 0)[..9]);
    let body = node.send(open(ids.last().cloned())).await.into_body();
    log.push(access(), b"", b"", &[]);
    log.push(Kind::RecorderStopped(v1::RecorderStopped { drained: true }), b"", b"", &[]);
    node.grow(&log);
    let (_, uids) = read_events(body, 8).await;
    assert_eq!(uids, expected(&log, 9));
    let bad = Answer::of(node.send(open(Some("nonsense".into()))).await).await;
    assert_eq!((bad.status, bad.code().as_str()), (400, "feed_bad_cursor"));
}

/// The ids and uids of the first `count` events.
async fn read_events(mut body: Body, count: usize) -> (Vec<String>, Vec<String>) {
    let mut text = String::new();
    let read = async {
        while text.matches("\n\n").count() < count {
            let frame = body.frame().await.expect("the stream goes on").unwrap();
            text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    };
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("events arrive");
    let events: Vec<&str> = text.split_terminator("\n\n").take(count).collect();
    let field = |event: &str, name: &str| -> String {
        event.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
    };
    let ids = events.iter().map(|event| field(event, "id:")).collect();
    let uids =
        events.iter().map(|event| uid(&serde_json::from_str(&field(event, "data:")).unwrap()));
    (ids, uids.collect())
}
