# Every target sets itself up on a machine that has only Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin

# What one process compiled is there for the others, of which the tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE

# cpu: torch without its CUDA libraries
UV_TORCH_BACKEND ?=
ifneq ($(UV_TORCH_BACKEND),)
export UV_TORCH_BACKEND
endif

.PHONY: install core demo test lint notebooks docs numbers fuzz accessibility contact-sheet tracker-pictures wheel-check release-check clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# foretoll alone, without its extras and what tests need
core: .venv/core

.venv/core: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --constraint constraints.txt --editable .
	touch $@

demo: core
	$(BIN)/foretoll demo

# a worker of one thread for each core, and one more for the while that tests wait for other processes
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
test: export OMP_NUM_THREADS ?= 1
test: install
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# hostile inputs, thousands of them: make fuzz CASES=500 SEED=3
CASES ?= 2400
SEED ?= 0
fuzz: install
	$(BIN)/python -m tests.fuzz --cases $(CASES) --seed $(SEED)

numbers: install
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/docs_numbers.py

# the examples as notebooks without outputs, from their scripts
notebooks: install
	$(BIN)/python release/notebooks.py

# the docs site in build/site, to be opened from the disk: tables are made anew, examples executed, dead links are errors
docs: install notebooks
	$(BIN)/python docs/build.py
	$(BIN)/python release/notebooks.py --execute
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# pages of foretoll and of its docs, asked about by axe-core in headless Chromium; needs node's npm
accessibility: install
	$(BIN)/python release/accessibility.py --write

# the same in light, dark, on a phone and in print, on one picture
contact-sheet: install
	$(BIN)/python release/contact_sheet.py

# a run in MLflow, TensorBoard, an offline folder of Weights & Biases and a model card, for docs/trackers.md
tracker-pictures: install
	$(BIN)/python release/trackers.py

# the wheel: its contents, and what it does without extras on each Python from 3.11 to 3.13 that is found
wheel-check: install
	$(BIN)/python release/wheel.py --demo

# the tutorials from a clean environment with the built wheel, away from the checkout
release-check: install
	$(BIN)/python release/tutorials.py

clean:
	rm -rf .venv foretoll-demo foretoll-estimate foretoll-retrain foretoll-train
