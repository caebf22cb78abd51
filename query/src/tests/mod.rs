//! Tests of the node as a whole: a generated log is followed, asked and pulled, without a network.

mod copy;
mod deliveries;
mod feed;
mod fixture;
mod hostile;
mod memory;
mod ocsf;
mod refusals;
mod sql;
mod workbench;
