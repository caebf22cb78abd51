//! Every target on a stable toolchain, for some seconds.

mod nearly;

use targets::{events, log, stored, tokens, witnessed};

use nearly::smoke;

#[test]
fn note() {
    smoke("note", log::note);
}

#[test]
fn checkpoint() {
    smoke("checkpoint", log::checkpoint);
}

#[test]
fn tile_path() {
    smoke("tile_path", log::tile_path);
}

#[test]
fn bundle() {
    smoke("bundle", log::bundle);
}

#[test]
fn proof_file() {
    smoke("proof_file", log::proof_file);
}

#[test]
fn proof() {
    smoke("proof", log::proof);
}

#[test]
fn receipt() {
    smoke("receipt", log::receipt);
}

#[test]
fn policy() {
    smoke("policy", log::policy);
}

#[test]
fn entry() {
    smoke("entry", events::entry);
}

#[test]
fn event() {
    smoke("event", events::event);
}

#[test]
fn append() {
    smoke("append", events::append);
}

#[test]
fn subscribed() {
    smoke("subscribed", events::subscribed);
}

#[test]
fn token() {
    smoke("token", tokens::token);
}

#[test]
fn add_checkpoint() {
    smoke("add_checkpoint", witnessed::add_checkpoint);
}

#[test]
fn manifest() {
    smoke("manifest", stored::manifest);
}

#[test]
fn wal() {
    smoke("wal", stored::wal);
}
