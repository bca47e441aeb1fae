# Two commands for newcomers: `make demo` and `make test`. Both make .venv themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check bench nano clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "simarena needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(STAMP)  ## a tournament of the six nano language models, rated
	$(BIN)/simarena tournament arena/sparta_combat --scale demo \
		--agents nano-a nano-b nano-c nano-d nano-e nano-f --out runs/demo

test: $(STAMP)  ## every test, on all cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -q

check: $(STAMP)  ## format, lint, strict types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(STAMP)  ## speed and memory, as ratios side by side
	@for name in environment scripted_matches in_flight http_backend transformers_backend; do \
		$(BIN)/python analysis/benchmarks/$$name.py || exit 1; done

nano: $(STAMP)  ## make the nano language models again, from nothing: an hour on two cores
	for step in base adapters exams; do $(BIN)/python -m analysis.train_nano $$step || exit 1; done

clean:
	rm -rf $(VENV) runs
