//! Reading entries at the ledger's own doors is itself recorded.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Path, State};
use axum::http::{Extensions, HeaderMap, StatusCode};
use futures_util::StreamExt;
use proto::kind::Kind;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use proto::v1::ledger_server::Ledger as _;
use proto::v1::subscribe_response::Item;
use proto::v1::{Slot, SubscribeRequest};
use tonic::Code;

use super::issuer::Issuer;
use super::{House, URL, disclosed, eventually, machine};
use crate::door::tiles;

const ROLES: [&str; 4] = ["auditor", "siem", "approver", "follower"];

/// How many entries come first.
pub(super) async fn subscribe(
    house: &House,
    token: Option<&str>,
    from_index: u64,
) -> Result<usize, Code> {
    let mut request = tonic::Request::new(SubscribeRequest { from_index });
    let address: SocketAddr = "192.0.2.7:40000".parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(address));
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let mut stream = house.doors().subscribe(request).await.map_err(|s| s.code())?.into_inner();
    match stream.next().await.unwrap().unwrap().item.unwrap() {
        Item::Entries(entries) => Ok(entries.entries.len()),
        Item::Checkpoint(_) => Ok(0),
    }
}

async fn tile(house: &House, path: &str, token: &str) -> StatusCode {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    let doors = State(house.doors());
    tiles::tile(doors, Path(path.to_owned()), Extensions::new(), headers).await.status()
}

fn token(role: &str) -> String {
    machine(role).token(URL).unwrap()
}

/// Door, result and role of every recorded access.
fn accesses(house: &House) -> Vec<(Door, Outcome, String)> {
    let access = |kind: &Kind| match kind {
        Kind::EvidenceAccessed(access) => {
            Some((access.door(), access.result(), access.role.clone()))
        }
        _ => None,
    };
    house.kinds().iter().filter_map(access).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_recorded_before_its_first_entry() {
    let house = House::build(&ROLES).await;
    eventually("the start is published", || house.doors().published.borrow().checkpoint.size.0 > 0)
        .await;
    assert!(subscribe(&house, Some(&token("follower")), 0).await.unwrap() > 0);
    assert!(accesses(&house).is_empty(), "a node of the system records its own readers");

    assert!(subscribe(&house, Some(&token("auditor")), 0).await.unwrap() > 0);
    let one = (Door::Subscribe, Outcome::Allowed, "auditor".to_owned());
    assert_eq!(accesses(&house), [one]);
    let leaves = house.leaves();
    let (_, openings) = leaves.last().unwrap();
    let principal = disclosed(openings, Slot::Principal);
    assert!(principal.contains("\"auditor\""), "{principal}");
    assert_eq!(disclosed(openings, Slot::Client), "{\"address\":\"192.0.2.7\"}");

    assert_eq!(subscribe(&house, Some(&token("approver")), 0).await, Err(Code::PermissionDenied));
    assert_eq!(subscribe(&house, Some(&token("siem")), 4711).await, Err(Code::OutOfRange));
    assert_eq!(
        accesses(&house)[1..],
        [
            (Door::Subscribe, Outcome::Denied, String::new()),
            (Door::Subscribe, Outcome::Refused, "siem".to_owned()),
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_issuer_says_makes_nobody_a_follower() {
    let issuer = Issuer::start().await;
    let house = House::build_with(&ROLES, |config| {
        config.identity.issuers.push(issuer.config());
    })
    .await;
    eventually("the start is published", || house.doors().published.borrow().checkpoint.size.0 > 1)
        .await;
    let lone = issuer.token("eve", &["follower"]);
    assert_eq!(subscribe(&house, Some(&lone), 0).await, Err(Code::PermissionDenied));
    assert_eq!(tile(&house, "entries/000.p/2", &lone).await, StatusCode::FORBIDDEN);
    // With a reader's role she has what that role has, and is recorded.
    let siem = issuer.token("ada", &["follower", "siem"]);
    assert!(subscribe(&house, Some(&siem), 0).await.unwrap() > 0);
    assert_eq!(
        accesses(&house),
        [
            (Door::Subscribe, Outcome::Denied, String::new()),
            (Door::Tiles, Outcome::Denied, String::new()),
            (Door::Subscribe, Outcome::Allowed, "siem".to_owned()),
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tile_of_entries_is_recorded_and_a_tile_of_hashes_is_not() {
    let house = House::build(&ROLES).await;
    eventually("the start is published", || house.doors().published.borrow().checkpoint.size.0 > 1)
        .await;
    let get = async |path: &str, role: &str| tile(&house, path, &token(role)).await;
    assert_eq!(get("0/000.p/2", "auditor").await, StatusCode::OK);
    assert_eq!(get("entries/000.p/2", "follower").await, StatusCode::OK);
    assert!(accesses(&house).is_empty());
    assert_eq!(get("entries/000.p/2", "auditor").await, StatusCode::OK);
    assert_eq!(get("entries/999", "auditor").await, StatusCode::NOT_FOUND);
    assert_eq!(get("entries/000.p/2", "approver").await, StatusCode::FORBIDDEN);
    assert_eq!(
        accesses(&house),
        [
            (Door::Tiles, Outcome::Allowed, "auditor".to_owned()),
            (Door::Tiles, Outcome::Refused, "auditor".to_owned()),
            (Door::Tiles, Outcome::Denied, String::new()),
        ]
    );
    let range = house.kinds().into_iter().find_map(|kind| match kind {
        Kind::EvidenceAccessed(access) => Some((access.first_index, access.end_index)),
        _ => None,
    });
    assert_eq!(range, Some((0, 2)));
}
