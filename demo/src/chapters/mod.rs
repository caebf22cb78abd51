//! The demo's chapters: each shows one thing, and fails when it does not hold.

mod asked;
mod kept;
mod packaged;
mod proved;
mod seen;
mod tampered;

pub use asked::asked;
pub use kept::{Kept, kept};
pub use packaged::packaged;
pub use proved::proved;
pub use seen::{Counts, seen};
pub use tampered::tampered;
