//! What one recorder, or one reader, can take from the others.

use std::time::Duration;

use proto::ChainHead;
use proto::v1::AppendRequest;
use proto::v1::append_response::Frame as Response;
use tonic::Code;

use super::append::{Stream, frame};
use super::reading::subscribe;
use super::{House, URL, machine};

/// Frames that a recorder that reads nothing may get rid of at most: all queues of its stream together.
const QUEUES: usize = 64 + 256 + 16 + 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_appends_too_fast_is_asked_to_pause_and_what_was_taken_stands() {
    let house = House::build_with(&[], |config| config.limits.events_per_second = Some(5)).await;
    let mut stream = Stream::open(&house, 1).await;
    let mut head: Option<ChainHead> = None;
    let events: Vec<_> = (0..8)
        .map(|_| {
            let (event, next) = stream.event(head.as_ref());
            head = Some(next);
            event
        })
        .collect();
    stream.append(&events.iter().collect::<Vec<_>>()).await;
    let taken = stream.acknowledged().await.unwrap();
    let status = stream.answer().await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.metadata().get("exhibit-code").unwrap(), "recorder_too_fast");
    let pause = status.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap();
    assert!((1..=1_000).contains(&pause.parse::<u64>().unwrap()), "{pause}");
    // A burst is a second's worth; the clock went on a little meanwhile.
    assert!((5..8).contains(&taken.len()), "{}", taken.len());
    let sequences: Vec<u64> = taken.iter().map(|told| told.sequence).collect();
    assert_eq!(sequences, (0..taken.len() as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_that_reads_nothing_holds_up_nobody_but_itself() {
    let house = House::build(&[]).await;
    let deaf = Stream::open(&house, 1).await;
    let (mut head, mut sent) = (None::<ChainHead>, 0);
    loop {
        let (event, next) = deaf.event(head.as_ref());
        head = Some(next);
        let request = AppendRequest { frame: Some(frame(&[&event])) };
        let send = deaf.frames.send(Ok(request));
        if tokio::time::timeout(Duration::from_secs(2), send).await.is_err() {
            break;
        }
        sent += 1;
        assert!(sent <= 2 * QUEUES, "its frames are taken without end");
    }
    let mut other = Stream::open(&house, 2).await;
    let mut head = None::<ChainHead>;
    for _ in 0..2 * QUEUES {
        let (event, next) = other.event(head.as_ref());
        head = Some(next);
        other.append(&[&event]).await;
        assert!(matches!(other.answer().await.unwrap(), Response::Acknowledged(_)));
    }
    drop(deaf);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_are_so_many_streams_of_entries_and_no_more() {
    let house = House::build_with(&["siem"], |config| config.limits.subscriptions = 4).await;
    let token = machine("siem").token(URL).unwrap();
    let places = house.doors().subscriptions;
    let taken = ["a", "b", "c", "d"].map(|reader| places.take(reader.into()).ok().unwrap());
    assert_eq!(subscribe(&house, Some(&token), 0).await, Err(Code::ResourceExhausted));
    drop(taken);
    assert!(subscribe(&house, Some(&token), 0).await.is_ok());
}
