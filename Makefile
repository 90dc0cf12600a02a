# Everything sets itself up in .venv and skips what is done.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

# with it, each of the hundreds of processes that tests start compiles the project again
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo serve models gpu unit test test-models soak check dev docs pins samples clean

demo: $(VENV)/.installed        ## process the sample recordings and show the tables
	$(BIN)/sensory demo

models: $(VENV)/.installed-models  ## install what Whisper, pyannote and GigaAM need: torch and related packages, 6 GB

gpu: $(VENV)/.installed-gpu     ## install what Whisper needs on a GPU, without torch: cuBLAS, 1 GB

serve: $(VENV)/.installed       ## the service, on the demo's models: http://localhost:8001
	$(BIN)/sensory serve

dev: $(VENV)/.installed         ## Dagster's UI and daemon on the demo's lake
	$(BIN)/sensory dev --lake demo-lake

unit: $(VENV)/.installed-unit   ## the tests that start no process, in a minute, without torch
	$(BIN)/python -m pytest -q sensory_pipeline_tests/unit

# five tests run at once on two cores: threads that wait for each other take a third of the processor
test soak: export OMP_NUM_THREADS := 1
test: $(VENV)/.installed-dev test-models  ## all tests; installs torch and related packages, 6 GB, for the engines that need them
	$(BIN)/python -m pytest -n 5 --dist loadfile --no-loadscope-reorder

test-models: $(VENV)/.installed  ## the models that tests run for real, 110 MB; without them those tests are skipped
	-$(BIN)/sensory models fetch whisper-tiny.en segmentation-3.0 campplus

soak: $(VENV)/.installed-dev test-models  ## the tests, with the long ones at full length
	$(BIN)/python -m pytest -n 5 --dist loadfile --no-loadscope-reorder --soak

check: $(VENV)/.installed-dev   ## style, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m scripts.document --check

docs: $(VENV)/.installed-dev    ## write the generated parts of docs/
	$(BIN)/python -m scripts.document

pins: $(VENV)/.installed-dev    ## write requirements/ from pyproject.toml and constraints.txt, with hashes
	$(BIN)/python -m scripts.requirements

samples: $(VENV)/.installed     ## make samples/ again (needs Debian's flite)
	$(BIN)/python -m scripts.make_samples --seed 1 --out samples

clean:                          ## remove what the demo made
	rm -rf demo-lake

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# All that requirements/ lists, each file checked against its hashes, and then this project, which downloads nothing.
define install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/$(1).txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@
endef

$(VENV)/.installed: pyproject.toml requirements/demo.txt | $(BIN)/python
	@echo "installing into $(VENV), about a minute"
	$(call install,demo)

$(VENV)/.installed-models: $(VENV)/.installed requirements/models.txt
	@echo "installing 6 GB into $(VENV), some minutes"
	$(call install,models)

$(VENV)/.installed-gpu: $(VENV)/.installed requirements/gpu.txt
	@echo "installing 1 GB into $(VENV), some minutes"
	$(call install,gpu)

$(VENV)/.installed-unit: $(VENV)/.installed requirements/unit.txt
	$(call install,unit)

$(VENV)/.installed-dev: $(VENV)/.installed requirements/dev.txt
	@echo "installing 6 GB into $(VENV), some minutes"
	$(call install,dev)
