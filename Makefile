# `make` alone lists the targets. Everything sets itself up: the first target that needs .venv makes it.
PYTHON ?= python3
NODES ?= 300
BIN := .venv/bin
STAMP := .venv/.ready
LOCAL := -e . -e ./node -e ./coordinator -e ./trustee
QUIET := -qq --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup pins proto check format test test-long demo federation rehearsal bench docs clean

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## Make .venv from the pinned, hashed requirements

$(STAMP): requirements.txt pyproject.toml node/pyproject.toml coordinator/pyproject.toml trustee/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Collegium needs Python 3.11 or newer. Name one: make PYTHON=python3.12 setup")'
	@echo "Setting up .venv (once; a minute or two)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install $(QUIET) --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install $(QUIET) --no-deps --no-build-isolation $(LOCAL)
	@$(BIN)/python -c "from collegium_node.engine import warm_up; warm_up()"  # compiles the tally once, not at the first question
	@touch $(STAMP)

pins: ## Choose versions anew: requirements.in to requirements.txt, hashed, naming no registry (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade requirements.in -o requirements.txt

proto: $(STAMP) ## Generate collegium/v1 from protos/
	@$(BIN)/python tools/generate.py

check: $(STAMP) ## Lint, types, import rules, generated code, help texts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "Run make format."; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python tools/generate.py --check
	@$(BIN)/python tools/helptext.py --check

format: $(STAMP) ## Format the code
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix --quiet .

test: $(STAMP) ## All tests that take seconds
	@$(BIN)/pytest -m "not long" -n 2 --dist loadfile || { \
	  echo "Some tests failed. Once more, alone: several start whole federations and may starve on a busy machine."; \
	  $(BIN)/pytest -m "not long" --last-failed --last-failed-no-failures none; }

test-long: $(STAMP) ## Kills, soaks, coverage simulations: before an issue is closed
	@$(BIN)/pytest -m long --timeout=3600

demo: $(STAMP) ## Five universities, a ministry, three trustees on this machine: questions, a killed node, every signature checked
	@$(BIN)/python examples/higher-education/demo.py

federation: $(STAMP) ## The same federation, left running, with the lines to type
	@$(BIN)/python examples/higher-education/demo.py --stay

rehearsal: $(STAMP) ## A country on this machine, NODES=300 universities: what is real in it is said at the end (3074 take minutes)
	@$(BIN)/python -m rehearsal --nodes $(NODES) $(REHEARSAL)

bench: $(STAMP) ## Benchmarks; each prints ratios measured in one run
	@for bench in bench/*.py; do echo "== $$bench"; $(BIN)/python $$bench || exit 1; done

docs: $(STAMP) ## Write the help texts into README and docs/
	@$(BIN)/python tools/helptext.py

clean: ## Remove .venv and what tests and demos leave
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis run
