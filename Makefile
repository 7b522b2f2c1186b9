# Everything is set up on first use: a .venv with pinned, hashed packages and, for tests and benches, Debian packages.
# Stamp files make a second run fast. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Tests start hundreds of processes: each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= $(shell command -v python3.11 || command -v python3)
MINUTES ?= 10
SECONDS ?= 60
BIN := .venv/bin
# One more than there are cores: a fifth of the time a test waits for processes that it has started.
WORKERS := $(shell echo $$(($$(nproc) + 1)))
VENV := .venv/.installed
DEBIAN := .venv/.debian-packages
CONFORMANCE := tests/conformance/durable-streams tests/conformance/mqtt-js
NPM := .venv/.npm-packages

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 10

.PHONY: demo
demo: $(VENV) ## Run a cloud, a region and two sites on this machine, with devices and a dashboard
	@$(BIN)/littoral up

.PHONY: test
test: check $(DEBIAN) $(NPM) ## Check, then run all tests on all cores (make test ARGS="-k name" for some; -n 0 in one process)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: check
check: $(VENV) ## Lint, format, types and layers; changes nothing
	@echo "ruff check"; $(BIN)/ruff check --quiet --output-format concise
	@echo "ruff format --check"; $(BIN)/ruff format --check --quiet || { echo "Not formatted (make fmt):"; $(BIN)/ruff format --check --output-format concise; }
	@echo "mypy --strict"; $(BIN)/mypy --no-error-summary
	@echo "lint-imports"; out=$$($(BIN)/lint-imports --no-logo 2>&1) || { echo "$$out"; exit 1; }

.PHONY: fmt
fmt: $(VENV) ## Format, and fix what the linter can fix safely
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

.PHONY: bench
bench: $(VENV) $(DEBIAN) ## Measure the hot paths beside their peers and print a table
	@$(BIN)/python -m benches $(ARGS)

.PHONY: sim
sim: $(VENV) ## Simulate 1,000 trees of 8 nodes for an hour each, in virtual time (make sim ARGS="--seed 7")
	@$(BIN)/littoral sim --runs 1000 --nodes 8 --hours 1 $(ARGS)

.PHONY: soak
soak: $(VENV) $(DEBIAN) ## Disturb real processes, disks, clocks and links for a while (MINUTES=10; ARGS="--seed 7")
	@$(BIN)/python -m tests.soak --minutes $(MINUTES) $(ARGS)

.PHONY: soak-web
soak-web: $(VENV) ## Kill gateways at random under mixed traffic for a while (MINUTES=10; ARGS="--seed 7")
	@$(BIN)/python -m tests.soak.web --minutes $(MINUTES) $(ARGS)

.PHONY: soak-mqtt
soak-mqtt: $(VENV) $(DEBIAN) ## Kill MQTT brokers as often as can be under clients of all kinds (MINUTES=10; ARGS="--bridge --seed 7")
	@$(BIN)/python -m tests.soak.mqtt --minutes $(MINUTES) $(ARGS)

.PHONY: fuzz
fuzz: $(VENV) ## Look for bytes that a parser does not bear (make fuzz TARGET=chunked_body SECONDS=600)
	@$(BIN)/pip install --quiet atheris
	@$(BIN)/python -m tests.fuzz "$(TARGET)" -max_total_time=$(SECONDS)

.PHONY: docs
docs: $(VENV) ## Write the reference pages that come from the source
	@$(BIN)/python scripts/write-cli-page.py
	@$(BIN)/python scripts/write-limits-page.py
	@$(BIN)/python scripts/write-metrics-page.py
	@$(BIN)/python scripts/write-resources-page.py

.PHONY: lock
lock: $(VENV) ## Write requirements/dev.txt from pyproject.toml (make lock ARGS=--upgrade for newer versions)
	@scripts/lock.sh $(ARGS)

$(NPM): $(CONFORMANCE:=/package-lock.json) scripts/npm-packages.sh | $(VENV)
	@for folder in $(CONFORMANCE); do scripts/npm-packages.sh $$folder; done
	@touch $@

.PHONY: clean
clean: ## Remove the .venv and the caches
	@rm -rf $(CONFORMANCE:=/node_modules) .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV): requirements/dev.txt pyproject.toml scripts/make-venv.sh
	@scripts/make-venv.sh "$(PYTHON)"
	@touch $@

# This file as well: it names the packages.
$(DEBIAN): scripts/debian-packages.sh Makefile | $(VENV)
	@scripts/debian-packages.sh mosquitto mosquitto-clients chromium wrk nginx varnish tmux iproute2 nftables faketime
	@touch $@
