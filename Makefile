# Every command a person needs. Extra arguments go through ARGS: make demo ARGS="--once"
SHELL := /bin/sh
PYTHON := .venv/bin/python
ARGS ?=

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test check bench mutants clean

help: ## List these commands.
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo '  ARGS="..." hands arguments on, as in: make demo ARGS="--once"'

setup: ## Install what is missing (FreeRADIUS, Python packages in .venv); quick when nothing is.
	@bash scripts/setup.sh

demo: setup ## Run the whole story on this machine: PostgreSQL, FreeRADIUS, a simulated router, suspension and payment.
	@.venv/bin/ispagents demo $(ARGS)

# Half of a test's time is waiting, so two at once take little more than half as long. A file's tests stay together, and
# files keep their order: the slow ones come first, so that neither of the two ends long before the other. The last word
# wins: make test ARGS="-n 0 --pdb tests/unit"
test: ## Run the tests (installs Chromium too, which looks at the pages).
	@bash scripts/setup.sh --tests
	@$(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: setup ## Check style, formatting, types and the direction of imports.
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

bench: setup ## Measure against FreeRADIUS with its SQL module, side by side in one run.
	@.venv/bin/ispagents bench $(ARGS)

mutants: setup ## Change policy/changes in many small ways: does a test notice? See docs/mutation-testing.md.
	@$(PYTHON) -m pip install --disable-pip-version-check --no-input --quiet -e '.[mutants]'
	@nice $(PYTHON) -m mutmut run $(ARGS)
	@$(PYTHON) -m mutmut results

clean: ## Remove .venv, caches and build results; the state folder stays.
	@rm -rf .venv build dist mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
