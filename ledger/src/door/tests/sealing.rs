//! The ledger seals its own chain.

use proto::chain::ChainHead;
use proto::seal::Seal;
use proto::v1::RecorderSeal;
use tlog::{Hash, TreeSize};

use super::append::Stream;
use super::*;

/// Number of own events, and whether the last of them is a seal.
fn own_chain(house: &House) -> (usize, bool) {
    let kinds = house.kinds();
    (kinds.len(), matches!(kinds.last(), Some(Kind::RecorderSeal(_))))
}

#[tokio::test]
async fn what_the_ledger_recorded_is_sealed_within_seconds() {
    let house = House::build(&[]).await;
    let sealed_after = |events: usize| {
        let house = &house;
        async move {
            let deadline = Instant::now() + Duration::from_secs(5);
            loop {
                let (count, sealed) = own_chain(house);
                if count > events && sealed {
                    return count;
                }
                assert!(Instant::now() < deadline, "{count} events, sealed: {sealed}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    // Twice, so that the seal of the start is not taken for the second.
    let mut events = sealed_after(0).await;
    for _ in 0..2 {
        let marked = Kind::LogMark(proto::v1::LogMark::default());
        house.doors().own.record(marked, Vec::new()).await.unwrap();
        events = sealed_after(events + 1).await;
    }
    assert!(events < 20, "an idle chain is sealed again and again: {events} events");
}

/// Break it: let `Intake::check_seal` take any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seal_that_does_not_verify_is_refused() {
    let house = House::build(&[]).await;
    let sealed = |epoch: u8, head: ChainHead, change: fn(&mut RecorderSeal)| {
        let seal = Seal {
            origin: ORIGIN,
            recorder_id: "r",
            epoch: proto::ids::Id([epoch; 16]),
            head,
            checkpoint_size: TreeSize(0),
            checkpoint_root: Hash::empty_root(),
        };
        let mut sealed = RecorderSeal {
            sequence: head.sequence,
            hash: head.hash.to_vec().into(),
            checkpoint_size: 0,
            checkpoint_root: seal.checkpoint_root.0.to_vec().into(),
            key_id: recorder().verifying_key().key_id().to_vec().into(),
            signature: seal.sign(&recorder()).to_vec().into(),
            clock: None,
        };
        change(&mut sealed);
        Kind::RecorderSeal(sealed)
    };
    let changes: [fn(&mut RecorderSeal); 4] = [
        |_| {},
        |seal| seal.signature = vec![0; 64].into(),
        |seal| seal.checkpoint_size = 9,
        |seal| seal.hash = vec![3; 32].into(),
    ];
    for (epoch, change) in (1..).zip(changes) {
        let mut stream = Stream::open(&house, epoch).await;
        let (first, head) = stream.event(None);
        let (seal, _) = stream.event_of(Some(&head), sealed(epoch, head, change));
        stream.append(&[&first]).await;
        assert_eq!(stream.acknowledged().await.unwrap().len(), 1);
        stream.append(&[&seal]).await;
        let answer = stream.acknowledged().await.map(|places| places.len());
        let expected = if epoch == 1 { Ok(1) } else { Err("seal_invalid".to_owned()) };
        assert_eq!(answer, expected, "change {epoch}");
    }
}
