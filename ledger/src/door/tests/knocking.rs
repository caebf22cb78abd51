//! Callers without a good token: recorded, and not able to fill the log.

use identity::knocks::IN_FULL;
use proto::kind::Kind;
use proto::v1::{Opening, Slot};
use tonic::Code;

use super::reading::subscribe;
use super::{House, disclosed, leaves, machine};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_known_is_recorded() {
    let house = House::build(&["auditor"]).await;
    let foreign = machine("auditor").token("http://elsewhere").unwrap();
    assert_eq!(subscribe(&house, None, 0).await, Err(Code::Unauthenticated));
    assert_eq!(subscribe(&house, Some(&foreign), 0).await, Err(Code::Unauthenticated));
    let failed = |kind: &Kind| match kind {
        Kind::AuthenticationFailed(failed) => {
            Some((failed.server.clone(), failed.reason().as_str_name(), failed.http_status))
        }
        _ => None,
    };
    let failed: Vec<_> = house.kinds().iter().filter_map(failed).collect();
    let at = |reason| ("ledger".to_owned(), reason, 401);
    assert_eq!(failed, [at("REASON_MISSING"), at("REASON_WRONG_AUDIENCE")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_counted_and_every_attempt_is_in_the_record() {
    let house = House::build(&["auditor"]).await;
    let foreign = machine("auditor").token("http://elsewhere").unwrap();
    for _ in 0..100 {
        assert_eq!(subscribe(&house, None, 0).await, Err(Code::Unauthenticated));
    }
    for _ in 0..7 {
        assert_eq!(subscribe(&house, Some(&foreign), 0).await, Err(Code::Unauthenticated));
    }
    let doors = house.doors();
    house.ledger.stop().await;
    let recorded = leaves(&doors);
    let failed: Vec<(u64, &str, &[Opening])> = recorded
        .iter()
        .filter_map(|(leaf, openings)| match &leaf.event.kind {
            Some(Kind::AuthenticationFailed(failed)) => {
                Some((failed.count, failed.reason().as_str_name(), openings.as_slice()))
            }
            _ => None,
        })
        .collect();
    let (alone, counted) = failed.split_at(IN_FULL as usize);
    assert!(alone.iter().all(|(count, reason, _)| (*count, *reason) == (0, "REASON_MISSING")));
    let counts: Vec<_> = counted.iter().map(|(count, reason, _)| (*count, *reason)).collect();
    assert_eq!(
        counts,
        [(100 - u64::from(IN_FULL), "REASON_MISSING"), (7, "REASON_WRONG_AUDIENCE")]
    );
    for (_, _, openings) in &failed {
        assert_eq!(disclosed(openings, Slot::Client), "{\"address\":\"192.0.2.7\"}");
    }
}
