# The front desk. `make` lists what there is; each recipe does one thing.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:

# One target directory for demo, tests and CI, outside the checkout, so that builds stay warm.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/exhibit-target
export CARGO_TERM_COLOR ?= auto
BIN := $(CARGO_TARGET_DIR)/debug/exhibit
PREFIX ?= $(HOME)/.cargo

.PHONY: help demo build install test lint fmt docs setup peers clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: build ## Build everything, then show Exhibit at work (under a minute once built)
	$(BIN) demo $(ARGS)

build: setup ## Build the exhibit command and the test binaries
	cargo build --workspace --all-targets --locked

test: build peers ## Run every test
	cargo test --workspace --locked

install: build ## Put the exhibit command into $(PREFIX)/bin
	install -D -m 755 $(BIN) $(PREFIX)/bin/exhibit

lint: setup ## Formatting, clippy; licences and sources when cargo-deny is there
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
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
