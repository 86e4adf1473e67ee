# Two set-up commands: `make demo` and `make test`. Both create .venv by themselves and are quick the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501

.PHONY: help demo test format audit checkpoints clean

help:
	@echo "make demo    build three casebooks of synthetic films and open the app on http://localhost:$(PORT)"
	@echo "make test    lint, types and all tests, the browser's included"
	@echo "make audit   bill of materials in build/sbom.cdx.json; known vulnerabilities of the installed packages"

demo: $(VENV)/installed
	$(BIN)/cxr-explorer demo --port $(PORT)

test: $(VENV)/installed-test
	@$(PYTHON) tests/install_browser.py
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

format: $(VENV)/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

audit: $(VENV)/installed-test
	$(BIN)/python .ci/audit.py

# The shipped checkpoints from scratch: NIH and COVID name folders of the real collections (docs/systems.md).
CHECKPOINTS ?= checkpoints
checkpoints: $(VENV)/installed-test
	@test -n "$(NIH)" -a -n "$(COVID)" || { echo "Give both folders: make checkpoints NIH=DIR COVID=DIR"; exit 2; }
	$(BIN)/cxr-explorer train unified --dataset phantom-openi --dataset phantom-openi=1 --dataset phantom-openi=2 \
		--dataset phantom-openi=3 --dataset nih=$(NIH) --dataset covid=$(COVID) --out $(CHECKPOINTS)/unified-compact
	$(BIN)/cxr-explorer train siclip --dataset phantom-dust --out $(CHECKPOINTS)/siclip-compact
	$(BIN)/cxr-explorer train mskpt --dataset phantom-dust --out $(CHECKPOINTS)/mskpt-compact

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
