# Each target sets up what it needs: a virtual environment in .venv with the pinned packages. The peers of the benchmarks
# have one of their own, .venv-bench.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PEERS  := .venv-bench

.DEFAULT_GOAL := help
.PHONY: help demo test lint check fmt run bench soak wheel deb

help:            ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

$(VENV)/run.stamp: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements-dev.txt requirements-demo.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(PEERS)/bench.stamp: requirements-bench.txt
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	@touch $@

demo: $(VENV)/dev.stamp   ## a registry day on the embedded stand-ins, told in the terminal
	@$(BIN)/python -m poller demo

test: $(VENV)/dev.stamp   ## the tests
	$(BIN)/python -m pytest

lint: $(VENV)/dev.stamp   ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test          ## what CI runs: format, lint, types, tests

fmt: $(VENV)/dev.stamp    ## put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

run: $(VENV)/run.stamp    ## the daemon, with ./conf.toml
	$(BIN)/python -m poller run

bench: $(VENV)/dev.stamp $(PEERS)/bench.stamp  ## the benchmarks, as ratios measured in one run
	$(BIN)/python -m bench --results bench/results

KILLS ?= 1000
soak: $(VENV)/dev.stamp   ## every kind of fault for half an hour, on both databases; SEED=, KILLS=
	$(BIN)/python -m tests.faults --kills $(KILLS) $(if $(SEED),--seed $(SEED))

wheel: $(VENV)/dev.stamp  ## dist/harbor_poller-VERSION: for pip and pipx, and the sources it is made of
	$(BIN)/python -m build --no-isolation --outdir dist

deb: wheel                ## dist/harbor-poller_VERSION_ARCHITECTURE.deb, for the Python of this Debian
	packaging/deb $(BIN)/python dist
