# `make run` and `make test` set up all they need: Python >= 3.11, make and PyPI are enough.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Bytecode is compiled on install: an environment without it starts 2 to 3 times slower.
SYNC := UV_COMPILE_BYTECODE=1 $(BIN)/uv sync --frozen --quiet

.DEFAULT_GOAL := help
.PHONY: help run test lint audit torture soak bench hour dashboard serve start start-agent test-agent wheel docs pictures site clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.synced: $(BIN)/uv pyproject.toml uv.lock $(shell find src dashboard -name '*.py' 2>/dev/null)
	$(SYNC)
	@$(BIN)/python -m compileall -q src dashboard
	@touch $@

# MARKETS=prediction runs examples/prediction instead: binary markets, offline.
FOLDER := $(if $(MARKETS),examples/$(MARKETS),.)

run: $(VENV)/.synced  ## bring the pipeline up to date once, on real sample data, with nothing to set
	@cd $(FOLDER) && PYTHONPATH=$(CURDIR)/src $(CURDIR)/$(BIN)/python -m agent.orchestrator --mode once

lint: $(VENV)/.synced  ## ruff, mypy, import-linter
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache

# An environment that forbids bytecode would have every process of a session rewrite every test again.
export PYTHONDONTWRITEBYTECODE :=

# A process for each of two cores: a third one would save little time and cost ten CPU seconds of imports.
test: lint  ## lint and all tests but the long ones
	@$(BIN)/python -m pytest -n 2 --dist worksteal

audit: $(VENV)/.synced  ## bandit, and many generated requests to the API
	@$(BIN)/python -m pytest -m audit

torture: $(VENV)/.synced  ## kill real processes for a quarter of an hour: see docs/reliability.md
	@TORTURE=long $(BIN)/python -m pytest -n 3 --dist worksteal -m torture tests/torture

soak: $(VENV)/.synced  ## 2 000 runs on one server, worker and scheduler: memory, files and threads must not grow
	@PYTHONPATH=src $(BIN)/python scripts/soak.py

bench: $(VENV)/.synced  ## the benchmarks; each prints ratios against a baseline of the same run
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

hour: $(VENV)/.synced  ## half an hour as it is lived: a release every ten seconds, one venue down for five minutes
	@$(BIN)/python benchmarks/hour.py --minutes 30 --down 10:15

dashboard: $(VENV)/.synced  ## the Streamlit dashboard on http://localhost:8501
	@$(BIN)/streamlit run dashboard/app.py

start: $(VENV)/.synced  ## the HTTP API on http://localhost:8000, a worker, and the dashboard on http://localhost:3001
	@$(BIN)/agent worker & worker=$$!; \
	$(BIN)/streamlit run dashboard/app.py --server.port 3001 & console=$$!; \
	trap 'kill $$worker $$console 2>/dev/null; wait' EXIT; trap 'exit 0' INT TERM; \
	$(BIN)/agent serve

start-agent: $(VENV)/.synced  ## the HTTP API and pages alone, which work off the queue too
	@$(BIN)/agent serve

test-agent: $(VENV)/.synced  ## queue a run on the server that is running and watch it to its end
	@$(BIN)/python scripts/test_agent_execution.py

docs: $(VENV)/.synced  ## write docs/reference/ again from settings, tables, commands and docstrings
	@PYTHONPATH=src $(BIN)/python scripts/make_reference.py
	@$(BIN)/python scripts/make_python_reference.py

pictures: $(VENV)/.synced  ## take the pictures of docs/images again, in a real browser
	@PYTHONPATH=src:. $(BIN)/python -m tests.browser.pictures

# In an environment of its own, which uv keeps: .venv stays as `make run` needs it.
site: $(BIN)/uv  ## build the documentation as a site with search, into build/site
	@rm -rf build/pages && mkdir -p build/pages
	@cp -R README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs examples deploy changelog.d build/pages
	@$(BIN)/uv run --quiet --isolated --frozen --only-group docs zensical build --strict --clean

wheel: $(BIN)/uv  ## build the wheel into dist/
	@$(BIN)/uv build --wheel --quiet

clean:  ## remove the environment and everything computed
	rm -rf $(VENV) .tidemill dist build
