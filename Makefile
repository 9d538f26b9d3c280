# make train   a fresh machine to a trained, compared and exported team
# make test    lint, types and tests
# Both set up .venv first, with Python 3.11 and the versions in requirements.lock.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= $(shell for p in python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo $$p && break; done)

# TORCH_INDEX=https://download.pytorch.org/whl/cpu for the small CPU build of torch.
PIP_INDEX = $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

CONFIG ?= quick
RUN := $(or $(RUN),checkpoints/$(CONFIG)-$(shell date -u +%Y%m%dT%H%M%SZ))
BASELINES ?= random pid siloed value-aware shadow-price certainty-equivalent oracle

# One thread per process: more of them only wait for each other.
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
# A local run of ray needs no token file in the home folder and reports to nobody.
export RAY_AUTH_MODE ?= disabled
export RAY_USAGE_STATS_ENABLED ?= 0

.DEFAULT_GOAL := help
.PHONY: help install train test lint kernels benchmark clean

help:
	@sed -n 's/^# //p' Makefile | head -3

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Interlude needs Python 3.11, and neither python3.11 nor python3 is one." \
		"Install it, or name it: make PYTHON=/path/to/python3.11 install" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_INDEX) -r requirements.lock
	$(BIN)/python -m pip install --no-deps --no-build-isolation --editable .
	@touch $@

train: install
	$(BIN)/interlude train --config $(CONFIG) --run-dir $(RUN)
	$(BIN)/interlude evaluate $(RUN) $(BASELINES) --split held_out --json $(RUN)/evaluation.json --report $(RUN)/report.html --tensorboard $(RUN)/tensorboard
	$(BIN)/interlude export $(RUN) --output $(RUN)/bundle --evaluation $(RUN)/evaluation.json
	@echo
	@echo "report       $(RUN)/report.html"
	@echo "TensorBoard  $(BIN)/tensorboard --logdir $(RUN)/tensorboard"
	@echo "bundle       $(RUN)/bundle"

# Every process of the tests that found no kernels would compile them for itself, so they are compiled
# before; types are checked meanwhile, for both take one core and a minute.
test: install
	$(MAKE) --no-print-directory --jobs=2 lint kernels
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff check .
	$(BIN)/mypy

kernels: install
	$(BIN)/python tests/support/compile_kernels.py

benchmark: install
	$(BIN)/interlude benchmark

# Caches only: the environment (.venv) and the runs (checkpoints/) stay.
clean:
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build interlude.egg-info
	find . -path ./$(VENV) -prune -o -type d -name __pycache__ -exec rm -rf {} +
