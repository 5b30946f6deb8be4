# `make plan` and `make test` work on a fresh machine: both make and fill .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := .ci/requirements.lock
STAMP := $(VENV)/.filled
BARE := build/bare
# What has to hold with numpy alone; all that these tests import comes with Python, numpy or pytest.
BARE_TESTS := tests/test_readme.py tests/test_package.py tests/test_cold.py tests/core
CORE := $(shell find eplb_opt/core -name '*.cpp' -o -name '*.hpp' -o -name CMakeLists.txt)
STUBS := eplb_opt/core/_core

.PHONY: venv plan test bare coverage docs figures sanitize stubs lock clean

venv: $(STAMP)

# Everything at the locked versions; nothing happens while the stamp is newer than what it depends on.
# The core is compiled while packages come: one works on all cores, the other on one and the network.
$(STAMP): pyproject.toml $(LOCK) $(CORE)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'Installing packages and compiling the core: a minute or two; without a C++ compiler on the path, some minutes.'
	$(BIN)/python -m pip install --quiet --requirement $(LOCK) & \
	nice $(BIN)/python -m pip install --quiet --no-deps --editable . ; \
	compiled=$$? ; wait $$! && exit $$compiled
	touch $(STAMP)

plan: $(STAMP)
	$(BIN)/eplb-opt gap instances/deepseek-v3.npz --gpus 32 --slots 288 --time-limit 10

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

# Tests that need no extra, in an environment with numpy alone.
bare: $(BARE)/.filled
	$(BARE)/bin/python -m pytest --numprocesses 2 $(BARE_TESTS)

$(BARE)/.filled: pyproject.toml $(CORE)
	$(PYTHON) -m venv $(BARE)
	$(BARE)/bin/python -m pip install --quiet --editable . pytest pytest-xdist hypothesis
	touch $(BARE)/.filled

# The tests with branch coverage: a table of what is not covered, and build/coverage/index.html.
coverage: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 2 --cov --cov-report=term --cov-report=html

# The guide and the reference made of docstrings, in build/docs; a warning is an error.
docs: $(STAMP)
	rm -rf build/pages && mkdir -p build && cp -R .docs build/pages && cp -R eplb_opt/guide build/pages
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going build/pages build/docs

# The core under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer, and built without
# optimisation for the same bytes; it compiles the core three times.
sanitize: $(STAMP)
	$(BIN)/python -m tests.core.sanitize

# Writes the core's type stubs anew; a test compares them with the core that is installed.
stubs: $(STAMP)
	rm -rf $(STUBS)
	$(BIN)/python -m nanobind.stubgen --quiet --recursive --module eplb_opt.core._core --output-dir $(STUBS:/_core=)

# Writes the tables of figures in README.md and the guide anew; a test compares them with the stored data.
figures: $(STAMP)
	$(BIN)/python -m eplb_opt.guide.figures

# Writes the lock file anew from what .venv holds.
lock: $(STAMP)
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > $(LOCK)

clean:
	rm -rf $(VENV) build
