# Everything a person or CI types. `make help` lists it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
EXAMPLES := deploy/examples/images

.PHONY: help run test chaos check fix bench bench-peers examples clean
.DEFAULT_GOAL := help

help:  ## Show the recipes.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1	/'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "cluster needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

# A stamp for each set of packages, so that a second call installs nothing.
$(VENV)/.ocr: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[ocr]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all,test,check]'
	@touch $@ $(VENV)/.ocr

run: $(VENV)/.ocr  ## Read the text on the example pictures.
	$(BIN)/cluster submit --job ocr $(EXAMPLES)

test: $(VENV)/.test  ## Run all tests but the long ones.
	$(BIN)/python -m pytest -m 'not slow and not alone' -n 3 --dist worksteal
	$(BIN)/python -m pytest -m 'alone and not slow'

chaos: $(VENV)/.test  ## Run every job while nodes, connections, submitters and Redis fail (about 20 minutes).
	$(BIN)/python -m pytest tests/chaos
	$(BIN)/python -m pytest -m slow

check: $(VENV)/.test  ## Run the linters and the type checker.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(VENV)/.test  ## Format, and mend what the linter can.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.test  ## Run the benchmarks, beside others after `make bench-peers` (hours).
	$(BIN)/python -m tests.benchmarks

# What we compare with, apart: some of it takes the place of what we use ourselves.
PEERS := tests/benchmarks/peers/requirements.txt
.venv-peers/.installed: $(PEERS)
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -r $(PEERS)
	@touch $@
	@command -v java >/dev/null || echo "there is no java: Spark is left out (apt install openjdk-17-jre-headless)" >&2

bench-peers: .venv-peers/.installed  ## Install what the benchmarks compare with (Spark, Dask, Ray, polars) into .venv-peers.

examples: $(VENV)/.test  ## Draw the example pictures again.
	$(BIN)/python deploy/examples/draw_images.py $(EXAMPLES)
	$(BIN)/python deploy/examples/draw_faces.py deploy/examples

clean:  ## Remove what the recipes made.
	rm -rf $(VENV) .venv-peers .pytest_cache .mypy_cache .ruff_cache build dist *.egg-info
