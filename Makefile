# minitf: `make run` starts the app, `make test` runs the tests. Both set themselves up first.

PYTHON ?= python3
# Another index for PyTorch's CPU build; see the README.
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
SEED_RUN ?= seed

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run install test check format interop train eval bench plot pictures goldens clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

run: install ## start the app
	@$(BIN)/minitf $(ARGS)

install: $(VENV)/.installed ## set up .venv

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "There is no $(PYTHON) here: install Python 3.11 or newer, or name one, as in: make run PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "minitf needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1): name another, as in: make run PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv module: install it (Debian and Ubuntu: apt install python3-venv)" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up $(VENV) (once; PyTorch is large) ..." >&2
	@$(if $(TORCH_INDEX),$(PIP) --index-url $(TORCH_INDEX) torch,:)
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Adding what the tests need ..." >&2
	@$(PIP) --editable '.[dev,plot]'
	@touch $@

test: $(VENV)/.installed-dev ## run the tests
	@$(BIN)/python -m pytest -q -n auto --dist worksteal $(ARGS)

# Not for this processor alone: a build for its AMX crashed on q8_0 elsewhere.
LLAMA_CMAKE_ARGS ?= -DGGML_NATIVE=OFF

$(VENV)/.installed-llama: $(VENV)/.installed-dev
	@echo "Building llama.cpp (once; about 5 minutes on 2 cores, with a C++ compiler) ..." >&2
	@CMAKE_ARGS="$(LLAMA_CMAKE_ARGS)" $(PIP) --editable '.[dev,plot,llama]'
	@touch $@

interop: $(VENV)/.installed-llama ## hold exported models against llama.cpp, built first (5 min)
	@$(BIN)/python -m pytest -q tests/interop $(ARGS)

check: $(VENV)/.installed-dev ## format, lint, types, import rules, all but the slow tests with coverage
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q -n auto --dist worksteal -m 'not slow' --cov --cov-report=term:skip-covered $(ARGS)

format: $(VENV)/.installed-dev ## put the code in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The seed experiment, one step after the other; a step that is missing is made first.
OUT := out
SEED := MINITF_HOME=$(OUT)/home $(BIN)/minitf
METRICS := --metrics $(OUT)/metrics.json

$(VENV)/.installed-plot: $(VENV)/.installed
	@$(PIP) --editable '.[plot]'
	@touch $@

$(OUT)/.trained: | install
	@rm -f $(OUT)/metrics.json $(OUT)/.evaluated $(OUT)/.benched
	@test ! -e $(OUT)/home/runs/$(SEED_RUN) || $(SEED) runs rm $(SEED_RUN) --yes >/dev/null
	@$(SEED) train --preset seed --name $(SEED_RUN) $(METRICS)
	@touch $@

$(OUT)/.evaluated: $(OUT)/.trained
	@$(SEED) eval $(SEED_RUN) $(METRICS)
	@touch $@

$(OUT)/.benched: $(OUT)/.evaluated
	@$(SEED) bench $(SEED_RUN) --n 512 --reps 3 --warmup 1 $(METRICS)
	@touch $@

train: ## train the seed experiment: 1 block, 100 steps (out/metrics.json)
	@rm -f $(OUT)/.trained
	@$(MAKE) --no-print-directory $(OUT)/.trained

eval: $(OUT)/.trained ## score it on its held-out text
	@rm -f $(OUT)/.evaluated
	@$(MAKE) --no-print-directory $(OUT)/.evaluated

bench: $(OUT)/.evaluated ## time its KV cache: 512 tokens, 3 repetitions
	@rm -f $(OUT)/.benched
	@$(MAKE) --no-print-directory $(OUT)/.benched

plot: $(OUT)/.benched $(VENV)/.installed-plot ## draw the timings (out/plot_latency.png)
	@$(SEED) plot $(SEED_RUN) --kind latency --out $(OUT)/plot_latency.png

pictures: $(VENV)/.installed-plot ## take the pictures in assets anew, from a real run (4 min)
	$(BIN)/python assets/make_pictures.py

goldens: $(VENV)/.installed-dev ## write the agreed screens in tests/golden anew; look at the difference
	MINITF_GOLDEN=write $(BIN)/python -m pytest -q tests/tui/test_golden.py

clean: ## remove the environment and what it made
	rm -rf $(VENV) out build dist *.egg-info
