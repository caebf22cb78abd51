//! Whom nobody knows does not fill the log, and every refusal is in it all the same.

use std::sync::Arc;

use proto::kind::Kind;
use proto::v1::Slot;

use crate::world::{Recorded, World, answer, call};

/// Events of refusals, and how many refusals they stand for.
fn refused(recorded: &[Recorded]) -> (usize, u64) {
    let counts: Vec<u64> = recorded
        .iter()
        .filter_map(|event| match &event.kind {
            Kind::AuthenticationFailed(failed) => Some(failed.count),
            Kind::CallDenied(denied) => Some(denied.count),
            _ => None,
        })
        .collect();
    (counts.len(), counts.iter().map(|count| (*count).max(1)).sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_strangers_are_few_events_and_add_up() {
    let world = World::start("", Arc::new(|_, _| answer(200, "text/plain", ""))).await;
    let agent = "y".repeat(9_000);
    for _ in 0..40 {
        let knock = world.post("guarded", call(1)).header("user-agent", &agent);
        assert_eq!(knock.send().await.unwrap().status(), 401);
        assert_eq!(world.post("nowhere", call(1)).send().await.unwrap().status(), 404);
        let page = world.post("open", call(1)).header("origin", "https://evil.example");
        assert_eq!(page.send().await.unwrap().status(), 403);
    }
    let first = world.until("the first few", |recorded| refused(recorded).0 >= 20).await;
    assert_eq!(refused(&first), (20, 20));
    for event in first {
        let client = event.text(Slot::Client).unwrap_or_default();
        assert!(!client.contains("yyy"), "{client}");
    }
    world.gateway.stop().await;
    let recorded = world.until("all of them", |recorded| refused(recorded).1 >= 120).await;
    assert_eq!(refused(&recorded), (23, 120));
    let counted = recorded.iter().filter(|event| match &event.kind {
        Kind::AuthenticationFailed(failed) => failed.count > 0 && failed.server == "guarded",
        Kind::CallDenied(denied) => denied.count > 0,
        _ => false,
    });
    let addresses: Vec<_> = counted.map(|event| event.text(Slot::Client).unwrap()).collect();
    assert_eq!(addresses, [r#"{"address":"127.0.0.1"}"#; 3]);
}
