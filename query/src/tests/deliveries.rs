//! The records of feed deliveries: nobody waits for another's, each names whom it went to, none is lost.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::Request;
use futures_util::future::BoxFuture;
use proto::Role;
use proto::kind::Kind;
use tokio::sync::watch;

use super::fixture::{Node, Notebook, TestLog, URL, machine};
use crate::config::Limits;
use crate::door::access::Visitor;
use crate::feed::deliveries::Deliveries;
use crate::journal::{Access, Journal, Unrecorded};

/// A ledger that can be away: what is recorded meanwhile waits.
struct Gated {
    notebook: Notebook,
    is_open: watch::Sender<bool>,
}

impl Gated {
    fn new() -> Arc<Self> {
        Arc::new(Self { notebook: Notebook::default(), is_open: watch::Sender::new(true) })
    }

    fn ranges(&self) -> Vec<(u64, u64)> {
        let range = |kind| match kind {
            Kind::EvidenceAccessed(access) => (access.first_index, access.end_index),
            other => panic!("{other:?}"),
        };
        self.notebook.kinds().into_iter().map(range).collect()
    }
}

impl Journal for Gated {
    fn record(&self, access: Access) -> BoxFuture<'_, Result<(), Unrecorded>> {
        Box::pin(async move {
            let mut is_open = self.is_open.subscribe();
            is_open.wait_for(|is_open| *is_open).await.unwrap();
            self.notebook.record(access).await
        })
    }

    fn readiness(&self) -> Result<(), Unrecorded> {
        Ok(())
    }
}

async fn visitor(node: &Node, role: &str, address: &str) -> Visitor {
    let address: SocketAddr = address.parse().unwrap();
    let request = Request::get("/v1/events")
        .extension(ConnectInfo(address))
        .header("authorization", format!("Bearer {}", machine(role).token(URL).unwrap()));
    node.doors.admit(&request.body(()).unwrap().into_parts().0).await.unwrap()
}

/// Whether it came to pass before long.
async fn soon(work: impl Future<Output = Result<(), Unrecorded>>) -> bool {
    let outcome = tokio::time::timeout(Duration::from_millis(500), work).await;
    outcome.is_ok_and(|outcome| outcome.is_ok())
}

fn node() -> Node {
    Node::start(&TestLog::of_exchanges(1), &Limits::default())
}

#[tokio::test]
async fn nobody_waits_for_the_record_of_another() {
    let node = node();
    let one = visitor(&node, "siem", "192.0.2.1:1").await;
    let other = visitor(&node, "auditor", "192.0.2.2:1").await;
    let (ledger, deliveries) = (Gated::new(), Arc::new(Deliveries::new(Duration::from_secs(300))));
    let deliver = |visitor: &Visitor, range: Range<u64>| {
        let (visitor, ledger, deliveries) =
            (visitor.clone(), Arc::clone(&ledger), Arc::clone(&deliveries));
        async move { deliveries.deliver(ledger.as_ref(), (&visitor, Role::Siem), range, 9).await }
    };
    assert!(soon(deliver(&one, 0..1)).await && soon(deliver(&one, 1..2)).await);
    ledger.is_open.send_replace(false);
    let first = tokio::spawn(deliver(&other, 0..1));
    let flushed = tokio::spawn({
        let (ledger, deliveries) = (Arc::clone(&ledger), Arc::clone(&deliveries));
        async move { deliveries.flush(ledger.as_ref(), true).await }
    });
    tokio::task::yield_now().await;
    // Both wait for the ledger; what needs no record now does not.
    assert!(soon(deliver(&one, 2..3)).await, "a delivery waited for the record of another");
    assert!(!first.is_finished() && !flushed.is_finished());
    ledger.is_open.send_replace(true);
    first.await.unwrap().unwrap();
    flushed.await.unwrap();
    deliveries.flush(ledger.as_ref(), true).await;
    let mut ranges = ledger.ranges();
    ranges[1..3].sort_unstable();
    assert_eq!(ranges, [(0, 1), (0, 1), (1, 2), (2, 3)]);
}

#[tokio::test]
async fn a_record_names_the_address_and_the_token_that_it_went_to() {
    let node = node();
    let ledger = Notebook::default();
    let deliveries = Deliveries::new(Duration::from_secs(300));
    let home = visitor(&node, "siem", "192.0.2.1:1").await;
    let away = visitor(&node, "siem", "198.51.100.9:1").await;
    for (visitor, range) in [(&home, 0..1), (&home, 1..2), (&away, 2..3), (&away, 3..4)] {
        deliveries.deliver(&ledger, (visitor, Role::Siem), range, 9).await.unwrap();
    }
    deliveries.flush(&ledger, true).await;
    let accesses = ledger.accesses.lock().unwrap();
    let mut told: Vec<(u64, bool, bool)> = accesses
        .iter()
        .map(|access| {
            let Kind::EvidenceAccessed(accessed) = &access.kind else { panic!("{access:?}") };
            let client = String::from_utf8(access.disclosures[1].2.to_vec()).unwrap();
            (accessed.first_index, client.contains("192.0.2.1"), client.contains("198.51.100.9"))
        })
        .collect();
    told.sort_unstable();
    assert_eq!(told, [(0, true, false), (1, true, false), (2, false, true), (3, false, true)]);
}

#[tokio::test]
async fn what_was_delivered_is_recorded_though_the_one_who_recorded_it_left() {
    let node = node();
    let one = visitor(&node, "siem", "192.0.2.1:1").await;
    let (ledger, deliveries) = (Gated::new(), Deliveries::new(Duration::ZERO));
    let deliver = |range| deliveries.deliver(ledger.as_ref(), (&one, Role::Siem), range, 9);
    assert!(soon(deliver(0..1)).await);
    ledger.is_open.send_replace(false);
    // Due, so it waits for the ledger; the caller leaves meanwhile.
    assert!(!soon(deliver(1..2)).await);
    ledger.is_open.send_replace(true);
    *ledger.notebook.is_broken.lock().unwrap() = true;
    assert!(!soon(deliver(2..3)).await);
    *ledger.notebook.is_broken.lock().unwrap() = false;
    deliveries.flush(ledger.as_ref(), false).await;
    assert_eq!(ledger.ranges(), [(0, 1), (1, 3)]);
    deliveries.flush(ledger.as_ref(), true).await;
    assert_eq!(ledger.ranges().len(), 2, "nothing is recorded twice");
}
