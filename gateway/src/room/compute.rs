//! Heavy computations: away from the threads that serve connections, and only so many at once.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// From this size of a message on, reading, judging and masking it is heavy.
pub(crate) const HEAVY_BYTES: usize = 4 * 1024;

/// As many places as there are processors; whoever comes then waits.
#[derive(Debug)]
pub(crate) struct Computers(Arc<Semaphore>);

impl Computers {
    pub(crate) fn new() -> Computers {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Computers(Arc::new(Semaphore::new(processors)))
    }

    /// Runs a computation on a message of this size; `None` when it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        size_bytes: usize,
        compute: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if size_bytes < HEAVY_BYTES {
            return Some(compute());
        }
        // The place is held by the computation itself: it goes on when nobody waits for it any more.
        let place = Arc::clone(&self.0).acquire_owned().await.ok()?;
        let computing = tokio::task::spawn_blocking(move || {
            let computed = compute();
            drop(place);
            computed
        });
        computing.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn heavy_work_that_panics_is_told() {
        let computers = Computers::new();
        let places = computers.0.available_permits();
        assert_eq!(computers.run(HEAVY_BYTES, || 7).await, Some(7));
        assert_eq!(computers.run::<u8>(HEAVY_BYTES, || panic!("for the test")).await, None);
        assert_eq!(computers.0.available_permits(), places);
    }

    #[tokio::test]
    async fn only_heavy_work_moves_and_only_so_much_at_once() {
        let here = std::thread::current().id();
        let computers = Computers(Arc::new(Semaphore::new(2)));
        let place = |size| computers.run(size, || std::thread::current().id());
        assert_eq!(place(HEAVY_BYTES - 1).await, Some(here));
        assert_ne!(place(HEAVY_BYTES).await, Some(here));
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = || {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            computers.run(HEAVY_BYTES, move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
            })
        };
        futures_util::future::join_all((0..64).map(|_| work())).await;
        assert!(most.load(Ordering::SeqCst) <= 2, "{most:?}");
    }
}
