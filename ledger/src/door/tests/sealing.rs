//! The ledger seals its own chain.

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
