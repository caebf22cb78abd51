//! The verified follower: reads the log in order, recomputes its tree, and believes no checkpoint that it did
//! not reach by itself.

pub(crate) mod chain;
pub(crate) mod contradiction;
pub(crate) mod copy;
pub(crate) mod marks;
pub(crate) mod nodes;
pub(crate) mod state;
pub(crate) mod stream;
pub(crate) mod view;

pub use chain::{Accepted, Chain};
pub use contradiction::{Contradiction, ContradictionKind};
pub use nodes::Nodes;
