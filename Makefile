# make dev      the whole system on this machine: http://localhost:8080
# make test     unit, functions, integration        make check    style, types, structure, template
# make verify   the slow proofs                      make bench    what the gateway adds to a stream
# make token    prints a token (ROLE=admin for the admin's)
# make rehearse OUTAGE=cut_clean   plays an outage of TokenHub against the running system
# PORT, AWS_PORT, TOKENHUB_PORT, STATE, LOCAL_TOKEN=off, TOKENHUB=off are options of dev; see README.md.

SHELL := /bin/bash
.DEFAULT_GOAL := help
OUTAGE ?= cut_clean
.PHONY: help dev aws tokenhub rehearse token reset test check verify bench format clean

python := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPYCACHEPREFIX := $(CURDIR)/.local/pycache
export SAM_CLI_TELEMETRY := 0
export PORT AWS_PORT TOKENHUB_PORT STATE LOCAL_TOKEN TOKENHUB

ROLE ?= client
ENV ?= local

help:
	@sed -n '/^$$/q; s/^# //p' Makefile

# `make` stays alive while it waits: the system stops when this very make is gone, however it went.
dev: .local/ready
	@STOP_WITH=$$PPID exec $(python) -m local

aws: .local/ready
	@STOP_WITH=$$PPID exec $(python) -m local --only aws

tokenhub: .local/ready
	@exec $(python) -m local.tokenhub --port $${TOKENHUB_PORT:-8090}

rehearse: .local/ready
	@$(python) -m local.rehearse $(OUTAGE)

token: .local/ready
	@$(python) -m local.tokens $(ROLE) $(ENV)

reset:
	@rm -rf "$${STATE:-.local/state}" && echo "The local system's data is gone; make dev begins anew."

test: .local/ready-dev
	$(python) -m pytest tests/unit tests/functions
	$(python) -m pytest tests/integration

check: .local/ready-dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	$(python) -m pytest tests/structure
	.venv/bin/sam validate --lint

verify: .local/ready-dev
	$(python) -m pytest tests/e2e

bench: .local/ready-dev .local/bench/ready
	$(python) -m bench.streaming

format: .local/ready-dev
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

clean:
	rm -rf .venv .local .aws-sam

# ---- environments: the tools in .venv; the local AWS and the functions in .local/emulator ----

.local/ready: requirements.txt requirements-emulator.txt
	@$(MAKE) -s -j2 .local/tools .local/emulator/ready
	@touch $@

.local/tools: requirements.txt | .venv
	@echo "Installing the tools into .venv and the local AWS into .local (once, about a minute)."
	@.venv/bin/pip install -q --disable-pip-version-check -r requirements.txt
	@touch $@

.local/ready-dev: requirements-dev.txt .local/ready
	@.venv/bin/pip install -q --disable-pip-version-check -r requirements-dev.txt
	@touch $@

.local/emulator/ready: requirements-emulator.txt
	@mkdir -p .local
	@$(need-python)
	@python3.13 -m venv .local/emulator
	@.local/emulator/bin/pip install -q --disable-pip-version-check -r requirements-emulator.txt
	@touch $@

.local/bench/ready: bench/requirements.txt
	@python3.13 -m venv .local/bench
	@.local/bench/bin/pip install -q --disable-pip-version-check -r bench/requirements.txt
	@touch $@

.venv:
	@mkdir -p .local
	@$(need-python)
	@python3.13 -m venv .venv

define need-python
python3.13 -c '' 2>/dev/null || { echo "make: Python 3.13 is needed, and there is no python3.13 on the PATH. Install it and try again." >&2; exit 1; }
endef
