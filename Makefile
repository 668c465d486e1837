# Python 3.11 or newer and make: nothing else has to be installed by hand. `make` alone says what there is.
# A machine without a GPU saves 3 GB with: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make run
PYTHON ?= python3
PORT ?= 8080
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
PHOTOS ?= 1000

.DEFAULT_GOAL := help
.PHONY: help setup run demo test check chromium bench bundle chaos pin clean

help:  ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/local  ## .venv with what `run` needs; takes seconds the second time

run: $(VENV)/local  ## the whole system on this machine: http://127.0.0.1:8080
	@$(VENV)/bin/maskline up --port $(PORT)

demo: $(VENV)/local  ## headless: sample photos in, masks and overlays in out/
	@$(VENV)/bin/maskline demo

test: $(VENV)/test check chromium  ## the whole suite
	$(VENV)/bin/pytest

check: $(VENV)/test  ## formatting, lint, types, layers, Terraform's format, docs
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	if command -v terraform >/dev/null; then terraform fmt -check -recursive terraform; fi
	$(VENV)/bin/pytest -q tests/gates

bench: $(VENV)/test  ## the benchmarks; each prints one JSON line last
	$(VENV)/bin/python -m benchmarks.memory
	$(VENV)/bin/python -m benchmarks.cold_start
	$(VENV)/bin/python -m benchmarks.broker
	$(VENV)/bin/python -m benchmarks.broker_beside
	$(VENV)/bin/python -m benchmarks.functions
	$(VENV)/bin/python -m benchmarks.fairness
	$(VENV)/bin/python -m benchmarks.system --photos $(PHOTOS)
	$(VENV)/bin/python -m benchmarks.container
	$(VENV)/bin/python -m benchmarks.known
	$(VENV)/bin/python -m benchmarks.variants
	$(VENV)/bin/python -m benchmarks.forward
	$(VENV)/bin/python -m benchmarks.roofline
	$(VENV)/bin/python -m benchmarks.plots

bundle: $(VENV)/test  ## the functions' bundles, for Terraform
	$(VENV)/bin/python -m deploy.bundle

chaos: $(VENV)/test  ## the long fault and kill tests, then docs/explanation/guarantees.md with their figures
	$(VENV)/bin/pytest -m chaos tests/chaos
	$(VENV)/bin/python -m tests.chaos.report

chromium:  # the browser tests' only need from outside; without it they say that they were skipped, in CI they fail
	@command -v chromium >/dev/null \
	|| if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	else echo "Chromium is not installed: the browser tests will be skipped"; fi

pin:  ## newest versions of everything into constraints.txt; torch is pinned in pyproject.toml
	$(PYTHON) -m venv --clear build/pin
	build/pin/bin/python -m pip install --quiet '.[test,gcp]'
	{ head -1 constraints.txt; build/pin/bin/python -m pip freeze --exclude maskline --exclude torch | grep -v '^nvidia-\|^triton'; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:  ## everything that was made, data too
	rm -rf $(VENV) build out data tests/deploy/rules/node_modules

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/local: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing (torch is large: a few minutes the first time)"
	$(PIP) -e '.[local]'
	@touch $@

$(VENV)/test: $(VENV)/local
	$(PIP) -e '.[test,gcp]'
	@touch $@
