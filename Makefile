# One command each, from a fresh clone. All of them share one .venv, made anew when pyproject.toml or constraints.txt change.
#
#   make run        install, then calibrate, train, compare and report     (ARGS="seed=3" adds overrides)
#   make test       install, then the quick tests, on up to four cores     (ARGS="-k stock" adds options; -n 0: on one)
#   make test-all   the slow tests too
#   make check      format, lint, types, layers
#   make clean      remove what the above made, outputs/ excepted

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
EXTRAS := data,train,experiments,dev
ARGS ?=
# Files stay whole: tests of one share what they train, once in each process. A process takes a GB or two.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

.DELETE_ON_ERROR:
.PHONY: run test test-all check format clean

run: $(STAMP)
	$(BIN)/python -m experiments.run $(ARGS)

test: $(STAMP)
	$(PYTEST) -m "not slow" $(ARGS)

test-all: $(STAMP)
	$(PYTEST) $(ARGS)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --cache-dir .cache/import-linter

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# uv, where it is on PATH, installs several times faster; it reads its own name for pip's find-links.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("flashsim needs Python 3.11 or newer, got " + sys.version.split()[0] + "; call make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): some minutes the first time, for torch and others are fetched"
	@if command -v uv >/dev/null; then \
		UV_FIND_LINKS="$$PIP_FIND_LINKS" uv pip install --python $(BIN)/python -c constraints.txt -e '.[$(EXTRAS)]'; \
	else \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'; \
	fi
	touch $@

clean:
	rm -rf $(VENV) .cache build dist .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
