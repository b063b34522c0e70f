# Everything here works on a bare Debian machine with git, curl, make and a Rust toolchain: what a target needs it installs
# (as root, through apt), or says by name.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench deny build-tools test-tools

CARGO ?= cargo
DENY_VERSION := 0.20.2

help: ## What there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

demo: build-tools ## Two stub shards, two proxies, a few conferences, and a live table of who sits where
	$(CARGO) build --quiet --package proxy --package loadtest
	@$(CARGO) run --quiet --package loadtest -- demo $(ARGS)

test: build-tools test-tools ## All tests, those against real Prosody servers included
	$(CARGO) test --workspace --all-targets
	$(CARGO) test --workspace --doc

lint: build-tools deny ## Formatting, clippy, docs, dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --workspace --no-deps --document-private-items --quiet

bench: build-tools ## Measure: time per decision, memory per idle tunnel
	$(CARGO) bench --package router-core
	$(CARGO) build --release --package proxy --package loadtest
	$(CARGO) run --release --package loadtest -- tunnels-memory

# The advisory database is not reachable from everywhere; `cargo deny check advisories` runs where it is.
deny:
	@.ci/need cargo-deny@$(DENY_VERSION)
	$(CARGO) deny --all-features check bans licenses sources

build-tools:
	@.ci/need cc:build-essential cmake

test-tools:
	@.ci/need prosody haproxy promtool:prometheus ip:iproute2
