# `make` lists the targets. Each does its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
KERNELS := .kernels/.ready
PATHS := shared services bot backtest engine benchmarks examples deploy tests mm_bot.py mm_engine.py mm_backtest.py hedge_analyzer.py
export PYTHONPATH := $(CURDIR)

.DEFAULT_GOAL := help
.PHONY: help setup run test test-deploy check format lint types bench replay report-fair-value docs dashboards lock clean

help:  ## List the targets.
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing locked dependencies" >&2
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

# Kernels are compiled once, into the on-disk cache (named by these files), so that no process compiles at its start.
$(KERNELS): $(READY) $(shell grep -rl --include='*.py' 'shared\.kernel' shared services backtest 2>/dev/null)
	@echo "compiling kernels" >&2
	@$(BIN)/python -m backtest.warm
	@touch $@

setup: $(KERNELS)  ## Virtual environment, locked dependencies, compiled kernels.

run: setup  ## Start the whole system (simulated venues); ARGS="--markets eth-15m" passes flags.
	@$(BIN)/python mm_bot.py $(ARGS)

test: setup  ## Run the tests, on up to four cores; ARGS="-k strike" passes flags.
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

test-deploy: setup  ## Build the image, start all containers, scale, kill, roll, tear down; BUILD_NETWORK=host behind a mirror.
	@TEST_DEPLOY=1 $(BIN)/python -m pytest tests/deploy -rs $(ARGS)

check: setup format lint types test  ## Format check, lint, types and tests: exactly what CI runs.

format: setup
	@$(BIN)/ruff format --check $(PATHS)

lint: setup
	@$(BIN)/ruff check $(PATHS)

types: setup
	@$(BIN)/mypy

bench: setup  ## Benchmarks, as a table with ratios.
	@$(BIN)/python -m benchmarks $(ARGS)

report-fair-value: setup  ## Our fair value against recorded markets, as a page in out/fair_value; ARGS="--recordings PATH".
	@$(BIN)/python -m backtest.fair_value $(ARGS)

docs: setup  ## Print what is generated into the documents again.
	@$(BIN)/python -m shared.wiring

dashboards: setup  ## Write the Grafana dashboards again from deploy/grafana/dashboards.py.
	@$(BIN)/python -m deploy.grafana.dashboards

lock: $(READY)  ## Renew requirements.lock from pyproject.toml, and the image's from deploy/requirements.in.
	@$(BIN)/pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --group dev --generate-hashes --no-header pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header -c requirements.lock deploy/requirements.in -o deploy/requirements.lock

clean:  ## Remove the virtual environment, caches and outputs.
	@rm -rf $(VENV) out .mypy_cache .ruff_cache .pytest_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
