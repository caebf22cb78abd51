# The front desk. `make` lists what there is; each recipe does one thing.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:

# One target directory for demo, tests and CI, outside the checkout, so that builds stay warm.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/exhibit-target
export CARGO_TERM_COLOR ?= auto
# RocksDB is most of a cold build; clang++, which is there for its bindings anyway, takes half of g++'s time.
ifeq ($(origin CXX),default)
CXX := clang++
endif
export CXX
# Every build is linted: clippy stands in for rustc, and warnings are errors. So lint, tests and demo share one build.
export RUSTC_WORKSPACE_WRAPPER := clippy-driver
export CLIPPY_ARGS := -D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__
BIN := $(CARGO_TARGET_DIR)/debug/exhibit
PREFIX ?= $(HOME)/.cargo

.PHONY: help demo build install test fuzz bench-ledger lint fmt docs setup peers clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: build ## Build everything, then show Exhibit at work (under a minute once built)
	$(BIN) demo $(ARGS)

build: setup ## Build the exhibit command and the test binaries
	cargo build --workspace --all-targets --locked

test: build peers ## Run every test
	cargo test --workspace --locked

fuzz: ## Fuzz every decoder of outside bytes that is ours for a minute each (a nightly toolchain; `make test` has a short smoke of it)
	scripts/fuzz.sh $(or $(ARGS),60)

bench-ledger: setup ## Measure the ledger beside RocksDB alone: one table (docs/benchmarks.md; 25 GB of disk, half an hour)
	cargo bench -p ledger --bench ledger --locked -- $(ARGS)

install: setup ## Build the exhibit command optimized, and put it into $(PREFIX)/bin
	cargo build --release --package cli --bin exhibit --locked
	install -D -m 755 $(CARGO_TARGET_DIR)/release/exhibit $(PREFIX)/bin/exhibit

lint: setup ## Formatting, clippy; licences and sources when cargo-deny is there
	cargo fmt --all --check
	cargo build --workspace --all-targets --locked
	scripts/deny.sh

fmt: ## Format the code
	cargo fmt --all

docs: setup ## API documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

setup: ## What the system must have: a C++ compiler, libclang
	@scripts/setup.sh

peers: ## MCP clients, servers and stock tools that the tests use, pinned
	@scripts/peers.sh

clean: ## Remove build results
	cargo clean
