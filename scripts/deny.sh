#!/usr/bin/env bash
# Licences, sources and duplicates of dependencies by deny.toml; advisories when their database can be reached.
set -eu

if ! command -v cargo-deny >/dev/null 2>&1; then
  echo "lint: cargo-deny is not installed (cargo install cargo-deny --locked); licences and sources unchecked"
  exit 0
fi
cargo deny --locked check bans licenses sources
