# Everything starts here: a machine with Python 3.11 or newer and nothing else. `make` alone lists the targets.

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
UV := $(BIN)/uv

# The interpreter of the virtual environment: yours (`make setup PYTHON=/usr/bin/python3.12`), else python3, else a newer one.
PYTHON ?= python3
CANDIDATES := $(PYTHON) $(if $(filter file,$(origin PYTHON)),python3.13 python3.12 python3.11)
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

# A progress bar for people, silence for logs.
QUIET := $(shell [ -t 2 ] || echo --quiet)
INSTALL := VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) pip install $(QUIET)
COMPILE := $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate -q \
	--custom-compile-command 'make lock'

# Two workers, one thread each: numeric libraries would otherwise start a thread per core in every worker.
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# $(call step,name,command): run it, and say how long it took.
step = @start=$$(date +%s); echo "── $(1)"; $(2) || { echo "── $(1): FAILED after $$(($$(date +%s) - start)) s"; exit 1; }; \
	echo "── $(1): $$(($$(date +%s) - start)) s"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup setup-dev demo test check lint types contracts tests bench bench-watch bench-alarms bench-drift bench-scale bench-incidents bench-estimation bench-serving bench-journal bench-rollback bench-audit bench-conversation bench-console bench-alerts bench-slack bench-reports examples deliveries slack pictures-slack chaos chaos-serving attacks attacks-slack fuzz messages docs lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMPS)/project ## .venv with Watchkeeper in it: .venv/bin/watchkeeper works
	@:

setup-dev: $(STAMPS)/dev ## the same, with the test tools
	@:

demo: setup ## the whole loop on real data, on http://127.0.0.1:8000; no key, no Docker
	@$(BIN)/watchkeeper demo

test: setup-dev ## every test this machine can run; says what it skipped and why
	@$(PYTEST)

check: lint types contracts tests ## the only gate, the same here and in CI: lint, types, import contracts, tests

tests: setup-dev
	$(call step,tests,$(PYTEST) --durations=5)

lint: setup-dev ## ruff and yamllint
	$(call step,ruff check,$(BIN)/ruff check --quiet --output-format concise .)
	$(call step,ruff format,$(BIN)/ruff format --check --quiet .)
	$(call step,yamllint,$(BIN)/yamllint --strict docker-compose.yml .pre-commit-config.yaml .yamllint.yaml)

types: setup-dev ## mypy, strict for the four packages
	$(call step,mypy,$(BIN)/mypy)

contracts: setup-dev ## who may import whom
	$(call step,import contracts,$(BIN)/lint-imports)

bench: bench-watch bench-alarms bench-drift bench-scale bench-incidents bench-estimation bench-serving bench-rollback bench-audit ## all benchmarks, each a table beside its peers

bench-watch: setup-dev ## one watch cycle over 100,000 rows x 20 features
	@$(BIN)/python -m benchmarks.watch

bench-alarms: setup-dev ## false alarms of pairs and of 90 days of looks, days until harm is seen: an hour (--quick: a tenth)
	@$(BIN)/python -m benchmarks.alarms

bench-drift: setup-dev ## drift verdicts: speed and memory
	@$(BIN)/python -m benchmarks.drift

bench-scale: setup-dev ## profiling 10,000,000 logged rows, merging a quarter of profiles
	@$(BIN)/python -m benchmarks.scale

bench-incidents: setup-dev ## diagnosis: right action, harmful actions, outcome
	@$(BIN)/python -m benchmarks.incidents

bench-estimation: setup-dev ## the loss without labels: how near, and when it abstains
	@$(BIN)/python -m benchmarks.estimation

bench-serving: setup-dev ## requests a second beside mlflow models serve and a bare FastAPI, batches, 100 models (needs wrk)
	@$(BIN)/python -m benchmarks.serving

bench-journal: setup-dev ## logging every answer: a record, the drain's speed, steady load, memory
	@$(BIN)/python -m benchmarks.journal

bench-rollback: setup-dev ## seconds from an approved rollback to the model server's first answer by the earlier version
	@$(BIN)/python -m benchmarks.rollback

bench-audit: setup-dev ## verifying 100,000 events of the audit, on SQLite and PostgreSQL
	@$(BIN)/python -m benchmarks.audit

bench-reports: setup-dev ## a report over 50 models and 90 days: seconds, memory, the same bytes; numbers of 200 reports
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.reports
	@REPORTS=200 $(PYTEST) tests/agent/reports/test_numbers_agree.py --timeout 0

bench-conversation: setup-dev ## questions on the demo with known answers: right, grounded, calls, cost (MODEL=openai:…; default offline)
	@$(BIN)/python -m benchmarks.conversation --model "$(or $(MODEL),offline)"

bench-console: setup-dev ## 100 people on the pages for a minute, 1,000 open event streams (SHORT=1: a tenth)
	@$(BIN)/python -m benchmarks.console $(if $(SHORT),--short)

bench-alerts: setup-dev ## 10,000 alerts of an Alertmanager in five minutes: acknowledged how soon, lost none (ten minutes)
	@$(BIN)/python -m benchmarks.inbound

deliveries: setup-dev ## 2,000 messages to a Slack that limits, fails and hangs: each arrives once
	@DELIVERIES=2000 $(PYTEST) -n 0 -rP --show-capture stdout --timeout 0 tests/agent/pipeline/test_deliveries_to_slack.py

slack: setup-dev ## 2,000 random reports and incidents as Slack messages: every one within every documented limit
	@SLACK_PAYLOADS=2000 $(PYTEST) --timeout 1800 tests/agent/doors/slack/handle/test_every_payload.py

pictures-slack: setup-dev ## docs/images/slack-*.png, taken in Chromium from the Slack of this machine; look at them
	@$(BIN)/python -m docs.slack_pictures docs/images

bench-slack: setup-dev ## 100 interactions at once, the model hangs, the database 200 ms late: how soon Slack is answered
	@$(BIN)/python -m benchmarks.slack

chaos: setup-dev ## 13,000 kills, 100 people at once, restarts, full disks: hours; docs/how-to/chaos.md
	@CHAOS=10 $(PYTEST) -rP tests/agent/chaos --timeout 0

fuzz: setup-dev ## 10,000 requests drawn from the API's own specification, signed in and not: no server error (CI: 5,000)
	@FUZZ=10000 $(PYTEST) -n 0 -rP --show-capture stdout tests/agent/doors/signing/test_specification.py --timeout 0

attacks: setup-dev ## a model in an attacker's hands (2,000 sequences), 416 injections: all of them
	@ATTACKS=1 $(PYTEST) tests/agent/conversation/attacks --timeout 0

attacks-slack: setup-dev ## 5,000 forged, replayed and malformed calls of Slack's door, 1,000 valid ones sent again: all of them
	@SLACK_CALLS=100 $(PYTEST) tests/agent/doors/slack/test_http_door.py --timeout 0

chaos-serving: setup-dev ## the model server killed 200 times and switched 100 times under load: nothing lost, nothing twice, no failure
	@CHAOS_KILLS=200 CHAOS_SERVER_KILLS=200 CHAOS_SWITCHES=100 $(PYTEST) -n 0 -s \
		tests/ml/serving/test_kill.py tests/ml/serving/test_kill_server.py tests/ml/serving/test_server.py

examples: setup-dev ## docs/examples: the reports of a demo, made anew (some minutes)
	@folder=$$(mktemp -d) && $(BIN)/watchkeeper demo --headless --home $$folder/demo && $(BIN)/python docs/examples.py $$folder/demo

messages: setup ## the texts of reports as a catalogue to translate: agent/reports/locale/watchkeeper.pot
	@$(BIN)/python docs/messages.py

docs: setup ## write the reference pages that are made from code
	@$(BIN)/python docs/generate.py

lock: $(UV) ## resolve the dependencies anew and write the lock files
	$(COMPILE) --group pyproject.toml:bootstrap -o requirements-bootstrap.lock
	$(COMPILE) pyproject.toml --group build -o requirements.lock
	$(COMPILE) pyproject.toml --group build --group dev -c requirements.lock -o requirements-dev.lock

clean: ## remove .venv, caches and build output (workspaces stay)
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find agent ml notifications tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

# The steps of `make setup`; each leaves a stamp, so that a second run has nothing to do.

$(BIN)/python:
	@for candidate in $(CANDIDATES); do \
		if $$candidate -c '$(NEW_ENOUGH)' >/dev/null 2>&1; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "Watchkeeper needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo missing);" \
			"install one, or name it: make setup PYTHON=/path/to/python3.12" >&2; exit 2; \
	fi; \
	if ! $$python -c 'import ensurepip, venv' >/dev/null 2>&1; then \
		echo "$$python has no venv module; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; \
	fi; \
	echo "Creating $(VENV) with $$($$python --version)"; \
	$$python -m venv $(VENV)

$(UV): requirements-bootstrap.lock | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	@touch $@

$(STAMPS)/runtime: requirements.lock $(UV)
	@mkdir -p $(STAMPS)
	@echo "Installing the locked packages (the first time they are downloaded: minutes on a slow line)"
	@$(INSTALL) --require-hashes --compile-bytecode -r requirements.lock
	@touch $@

$(STAMPS)/project: pyproject.toml $(STAMPS)/runtime
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(STAMPS)/dev: requirements-dev.lock $(STAMPS)/project
	@echo "Installing the test tools"
	@$(INSTALL) --require-hashes --compile-bytecode -r requirements-dev.lock
	@touch $@
