# Two set-up commands: `make demo` and `make test`. Both create .venv by themselves and are quick the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501

.PHONY: help demo test format audit docs checkpoints clean

help:
	@echo "make demo    build three casebooks of synthetic films and open the app on http://localhost:$(PORT)"
	@echo "make test    lint, types and all tests, the browser's included"
	@echo "make docs    the documentation as a site in build/site; fails on a broken link"
	@echo "make audit   bill of materials in build/sbom.cdx.json; known vulnerabilities of the installed packages"

demo: $(VENV)/installed
	$(BIN)/cxr-explorer demo --port $(PORT)

# Types are checked beside the tests, which wait for a browser much of the time.
test: $(VENV)/installed-test
	@$(PYTHON) tests/install_browser.py
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory -j 2 types tests

.PHONY: types tests
types:
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

tests:
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

format: $(VENV)/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

audit: $(VENV)/installed-test
	$(BIN)/python .ci/audit.py

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "build/site/index.html; with a search box: $(BIN)/python -m http.server --directory build/site 8000"

# The shipped checkpoints from scratch: REAL is a folder that holds those of the real collections (docs/reference/systems.md).
CHECKPOINTS ?= checkpoints
TRAIN = $(BIN)/cxr-explorer train
DRAWN := --dataset phantom-openi
WITH_TEXTS = --dataset openi=$(REAL)/openi_films --dataset covid=$(REAL)/covid_sample $(DRAWN)
FILMS = --dataset openi=$(REAL)/openi_films --dataset nih=$(REAL)/nih_sample --dataset nih=$(REAL)/nih_64px \
	--dataset covid=$(REAL)/covid_sample --dataset radiography=$(REAL)/radiography_db \
	--dataset hannover=$(REAL)/hannover_covid --dataset jsrt=$(REAL)/jsrt \
	--dataset folder=$(REAL)/paediatric_pneumonia $(DRAWN)
REDRAWN = --dataset phantom-openi=1 --dataset phantom-openi=2 --dataset phantom-openi=3
checkpoints: $(VENV)/installed-test
	@test -n "$(REAL)" || { echo "Give the folder of the real collections: make checkpoints REAL=DIR"; exit 2; }
	$(TRAIN) unified $(DRAWN) $(REDRAWN) \
		--dataset nih=$(REAL)/nih_sample --dataset covid=$(REAL)/covid_sample --out $(CHECKPOINTS)/unified-reports
	$(TRAIN) unified --from $(CHECKPOINTS)/unified-reports --blend 0.7 --config assets/training/typed-queries.yaml \
		$(DRAWN) --dataset covid=$(REAL)/covid_sample --out $(CHECKPOINTS)/unified-texts
	$(TRAIN) unified --from $(CHECKPOINTS)/unified-texts --config assets/training/real-films.yaml $(FILMS) \
		--out $(CHECKPOINTS)/unified-films
	$(TRAIN) unified --from $(CHECKPOINTS)/unified-films --config assets/training/fusion.yaml $(WITH_TEXTS) \
		--out $(CHECKPOINTS)/unified-fused
	$(TRAIN) unified --from $(CHECKPOINTS)/unified-fused --blend 0.35 --config assets/training/real-films-averaged.yaml \
		$(FILMS) --out $(CHECKPOINTS)/unified-averaged
	$(TRAIN) unified --from $(CHECKPOINTS)/unified-averaged --config assets/training/fusion.yaml $(WITH_TEXTS) \
		--out $(CHECKPOINTS)/unified-compact
	$(BIN)/cxr-explorer learnt $(CHECKPOINTS)/unified-compact $(FILMS) $(REDRAWN)
	$(TRAIN) siclip --dataset phantom-dust --out $(CHECKPOINTS)/siclip-compact
	$(TRAIN) mskpt --dataset phantom-dust --out $(CHECKPOINTS)/mskpt-compact

clean:
	rm -rf $(VENV) casebooks .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "CXR Explorer needs Python 3.11 or newer. Set PYTHON=/path/to/python3.11.")'
	@echo "Creating $(VENV)"
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing CXR Explorer into $(VENV): two to five minutes the first time"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@echo "Installing test tools into $(VENV)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed
	@echo "Installing the documentation's tools into $(VENV)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@
