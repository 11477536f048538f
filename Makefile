# make dev            run the whole system on this machine: http://localhost:8080
# make aws            run the local AWS and the stack only
# make tokenhub       run the rehearsal TokenHub only
# make token          print the client token (ROLE=admin: the admin token)
# make rotate-token   create and print a new token (REVOKE=1: end the previous one)
# make health         print the health of every provider (ENV=dev, WATCH=1)
# make trace          print what the logs have about a request (ID=, ENV=dev, SINCE=24h)
# make rehearse       run one outage of TokenHub against the running system (OUTAGE=cut_clean)
# make reset          delete the data of the stopped local system
# make deploy         build for AWS and deploy (ENV=dev)
# make delete         delete the deployed stack (ENV=dev)
# make e2e            test a deployed gateway (URL, TOKEN, CLIENT_TOKEN, ENV=dev: also print its init durations)
# make test           run the unit, function, conformance and integration tests
# make conformance    test the rehearsal TokenHub, or a real one (TOKENHUB_URL, TOKENHUB_ADMIN_TOKEN)
# make check          check style, types, structure and template
# make verify         run the slow tests
# make fuzz           run Schemathesis against the whole OpenAPI document (CASES=200, SEED=)
# make soak           run 16 clients and all faults for ten minutes, and check that nothing is lost (MINUTES=, SEED=)
# make bench          measure the time that the gateway adds to a stream (BENCH=tick: heartbeats of 1,000 providers,
#                     BENCH=cold BASE=main: cold starts of this tree and of another commit, BENCH=memory: peak memory,
#                     BENCH=peers: this gateway beside LiteLLM, Portkey and MLflow)
# make docs           regenerate the tables of README.md, docs/parameters.md and docs/cost.md
# make recording      record the terminal picture of README.md again
# make format         format the code
# make clean          delete the environments, the builds and the local data
# docs/local.md lists the options of dev: PORT, AWS_PORT, TOKENHUB_PORT, STATE, LOCAL_TOKEN=off, TOKENHUB=off, STREAMS.

SHELL := /bin/bash
.DEFAULT_GOAL := help
OUTAGE ?= cut_clean
BENCH ?= streaming
peers := .local/peers/litellm/ready .local/peers/portkey/ready .local/peers/mlflow/ready
.PHONY: help dev aws tokenhub health trace rehearse token rotate-token reset deploy delete e2e docs recording test \
  conformance check verify fuzz soak bench format clean

python := .venv/bin/python
architecture := .local/architecture--start-make-dev-first.toml
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPYCACHEPREFIX := $(CURDIR)/.local/pycache
# Container images often set this variable, and then every process compiles all its modules again.
export PYTHONDONTWRITEBYTECODE :=
export SAM_CLI_TELEMETRY := 0
export BASE PORT AWS_PORT TOKENHUB_PORT STATE LOCAL_TOKEN TOKENHUB STREAMS
export URL TOKEN CLIENT_TOKEN PROVIDER_ENDPOINT PROVIDER_KEY YES ID

ROLE ?= client
ENV ?= local
SINCE ?= 24h

help:
	@sed -n '/^$$/q; s/^# //p' Makefile

# The system watches the process id of this make, and stops when make has ended, even after a kill.
dev: .local/ready
	@STOP_WITH=$$PPID exec $(python) -m tools.local

aws: .local/ready
	@STOP_WITH=$$PPID exec $(python) -m tools.local --only aws

tokenhub: .local/ready
	@STOP_WITH=$$PPID exec $(python) -m tools.rehearsal.server --port $${TOKENHUB_PORT:-8090}

rehearse: .local/ready
	@$(python) -m tools.rehearsal.outage $(OUTAGE)

token: .local/ready
	@$(python) -m tools.ops.tokens $(ROLE) $(ENV)

health: .local/ready
	@STOP_WITH=$$PPID exec $(python) -m tools.ops.health $(ENV) $(if $(filter 1,$(WATCH)),--watch)

trace: .local/ready
	@exec $(python) -m tools.ops.trace "$$ID" $(ENV) --since $(SINCE)

deploy: .local/ready
	@exec $(python) -m tools.ops.deploy $(ENV)

delete: .local/ready
	@exec $(python) -m tools.ops.deploy --delete $(ENV)

e2e: .local/ready
	@exec $(python) -m tools.smoke $(ENV)

docs: .local/ready
	@$(python) -m tools.docs.tables

recording: .local/ready
	@exec $(python) -m tools.docs.recording

rotate-token: .local/ready
	@$(python) -m tools.ops.rotate $(ROLE) $(ENV) $(if $(filter 1,$(REVOKE)),--revoke)

reset: .local/ready
	@$(python) -m tools.local.reset

# One worker runs all integration tests, and starts first. It often waits for the local system.
test: .local/ready-dev
	$(python) -m pytest -n 3 --dist loadfile --no-loadscope-reorder \
	  tests/integration tests/sdks tests/functions tests/unit layers/streaming/tests
	@TOKENHUB_URL= $(MAKE) -s conformance

conformance: .local/ready-dev
	$(python) -m pytest tests/conformance

check: .local/ready-dev .local/checkov/ready
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	$(python) -m pytest -n auto tests/structure
	.venv/bin/sam validate --lint
	$(python) -m tests.structure.scan .local/checkov/bin/checkov

# Three workers share the files. The longest ones come first, so that all workers end at about the same time.
longest := $(addprefix tests/e2e/test_,lifecycle.py survival.py smoke.py alarms.py readme.py soak.py sam_local.py \
  schedule.py canary.py policies.py revocation.py deploy_cycle.py thousand.py fuzz.py failures.py)
slow := $(longest) $(filter-out $(longest),$(wildcard tests/e2e/test_*.py tests/e2e/*/test_*.py))

verify: .local/ready-dev .local/fuzz/ready .local/clients/ready
	$(python) -m pytest -n 3 --dist loadfile --no-loadscope-reorder -rs $(slow)

fuzz: .local/ready-dev .local/fuzz/ready
	@CASES=$(CASES) SEED=$(SEED) $(python) -m tests.fuzz

soak: .local/ready-dev
	@MINUTES=$(MINUTES) SEED=$(SEED) $(python) -m tests.soak

bench: .local/ready-dev .local/bench/ready $(if $(filter peers,$(BENCH)),$(peers))
	PYTHONPATH=.:layers/gateway:layers/streaming/tests $(python) -m tools.bench.$(BENCH)

format: .local/ready-dev
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

clean:
	rm -rf .venv .local .aws-sam

# ---- Environments: .venv has the tools; .local/emulator has the local AWS and runs the functions. ----

# Python compiles the few modules that it imports. Compiling all of them would take as long as the installation.
pip-install := pip install -q --disable-pip-version-check --no-compile

.local/ready: requirements/tools.txt requirements/emulator.txt | $(architecture)
	@$(MAKE) -s -j2 .local/tools .local/emulator/ready
	@touch $@

# samconfig.toml passes this file to plain `sam`. It names this machine's architecture as Lambda does.
$(architecture):
	@mkdir -p .local
	@case $$(uname -m) in arm64|aarch64) echo 'Architecture = "arm64"';; *) echo 'Architecture = "x86_64"';; esac >$@

.local/tools: requirements/tools.txt | .venv
	@echo "Installing the tools into .venv and the local AWS into .local (once, about a minute)."
	@.venv/bin/$(pip-install) -r requirements/tools.txt
	@touch $@

.local/ready-dev: requirements/dev.txt .local/ready
	@.venv/bin/$(pip-install) -r requirements/dev.txt
	@touch $@

.local/emulator/ready: requirements/emulator.txt
	@mkdir -p .local
	@$(need-python)
	@python3.13 -m venv .local/emulator
	@# pip compiles the packages in place, because the local AWS and its functions run without PYTHONPYCACHEPREFIX.
	@env -u PYTHONPYCACHEPREFIX .local/emulator/bin/pip install -q --disable-pip-version-check -r requirements/emulator.txt
	@touch $@

.local/checkov/ready: requirements/checkov.txt
	@python3.13 -m venv .local/checkov
	@.local/checkov/bin/$(pip-install) -r requirements/checkov.txt
	@touch $@

.local/bench/ready: requirements/bench.txt requirements/runtime.txt
	@python3.13 -m venv .local/bench
	@python3.13 -m venv .local/bench/runtime
	@# Compiled in place, because the measured processes run without PYTHONPYCACHEPREFIX.
	@env -u PYTHONPYCACHEPREFIX .local/bench/bin/pip install -q --disable-pip-version-check -r requirements/bench.txt
	@env -u PYTHONPYCACHEPREFIX .local/bench/runtime/bin/pip install -q --disable-pip-version-check -r requirements/runtime.txt
	@touch $@

# The gateways that `make bench BENCH=peers` compares with. One that cannot be installed is skipped.
.local/peers/%/ready: requirements/peers-%.txt
	@mkdir -p .local/peers
	@rm -f $@
	@python3.13 -m venv .local/peers/$*
	@if .local/peers/$*/bin/$(pip-install) --no-deps -r $<; then touch $@; \
	else echo "make: $* cannot be installed. It is skipped." >&2; fi

.local/peers/portkey/ready: tools/bench/portkey/package.json tools/bench/portkey/package-lock.json
	@mkdir -p .local/peers/portkey
	@rm -f $@
	@cp tools/bench/portkey/.npmrc tools/bench/portkey/package*.json .local/peers/portkey
	@if npm ci --silent --prefix .local/peers/portkey; then touch $@; \
	else echo "make: Portkey cannot be installed. It needs Node 20 and npm. It is skipped." >&2; fi

.local/fuzz/ready: requirements/fuzz.txt
	@python3.13 -m venv .local/fuzz
	@.local/fuzz/bin/$(pip-install) -r requirements/fuzz.txt
	@touch $@

# The programs that tests/e2e/clients runs. Node's are skipped without Node, and the tests skip them too.
.local/clients/ready: requirements/clients.txt tests/e2e/clients/node/package-lock.json
	@mkdir -p .local/clients
	@$(MAKE) -s -j2 .local/clients/python-packages .local/clients/node-packages
	@touch $@

.local/clients/python-packages:
	@python3.13 -m venv .local/clients/python
	@.local/clients/python/bin/$(pip-install) --no-deps -r requirements/clients.txt

.local/clients/node-packages:
	@if node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; then \
	  cp tests/e2e/clients/node/.npmrc tests/e2e/clients/node/package*.json .local/clients && \
	  npm ci --silent --prefix .local/clients; \
	else echo "make: Node 20 is not on the PATH. The tests of Node's client programs are skipped." >&2; fi

.venv:
	@mkdir -p .local
	@$(need-python)
	@python3.13 -m venv .venv

define need-python
python3.13 -c '' 2>/dev/null || { echo "make: Python 3.13 is needed, and python3.13 is not on the PATH. Install it and try again." >&2; exit 1; }
endef
