# Everything a person or CI types. `make help` lists it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
EXAMPLES := deploy/examples/images

.PHONY: help run test test-faults test-serving test-scans test-page test-train train-example serve-example scans-example page-pictures chaos check fix lock latest wheel docs font bench bench-peers examples clean
.DEFAULT_GOAL := help

help:  ## Show the recipes.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1	/'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "cluster needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

# The recipes install the versions that `make lock` wrote, checked by hash, so that they do the same everywhere and next
# year. `make run` needs a third of the packages and installs only those. Both files come from one resolution: `make test`
# after `make run` adds packages and changes none. The project itself comes last, built with the locked hatchling.
# PIP_CONSTRAINT: constraints in the user's pip configuration would contradict the lock.
pip = PIP_CONSTRAINT=/dev/null $(1)/bin/python -m pip install --quiet --disable-pip-version-check

# A stamp for each set of packages, so that a second call installs nothing.
$(VENV)/.ocr: pyproject.toml requirements/run.txt | $(BIN)/python
	$(call pip,$(VENV)) --require-hashes -r requirements/run.txt
	$(call pip,$(VENV)) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test: pyproject.toml requirements/dev.txt | $(BIN)/python
	$(call pip,$(VENV)) --require-hashes -r requirements/dev.txt
	$(call pip,$(VENV)) --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.ocr

# Outside of the lock: which build of torch suits depends on the machine. One that is installed already stays.
TORCH := torch==2.13.0
$(VENV)/.train: Makefile $(VENV)/.test
	$(call pip,$(VENV)) $(TORCH)
	@touch $@

run: $(VENV)/.ocr  ## Read the text on the example pictures.
	$(BIN)/cluster submit --job ocr $(EXAMPLES)

test: $(VENV)/.test  ## Run the tests, but the long ones and those of the next recipes.
	$(BIN)/python -m pytest -m 'not slow and not alone' -n 3 --dist worksteal
	$(BIN)/python -m pytest -m 'alone and not slow' $$(grep -rl --include='test_*.py' mark.alone tests/unit tests/integration)

train-example: $(VENV)/.train  ## Train a network on two workers, one of which is killed in the middle (1 minute).
	$(BIN)/python -m tests.kit.train_example build/train-example

serve-example: $(VENV)/.test  ## Train an ensemble on two workers, predict a file with it, serve it and ask it with curl (1 minute).
	$(BIN)/python -m tests.kit.serve_example build/serve-example

test-faults: $(VENV)/.test  ## Run the tests in which nodes, connections or Redis fail or are missing (2 minutes).
	$(BIN)/python -m pytest tests/faults -m 'not slow and not alone' -n 3 --dist worksteal
	$(BIN)/python -m pytest tests/faults -m 'alone and not slow'

test-serving: $(VENV)/.test  ## Run the tests of ensembles, predictions and services (2 minutes).
	$(BIN)/python -m pytest tests/serving -m 'not slow' -n 3 --dist worksteal

scans-example: $(VENV)/.test  ## Make PDFs with text of a folder of scans on two workers, one of which is killed (1 minute).
	$(BIN)/python -m tests.kit.scans_example build/scans-example

test-scans: $(VENV)/.test  ## Run the tests in which pages of scans are read and written (1 minute).
	$(BIN)/python -m pytest tests/scans -m 'not slow' -n 3 --dist worksteal

# What axe-core finds keeps somebody from using a page. Without npm the tests that need it say so.
AXE := tests/page/node_modules/.package-lock.json
$(AXE): tests/page/package-lock.json
	@command -v npm >/dev/null || echo "there is no npm: what needs axe-core is left out (apt install npm)" >&2
	@! command -v npm >/dev/null || npm ci --prefix tests/page --silent

test-page: $(VENV)/.test $(AXE)  ## Run the tests of the page, also in a browser where Chromium is installed (5 minutes).
	$(BIN)/python -m pytest tests/page -m 'not slow' -n 2 --dist loadscope

page-pictures: $(VENV)/.test  ## Make the pictures of docs/howto/page.md, in Chromium.
	$(BIN)/python -m tests.kit.page_tour docs/howto/figures

test-train: $(VENV)/.train  ## Run the tests that need PyTorch, which this installs (800 MB).
	$(BIN)/python -m pytest tests/train

chaos: $(VENV)/.test  ## Run every job while nodes, connections, submitters and Redis fail (an hour).
	$(BIN)/python -m pytest tests/chaos
	$(BIN)/python -m pytest -m slow tests/unit tests/integration tests/faults tests/serving tests/scans

check: $(VENV)/.test  ## Run the linters, the type checker, and see that each folder imports only those below it.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

fix: $(VENV)/.test  ## Format, and mend what the linter can.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One version for all of Python 3.11 and newer, not the newest for each: what was tested here is what others get.
LOCK := .venv-lock/bin/uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 --fork-strategy fewest \
        --group build --generate-hashes --no-annotate --custom-compile-command 'make lock'
lock:  ## Write requirements/ again, with the newest packages that pyproject.toml allows.
	@test -x .venv-lock/bin/python || $(PYTHON) -m venv .venv-lock
	$(call pip,.venv-lock) --upgrade uv
	$(LOCK) --extra all --extra test --extra check --output-file requirements/dev.txt
	$(LOCK) --extra ocr --constraint requirements/dev.txt --output-file requirements/run.txt

latest:  ## Check and test with the newest packages instead of the locked ones, in .venv-latest.
	rm -rf .venv-latest
	$(MAKE) VENV=.venv-latest .venv-latest/bin/python
	$(call pip,.venv-latest) -e '.[all,test,check]'
	@grep -o '^[a-z0-9.-]*==[^ ]*' requirements/dev.txt >.venv-latest/locked
	@echo "not the locked version:"
	@.venv-latest/bin/python -m pip freeze --exclude-editable | sed -E -e ':again' -e 's/^([^=]*)[_.]/\1-/' -e 'tagain' | \
	  grep -vixFf .venv-latest/locked || echo none
	@touch .venv-latest/.ocr .venv-latest/.test
	$(MAKE) VENV=.venv-latest check test

wheel: $(VENV)/.ocr  ## Build dist/cluster-VERSION-py3-none-any.whl, to install without a clone.
	PIP_CONSTRAINT=/dev/null $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

font: $(VENV)/.test  ## Make the font of the invisible text in PDFs.
	$(BIN)/python -m tests.kit.glyphless_font cluster/searchable/glyphless.ttf

docs: $(VENV)/.test  ## Write the generated pages of docs/reference.
	$(BIN)/python -m tests.kit.reference

bench: $(VENV)/.test  ## Run the benchmarks, beside others after `make bench-peers` (hours).
	$(BIN)/python -m tests.benchmarks

# What we compare with, apart: some of it takes the place of what we use ourselves.
PEERS := tests/benchmarks/peers/requirements.txt
.venv-peers/.installed: $(PEERS)
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -r $(PEERS)
	@touch $@
	@command -v java >/dev/null || echo "there is no java: Spark is left out (apt install openjdk-17-jre-headless)" >&2

# Flower wants versions of its own. Where they are not installed, the benchmarks say so and go on.
.venv-peers-training/.installed: tests/benchmarks/peers/training.txt
	@test -x .venv-peers-training/bin/python || $(PYTHON) -m venv .venv-peers-training
	.venv-peers-training/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.venv-peers-serving/.installed: tests/benchmarks/peers/serving.txt
	@test -x .venv-peers-serving/bin/python || $(PYTHON) -m venv .venv-peers-serving
	.venv-peers-serving/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

bench-peers: .venv-peers/.installed .venv-peers-training/.installed .venv-peers-serving/.installed  ## Install what the benchmarks compare with (Spark, Dask, Dask-ML, Ray, polars, Flower, LitServe, BentoML), apart from ours.

examples: $(VENV)/.test  ## Draw the example pictures again.
	$(BIN)/python deploy/examples/draw_images.py $(EXAMPLES)
	$(BIN)/python deploy/examples/draw_faces.py deploy/examples

clean:  ## Remove what the recipes made.
	rm -rf $(VENV) .venv-latest .venv-lock .venv-peers .venv-peers-training .venv-peers-serving .pytest_cache .mypy_cache .ruff_cache build dist *.egg-info
