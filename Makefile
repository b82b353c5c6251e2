# The commands a developer types: run, test, check and format the project. Nothing is built here.

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help run gateway build-tests test test-gateway test-citus test-previous test-openapi contract docs release-contract bench soak lint lint-openapi fmt

# rustup's programs count as installed even where a shell profile has not put them on PATH.
ifeq ($(shell command -v cargo),)
cargo_bin := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin
ifneq ($(wildcard $(cargo_bin)/cargo),)
export PATH := $(cargo_bin):$(PATH)
endif
endif

# Arguments handed on by `run`, `test` and `bench`, e.g. `make test ARGS='--test it tasks'`.
ARGS ?=

shell_scripts := $(shell grep -lE '^.!/.*bash' scripts/* .ci/* 2>/dev/null)

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: ## Build the server and run it on the embedded database
	@echo 'Building and starting taskwire (the first build takes five to ten minutes on two cores; Ctrl-C stops the server)' >&2
	@cargo run --release --locked -- serve $(ARGS)

gateway: ## Run the server with the REST gateway in front of it, on 127.0.0.1:8080
	@cargo build --release --locked
	@TASKWIRE_REQUIRE_GATEWAY=1 scripts/with-gateway scripts/gateway

# Also the program, as the tests run it: with checks of its arithmetic that a release has not.
build-tests:
	@cargo test --locked --no-run

test: ## Run every test, on SQLite and on a throw-away PostgreSQL
	@scripts/with-buf scripts/with-postgres env -u TASKWIRE_TEST_CITUS_URL cargo test --locked $(ARGS)
	@$(if $(ARGS),:,$(MAKE) --no-print-directory test-gateway test-citus)

test-gateway: build-tests ## Test the REST gateway and the example clients
	@TASKWIRE_TEST_BINARY=$(CURDIR)/target/debug/taskwire \
		scripts/with-buf scripts/with-gateway scripts/with-node \
		sh -c '"$$TASKWIRE_TEST_PYTHON" -m pytest -q -rs -p no:cacheprovider tests/gateway'
	@TASKWIRE_TEST_BINARY=$(CURDIR)/target/debug/taskwire \
		scripts/with-gateway scripts/with-postgres env -u TASKWIRE_TEST_CITUS_URL \
		cargo test --locked --test it -- process::one_address recurrence::oracle interchange::oracle

# Plans and limits of one server are what other cases are about; the faults kill servers that the others need. What is left out by name
# asks for triggers, for a limit of waits, or for an insertion that such tables do not know.
of_one_server := --skip a_full_disk --skip thousands_that_have_ended --skip registration::a_duplicate_that_waits

test-citus: ## Run the tests of storage and RPCs on a cluster of Citus, and what its faults cost: TASKWIRE_TEST_CITUS_URL
	@$(if $(TASKWIRE_TEST_CITUS_URL),,echo 'LEFT OUT: TASKWIRE_TEST_CITUS_URL names no cluster of Citus'; exit 0;) \
		cargo test --locked --test it -- storage:: rpc:: revisions:: events:: accounts:: citus::distribute \
			--skip sqlite $(of_one_server) && \
		TASKWIRE_TEST_CITUS_DIRECT=1 cargo test --locked --test it -- storage:: rpc:: revisions:: events:: \
			--skip sqlite $(of_one_server) && \
		cargo test --locked --test it -- citus::faults --test-threads 1

test-previous: ## Replace replicas of another version by this one under load: make test-previous PREVIOUS=<commit>
	@rm -rf target/previous/source && git worktree prune
	@git worktree add --force --detach target/previous/source $(PREVIOUS)
	@cargo build --release --locked --manifest-path target/previous/source/Cargo.toml --target-dir target/previous/build
	@cargo build --release --locked
	@TASKWIRE_TEST_BINARY=$(CURDIR)/target/release/taskwire \
		TASKWIRE_TEST_PREVIOUS_BINARY=$(CURDIR)/target/previous/build/release/taskwire TASKWIRE_REQUIRE_GATEWAY=1 \
		scripts/with-gateway scripts/with-postgres cargo test --locked --test it -- process::one_address --nocapture

test-openapi: build-tests ## Throw cases made from the OpenAPI document at the gateway
	@TASKWIRE_TEST_BINARY=$(CURDIR)/target/debug/taskwire \
		scripts/with-gateway sh -c '"$$TASKWIRE_TEST_PYTHON" tests/gateway/fuzz.py'

contract: ## Write what is made from the .proto files and checked in
	@cargo build --locked
	@target/debug/taskwire openapi >docs/openapi.json
	@mkdir -p target/gateway && target/debug/taskwire descriptor >target/gateway/taskwire.binpb
	@scripts/with-gateway sh -c '"$$TASKWIRE_TEST_PYTHON" tests/gateway/contract.py target/gateway/taskwire.binpb'

docs: ## Make the API reference as a page on which calls can be tried
	@scripts/with-node scripts/docs
	@echo 'Start "make gateway", and in another terminal: python3 -m http.server --bind 127.0.0.1 --directory target/docs 8000'
	@echo 'The reference is then on http://127.0.0.1:8000'

release-contract: ## At a release: keep the contract, against which later changes are checked
	@TASKWIRE_REQUIRE_BUF=1 scripts/with-buf sh -c '"$$TASKWIRE_TEST_BUF" build --exclude-source-info -o proto/released.binpb'

bench: ## Measure the service and its peers on this machine, in less than 10 minutes
	@TASKWIRE_TEST_POSTGRES_FSYNC=on scripts/with-postgres cargo bench --locked --bench load -- $(ARGS)
	@$(if $(ARGS),:,TASKWIRE_TEST_POSTGRES_VERSION=18 TASKWIRE_TEST_POSTGRES_FSYNC=on scripts/with-postgres \
		cargo bench --locked --bench load -- --peers --only get,create,update,delete,list --seconds 2 --repeat 2 \
		--out docs/benchmarks/postgres-18 || [ $$? -eq 69 ])

soak: ## Run the tests of the edge, of standbys, of what is told and of moving data in the numbers that the service is built for
	@cargo build --release --locked
	@TASKWIRE_SOAK=1 TASKWIRE_TEST_BINARY=$(CURDIR)/target/release/taskwire \
		scripts/with-postgres cargo test --locked --test it -- edge:: standbys::mixed events::kills \
		transfer::load transfer::copies::a_copy_under_load --nocapture --test-threads 1 $(ARGS)

lint: ## Check format, lints, API documentation and shell scripts; changes nothing
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	scripts/with-buf sh -c 'if [ -n "$$TASKWIRE_TEST_BUF" ]; then "$$TASKWIRE_TEST_BUF" lint && \
		"$$TASKWIRE_TEST_BUF" breaking --against proto/released.binpb; fi'
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items
	@for script in $(shell_scripts); do echo "bash -n $$script"; bash -n "$$script" || exit 1; done
	@if command -v shellcheck >/dev/null; then echo 'shellcheck $(shell_scripts)'; shellcheck $(shell_scripts); fi

lint-openapi: ## Check the OpenAPI document with redocly, from npm
	@scripts/with-node scripts/lint-openapi

fmt: ## Format the Rust sources
	cargo fmt
