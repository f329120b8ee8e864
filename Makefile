# Two commands matter: `make repro` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Packages are compiled when they are first imported, the stages' once installed: most modules never are. What
# is compiled must be kept, also where the surroundings (container images, mostly) ask Python to write nothing:
# the stages and their workers are a hundred processes, and each would compile its thousand modules again. The loops of
# the handcrafted measures become machine code when they are imported; numba keeps it beside them.
unexport PYTHONDONTWRITEBYTECODE
IMPORTED := data.sample.backbones, data.sample.clip, dvc.cli.parser, dvc.repo.reproduce, msavqa.app.cli, \
  msavqa.trunks.measures.fine_loops, msavqa.trunks.measures.loops, msavqa.trunks.measures.time_loops, \
  pipeline.controls, pipeline.report, pipeline.train, ruamel.yaml, scmrepo.git
PIP_INSTALL := $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt
# Who asks for tests in a bare checkout gets what they need in one go: pip looks through all packages each time.
DEV := $(if $(filter test check,$(MAKECMDGOALS)),[dev])
# Tests run in this many processes, a file in one of them; a thread each, that sleeps when it waits for others.
TEST_PROCESSES ?= 2
ALONE := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE python -m pytest
PYTEST := $(ALONE) -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder
# Tests of these rooms know nothing of what `make repro` makes: they pass beside it.
APART := tests/datasets tests/evaluation tests/frames tests/networks tests/store tests/trunks

.DEFAULT_GOAL := help
.PHONY: help install repro ui weights real sample-networks ablation table2 exp-show paper-smoke picture docs test check lint beside pytest unit clean

help: ## list the commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 17

$(BIN)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; found = sys.version_info; sys.exit(found < (3, 11) and "Python %d.%d is too old: msavqa needs \
	3.11 or newer; name one that you have, as in make repro PYTHON=python3.11" % found[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) has no venv of its own: install it first (Debian: apt-get install python3-venv)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip setuptools wheel
	$(PIP_INSTALL) --editable '.$(DEV)'
	$(BIN)/python -c 'import $(IMPORTED)'
	$(if $(DEV),touch $(BIN)/.with-dev)
	touch $@

$(BIN)/.installed-dev: $(BIN)/.installed
	test -e $(BIN)/.with-dev || $(PIP_INSTALL) --editable '.[dev]'
	rm -f $(BIN)/.with-dev
	touch $@

install: $(BIN)/.installed ## make .venv and install msavqa with the versions that were tested

# Editable, as the rest: `pip install '.[ui]'` would put a copy in its place.
$(BIN)/.installed-ui $(BIN)/.installed-docs $(BIN)/.installed-real: $(BIN)/.installed-%: $(BIN)/.installed
	$(PIP_INSTALL) --editable '.[$*]'
	touch $@

repro: $(BIN)/.installed ## run the pipeline of params.yaml (the sample world, until you change it)
	@python -m pipeline.check --only
	dvc repro
	@python -m pipeline.report --show

weights: $(BIN)/.installed ## fetch all weights that params.yaml names; goes on where it broke off
	python -m pipeline.fetch --all
	dvc repro weights/dvc.yaml

real: $(BIN)/.installed-real ## a real network on real people's ratings (../shared/data/fetv), beside the toys and the controls
	python -m benchmarks.real

sample-networks: $(BIN)/.installed ## train the sample world's small networks anew, into data/sample/networks with what they reach (minutes)
	python -m data.sample.videos practice
	python -m data.sample.clip
	python -m data.sample.backbones frame
	python -m data.sample.backbones segment
	python -m data.sample.backbones video

ablation: repro ## Tables III and IV: a DVC experiment a variant over eight splits, reports/ablation.csv (SWEEP=file for another)
	python -m pipeline.ablation $(if $(SWEEP),--sweep $(SWEEP))

table2: $(BIN)/.installed ## Table II: the result beside published ones (docs/published.csv), each with its protocol
	@python -m pipeline.table2

paper-smoke: $(BIN)/.installed-dev ## the paper at full size with random weights on 12 videos: seconds and memory of every stage
	python -m benchmarks.paper_smoke

exp-show: $(BIN)/.installed ## the experiments: swept parameters, SRCC and PLCC with intervals, seconds of training; 120 columns
	@python -m pipeline.experiments

ui: $(BIN)/.installed-ui ## a page on this machine: drop a video, type a prompt, get the score
	@msavqa ui

picture: repro $(BIN)/.installed-dev ## shoot the report as it stands for the README: docs/report.png (needs chromium and its driver)
	python -m tests.report_picture

# Strict: a link that leads nowhere fails, here and in tests/test_docs.py, which builds the site too. The variable
# keeps an advertisement away that the theme's makers print.
docs: $(BIN)/.installed-docs ## build the site of docs/: open site/index.html (its search needs a server)
	NO_MKDOCS_2_WARNING=1 python -m mkdocs build --strict

# Linters and some tests run beside the pipeline: most stages leave a core free, the other tests do not.
test: $(BIN)/.installed-dev ## the fast gate beside every test, on the sample world's own results
	$(MAKE) --no-print-directory --jobs 2 repro beside
	$(PYTEST) $(addprefix --ignore=,$(APART))

check: $(BIN)/.installed-dev ## the fast gate: ruff, mypy, import contracts, unit tests, the site's links
	$(MAKE) --no-print-directory lint unit

lint:
	ruff check .
	ruff format --check .
	mypy
	lint-imports

beside: lint
	$(ALONE) -q $(APART)

pytest:
	$(PYTEST)

unit:
	$(PYTEST) -m "not pipeline and not sample and not slow"

clean: ## remove features, runs, reports and unfinished work of this checkout; keep environment, data and DVC's cache
	rm -rf .msavqa features/*/ runs reports/*/ .pytest_cache .mypy_cache .ruff_cache
