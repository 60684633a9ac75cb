# Every target sets itself up on a machine that has only Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin

# What one process compiled is there for the others, of which the tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test lint docs numbers fuzz clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/foretoll demo

# a worker for each core, of one thread each
test: export OMP_NUM_THREADS ?= 1
test: install
	$(BIN)/pytest -n logical --dist loadfile

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

# the docs site in build/site, to be opened from the disk: tables are made anew, dead links are errors
docs: install
	$(BIN)/python docs/build.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf .venv foretoll-demo foretoll-estimate foretoll-retrain foretoll-train
