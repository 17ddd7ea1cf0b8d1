# Two commands matter: `make run` and `make test`. Both work in an empty clone on a machine
# that has only Python 3.11 or newer, make and pip; neither needs a compiler.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= configs/quickstart.toml

# The Python that .venv is made with: the newest that we test, then one newer. Another one:
# make PYTHON=python3.12 run
PYTHONS := $(or $(PYTHON),python3.13 python3.12 python3.11 python3.14 python3 python)
# Run, not looked up: a name on the path may be a shim with no interpreter behind it, one
# without venv, or a free-threaded or 32-bit build, for which there are no wheels.
SUITABLE := import ensurepip, sys, sysconfig, venv; \
	sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 14) and sys.maxsize > 2**32 \
	and not sysconfig.get_config_var("Py_GIL_DISABLED")))

# Wheels only: nothing is compiled, and nothing is run that is not in the lock. A lock holds all
# that its packages need (tests/test_locks.py), so pip is not to look for anything else: some
# releases of it take `coverage[toml]` for a second, unpinned package. Twice quiet: errors are
# shown, pip's remarks on its own settings are not.
INSTALL := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check install --no-input \
	--progress-bar off
LOCKED := $(INSTALL) --require-hashes --no-deps --only-binary :all:
ITSELF := $(INSTALL) --no-deps --no-build-isolation --editable .

# Installed when newer than the lock. They lie in .venv, so they vanish with it.
RUNTIME := $(VENV)/.installed-runtime
DEV := $(VENV)/.installed-dev
BROWSER := $(VENV)/.installed-browser
DOCS := $(VENV)/.installed-docs

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(RUNTIME) ## run configs/quickstart.toml (another: make run CONFIG=FILE)
	@$(BIN)/gateway run $(CONFIG)

.PHONY: test
test: lint types layers tests ## lint, types, layers, then the whole test suite

.PHONY: lint
lint: $(DEV) ## ruff: rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

.PHONY: types
types: $(DEV) ## mypy --strict
	$(BIN)/mypy

.PHONY: layers
layers: $(DEV) ## import-linter: imports point downwards
	$(BIN)/lint-imports

# On every core, up to four: each takes 1.2 GB, what it starts up to 2.4 GB. What measures time
# runs alone afterwards. A few tests (ARGS) run in one process.
TIMED := tests/test_speed.py
WORKERS ?= logical

.PHONY: tests
tests: $(DEV) ## pytest, without the slow statistical checks
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal --ignore $(TIMED)
	$(BIN)/python -m pytest $(TIMED)
endif

.PHONY: browser
browser: $(BROWSER) ## install what tests the report in a real browser (Chromium comes from you)

# A warning is an error: a link that leads nowhere, a page in no table of contents, a name that
# nothing documents. The pages' own code runs while the site is built, their doctests after it.
.PHONY: docs
docs: $(DOCS) ## build the site into build/docs; broken links, doctests and examples fail it
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs
	$(BIN)/python -m sphinx -q -W --keep-going -D plot_gallery=0 -b doctest docs build/doctests
	@echo "The site is build/docs/index.html"

.PHONY: paper
paper: $(DOCS) ## set the manuscript from stored results: build/paper/paper.pdf
	@$(BIN)/python experiments/paper.py

.PHONY: verify
verify: $(DEV) ## the slow statistical checks
	$(BIN)/python -m pytest -m slow $(ARGS)

.PHONY: bench
bench: $(DEV) ## time every hot path; longer measurements: docs/results/scaling.md
	$(BIN)/python -m pytest tests/benchmarks --benchmark-columns=min,median,stddev,rounds $(ARGS)

.PHONY: coverage
coverage: $(DEV) ## line and branch coverage, kernels run as plain Python
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -m "not slow and not compiled" --cov --cov-report=term-missing $(ARGS)

# No address gets into a lock, whatever the environment of who makes it: indexes and folders
# of files set there are dropped, and the last line looks. One version of a package for every
# Python (fork-strategy fewest), so that results do not depend on which one is installed.
COMPILE := env -u UV_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS -u UV_CONSTRAINT -u UV_OVERRIDE \
	$(BIN)/uv --no-config --quiet pip compile --universal --python-version 3.11 \
	--fork-strategy fewest --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" $(UPGRADE)

.PHONY: lock
lock: $(DEV) ## rewrite requirements*.txt from pyproject.toml (newest: make lock UPGRADE=--upgrade)
	$(COMPILE) --group build --output-file requirements.txt pyproject.toml
	$(COMPILE) --group dev --constraint requirements.txt --output-file requirements-dev.txt pyproject.toml
	$(COMPILE) --group browser --constraint requirements-dev.txt --output-file requirements-browser.txt
	$(COMPILE) --group docs --constraint requirements-dev.txt --output-file requirements-docs.txt
	@! grep -nE '://|file:|--(index|extra-index|find-links|trusted)' requirements*.txt

.PHONY: clean
clean: ## remove .venv, caches and builds; results stay
	rm -rf docs/_made docs/gallery docs/tutorials $(VENV) .cache .coverage .hypothesis .import_linter_cache .mypy_cache .nox .pytest_cache .ruff_cache build dist

$(BIN)/python:
	@for python in $(PYTHONS); do \
		if "$$python" -c '$(SUITABLE)' >/dev/null 2>&1; then \
			echo "Making $(VENV) with $$("$$python" -c 'import platform, sys; print("Python", platform.python_version(), "at", sys.executable)')"; \
			exec "$$python" -m venv --clear $(VENV); \
		fi; \
	done; \
	echo "gateway needs a 64-bit Python 3.11 to 3.14 with venv and pip, and none of these is one: $(PYTHONS)." >&2; \
	echo "Debian and Ubuntu: apt-get install python3-venv. Somewhere else: make PYTHON=/path/to/python3 run" >&2; \
	exit 1

$(RUNTIME): requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing what requirements.txt pins into $(VENV) (800 MB; about a minute) ..."
	@$(LOCKED) --requirement requirements.txt
	@$(ITSELF)
	@touch $@

# The development lock holds every pin of the other one, so it does for both.
$(DEV): requirements-dev.txt pyproject.toml | $(BIN)/python
	@echo "Installing what requirements-dev.txt pins into $(VENV) (1.3 GB; about two minutes) ..."
	@$(LOCKED) --requirement requirements-dev.txt
	@$(ITSELF)
	@touch $(RUNTIME) $@

$(BROWSER): requirements-browser.txt | $(DEV)
	@echo "Installing what requirements-browser.txt pins into $(VENV) (150 MB) ..."
	@$(LOCKED) --requirement requirements-browser.txt
	@touch $@

$(DOCS): requirements-docs.txt | $(DEV)
	@echo "Installing what requirements-docs.txt pins into $(VENV) (140 MB) ..."
	@$(LOCKED) --requirement requirements-docs.txt
	@touch $@
