# make dev      the whole system on this machine: http://localhost:8080
# make test     unit, functions, integration        make check    style, types, structure, template
# make verify   the slow proofs                      make bench    what the gateway adds to a stream
# make bench BENCH=tick   one heartbeat of up to 1,000 providers
# make token    prints a token (ROLE=admin for the admin's); make rotate-token makes a new one (REVOKE=1 ends the old)
# make rehearse OUTAGE=cut_clean   plays an outage of TokenHub against the running system
# make deploy ENV=dev   builds for AWS and deploys   make delete ENV=dev   takes it away again
# make docs     writes the computed tables of README.md and docs/cost.md anew
# make e2e      the contract, and what only AWS can show, against a deployed gateway (URL, TOKEN)
# make fuzz     Schemathesis against the whole OpenAPI document; CASES=200, SEED= to repeat a run
# PORT, AWS_PORT, TOKENHUB_PORT, STATE, LOCAL_TOKEN=off, TOKENHUB=off are options of dev; see README.md.

SHELL := /bin/bash
.DEFAULT_GOAL := help
OUTAGE ?= cut_clean
BENCH ?= streaming
.PHONY: help dev aws tokenhub rehearse token rotate-token reset deploy delete e2e docs test check verify verify-waiting verify-working fuzz bench format clean

python := .venv/bin/python
architecture := .local/architecture--start-make-dev-first.toml
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPYCACHEPREFIX := $(CURDIR)/.local/pycache
export SAM_CLI_TELEMETRY := 0
export PORT AWS_PORT TOKENHUB_PORT STATE LOCAL_TOKEN TOKENHUB
export URL TOKEN CLIENT_TOKEN PROVIDER_ENDPOINT PROVIDER_KEY YES

ROLE ?= client
ENV ?= local

help:
	@sed -n '/^$$/q; s/^# //p' Makefile

# `make` stays alive while it waits: the system stops when this very make is gone, however it went.
dev: .local/ready
	@STOP_WITH=$$PPID exec $(python) -m tools.local

aws: .local/ready
	@STOP_WITH=$$PPID exec $(python) -m tools.local --only aws

tokenhub: .local/ready
	@exec $(python) -m tools.rehearsal.server --port $${TOKENHUB_PORT:-8090}

rehearse: .local/ready
	@$(python) -m tools.rehearsal.outage $(OUTAGE)

token: .local/ready
	@$(python) -m tools.ops.tokens $(ROLE) $(ENV)

deploy: .local/ready
	@exec $(python) -m tools.ops.deploy $(ENV)

delete: .local/ready
	@exec $(python) -m tools.ops.deploy --delete $(ENV)

e2e: .local/ready
	@exec $(python) -m tools.smoke

docs: .local/ready
	@$(python) -m tools.docs.tables

rotate-token: .local/ready
	@$(python) -m tools.ops.rotate $(ROLE) $(ENV) $(if $(filter 1,$(REVOKE)),--revoke)

reset: .local/ready
	@$(python) -m tools.local.reset

test: .local/ready-dev
	$(python) -m pytest tests/unit tests/functions
	$(python) -m pytest tests/integration

check: .local/ready-dev .local/checkov/ready
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	$(python) -m pytest tests/structure
	.venv/bin/sam validate --lint
	$(python) -m tests.structure.scan .local/checkov/bin/checkov

# Those that mostly wait, for schedules, alarms and caches, run beside the others.
waiting := $(addprefix tests/e2e/test_,alarms.py revocation.py schedule.py smoke.py)

verify: .local/ready-dev .local/fuzz/ready
	@$(MAKE) -s -k -j2 --output-sync=target verify-waiting verify-working

verify-waiting:
	$(python) -m pytest $(waiting)

verify-working:
	$(python) -m pytest tests/e2e $(addprefix --ignore=,$(waiting))

fuzz: .local/ready-dev .local/fuzz/ready
	@CASES=$(CASES) SEED=$(SEED) $(python) -m tests.fuzz

bench: .local/ready-dev .local/bench/ready
	PYTHONPATH=.:layers/gateway $(python) -m tools.bench.$(BENCH)

format: .local/ready-dev
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

clean:
	rm -rf .venv .local .aws-sam

# ---- environments: the tools in .venv; the local AWS and the functions in .local/emulator ----

.local/ready: requirements/tools.txt requirements/emulator.txt | $(architecture)
	@$(MAKE) -s -j2 .local/tools .local/emulator/ready
	@touch $@

# Plain `sam` reads it, by samconfig.toml: this machine's processor, as Lambda calls it.
$(architecture):
	@mkdir -p .local
	@case $$(uname -m) in arm64|aarch64) echo 'Architecture = "arm64"';; *) echo 'Architecture = "x86_64"';; esac >$@

.local/tools: requirements/tools.txt | .venv
	@echo "Installing the tools into .venv and the local AWS into .local (once, about a minute)."
	@.venv/bin/pip install -q --disable-pip-version-check -r requirements/tools.txt
	@touch $@

.local/ready-dev: requirements/dev.txt .local/ready
	@.venv/bin/pip install -q --disable-pip-version-check -r requirements/dev.txt
	@touch $@

.local/emulator/ready: requirements/emulator.txt
	@mkdir -p .local
	@$(need-python)
	@python3.13 -m venv .local/emulator
	@.local/emulator/bin/pip install -q --disable-pip-version-check -r requirements/emulator.txt
	@touch $@

.local/checkov/ready: requirements/checkov.txt
	@python3.13 -m venv .local/checkov
	@.local/checkov/bin/pip install -q --disable-pip-version-check -r requirements/checkov.txt
	@touch $@

.local/bench/ready: requirements/bench.txt
	@python3.13 -m venv .local/bench
	@.local/bench/bin/pip install -q --disable-pip-version-check -r requirements/bench.txt
	@touch $@

.local/fuzz/ready: requirements/fuzz.txt
	@python3.13 -m venv .local/fuzz
	@.local/fuzz/bin/pip install -q --disable-pip-version-check -r requirements/fuzz.txt
	@touch $@

.venv:
	@mkdir -p .local
	@$(need-python)
	@python3.13 -m venv .venv

define need-python
python3.13 -c '' 2>/dev/null || { echo "make: Python 3.13 is needed, and there is no python3.13 on the PATH. Install it and try again." >&2; exit 1; }
endef
