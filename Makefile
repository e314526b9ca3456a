# One command each, from a fresh clone. All of them share one .venv, made anew when pyproject.toml or locks/ change.
#
#   make run        install, then train, compare and report                (ARGS="seed=3" adds overrides)
#   make test       install, then the quick tests, on up to four cores     (ARGS="-k stock" adds options; -n 0: on one)
#   make test-all   the slow tests too
#   make check      format, lint, types, layers
#   make lock       write locks/ anew from pyproject.toml and constraints.txt
#   make clean      remove what the above made, outputs/ excepted

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
ARGS ?=
# Files stay whole: tests of one share what they train, once in each process. A process takes a GB or two.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

.DELETE_ON_ERROR:
.PHONY: run test test-all check format lock clean

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

lock:
	PYTHON=$(PYTHON) bash .ci/lock

# uv, where it is on PATH, installs several times faster.
WITH := $(if $(shell command -v uv),uv pip install --python $(BIN)/python,$(BIN)/python -m pip install --quiet --disable-pip-version-check)
INSTALL := $(WITH) --no-deps --no-build-isolation --require-hashes

# No file is installed whose hash is not in locks/. A CPU build of torch is taken from pip's find-links, for which uv has a
# name of its own, in a step without a registry: pip would rather have the registry's file. All others come without
# find-links: uv would rather have any CPU build there, and ends if its hash is not in locks/. One of the packages is
# built from its source, by what the first step brings. What a CUDA build of torch needs is fetched only where such a
# build was.
$(STAMP): pyproject.toml $(wildcard locks/*.txt)
	@$(PYTHON) -c 'import sys; sys.exit("flashsim needs Python 3.11 or newer, got " + sys.version.split()[0] + "; call make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): some minutes the first time, for torch and others are fetched"
	@$(INSTALL) -r locks/build.txt
	@said=$$(UV_FIND_LINKS="$$PIP_FIND_LINKS" $(INSTALL) --no-index -r locks/torch_cpu.txt 2>&1) || \
	  { echo "no CPU build of torch that is in locks/torch_cpu.txt: the registry's is fetched. The installer said:"; \
	  echo "$$said" | grep . | tail -n 4; }
	@UV_FIND_LINKS= PIP_FIND_LINKS= $(INSTALL) -r locks/packages.txt
	@if $(BIN)/python -m pip check | grep -q '^torch .*not installed'; then $(INSTALL) -r locks/cuda.txt; fi
	@$(WITH) --no-deps --no-build-isolation -e .
	touch $@

clean:
	rm -rf $(VENV) .cache build dist .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
