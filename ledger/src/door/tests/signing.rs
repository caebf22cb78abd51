//! The signed root is that of the published tree, for everybody.

use axum::extract::State;
use tlog::{LeafIndex, SignedRoot, leaf_hash, prove_inclusion, verify_receipt};

use super::{House, ORIGIN, eventually, key};
use crate::door::signed_root::signed_root;

async fn fetch(house: &House) -> Vec<u8> {
    let answer = signed_root(State(house.doors())).await;
    assert_eq!(answer.headers()["content-type"], "application/cose; cose-type=\"cose-sign1\"");
    axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anybody_makes_receipts_of_the_signed_root() {
    let house = House::build(&[]).await;
    eventually("the start is published", || house.doors().published.borrow().checkpoint.size.0 > 1)
        .await;
    let log = key(ORIGIN, 1).verifying_key();
    let message = fetch(&house).await;
    let root = SignedRoot::open(&message, &log).unwrap();
    let again = fetch(&house).await;
    let doors = house.doors();
    let published = doors.published.borrow().checkpoint.clone();
    // The log may have grown meanwhile, by its own seals.
    assert!(root.checkpoint().size.0 > 1 && root.checkpoint().size <= published.size);
    assert_eq!(doors.tree.root_at(root.checkpoint().size).unwrap(), root.checkpoint().root);
    if SignedRoot::open(&again, &log).unwrap().checkpoint() == root.checkpoint() {
        assert_eq!(again, message);
    }
    let entry = doors.store.entries(LeafIndex(1), 1, usize::MAX).unwrap().remove(0);
    let path = prove_inclusion(LeafIndex(1), root.checkpoint().size, &doors.tree).unwrap();
    let receipt = root.receipt(LeafIndex(1), &leaf_hash(&entry), &path).unwrap();
    let shown = verify_receipt(&receipt, &leaf_hash(&entry), &log).unwrap();
    assert_eq!(shown, (LeafIndex(1), root.checkpoint().clone()));
}
