//! A real log, made on the spot, and a node that follows it.

mod log;
mod node;

use std::sync::Arc;

use tempfile::TempDir;

use crate::config::Limits;
use crate::follower::copy::LocalCopy;
use crate::follower::view::View;

pub(crate) use log::{SECOND_NS, START_NS, TestLog, URL, call, checkpoint_message, log_key};
pub(crate) use node::{Answer, Node, Notebook, machine};

/// A local copy of a log in a folder of its own.
pub(crate) fn open(dir: &TempDir, limits: &Limits) -> LocalCopy {
    LocalCopy::open(dir.path(), log_key().verifying_key(), limits).unwrap()
}

/// Follows what there is, in runs of a few entries, to the end.
pub(crate) fn follow(copy: &mut LocalCopy, log: &TestLog, run: u64) -> Arc<View> {
    let mut view = None;
    while copy.next_index() < log.len() {
        let range = copy.next_index()..log.len().min(copy.next_index() + run);
        for message in log.run(range) {
            view = copy.take(message).unwrap().or(view);
        }
    }
    view.or_else(|| copy.view()).unwrap()
}
