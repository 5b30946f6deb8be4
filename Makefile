# `make plan` and `make test` work on a fresh machine: both make and fill .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := .ci/requirements.lock
STAMP := $(VENV)/.filled

.PHONY: venv plan test lock clean

venv: $(STAMP)

# Everything at the locked versions; nothing happens while the stamp is newer than what it depends on.
$(STAMP): pyproject.toml $(LOCK)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement $(LOCK)
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	$(BIN)/eplb-opt warmup --all
	touch $(STAMP)

plan: $(STAMP)
	$(BIN)/eplb-opt gap instances/deepseek-v3.npz --gpus 32 --slots 288 --time-limit 10

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 2

# Writes the lock file anew from what .venv holds.
lock: $(STAMP)
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > $(LOCK)

clean:
	rm -rf $(VENV) build
