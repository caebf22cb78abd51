//! What callers that nobody knows can have the ledger hold, over a real socket.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{Request, header};
use bytes::Bytes;
use futures_util::StreamExt;
use proto::MAX_MESSAGE_BYTES;
use proto::canonical::encode_event;
use proto::disclosure::disclose;
use proto::kind::Kind;
use proto::v1::append_request::Frame;
use proto::v1::ledger_client::LedgerClient;
use proto::v1::{Call, Events, MediaType, NewEvent, Opening, RequestReceived, Slot};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::Service;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::House;
use super::append::Stream;
use crate::door::MAX_GRPC_BYTES;

const SUBSCRIBE: &str = "/exhibit.v1.Ledger/Subscribe";
const APPEND: &str = "/exhibit.v1.Ledger/Append";

async fn serve(house: &House) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = house.doors().router();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    Endpoint::from_shared(url).unwrap()
}

/// Announces a message, sends `sent` bytes of it and then nothing; returns what it is told.
async fn half_sent(mut channel: Channel, method: &str, announced: u32, sent: usize) -> Status {
    let (parts, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(4);
    let body = tonic::body::Body::new(Body::from_stream(ReceiverStream::new(receiver)));
    let request = Request::post(method).header(header::CONTENT_TYPE, "application/grpc");
    let request = request.body(body).unwrap();
    let told = async {
        poll_fn(|context| channel.poll_ready(context)).await.unwrap();
        let (head, mut body) = channel.call(request).await.unwrap().into_parts();
        let mut told = Status::from_header_map(&head.headers);
        while told.is_none() {
            let frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
            let frame = frame.expect("a status ends the answer").unwrap();
            told = frame.trailers_ref().and_then(Status::from_header_map);
        }
        told.unwrap()
    };
    let send = async {
        let mut prefix = vec![0];
        prefix.extend(announced.to_be_bytes());
        let part = Bytes::from(vec![0; 64 << 10]);
        let rest = (0..sent).step_by(part.len()).map(|at| part.slice(..part.len().min(sent - at)));
        for part in std::iter::once(Bytes::from(prefix)).chain(rest) {
            if parts.send(Ok(part)).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        told = tokio::time::timeout(Duration::from_secs(5), told) => told.expect("an answer in time"),
        () = send => unreachable!(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_cannot_have_a_large_message_held() {
    let house = House::build(&[]).await;
    let endpoint = serve(&house).await;
    let mut calls = JoinSet::new();
    for _ in 0..4 {
        let channel = endpoint.connect().await.unwrap();
        for method in [SUBSCRIBE, APPEND].repeat(20) {
            calls.spawn(half_sent(channel.clone(), method, 40 << 20, 1 << 20));
        }
    }
    let told = calls.join_all().await;
    assert_eq!(told.len(), 160);
    for status in told {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert_eq!(status.metadata().get("exhibit-code").unwrap(), "message_of_a_stranger");
        assert!(status.message().contains("41943040 bytes"), "{status:?}");
    }
    // Nothing of that is left: a reader is heard, and told that it showed no token.
    let mut client = LedgerClient::new(endpoint.connect().await.unwrap());
    let index = proto::v1::SubscribeRequest { from_index: u64::MAX };
    let refused = client.subscribe(index).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_that_proved_its_key_sends_the_largest_events() {
    let house = House::build(&[]).await;
    let channel = serve(&house).await.connect().await.unwrap();
    let mut client = LedgerClient::new(channel).max_encoding_message_size(MAX_GRPC_BYTES);
    let (frames, receiver) = mpsc::channel(16);
    let sent = ReceiverStream::new(receiver).map(|frame: Result<_, Status>| frame.unwrap());
    let answers = client.append(sent).await.unwrap().into_inner();
    let mut stream = Stream::prove(1, frames, Box::pin(answers)).await;

    let content = Bytes::from(vec![b'x'; MAX_MESSAGE_BYTES]);
    let salt = [7; 32];
    let slots = [Slot::Message, Slot::DecisionInput];
    let call = Call { server: "s".into(), method: "tools/call".into(), ..Call::default() };
    let mut event = proto::decode_event(&stream.event(None).0).unwrap();
    event.kind = Some(Kind::RequestReceived(RequestReceived {
        call: Some(call),
        ..RequestReceived::default()
    }));
    event.disclosures =
        slots.iter().map(|slot| disclose(*slot, MediaType::Text, &salt, &content)).collect();
    let opening = |slot: &Slot| Opening {
        slot: (*slot).into(),
        salt: Bytes::copy_from_slice(&salt),
        content: content.clone(),
    };
    let openings = slots.iter().map(opening).collect();
    let event = NewEvent { event: encode_event(&event).unwrap(), openings };
    stream.send(Frame::Events(Events { events: vec![event] })).await;
    let places = stream.acknowledged().await.unwrap();
    assert_eq!((places.len(), places[0].sequence), (1, 0));
}
