//! What retention waits for before it erases. It asks nobody, and what it erases is gone for good.

mod clock;
mod shortened;

use std::io;
use std::path::Path;
use std::sync::Arc;

use tlog::Policy;
use tokio::sync::watch;

use self::clock::TrustedClock;
use self::shortened::Shortened;
use crate::health::Troubles;
use crate::publish::Published;
use crate::retention::{DAY_NS, Retention};

/// What is known at a start.
pub(crate) struct Caution {
    clock: TrustedClock,
    shortened: Shortened,
}

/// What a start knows.
pub(crate) struct Started {
    /// Nothing was recorded before it.
    pub(crate) is_new: bool,
    /// Its clock, Unix ns.
    pub(crate) started_ns: u64,
    /// The day since 1970 that a person says it is, and that retention is meant as it is configured.
    pub(crate) confirmed_day: Option<u64>,
}

impl Caution {
    /// Holds clock and classes against what the ledger's folder remembers of them, and writes there what is in force now.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn at(
        started: &Started,
        data_dir: &Path,
        retention: &Retention,
        policy: Option<Arc<Policy>>,
        published: watch::Receiver<Arc<Published>>,
    ) -> io::Result<Self> {
        started.tell();
        let shortened = Shortened::at(started, data_dir, retention)?;
        let clock = TrustedClock::at(started, data_dir, policy, published)?;
        Ok(Self { clock, shortened })
    }

    /// Whether nothing of a class is erased in this start.
    pub(super) fn holds_back(&self, class: &str) -> bool {
        self.shortened.has(class)
    }

    /// Tells what waits; whether anything may be erased at all.
    pub(super) fn allows(&self, now_ns: u64, troubles: &Troubles) -> bool {
        self.shortened.tell(troubles);
        self.clock.allows(now_ns, troubles)
    }
}

impl Started {
    /// Says what became of a person's word.
    fn tell(&self) {
        if self.is_confirmed() {
            tracing::info!("clock and retention are confirmed: what is due is erased");
        } else if self.confirmed_day.is_some() {
            tracing::warn!(
                "--retention-confirmed confirms nothing: the day that it names is not today's, by this clock"
            );
        }
    }

    /// The person may live where it is another day.
    fn is_confirmed(&self) -> bool {
        self.confirmed_day.is_some_and(|day| day.abs_diff(self.started_ns / DAY_NS) <= 1)
    }
}
