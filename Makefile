# `make demo` needs python3 >= 3.11 and make; `make test` brings the development tools with it.

PYTHON ?= python3
ARGS ?=
ACTION ?= start
# Kafka tests share one broker and one worker (loadgroup); two workers suit two cores.
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
RUNTIME_LOCK := deploy/requirements.lock
DEV_LOCK := deploy/requirements-dev.lock
IMAGE_LOCK := deploy/requirements-image.lock
DATA_LOCK := deploy/requirements-data.lock
RUNTIME_STAMP := $(VENV)/.installed-runtime
DEV_STAMP := $(VENV)/.installed-dev
DATA_STAMP := $(VENV)/.installed-data
PROJECT_STAMP := $(VENV)/.installed-project
RUNTIME := $(RUNTIME_STAMP) $(PROJECT_STAMP)
DEV := $(DEV_STAMP) $(DATA_STAMP) $(PROJECT_STAMP)

# uv where it is there, pip otherwise: both read the same hashed lock, which holds all that is needed and no more.
UV := $(shell command -v uv 2>/dev/null)
ifdef UV
INSTALL := $(UV) pip install --quiet --python $(BIN)/python
else
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --root-user-action=ignore
endif

.DEFAULT_GOAL := help
# One .venv: two installs at once would spoil it.
.NOTPARALLEL:
.PHONY: help install install-runtime demo test check format bench bench-peers fuzz simulate mutations soak kafka lock audit generate clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(DEV) ## Make .venv with everything that development needs

install-runtime: $(RUNTIME) ## Make .venv with what the demo needs, no development tools

demo: $(RUNTIME) ## Run the whole platform on this machine (ARGS="--help" lists options)
	@$(BIN)/tailrace demo $(ARGS)

test: $(DEV) ## Run the tests that this machine can run
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup $(ARGS)

check: $(DEV) ## Check format, lint, types, layers and the budgets of the house
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -q tests/architecture

format: $(DEV) ## Format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(DEV) ## Measure rows per second on this machine
	$(BIN)/python -m tests.bench $(ARGS)

bench-peers: $(DEV) ## Measure drt and dlt at the same work, beside ours (installs them apart; needs a network once)
	$(BIN)/python -m tests.bench.peers $(ARGS)

simulate: $(DEV) ## Tell stories of faults in virtual time (ARGS="--seeds 100000 --from 1")
	$(BIN)/python -m tests.simulation $(ARGS)

fuzz: $(DEV) ## Ask the API ten times as many made-up requests as `make test` does
	env -u CI TAILRACE_TEST_FUZZ=10 $(BIN)/pytest -n $(WORKERS) tests/gateway/test_fuzz.py $(ARGS)

mutations: $(DEV) ## Switch mechanisms off one at a time: a test has to notice each (ARGS="--only WORD")
	$(BIN)/python -m tests.faults.mutations $(ARGS)

soak: $(DEV) ## Kill and disturb real processes under load (ARGS="--minutes 60 --json PATH")
	$(BIN)/python -m tests.soak $(ARGS)

kafka: $(DEV) ## Start a real Kafka on loopback (ACTION=start|stop|status; needs JDK 17+ and mvn)
	$(BIN)/python -m tailrace.testing.kafka_server $(ACTION)

generate: $(DEV) ## Write the generated documents in deploy/ anew
	$(BIN)/tailrace docs generate

LOCK := env -u PIP_FIND_LINKS -u UV_FIND_LINKS $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate \
	--python-version 3.11 --no-emit-package tailrace --custom-compile-command "make lock"

lock: $(DEV) ## Resolve the dependencies anew (ARGS="--upgrade" takes newer versions)
	$(LOCK) $(ARGS) --all-extras pyproject.toml -o $(DEV_LOCK)
	$(LOCK) --extra dev-db --extra build -c $(DEV_LOCK) pyproject.toml -o $(RUNTIME_LOCK)
	$(LOCK) --extra duckdb --extra mysql --extra snowflake -c $(DEV_LOCK) pyproject.toml -o $(IMAGE_LOCK)
	$(LOCK) --no-deps --group data -o $(DATA_LOCK)
	$(foreach peer,drt dlt,$(LOCK) $(ARGS) tests/bench/peers/$(peer).in -o tests/bench/peers/$(peer).lock &&) true

# Not a part of CI: a weakness that is published overnight, or no network, would fail a change that is none of its cause.
AUDIT := $(BIN)/uv tool run --from pip-audit==2.10.1 pip-audit --disable-pip --no-deps

audit: $(DEV) ## Look up known weaknesses of every locked dependency (needs a network)
	$(AUDIT) $(ARGS) $(foreach lock,$(DEV_LOCK) $(RUNTIME_LOCK) $(IMAGE_LOCK) $(DATA_LOCK),-r $(lock))

clean: ## Remove .venv and every cache
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find libs services tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Tailrace needs Python 3.11 or newer; '$(PYTHON)' is not. Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "'$(PYTHON) -m venv' failed; Debian and Ubuntu have it in the package python3-venv." >&2; exit 1; }

$(RUNTIME_STAMP): $(RUNTIME_LOCK) | $(BIN)/python
	@echo "Installing from $(RUNTIME_LOCK)"
	@$(INSTALL) --no-deps --require-hashes -r $(RUNTIME_LOCK)
	@touch $@

$(DEV_STAMP): $(DEV_LOCK) | $(BIN)/python
	@echo "Installing from $(DEV_LOCK)"
	@$(INSTALL) --no-deps --require-hashes -r $(DEV_LOCK)
	@touch $(RUNTIME_STAMP) $@

# A source package: without build isolation its build tool too comes from the lock of development.
$(DATA_STAMP): $(DATA_LOCK) | $(DEV_STAMP)
	@echo "Installing from $(DATA_LOCK)"
	@$(INSTALL) --no-deps --no-build-isolation --require-hashes -r $(DATA_LOCK)
	@touch $@

# After the locks: without build isolation the editable install builds, and compiles, with what they hold.
$(PROJECT_STAMP): pyproject.toml deploy/hatch_build.py $(wildcard libs/tailrace/*/*.pyx) | $(RUNTIME_STAMP)
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@
